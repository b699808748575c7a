"""What keys are."""
