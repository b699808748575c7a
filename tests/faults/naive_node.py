"""
A node whose cache is as somebody might write it, to show that a run finds it out.

    FAULTS_NAIVE=never_checked python -m tests.faults --module tests.faults.naive_node --until-violation
"""

from __future__ import annotations

import os
import sys

import pytest

from app.cli.serve import serve
from app.config import read_config
from app.kit import asgi
from app.main import create_app_from_environment
from app.settings.cache import shared
from tests.guarantees import naive


def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is there, is it not?"""
    monkeypatch.setattr(shared, "_FAILED", ())


VARIANTS = {
    "never_checked": naive.never_checked,
    "head_after_rows": naive.head_after_rows,
    "doorbell_only": naive.doorbell_only,
    "monotonic": naive.monotonic,
    "unguarded": unguarded,
}


def create() -> asgi.App:
    """The factory that a worker calls."""
    VARIANTS[os.environ["FAULTS_NAIVE"]](pytest.MonkeyPatch())
    return create_app_from_environment()


if __name__ == "__main__":
    sys.exit(
        serve(
            read_config(os.environ)[0],
            demo=False,
            announce=lambda line: print(line, file=sys.stderr, flush=True),
            application="tests.faults.naive_node:create",
        )
    )
