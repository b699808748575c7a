"""What holds for a context."""
