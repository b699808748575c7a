"""What it takes to verify a token: the first time, by algorithm, and when it is remembered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from percentiles import percentiles

from app.access.authentication import Authenticator
from app.access.keys import Issuer
from app.kit.clock import utc_now

NAME, AUDIENCE = "https://issuer.test", "setpoint"
COLD_ROUNDS = 1_000
HOT_ROUNDS, HOT_TOGETHER = 500, 200


SigningKey: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Verified(NamedTuple):
    """Microseconds to verify a token of an algorithm: `hot` when it is remembered, the others when it is not."""

    algorithm: str
    cold_p50: float
    cold_p95: float
    hot: float
    hot_p95: float


def measure() -> list[Verified]:
    """Every algorithm that we believe."""
    keys = {
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "RS256": rsa.generate_private_key(public_exponent=65_537, key_size=2_048),
    }
    return [_measured(algorithm, key) for algorithm, key in keys.items()]


def _measured(algorithm: str, key: SigningKey) -> Verified:
    issuer = Issuer(NAME, audience=AUDIENCE, keys={"1": (algorithm, key.public_key())})
    authenticator = Authenticator({NAME: issuer}, clock=utc_now, cache_entries=100)
    now = int(time.time())
    claims = {"iss": NAME, "aud": AUDIENCE, "sub": "ann", "tenant": "acme", "roles": ["user"], "territories": ["DE"]}
    tokens = [
        jwt.encode({**claims, "exp": now + 3_600, "jti": str(one)}, key, algorithm=algorithm, headers={"kid": "1"})
        for one in range(COLD_ROUNDS)
    ]
    cold = percentiles([_once(lambda token=token: authenticator.identify(token), 1) for token in tokens])
    hot = percentiles([_once(lambda: authenticator.identify(tokens[-1]), HOT_TOGETHER) for _ in range(HOT_ROUNDS)])
    return Verified(algorithm, cold["p50"], cold["p95"], hot["p50"], hot["p95"])


def _once(work: Callable[[], object], times: int) -> float:
    started = time.perf_counter_ns()
    for _ in range(times):
        work()
    return (time.perf_counter_ns() - started) / times / 1_000


def table(verified: Sequence[Verified]) -> str:
    """A line for each algorithm."""
    lines = [f"{'Verifying a token, microseconds':34}{'cold P50':>10}{'P95':>10}{'hot P50':>10}{'P95':>10}"]
    lines += [
        f"{one.algorithm:34}{one.cold_p50:10.1f}{one.cold_p95:10.1f}{one.hot:10.2f}{one.hot_p95:10.2f}"
        for one in verified
    ]
    return "\n".join(lines)
