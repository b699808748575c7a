"""
The fast lane: the hottest reads of settings, answered in front of everything else.

    question   what a path and a query ask for, of whom it may be asked
    prepared   what a question was answered with: which scopes and sensitivities to judge, bytes, tags, header fields
    lane       the wrapper: looks at everything that decides about a request, answers it, or hands it on untouched

It answers nothing by itself: bytes and tags are made by the handlers' own functions, and whatever is not quite usual
goes on to them as if nobody had looked at it. Theory of operation: docs/decisions/0016-fast-lane.md. Guarded by
tests/fast_lane, which sends the same random requests down both lanes.
"""
