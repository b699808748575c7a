"""What is set for keys at scopes."""
