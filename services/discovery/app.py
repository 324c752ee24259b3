"""Discovery's wiring."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from services.discovery import api, handlers
from services.discovery.gateway import Patience, Sources
from services.discovery.settings import DiscoverySettings
from services.discovery.store import SCAN, URGENT, Store
from services.discovery.worker.scan import Scanner
from shared.bus.jobs import work
from shared.contracts.connection import SourceConnected, SourceFailedOver
from shared.contracts.judging.allowed import Allowed
from shared.contracts.rules import RulesetPublished
from shared.contracts.scan import ScanRequested
from shared.contracts.source import SourceRemoved
from shared.db import circuits
from shared.db.seats import Seats
from shared.egress import GuardedLoop, Surroundings, surroundings
from shared.evidence import own
from shared.service import Service, ServiceContext

PATTERNS_SECONDS = 5.0  # between looks for patterns of a new rule set
log = logging.getLogger(__name__)


@asynccontextmanager
async def wire(context: ServiceContext[DiscoverySettings]) -> AsyncIterator[None]:
    """Handlers, routes, and the workers that scan."""
    settings, store = context.settings, Store(context.pool)
    await circuits.prepare(settings.database_url.get_secret_value())
    seats = Seats(settings.database_url.get_secret_value(), service=context.name)
    sources = Sources(home=settings.home, around=_around(context), patience=_patience(settings), seats=seats, pool=context.pool)
    scanner = Scanner(store, context.jobs, sources, tries=settings.scan_tries)
    context.bus.on(SourceConnected, partial(handlers.on_source_connected, store=store, jobs=context.jobs), batch=100)
    context.bus.on(RulesetPublished, partial(handlers.on_ruleset_published, store=store))
    context.bus.on(SourceFailedOver, partial(handlers.on_source_failed_over, store=store), batch=100)
    context.bus.on(ScanRequested, partial(handlers.on_scan_requested, store=store, jobs=context.jobs, gate=context.gate), batch=100)
    context.bus.on(SourceRemoved, partial(handlers.on_source_removed, store=store, jobs=context.jobs), batch=100)
    context.every(PATTERNS_SECONDS, partial(_take_up_patterns, store))
    context.routes += api.routes(store, context.jobs, sources)
    context.spawn(partial(work, context.jobs, SCAN, scanner.work, concurrency=settings.scans_at_once, fair=True))
    context.spawn(partial(work, context.jobs, SCAN, scanner.work, concurrency=1, fair=True, at_least=URGENT))
    try:
        yield
    finally:
        await seats.close()


async def _take_up_patterns(store: Store) -> None:
    """Those of the rule set in force. What cannot be looked for is told, and what was in use stays."""
    try:
        own.use(await store.patterns())
    except ValueError as error:
        log.error("patterns.refused", extra={"reason": str(error)})


def _around(context: ServiceContext[DiscoverySettings]) -> Surroundings:
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


def _patience(settings: DiscoverySettings) -> Patience:
    return Patience(settings.connect_seconds, settings.statement_seconds, settings.sample_seconds, settings.sample_connections)


service = Service("discovery", wire, DiscoverySettings, Path(__file__).parent / "migrations", GuardedLoop)
