"""What holds for every test: Hypothesis keeps nothing on disk and no time limit per example, as machines differ."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("setpoint", database=None, deadline=None, max_examples=60, print_blob=True)
settings.load_profile("setpoint")

pytest_plugins = ("tests.fixtures",)  # PostgreSQL, the application, and its clients
