"""The schema's history. `versions/` is applied in order of its ids; `setpoint migrate` does so under a lock."""
