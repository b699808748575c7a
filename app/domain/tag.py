"""
Entity tags (RFC 9110 section 8.8.3), all strong and quoted.

A *change tag* marks the state of one stored thing, for If-Match. It is made of the position of the thing's last
change, which no other change ever has: unsetting and setting again never brings an old tag back.

A *view tag* marks the bytes of one answer, for If-None-Match. It is a digest of these bytes, so it changes exactly
when they do and returns when they return. The salt keeps equal answers of two tenants from having one tag.
"""

from __future__ import annotations

import base64
import hashlib

from app.domain.position import Position

VIEW_TAG_BYTES = 16  # 128 bits: a collision, which would be a false 304, is out of reach


def change_tag(position: Position) -> str:
    """The tag of a stored thing whose last change stands at this position."""
    return f'"v{position}"'


def view_tag(body: bytes, *, salt: str) -> str:
    """The tag of an answer with these bytes. Cost: about a microsecond per KiB."""
    digest = hashlib.blake2b(body, digest_size=VIEW_TAG_BYTES, salt=_salt(salt)).digest()
    return '"' + base64.urlsafe_b64encode(digest).rstrip(b"=").decode() + '"'


def _salt(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=hashlib.blake2b.SALT_SIZE).digest()
