"""What is revoked, held against looking at every revocation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.access.revocation.standing import Credential, Revocation, Standing
from app.domain.position import Position

NOW = datetime(2026, 3, 4, tzinfo=UTC)
moments = st.integers(-3, 3).map(lambda hours: NOW + timedelta(hours=hours))


@st.composite
def revocations(draw: st.DrawFn) -> Revocation:
    token_id = draw(st.sampled_from([None, "t1", "t2"]))
    return Revocation(
        id=UUID(int=draw(st.integers(1, 6))),
        tenant=draw(st.sampled_from([None, "acme", "globex"])),
        issuer=draw(st.sampled_from([None, "i1", "i2"])),
        subject=None if token_id is not None else draw(st.sampled_from([None, "alice", "bob"])),
        token_id=token_id,
        issued_before=None if token_id is not None else draw(moments),
        reason=None,
        expires_at=draw(st.none() | moments),
        lifted_at=draw(st.sampled_from([None, None, NOW])),
        position=Position(1),
        created_at=NOW,
        created_by="x",
    )


credentials = st.builds(
    Credential,
    issuer=st.sampled_from(["i1", "i2"]),
    tenant=st.sampled_from([None, "acme", "globex"]),
    subject=st.sampled_from(["alice", "bob"]),
    token_id=st.sampled_from([None, "t1", "t2", "alice"]),
    issued_at=st.just(0.0) | moments.map(datetime.timestamp),
)


def concerns(one: Revocation, credential: Credential, *, now: datetime) -> bool:
    if one.lifted_at is not None or (one.expires_at is not None and one.expires_at <= now):
        return False
    if one.tenant not in (None, credential.tenant) or one.issuer not in (None, credential.issuer):
        return False
    if one.token_id is not None:
        return one.token_id == credential.token_id
    assert one.issued_before is not None
    return one.subject in (None, credential.subject) and credential.issued_at < one.issued_before.timestamp()


@given(st.lists(revocations(), max_size=12), st.lists(credentials, min_size=1), st.integers(0, 4))
def test_a_credential_is_revoked_when_some_revocation_concerns_it(
    told: list[Revocation], asked: list[Credential], hours: int
) -> None:
    """In whatever order they are learned, lifted and lapse: the last word about each counts."""
    standing = Standing()
    last: dict[UUID, Revocation] = {}
    for one in told:
        before = standing.version
        standing.learn([one], now=NOW)
        last[one.id] = one
        assert standing.version > before
    later = NOW + timedelta(hours=hours)

    standing.drop_lapsed(now=later)

    for credential in asked:
        assert standing.revokes(credential) == any(concerns(one, credential, now=later) for one in last.values())


@given(st.lists(revocations(), max_size=8), st.lists(revocations(), max_size=8), credentials)
def test_what_was_known_is_forgotten_when_it_is_replaced(
    old: list[Revocation], new: list[Revocation], credential: Credential
) -> None:
    replaced, fresh = Standing(), Standing()
    replaced.learn(old, now=NOW)

    replaced.replace(new, now=NOW)
    fresh.learn(new, now=NOW)

    assert replaced.revokes(credential) == fresh.revokes(credential)
    assert len(replaced) == len(fresh)


@given(st.lists(revocations(), max_size=12))
def test_nothing_is_left_behind_when_all_is_lifted(told: list[Revocation]) -> None:
    standing = Standing()
    standing.learn(told, now=NOW)

    standing.replace([], now=NOW)

    assert (len(standing), standing._tokens, standing._moments) == (0, {}, {})
