"""The feeds: totally ordered logs in PostgreSQL that everything above appends to."""
