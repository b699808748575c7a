"""The place of an event in its feed."""

from __future__ import annotations

from typing import NewType

# Dense, rising from 1 in commit order; 0 is before the first event. Also the consistency token of clients.
Position = NewType("Position", int)
