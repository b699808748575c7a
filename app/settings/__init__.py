"""The registry itself: directory of tenants and scopes, definitions, values, and what they resolve to."""
