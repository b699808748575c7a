"""Structured logs: JSON for machines, colours for a terminal. Values of settings and credentials never go here."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog


def configure_logs(*, level: str, form: Literal["auto", "json", "console"]) -> None:
    """Send every log line of this process to stderr in one form."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def get_logger() -> Any:
    """The logger; events are short names, facts are keyword arguments."""
    return structlog.get_logger()
