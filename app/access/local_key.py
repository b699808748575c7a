"""
The local development key: signs the tokens of `setpoint token`, which a node with the same data folder believes.

Ed25519, made on first use, readable by its owner only. Whoever can read it can be anybody, so a node that serves
others should say SETPOINT_LOCAL_ISSUER=off and name a real issuer.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from app.domain.access import Principal
from app.domain.definition import Sensitivity
from app.kit.clock import new_id

ISSUER = "setpoint-local"
AUDIENCE = "setpoint"
KEY_ID = "local"
FILE = "development-key.pem"


class LocalKeyError(Exception):
    """The local development key cannot be used; the message says why."""


def ensure_local_key(data_path: Path) -> Ed25519PrivateKey:
    """The key of a data folder, made if there is none. Safe when several processes ask at once."""
    path = data_path / FILE
    try:
        data_path.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise LocalKeyError(f"The local development key {path} cannot be used: {error}.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LocalKeyError(f"The local development key {path} is not an Ed25519 key; remove it to have one made.")
    return key


def public_key(data_path: Path) -> Ed25519PublicKey:
    """What a node verifies local tokens with."""
    return ensure_local_key(data_path).public_key()


def sign(key: Ed25519PrivateKey, principal: Principal, *, now: datetime, ttl: timedelta) -> str:
    """A token that says: this is the principal, until then."""
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": principal.id,
        "kind": principal.kind,
        "roles": list(principal.roles),
        "territories": list(principal.territories),
        "accounts": list(principal.accounts),
        "clearance": list(Sensitivity)[principal.clearance].value,
        "iat": int(now.timestamp()),
        "exp": int((now + ttl).timestamp()),
        "jti": str(new_id()),
    }
    if principal.tenant is not None:
        claims["tenant"] = principal.tenant
    if principal.scoped:
        claims["scope"] = " ".join(principal.scopes)
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": KEY_ID})


def _create(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    own = path.with_suffix(f".{new_id()}")
    own.touch(mode=0o600)
    own.write_bytes(pem)
    try:
        os.link(own, path)  # fails if another process was first; unlike rename, which would replace its key
    except FileExistsError:
        pass
    finally:
        own.unlink()
