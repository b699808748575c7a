"""Setpoint: a hierarchical, multi-tenant settings registry."""
