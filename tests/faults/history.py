"""
What was asked and answered during a run, and what of it breaks a promise. Pure, and linear in what was recorded.

Theory of operation. Every write has a number and puts a value of its own into each cell (a key at a scope), so a value
says which write it came from. The feed gives every write a place in one order; the log as PostgreSQL has it in the end
is the truth. So for every position it is known what each view shows there, and three questions are enough:

- *content*: is what a read showed what its view shows at the position that the answer names? If not: is there any
  position at which it does (then the position is wrong), or is it a mix of several, or something nobody ever wrote?
- *age*: for a position it is known since when it was outdated for everybody, namely since the first acknowledgement of
  a write after it. A read is too old if it was *begun* more than the promised second later; for the worker that took
  the write, if it was begun later at all. The node proves its head at most a second before it answers, so after the
  read began minus a second, however long the answer then took: a client that is short of processor time can only
  make an answer look younger than it is.
- *status*: what failed, and whether PostgreSQL was away then.

Values of one write in several cells make a batch that was seen by halves show. tests/faults/test_history.py breaks a
right history in every way named here.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

PROMISED_SECONDS = 1.0  # guarantee G2
OK, NOT_MODIFIED, NOT_REACHED, UNAVAILABLE = 200, 304, 412, 503
SERVER_ERROR = 500
NO_ANSWER = 0  # the status of a request whose connection broke
EXAMPLES = 5  # of each kind of violation are told in full


class Cell(NamedTuple):
    """Where a value can be set."""

    scope: str
    key: str


class View(msgspec.Struct, frozen=True):
    """What a read asks for: some keys in a context. `scopes` is the chain, general to specific."""

    name: str
    scopes: tuple[str, ...]
    keys: tuple[str, ...]


class Asked(msgspec.Struct, gc=False, kw_only=True):
    """One request and its answer. Seconds are of one clock; `worker` is the process that answered."""

    began: float
    ended: float = math.inf
    worker: int = 0
    status: int = NO_ANSWER
    retry_after: bool = False


class Read(Asked, gc=False, kw_only=True):
    """A read. For 304 `values` are those that the client holds under the tag. `minimum` is the position it named."""

    view: int
    minimum: int = 0
    position: int = 0
    stale_seconds: int | None = None
    tag: str = ""
    values: tuple[str, ...] = ()


class Write(msgspec.Struct, kw_only=True):
    """One write, sent until it was answered for certain. None in `cells` unsets; no position: it was never answered."""

    number: int
    cells: dict[Cell, str | None]
    sent: list[Asked]
    position: int | None = None

    @property
    def acknowledged(self) -> float:
        """When it was known to be made."""
        return self.sent[-1].ended

    @property
    def worker(self) -> int:
        """Which process said so."""
        return self.sent[-1].worker


class Change(NamedTuple):
    """One event of the log: which write (None: nobody of ours) did what at a position."""

    position: int
    write: int | None
    cell: Cell
    value: str | None


class Window(NamedTuple):
    """
    When something was away, from the first moment it may have been to the last that its absence may be felt.

    With `reads_go_on` it was a worker that was stopped: others' writes may wait in vain for what it has locked, and it
    may label what it was asked meanwhile, as its last look at the feed ran out of time. No read may fail.
    """

    began: float
    ended: float
    reads_go_on: bool = False


class History(msgspec.Struct, kw_only=True):
    """All of a run. `base` is the position before the first write; `reads` and `log` are in order."""

    views: Sequence[View]
    default: str
    base: int
    reads: Sequence[Read]
    writes: Sequence[Write]
    log: Sequence[Change]
    away: Sequence[Window] = ()


class Kind(enum.StrEnum):
    """What can be wrong."""

    INVENTED = "a value that no write gave"
    TORN = "a mix of several positions"
    MISPLACED = "content that is not of the position named"
    FALSE_304 = "304 for what had changed"
    FALSE_TAG = "one tag for two contents, or two for one"
    STALE = "older than promised"
    NOT_AT_ONCE = "a write not seen by the worker that took it"
    BEFORE_MINIMUM = "from before the position that was asked for"
    NOT_REACHED = "412 for a position that there is"
    LOST = "an acknowledged write that is not in the log"
    HALF = "a write that was made by halves, or twice"
    HOLE = "a position that nobody has, or that somebody else took"
    FAILED = "failed although PostgreSQL answered"
    NO_RETRY_AFTER = "503 without Retry-After"
    LABELLED = "labelled stale although PostgreSQL answered"
    UNEXPECTED = "a status that means nothing here"


class Verdict(msgspec.Struct, kw_only=True):
    """What was found. Staleness is of answers without a label, as far as it can be known from outside."""

    violations: dict[Kind, int]
    examples: list[str]
    statuses: dict[int, int]
    labelled: int  # reads that said they were stale
    largest_staleness: float  # seconds
    went_back: int  # reads of a worker from before an earlier one of it: not promised, but told


def check(history: History) -> Verdict:
    """Everything that is wrong with a history."""
    found = _Found()
    spans = _check_log(history, found)
    _check_contents(history, spans, found)
    _check_tags(history, found)
    _check_statuses(history, found)
    staleness = _check_ages(history, found)
    return Verdict(
        violations=found.kinds,
        examples=found.examples,
        statuses=Counter(read.status for read in history.reads),
        labelled=sum(read.stale_seconds is not None for read in history.reads),
        largest_staleness=staleness,
        went_back=_went_back(history.reads),
    )


class _Found:
    def __init__(self) -> None:
        self.kinds: Counter[Kind] = Counter()
        self.examples: list[str] = []

    def __call__(self, kind: Kind, what: object) -> None:
        self.kinds[kind] += 1
        if self.kinds[kind] <= EXAMPLES:
            self.examples.append(f"{kind.value}: {what}")


# ---- the log ----


def _check_log(history: History, found: _Found) -> list[list[Change]]:
    """The changes of each write, in the order of the feed; what does not fit the writes is told."""
    groups: list[list[Change]] = []
    expected = history.base
    for change in history.log:
        expected += 1
        if change.position != expected or change.write is None:
            found(Kind.HOLE, change)
            expected = change.position
        if groups and groups[-1][-1].write == change.write:
            groups[-1].append(change)
        else:
            groups.append([change])
    logged = {group[0].write: group for group in groups}
    if len(logged) < len(groups):
        found(Kind.HALF, "a write has two places in the log")
    for write in history.writes:
        group = logged.pop(write.number, [])
        if write.position is not None and (not group or group[-1].position != write.position):
            found(Kind.LOST, write)
        elif group and {change.cell: change.value for change in group} != write.cells:
            found(Kind.HALF, write)
    for group in logged.values():
        found(Kind.HOLE, group[0])  # nobody sent it
    return groups


# ---- contents ----


class _Shown:
    """What the views show, while the log is walked; and for how long they have shown each value."""

    def __init__(self, views: Sequence[View], default: str, base: int) -> None:
        self._views = views
        self._default = default
        self._set: dict[Cell, str] = {}
        self._slots: defaultdict[Cell, list[tuple[int, int]]] = defaultdict(list)
        self._now = [[default] * len(view.keys) for view in views]
        self._values: list[tuple[str, ...] | None] = [None for _ in views]
        self._spans: defaultdict[tuple[int, int, str], list[list[float]]] = defaultdict(list)
        for at, view in enumerate(views):
            for slot, key in enumerate(view.keys):
                self._spans[at, slot, default].append([base, math.inf])
                for scope in view.scopes:
                    self._slots[Cell(scope, key)].append((at, slot))

    def apply(self, group: Sequence[Change]) -> None:
        """What one write did, at once: nothing in between is ever to be seen."""
        for change in group:
            if change.value is None:
                self._set.pop(change.cell, None)
            else:
                self._set[change.cell] = change.value
        for change in group:
            for at, slot in self._slots[change.cell]:
                self._show(at, slot, change.cell.key, group[-1].position)

    def _show(self, at: int, slot: int, key: str, position: int) -> None:
        chain = reversed(self._views[at].scopes)
        value = next((self._set[cell] for scope in chain if (cell := Cell(scope, key)) in self._set), self._default)
        before = self._now[at][slot]
        if value != before:
            self._spans[at, slot, before][-1][1] = position
            self._spans[at, slot, value].append([position, math.inf])
            self._now[at][slot] = value
            self._values[at] = None

    def values(self, at: int) -> tuple[str, ...]:
        """What a view shows now."""
        held = self._values[at]
        if held is None:
            held = self._values[at] = tuple(self._now[at])
        return held

    def what_is_wrong(self, at: int, values: tuple[str, ...]) -> Kind:
        """Why a content is not right, once the log has been walked."""
        when = [self._spans.get((at, slot, value), []) for slot, value in enumerate(values)]
        if len(values) != len(self._views[at].keys) or not all(when):
            return Kind.INVENTED
        common = when[0]
        for spans in when[1:]:
            common = _overlaps(common, spans)
        return Kind.MISPLACED if common else Kind.TORN


def _overlaps(some: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> list[list[float]]:
    """What two lists of spans, each in order, have in common."""
    common, left, right = [], 0, 0
    while left < len(some) and right < len(others):
        began, ended = max(some[left][0], others[right][0]), min(some[left][1], others[right][1])
        if began < ended:
            common.append([began, ended])
        if some[left][1] <= others[right][1]:
            left += 1
        else:
            right += 1
    return common


def _check_contents(history: History, groups: Iterable[Sequence[Change]], found: _Found) -> None:
    waiting: defaultdict[int, list[Read]] = defaultdict(list)
    for read in history.reads:
        if read.status in (OK, NOT_MODIFIED):
            waiting[read.position].append(read)
    shown = _Shown(history.views, history.default, history.base)
    wrong = [read for read in waiting.pop(history.base, ()) if read.values != shown.values(read.view)]
    for group in groups:
        shown.apply(group)
        at_this = waiting.pop(group[-1].position, ())
        wrong += [read for read in at_this if read.values != shown.values(read.view)]
    wrong += [read for reads in waiting.values() for read in reads]  # at no position that there is to be seen
    for read in wrong:
        kind = shown.what_is_wrong(read.view, read.values)
        found(Kind.FALSE_304 if read.status == NOT_MODIFIED and kind is Kind.MISPLACED else kind, read)


def _check_tags(history: History, found: _Found) -> None:
    contents: dict[tuple[int, str], tuple[str, ...]] = {}
    tags: dict[tuple[int, tuple[str, ...]], str] = {}
    for read in history.reads:
        if read.status in (OK, NOT_MODIFIED):
            same_tag = contents.setdefault((read.view, read.tag), read.values) == read.values
            if not same_tag or tags.setdefault((read.view, read.values), read.tag) != read.tag:
                found(Kind.FALSE_TAG, read)


# ---- age ----


def _check_ages(history: History, found: _Found) -> float:
    """The largest staleness of an answer without a label; what is beyond the promise is told."""
    head = max([history.base, *(change.position for change in history.log)])
    acknowledged = [write for write in history.writes if write.position is not None]
    anybody = _outdated_since(acknowledged, history.base, head)
    by_worker: defaultdict[int, list[Write]] = defaultdict(list)
    for write in acknowledged:
        by_worker[write.worker].append(write)
    itself = {worker: _outdated_since(writes, history.base, head) for worker, writes in by_worker.items()}
    largest = 0.0
    for read in history.reads:
        if read.status not in (OK, NOT_MODIFIED) or not history.base <= read.position <= head:
            continue
        at = read.position - history.base
        age = read.began - anybody[at]
        if age > max(PROMISED_SECONDS, read.stale_seconds or 0):
            found(Kind.STALE, f"{age:.3f} s: {read}")
        if read.stale_seconds is None:
            largest = max(largest, age)
            if read.worker in itself and read.began > itself[read.worker][at]:
                found(Kind.NOT_AT_ONCE, read)
        if read.position < read.minimum:
            found(Kind.BEFORE_MINIMUM, read)
    return largest


def _outdated_since(writes: Iterable[Write], base: int, head: int) -> list[float]:
    """For each position from `base` on: when the first write after it was acknowledged."""
    since = [math.inf] * (head - base + 1)
    for write in writes:
        if write.position is not None and base < write.position <= head:
            since[write.position - base - 1] = min(since[write.position - base - 1], write.acknowledged)
    for at in range(len(since) - 2, -1, -1):
        since[at] = min(since[at], since[at + 1])
    return since


def _went_back(reads: Iterable[Read]) -> int:
    """Reads of a worker that began after an earlier one of it had ended, and were from before it."""
    answered: defaultdict[int, list[Read]] = defaultdict(list)
    for read in reads:
        if read.status in (OK, NOT_MODIFIED):
            answered[read.worker].append(read)
    return sum(_went_back_in(of_one) for of_one in answered.values())


def _went_back_in(reads: Sequence[Read]) -> int:
    ends = sorted(reads, key=lambda read: read.ended)
    highest, next_end, count = 0, 0, 0
    for read in reads:  # in order of their beginnings
        while ends[next_end].ended < read.began:
            highest = max(highest, ends[next_end].position)
            next_end += 1
        count += read.position < highest
    return count


# ---- what failed ----


def _check_statuses(history: History, found: _Found) -> None:
    for_reads = _Excuses(window for window in history.away if not window.reads_go_on)
    for_others = _Excuses(history.away)
    for read in history.reads:
        _check_status(read, for_reads, found)
        if read.status == NOT_REACHED and not for_reads.cover(read):
            found(Kind.NOT_REACHED, read)
        if read.stale_seconds is not None and not for_others.cover(read):
            found(Kind.LABELLED, read)
    for write in history.writes:
        for sent in write.sent:
            _check_status(sent, for_others, found)


def _check_status(asked: Asked, excuses: _Excuses, found: _Found) -> None:
    if asked.status in (OK, NOT_MODIFIED) or (asked.status == NOT_REACHED and isinstance(asked, Read)):
        return
    if asked.status == UNAVAILABLE:
        if not asked.retry_after:
            found(Kind.NO_RETRY_AFTER, asked)
        if not excuses.cover(asked):
            found(Kind.FAILED, asked)
    elif asked.status == NO_ANSWER or asked.status >= SERVER_ERROR:
        found(Kind.FAILED, asked)
    else:
        found(Kind.UNEXPECTED, asked)


class _Excuses:
    """Windows, joined where they overlap."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._began: list[float] = []
        self._ended: list[float] = []
        for window in sorted(windows):
            if self._ended and window.began <= self._ended[-1]:
                self._ended[-1] = max(self._ended[-1], window.ended)
            else:
                self._began.append(window.began)
                self._ended.append(window.ended)

    def cover(self, asked: Asked) -> bool:
        """Whether any moment of a request lies in a window."""
        at = bisect_right(self._began, asked.ended) - 1
        return at >= 0 and self._ended[at] >= asked.began

    def seconds(self, began: float, ended: float) -> float:
        """How much of a span of time they take."""
        spans = zip(self._began, self._ended, strict=True)
        return sum(max(0.0, min(ended, last) - max(began, first)) for first, last in spans)


def excused_seconds(windows: Iterable[Window], began: float, ended: float) -> float:
    """How long reads were excused in a span of time."""
    return _Excuses(window for window in windows if not window.reads_go_on).seconds(began, ended)
