"""
One spelling for each JSON value.

Values are kept, compared, hashed and sent as canonical JSON: members sorted by name, no spaces, the shortest form of
each number, UTF-8. Equal values then have equal bytes, which is what entity tags and replayed explanations rest on.
"""

from __future__ import annotations

from typing import Any, NewType

import msgspec

CanonicalJson = NewType("CanonicalJson", bytes)

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()


def canonical(value: object) -> CanonicalJson:
    """The canonical bytes of a plain value."""
    return CanonicalJson(_encoder.encode(value))


def plain(json: CanonicalJson) -> Any:
    """The plain value of canonical bytes."""
    return _decoder.decode(json)
