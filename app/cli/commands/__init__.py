"""One module for each command, or for each few that belong together."""
