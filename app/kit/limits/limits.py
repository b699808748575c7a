"""
What a caller may ask for: reads and writes of a principal, and refused credentials of an address.

- Reads are counted by each worker alone: a hot read must not wait for anybody.
- Writes are counted by all workers together, through Redis; by each worker alone while Redis does not answer. A
  worker's own buckets follow the shared ones: a principal that has nothing left is refused without asking Redis, and
  when Redis goes away nobody starts anew.
- Refused credentials are counted by each worker, by the address they come from (a /64 network of IPv6) and by nothing
  that the caller chose: whoever guesses somebody's key locks himself out and nobody else. Over the limit, credentials
  from there are not looked at any more.

A limit is never a reason to fail: where a bucket is lost, its caller begins with a full one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TypeAlias

from app.config import Config
from app.domain.access import Principal
from app.kit.clock import Ticks
from app.kit.limits.local import LocalBuckets
from app.kit.limits.rate import Rate, whole_seconds
from app.kit.limits.shared import SharedBuckets
from app.kit.problems import RateLimited
from app.kit.proxies import sender_of
from app.kit.redis_client import RedisClient

Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]

_LOW = 10  # reads are told what they have left when it is less than one part in so many
_NOTHING: Fields = ()


class Limits:
    """
    The limits of one worker.

    `refused` counts what was refused, by the name of the limit; `unshared` the writes that were counted by this worker
    alone because Redis did not answer.
    """

    def __init__(self, config: Config, *, ticks: Ticks) -> None:
        self._ticks = ticks
        self._timeout = config.redis_timeout_seconds
        self._reads = _buckets("reads", config.reads_per_second, config.read_burst, ticks)
        self._writes = _buckets("writes", config.writes_per_second, config.write_burst, ticks)
        self._failures = _buckets("failed-auths", config.failed_auths_per_second, config.failed_auth_burst, ticks)
        self.shared: SharedBuckets | None = None
        self.refused: Counter[str] = Counter()
        self.unshared = 0

    def begin(self, redis: RedisClient | None) -> None:
        """Begin with full buckets, and share writes through this Redis."""
        for buckets in (self._reads, self._writes, self._failures):
            if buckets is not None:
                buckets.clear()
        self.shared = None
        if redis is not None and self._writes is not None:
            self.shared = SharedBuckets(redis, self._writes.rate, ticks=self._ticks, timeout_seconds=self._timeout)

    def read(self, principal: Principal) -> Fields:
        """
        Let a principal read once, and give the header fields that go with the answer: most often none.

        Raises RateLimited. Cost: about half a microsecond.
        """
        if self._reads is None:
            return _NOTHING
        spare = self._reads.take((principal.tenant, principal.id))
        if spare * _LOW >= self._reads.rate.window:
            return _NOTHING
        return self._passed(self._reads.rate, spare)

    def try_read(self, principal: Principal) -> Fields | None:
        """The same, but None instead of a refusal, which is then neither made nor counted."""
        if self._reads is None:
            return _NOTHING
        spare = self._reads.take((principal.tenant, principal.id))
        if spare * _LOW >= self._reads.rate.window:
            return _NOTHING
        return None if spare < 0 else fields_of(self._reads.rate, spare)

    def may_read(self, principal: Principal) -> bool:
        """Whether a read would be let pass now."""
        return self._reads is None or self._reads.look((principal.tenant, principal.id)) >= 0

    async def write(self, principal: Principal) -> Fields:
        """Let a principal write once, and give the header fields that go with the answer. Raises RateLimited."""
        if self._writes is None:
            return _NOTHING
        who = (principal.tenant, principal.id)
        spare = self._writes.look(who)
        if spare >= 0:
            spare = await self._shared_write(self._writes, who)
        return self._passed(self._writes.rate, spare)

    async def _shared_write(self, own: LocalBuckets, who: Hashable) -> int:
        if self.shared is None:
            return own.take(who)
        spare = await self.shared.take(who)
        if spare is None:
            self.unshared += 1
            return own.take(who)
        own.follow(who, spare)
        return spare

    def require_few_failures(self, client: str) -> None:
        """Raise RateLimited when too many credentials of this address were refused."""
        if self._failures is None:
            return
        spare = self._failures.look(sender_of(client))
        if spare < 0:
            self._passed(self._failures.rate, spare)

    def few_failures(self, client: str) -> bool:
        """Whether credentials of this address are looked at."""
        return not self._failures or self._failures.look(sender_of(client)) >= 0

    def note_failure(self, client: str) -> None:
        """A credential that came from this address was refused."""
        if self._failures is not None:
            self._failures.take(sender_of(client))

    def _passed(self, rate: Rate, spare: int) -> Fields:
        """The fields that tell who may pass what is left."""
        fields = fields_of(rate, spare)
        if spare >= 0:
            return fields
        self.refused[rate.name] += 1
        told = {name.decode(): value.decode() for name, value in fields}
        raise RateLimited(retry_after_seconds=whole_seconds(-spare), fields=told)


def fields_of(rate: Rate, spare: int) -> Fields:
    """
    RateLimit-Policy and RateLimit, as draft-ietf-httpapi-ratelimit-headers-11 (May 2026) has them.

    `t` is when all of `q` is there again; on a refusal, when Retry-After says: the draft asks that the two agree.
    https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
    """
    until = -spare if spare < 0 else rate.window - spare
    return (
        (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (rate.name.encode(), rate.burst, whole_seconds(rate.window))),
        (b"ratelimit", b'"%b";r=%d;t=%d' % (rate.name.encode(), rate.left(spare), whole_seconds(until))),
    )


def _buckets(name: str, per_second: float, burst: int, ticks: Ticks) -> LocalBuckets | None:
    if per_second == 0:
        return None
    return LocalBuckets(Rate.of(name, per_second=per_second, burst=burst), ticks=ticks)
