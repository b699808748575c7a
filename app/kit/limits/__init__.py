"""Who asks too much waits: limits of requests per time, and what is told of them."""
