"""The shell of every service process: settings, telemetry, state, bus, HTTP edge, and a graceful stop.

A service is its name and a `wire` function, which adds handlers, routes and background work to the context.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import asyncpg
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from shared.access.actor import EVERYWHERE, Actor
from shared.access.gate import Gate
from shared.access.proof import UPSTREAM, Producer, Proofs
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER as BUS_MIGRATIONS
from shared.bus.received import Cause
from shared.bus.runtime import Bus
from shared.bus.unit import unit
from shared.contracts.names import DEFAULT_TENANT
from shared.db.migrate import migrate
from shared.db.pool import away, open_pool
from shared.errors import Denied, PurSightError, Transient, UsageError
from shared.observe.setup import setup_logging, setup_tracing
from shared.settings import BusSettings, ServiceSettings
from shared.web.guard import MAX_OBJECT
from shared.web.health import health_routes, not_yet
from shared.web.server import bind, edge_app, server
from shared.web.sign_in import oidc_of, signs_of

log = logging.getLogger(__name__)
S = TypeVar("S", bound=ServiceSettings)
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
STOP_SECONDS = 25.0  # less than Kubernetes waits before it kills


@dataclass
class ServiceContext(Generic[S]):
    """What a service may build on. `spawn` keeps a coroutine running until the stop; its failure stops the service."""

    name: str
    settings: S
    bus_settings: BusSettings
    pool: asyncpg.Pool
    bus: Bus
    jobs: Jobs
    gate: Gate  # who may do what
    proofs: Proofs  # who asks by event
    routes: list[BaseRoute] = field(default_factory=list)
    background: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)

    def spawn(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run this beside the handlers, from when the bus has started."""
        self.background.append(start)

    def every(self, seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
        """Run this chore again and again beside the handlers. One that finds the database away is done at its next turn."""
        self.spawn(partial(_again_and_again, self.name, seconds, chore))


async def _again_and_again(service: str, seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
    while True:
        wait = seconds
        try:
            await chore()
        except Exception as error:
            if not away(error):
                raise
            wait = min(seconds, RETRY_SECONDS[-1])
            log.warning("database.away", extra={"service": service, "error_type": type(error).__name__})
        await asyncio.sleep(wait)


Wire = Callable[[ServiceContext[S]], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Service(Generic[S]):
    """One of the seven. `loop_factory` gives services that dial out the guarded event loop."""

    name: str
    wire: Wire[S]
    settings: type[S]
    migrations: Path
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises PurSightError where the settings cannot work."""
        settings, bus_settings = self.settings(), BusSettings()
        _require(settings, bus_settings)
        setup_logging(self.name, settings.log_level)
        listener = bind(settings.http_host, settings.http_port)
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(_Process(self, settings, bus_settings, listener).main())


def _require(settings: ServiceSettings, bus: BusSettings) -> None:
    needed = {
        "PURSIGHT_DATABASE_URL": settings.database_url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": bus.bootstrap_servers,
        "PURSIGHT_TOKEN": settings.token.get_secret_value(),
    }
    if missing := [name for name, value in needed.items() if not value]:
        raise UsageError(
            f"{', '.join(missing)} not set", remedy="Set them, or start the whole stack with `pursight up`.", code="settings_missing"
        )


class _Process(Generic[S]):
    def __init__(self, service: Service[S], settings: S, bus_settings: BusSettings, listener: socket.socket) -> None:
        self._service, self._settings, self._bus_settings, self._listener = service, settings, bus_settings, listener
        self._stop = asyncio.Event()
        self._bus: Bus | None = None
        self._state = "starting"
        self._gate = Gate.load(settings.access_policies)
        self._open_pool: asyncpg.Pool | None = None

    def problems(self) -> list[str]:
        return self._bus.ready() if self._bus and not self._state else [self._state or "starting"]

    async def main(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            stack.callback(setup_tracing(self._service.name, self._settings.otlp_endpoint))
            routes: list[BaseRoute] = [*health_routes(self.problems), not_yet(self.problems)]
            http = server(self._edge(routes))
            serving = asyncio.create_task(http.serve(sockets=[self._listener]))
            stack.push_async_callback(_finish, serving, lambda: setattr(http, "should_exit", True))
            await self._until_stopped(self._work(routes))
        log.info("service.stopped", extra={"service": self._service.name})

    def _edge(self, routes: list[BaseRoute]) -> ASGIApp:
        settings = self._settings
        token, signs = settings.token.get_secret_value(), signs_of(settings, oidc_of(settings))
        return edge_app(routes, token=token, signs=signs, gate=self._gate, record=self._record)

    async def _record(self, error: Denied) -> None:
        """A refusal goes to the ledger by the way of everything that is said."""
        if self._open_pool:
            await say_denied(self._open_pool, self._service.name, error)

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`; end it on the stop signal. Its own failure is raised."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _work(self, routes: list[BaseRoute]) -> None:
        async with self._pool() as pool:
            name, proofs = self._service.name, proofs_of(self._settings)
            bus = Bus(name, settings=self._bus_settings, pool=pool, schema=name, believe=proofs.actor)
            context = ServiceContext(name, self._settings, self._bus_settings, pool, bus, Jobs(pool, service=name), self._gate, proofs)
            self._open_pool = pool
            async with self._service.wire(context):
                await self._run(context, routes)

    async def _run(self, context: ServiceContext[S], routes: list[BaseRoute]) -> None:
        routes[-1:] = context.routes
        await context.bus.start()
        self._bus, self._state = context.bus, ""
        log.info("service.started", extra={"service": self._service.name})
        try:
            async with asyncio.TaskGroup() as group:
                for start in (*context.background, self._stop.wait):
                    group.create_task(start())
        finally:
            self._state = "stopping"
            with _at_most(STOP_SECONDS):
                await context.bus.stop()

    @asynccontextmanager
    async def _pool(self) -> AsyncIterator[asyncpg.Pool]:
        pool = await self._patiently("the database is not reachable", self._open)
        try:
            yield pool
        finally:
            await pool.close()

    async def _open(self) -> asyncpg.Pool:
        name = self._service.name
        pool = await open_pool(self._settings.database_url.get_secret_value(), schema=name, application_name=f"pursight-{name}")
        try:
            await migrate(pool, schema=name, folders=[BUS_MIGRATIONS, self._service.migrations])
        except BaseException:
            pool.terminate()  # the next attempt opens its own
            raise
        return pool

    async def _patiently(self, state: str, attempt: Callable[[], Awaitable[asyncpg.Pool]]) -> asyncpg.Pool:
        for wait in _forever(RETRY_SECONDS):
            try:
                return await attempt()
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError, Transient) as error:
                self._state = state
                log.warning("database.away", extra={"error_type": type(error).__name__})
                await asyncio.sleep(wait)
        raise AssertionError


def proofs_of(settings: ServiceSettings) -> Proofs:
    """Whom we believe by event. Whoever may write to a request topic of the local stack is the person that runs it."""
    unset: tuple[str, ...] = ("service",) if settings.mode == "local" else ()
    roles = unset if settings.upstream_roles is None else settings.upstream_roles
    producers = {name: Producer(one.key, frozenset(one.roles), one.tenant) for name, one in settings.signers.items()}
    return Proofs(settings.token.get_secret_value(), producers, Actor(UPSTREAM, EVERYWHERE, frozenset(roles)))


async def say_denied(pool: asyncpg.Pool, service: str, error: Denied) -> None:
    """A refusal for the ledger of who was refused."""
    tenant = error.tenant or DEFAULT_TENANT
    async with unit(pool, service=service) as work:
        work.audit(tenant, error.actor, error.action, error.object[:MAX_OBJECT], Cause.new(tenant=tenant), "denied")


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """End the process the hard way where a graceful stop takes longer: better than one that neither works nor ends; nothing is lost."""

    def end() -> None:
        log.error("service.stop_took_too_long", extra={"seconds": seconds})
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _forever(waits: Sequence[float]) -> Any:
    yield from waits
    while True:
        yield waits[-1]


async def _finish(task: asyncio.Task[None], ask: Callable[[], None]) -> None:
    ask()
    await task


__all__ = ["PurSightError", "Service", "ServiceContext"]
