"""What a question was answered with, ready to be sent again while nothing that it was made of has changed."""

from __future__ import annotations

import functools

from app.domain.definition import Sensitivity
from app.domain.position import Position
from app.fast_lane.question import BITS, Judged, Question
from app.kit.edge import own_headers
from app.kit.http import CACHING, JSON
from app.log.trail import Trail
from app.settings.cache.entry import View
from app.settings.cache.subjects import DEFINITIONS

# Bytes of Python objects; tests/fast_lane/test_prepared.py holds them against the real thing.
PREPARED_BYTES = 2_000  # beside the path and query: the question, what is judged, and the maps
VIEW_BYTES = 3_000  # of one view beside its body: two lists of header fields

Header = tuple[bytes, bytes]

_CACHING = [(name.encode(), value.encode()) for name, value in CACHING.items()]
_ID = b"x-request-id"  # the first of what the edge adds to every answer
_ID_IN_NOT_MODIFIED = len(_CACHING) + 2
_ID_IN_FULL = _ID_IN_NOT_MODIFIED + 2


class Ready:
    """One view and the header fields of its answers at a position. The id of the request is filled in last."""

    def __init__(self, view: View) -> None:
        self.tag_text = view.tag
        self.tag = view.tag.encode()
        self.body = {"type": "http.response.body", "body": view.body}
        self.bytes = len(view.body)
        self.position = Position(-1)
        self._full: list[Header] = []
        self._not_modified: list[Header] = []

    def at(self, position: Position) -> None:
        """Say that it is the answer at this position."""
        self.position = position
        fields = [*_CACHING, (b"etag", self.tag), (b"setpoint-position", b"%d" % position)]
        length = (b"content-length", b"%d" % self.bytes)
        own = own_headers(b"", secure=False)
        self._full = [*fields, (b"content-type", JSON.encode()), length, *own]
        self._not_modified = [*fields, *own]

    def full(self, request_id: bytes) -> list[Header]:
        """The header fields of 200."""
        fields = self._full.copy()
        fields[_ID_IN_FULL] = (_ID, request_id)
        return fields

    def not_modified(self, request_id: bytes) -> list[Header]:
        """The header fields of 304."""
        fields = self._not_modified.copy()
        fields[_ID_IN_NOT_MODIFIED] = (_ID, request_id)
        return fields


class Prepared:
    """
    A question, what the gate is to be asked, and a view for each set of sensitivities that somebody was cleared for.

    It holds at the head of a trail. When the head has moved on, it still does unless one of its subjects has changed.
    """

    def __init__(self, question: Question, judged: Judged, *, trail: Trail) -> None:
        self.question = question
        self.judged = judged
        self.views: dict[int, Ready] = {}  # by the bits of the sensitivities
        self._subjects = (DEFINITIONS, *(scope.path for scope in question.chain))
        self._trail = trail
        self._head = trail.head

    def holds(self, trail: Trail) -> bool:
        """Whether everything is still as it was."""
        if trail is not self._trail:
            return False
        if trail.head == self._head:
            return True
        if any(trail.last_change(subject) > self._head for subject in self._subjects):
            return False
        self._head = trail.head
        return True

    @property
    def cost(self) -> int:
        """Bytes that it takes in memory, near enough."""
        return PREPARED_BYTES + sum(VIEW_BYTES + view.bytes for view in self.views.values())


@functools.cache
def sensitivities_in(bits: int) -> frozenset[Sensitivity]:
    """The sensitivities whose bits are set."""
    return frozenset(one for one, bit in BITS.items() if bits & bit)
