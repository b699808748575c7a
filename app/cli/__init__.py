"""The command line, `setpoint …`: thin commands over the HTTP interface and the use cases."""
