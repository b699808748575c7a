"""How a command ends when it cannot do what it was asked."""

from __future__ import annotations

FINDINGS = 1
USAGE = 2  # the command line or the configuration cannot be followed
UNREACHABLE = 3  # a server, a database or a port could not be had
REFUSED = 4
CONFLICT = 5


class CommandFailed(Exception):
    """The command ends here; the message is one sentence for people, `code` is for scripts."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code
