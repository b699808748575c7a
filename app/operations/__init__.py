"""What operators see of a running node."""
