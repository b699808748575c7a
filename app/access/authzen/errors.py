"""What keeps a question from being answered."""

from __future__ import annotations


class CannotDecide(Exception):
    """A question that is denied because it could not be decided; the status is what HTTP would call it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
