"""Tenants, and what is known of scopes besides their values."""
