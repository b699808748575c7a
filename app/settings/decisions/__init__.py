"""What is stored, as the decision point asks for it (app/access/authzen)."""
