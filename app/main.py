"""The application: opens resources, joins the parts, mounts the routes. The only place where parts meet."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from app.access import http as access_http
from app.access import policy_http
from app.access.api_keys import http as api_keys_http
from app.access.audit import http as audit_http
from app.access.audit.access_log import AccessLog
from app.access.audit.accesses import counting_strangers, noting_accesses
from app.access.authentication import Authenticator
from app.access.authzen import http as authzen_http
from app.access.authzen.point import DecisionPoint
from app.access.credentials import open_credentials
from app.access.gate import Gate
from app.access.http import authenticated
from app.access.keys import Issuer, open_issuers
from app.access.polar import load_policy
from app.access.policy_files import fingerprint
from app.access.policy_keeper import PolicyKeeper
from app.access.revocation import http as revocation_http
from app.access.revocation.follower import Follower
from app.config import Config, read_config
from app.domain.errors import Malformed, NotFound, SetpointError
from app.domain.event import Feed
from app.fast_lane.lane import FastLane
from app.kit import asgi, openapi
from app.kit.clock import Clock, Ticks, ticks, utc_now
from app.kit.database import Database, open_database
from app.kit.edge import edge
from app.kit.hosts import Hosts
from app.kit.http import ApiRequest, reading_posts
from app.kit.least_power import require_least_power
from app.kit.limits.limited import limited
from app.kit.limits.limits import Limits
from app.kit.logs import configure_logs
from app.kit.methods import Methods, answering_options
from app.kit.problems import MethodNotAllowed, problem_of
from app.kit.proxies import Proxies
from app.kit.redis_client import RedisClient, open_redis
from app.log.listener import open_listener
from app.log.tailer import Changed, Tailer, open_tailer
from app.operations import cache_http
from app.operations import http as operations_http
from app.operations.health import Health, Probe, telling_trouble
from app.settings.cache.cache import Cache, open_cache
from app.settings.cache.subjects import CREDENTIALS, subject_of
from app.settings.decisions.source import StoredAttributes
from app.settings.definitions import http as definitions_http
from app.settings.directory import http as directory_http
from app.settings.effective import http as effective_http
from app.settings.registry import Registry
from app.settings.values import http as values_http

GARBAGE_THRESHOLD = 10_000  # new objects before the youngest are looked through; Python takes 700

HANDLERS = [
    *effective_http.HANDLERS,
    *values_http.HANDLERS,
    *definitions_http.HANDLERS,
    *directory_http.HANDLERS,
    access_http.verify,
    *api_keys_http.HANDLERS,
    *revocation_http.HANDLERS,
    *audit_http.HANDLERS,
    *policy_http.HANDLERS,
    *authzen_http.HANDLERS,
    *operations_http.HANDLERS,
    *cache_http.HANDLERS,
]


def create_app_from_environment() -> asgi.App:
    """The application of one worker; `setpoint serve` has put everything it needs into the environment."""
    config, _ = read_config(os.environ)
    configure_logs(level=config.log_level, form=config.log_format)
    app = create_app(config)
    _settle_garbage()
    return app


def _settle_garbage() -> None:
    """
    Take what was made so far out of garbage collection, and collect less often.

    About 100,000 objects live as long as the process; looking through them took 35 ms about once a second under load,
    which was the tail of every latency (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 20)


def create_app(config: Config, *, clock: Clock = utc_now, ticks: Ticks = ticks) -> asgi.App:
    """
    The ASGI application. Resources are opened when the server starts it and closed when it stops.

    Raises PolicyError for a policy that cannot be used, and ValueError without a database. Starting it raises
    TooMuchPower when the database would not hold it to its reach.
    """
    if config.database_url is None:
        raise ValueError("the application needs SETPOINT_DATABASE_URL; `setpoint serve` starts one without")
    loaded_from = fingerprint(config.policies_paths)
    gate = Gate(load_policy(*config.policies_paths))
    issuers: dict[str, Issuer] = {}
    authenticator = Authenticator(issuers, clock=clock, cache_entries=config.token_cache_entries)
    limits = Limits(config, ticks=ticks)
    accesses = AccessLog(config=config, clock=clock, policy_version=lambda: gate.policy.version)

    @asynccontextmanager
    async def resources(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            issuers.update(await stack.enter_async_context(open_issuers(config)))
            database = await stack.enter_async_context(open_database(cast(str, config.database_url), config=config))
            async with database.connection() as connection:
                await require_least_power(connection)
            redis = await _redis(stack, config)
            cache = await _cache(stack, database, redis, config)
            keeper = PolicyKeeper(gate, config.policies_paths, loaded_from=loaded_from, clock=clock)
            await stack.enter_async_context(keeper.keeping())
            app.state.registry = Registry(database=database, gate=gate, clock=clock, config=config, cache=cache)
            app.state.policy_keeper = keeper
            opened = open_credentials(authenticator, database=database, gate=gate, clock=clock, config=config)
            app.state.credentials = await stack.enter_async_context(opened)
            cache.tailer.on_change(_ringing(app.state.credentials.follower))
            limits.begin(redis)
            await stack.enter_async_context(accesses.writing(database))
            app.state.health = Health(
                _asked(database, redis, cache.tailer)
                | _telling(keeper, limits, accesses, app.state.credentials.follower),
                required=frozenset({"postgresql"}),
                clock=clock,
            )
            app.state.decision_point = DecisionPoint(gate=gate, source=StoredAttributes(database))
            app.state.fast_lane.open(app.state.registry)
            stack.callback(app.state.fast_lane.close)
            yield

    handlers = [*HANDLERS, openapi.handler(HANDLERS, config=config)]
    app = Litestar(
        route_handlers=handlers,
        lifespan=[resources],
        request_class=ApiRequest,
        exception_handlers={HTTPException: _http_problem, SetpointError: _problem, Exception: _escaped},
        openapi_config=None,
        request_max_body_size=None,  # ApiRequest reads no further than the configured limit
        logging_config=None,
    )
    app.state.config = config
    app.state.clock = clock
    app.state.gate = gate
    app.state.methods = Methods(handlers)
    routed = answering_options(cast(asgi.App, app), methods=app.state.methods)
    app.state.limits = limits
    heard = noting_accesses(routed, log=accesses)
    counted = limited(heard, limits=limits, reading=reading_posts(HANDLERS))
    door = authenticated(counted, authenticator=authenticator, limits=limits, clock=clock)
    hosts, proxies = Hosts(config.hosts), Proxies(config.proxies)
    whole = edge(counting_strangers(door, log=accesses), hosts=hosts, proxies=proxies)
    lane = app.state.fast_lane = FastLane(
        whole, authenticator=authenticator, gate=gate, limits=limits, hosts=hosts, proxies=proxies, clock=clock
    )
    return whole if config.fast_lane == "off" else lane


def _ringing(follower: Follower) -> Changed:
    """Have whoever follows credentials look at once when the tailer has seen that some changed."""

    def changed(subjects: set[str] | None) -> None:
        if subjects is None or CREDENTIALS in subjects:
            follower.ring()

    return changed


async def _redis(stack: AsyncExitStack, config: Config) -> RedisClient | None:
    if config.redis_url is None:
        return None
    return await stack.enter_async_context(open_redis(config.redis_url, config=config))


async def _cache(stack: AsyncExitStack, database: Database, redis: RedisClient | None, config: Config) -> Cache:
    """The cache, and what keeps it true: the tailer of the settings feed, woken by the doorbell."""
    url = cast(str, config.database_url)
    listener = await stack.enter_async_context(open_listener(url))
    following = open_tailer(url, Feed.SETTINGS, subject=subject_of, listener=listener, config=config)
    tailer = await stack.enter_async_context(following)
    return await stack.enter_async_context(open_cache(database=database, tailer=tailer, redis=redis, config=config))


def _asked(database: Database, redis: RedisClient | None, tailer: Tailer) -> dict[str, Probe]:
    """The parts that are asked how they are."""
    asked: dict[str, Probe] = {
        "postgresql": lambda: database.fetchrow("SELECT 1"),
        "tailer": tailer.require_fresh,
    }
    return asked if redis is None else {**asked, "redis": redis.ping}


def _telling(keeper: PolicyKeeper, limits: Limits, accesses: AccessLog, follower: Follower) -> dict[str, Probe]:
    """The parts that know themselves when something is wrong with them."""
    telling = {
        "policy": telling_trouble(lambda: keeper.last_error),
        "audit": telling_trouble(lambda: accesses.trouble),
        "revocations": telling_trouble(lambda: follower.trouble),
    }
    shared = limits.shared
    if shared is None:
        return telling
    alone = "Redis did not answer: each worker limits writes alone."
    return {**telling, "sharedLimits": telling_trouble(lambda: None if shared.last_error is None else alone)}


def _problem(request: Request[Any, Any, Any], error: SetpointError) -> Response[bytes]:
    response = problem_of(error, path=request.scope["path"])
    return Response(response.body, status_code=response.status, headers=response.headers)


def _http_problem(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses, in our words."""
    if isinstance(error, NotFoundException):
        return _problem(request, NotFound())
    if isinstance(error, MethodNotAllowedException):
        return _problem(request, MethodNotAllowed(request.app.state.methods.allow(request.scope["path"]) or "OPTIONS"))
    if error.status_code < 500:  # noqa: PLR2004 - what remains is a request that Litestar could not read
        return _problem(request, Malformed())
    raise error


def _escaped(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Nothing answers for an unforeseen exception here: the edge logs it and does."""
    raise error
