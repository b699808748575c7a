"""The run under faults takes a minute, so it begins first: the other processes do everything else meanwhile."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of this folder that start nodes, before all others."""
    items.sort(key=lambda item: "tests/faults/test_faults.py" not in item.nodeid)
