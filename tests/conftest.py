"""
What holds for every test, and what a run says at its end.

Hypothesis keeps nothing on disk and no time limit per example, as machines differ.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("setpoint", database=None, deadline=None, max_examples=60, print_blob=True)
settings.load_profile("setpoint")

pytest_plugins = ("tests.fixtures",)  # PostgreSQL, the application, and its clients


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many decisions of the policy were compared (tests/policies/test_random_decisions.py)."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ())]
    properties = [one for report in reports if report.when == "call" for one in report.user_properties]
    decisions, mismatches = (
        sum(value for name, value in properties if name == wanted)
        for wanted in ("policy-decisions", "policy-mismatches")
    )
    if decisions:
        equal = "predicate = VM = SQL" if mismatches == 0 else "predicate, VM and SQL differ"
        terminalreporter.write_line(f"policy: {decisions:,} random decisions, {equal}, {mismatches} mismatches")
