"""The connector's wiring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from services.connector import api, endpoints_api, handlers
from services.connector.endpoints import Endpoints
from services.connector.gateway import Dialler, Limits, Patience
from services.connector.guard import Guard, Pace
from services.connector.settings import ConnectorSettings
from services.connector.store import Store
from services.connector.worker import KIND, Rhythm, Watch
from shared.bus.jobs import work
from shared.contracts.judging.allowed import Allowed
from shared.contracts.source import SourceRegistered, SourceRemoved
from shared.db import circuits
from shared.db.seats import Seats
from shared.egress import GuardedLoop, Surroundings, surroundings
from shared.service import Service, ServiceContext

UNUSED_CHECKS = 5  # after so many times between two checks, a line that nobody used is closed


@asynccontextmanager
async def wire(context: ServiceContext[ConnectorSettings]) -> AsyncIterator[None]:
    """Handlers, routes, and the workers that dial."""
    settings, store, table = context.settings, Store(context.pool), Endpoints(context.pool)
    await circuits.prepare(settings.database_url.get_secret_value())
    seats = Seats(settings.database_url.get_secret_value(), service=context.name)
    patience = Patience(settings.connect_seconds, settings.statement_seconds)
    dialler = Dialler(home=settings.home, around=_around(context), patience=patience, seats=seats)
    watch = Watch(store, context.jobs, dialler, Rhythm(settings.check_seconds, settings.probe_seconds))
    context.bus.on(SourceRegistered, partial(handlers.on_source_registered, store=store, jobs=context.jobs), batch=100)
    context.bus.on(SourceRemoved, partial(handlers.on_source_removed, store=store), batch=100)
    context.routes += endpoints_api.routes(store, table, seats)
    context.routes += api.routes(store, context.jobs, _preflight(store, dialler, settings))
    context.spawn(Guard(store, table, dialler, Pace(settings.watch_seconds, settings.watch_patience, settings.watch_failures)).run)
    context.spawn(partial(work, context.jobs, KIND, watch.work, concurrency=settings.dials_at_once))
    context.every(settings.check_seconds, partial(dialler.kept.drop_unused, UNUSED_CHECKS * settings.check_seconds))
    try:
        yield
    finally:
        await dialler.kept.close()
        await seats.close()


def _preflight(store: Store, dialler: Dialler, settings: ConnectorSettings) -> api.Preflight:
    limits = Limits(settings.connect_seconds, settings.statement_seconds, settings.preflight_seconds)
    return api.Preflight(store, dialler, limits, settings.dials_at_once)


def _around(context: ServiceContext[ConnectorSettings]) -> Surroundings:
    settings = context.settings
    allowed = Allowed.by(settings.mode, settings.secrets_allowed, settings.cloud_endpoints)
    return surroundings(
        mode=settings.mode,
        private=settings.egress_private,
        database_url=settings.database_url.get_secret_value(),
        bootstrap=context.bus_settings.bootstrap_servers,
        http_port=settings.http_port,
        own_identity=settings.own_identity,
        secrets=allowed.patterns,
        endpoints=allowed.endpoints,
        folders=settings.egress_folders,
    )


service = Service("connector", wire, ConnectorSettings, Path(__file__).parent / "migrations", GuardedLoop)
