"""
What a worker knows of the recent past of a feed: which subject changed last where, and that it is one history.

Theory of operation. A trail covers the positions after `floor` up to `head`, without a gap. For each subject (the
path of a scope, say) it knows the last change in there; of a subject that did not change in there it knows that its
last change is no later than `floor`. So something read as of position p, floor <= p <= head, is still as it was read
if and only if `last_change(subject) <= p`. What was read before the floor cannot be judged.

Positions alone do not name a history: a database restored from a backup gives the same numbers out again. Each
position therefore has a *mark*, made of the id of its event, and who was read at another history's position 7 is told
so. Memory is bounded: the floor follows the head at a distance. Guarded by tests/log/test_trail.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import NewType
from uuid import UUID

from app.domain.position import Position

Mark = NewType("Mark", int)
"""64 bits of the id of the event at a position; 0 before the first event, and where retention took the event away."""

START = Position(0)
UNKNOWN = Mark(0)
REMEMBERED = 20_000  # positions; about 3 MB, and weeks of changes to a registry
EVERYTHING: None = None  # the subject of an event that may have changed anything


class BrokenTrail(Exception):
    """What was read does not continue what is known: events are missing, or this is another history."""


def mark_of(event_id: UUID | None) -> Mark:
    """The mark of a position whose event has this id."""
    return UNKNOWN if event_id is None else Mark(event_id.int & 0xFFFF_FFFF_FFFF_FFFF)


class Trail:
    """The recent past of a feed. It begins at a position and is extended event by event."""

    def __init__(self, floor: Position = START, mark: Mark = UNKNOWN, *, remembered: int = REMEMBERED) -> None:
        self.floor = floor
        self.head = floor
        self._everything = floor  # where everything changed, or may have
        self._marks = array("Q", [mark])
        self._changes: dict[str, Position] = {}  # in order of the positions
        self._remembered = remembered

    def extend(self, events: Iterable[tuple[Position, Mark, str | None]]) -> None:
        """Add what happened next: position, mark and subject. Raises BrokenTrail at the first that does not follow."""
        for position, mark, subject in events:
            if position != self.head + 1:
                raise BrokenTrail(f"after position {self.head} comes {position}")
            self.head = position
            self._marks.append(mark)
            if subject is EVERYTHING:
                self._everything = position
            else:
                self._changes.pop(subject, None)
                self._changes[subject] = position
        if self.head - self.floor > 2 * self._remembered:
            self._forget(Position(self.head - self._remembered))

    def last_change(self, subject: str) -> Position:
        """The last position at which the subject changed, or the one up to which that is unknown."""
        return max(self._changes.get(subject, self.floor), self._everything)

    @property
    def mark(self) -> Mark:
        """The mark of the head."""
        return Mark(self._marks[-1])

    def covers(self, position: Position, mark: Mark) -> bool:
        """Whether what was read as of this position can be judged, and is of this history."""
        return self.floor <= position <= self.head and self._marks[position - self.floor] == mark

    def contradicts(self, position: Position, mark: Mark) -> bool:
        """Whether this position is known, and was another event's."""
        return self.floor <= position <= self.head and self._marks[position - self.floor] != mark

    def _forget(self, floor: Position) -> None:
        del self._marks[: floor - self.floor]
        self.floor = floor
        self._everything = max(self._everything, floor)
        for subject, position in list(self._changes.items()):
            if position > floor:
                break
            del self._changes[subject]
