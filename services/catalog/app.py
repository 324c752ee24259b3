"""The catalog's wiring: every topic in, pages and JSON out, and a way to throw it all away and hear it again."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.catalog import handlers
from services.catalog.api import Api
from services.catalog.domain.absorb import topics_heard
from services.catalog.gateway import GroupInUse, rewind
from services.catalog.settings import CatalogSettings
from services.catalog.store import rebuild as wishes
from services.catalog.store.write import trim_removed, trim_timeline
from services.catalog.web.pages import Pages, static_files, wants_page
from shared.bus.migrations import FOLDER as BUS_MIGRATIONS
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.service import Service, ServiceContext
from shared.settings import BusSettings

NAME = "catalog"
MIGRATIONS = Path(__file__).parent / "migrations"
TRIM_SECONDS, WISH_SECONDS, LEAVE_SECONDS, REBUILD_SECONDS = 3600.0, 2.0, 60.0, 120.0
Answer = Callable[[Request], Awaitable[Response]]
log = logging.getLogger(__name__)


@asynccontextmanager
async def wire(context: ServiceContext[CatalogSettings]) -> AsyncIterator[None]:
    """Handlers for every topic, routes, and the chores."""
    settings = context.settings
    if await wishes.is_wished(context.pool):
        await _start_over(context.pool, context.bus_settings)
    handlers.listen(context.bus, context.pool)
    context.routes += routes(context.pool, stuck_after_seconds=settings.catalog_stuck_after_seconds)
    context.every(TRIM_SECONDS, partial(_trim, context.pool, settings))
    context.every(WISH_SECONDS, partial(_see_wish, context.pool))
    yield


def routes(pool: asyncpg.Pool, *, stuck_after_seconds: float) -> list[BaseRoute]:
    """Where both exist, a browser gets the page and a tool the JSON, at the same address."""
    api, pages = Api(pool, stuck_after_seconds=stuck_after_seconds), Pages(pool, stuck_after_seconds=stuck_after_seconds)
    return [
        Route("/", pages.overview),
        Route("/search", _either(pages.search, api.search)),
        Route("/assets", _either(pages.search, api.search)),
        Route("/assets/{key:path}", _either(pages.asset, api.asset)),
        Route("/timeline/{subject:path}", _either(pages.timeline, api.timeline)),
        Route("/traces/{trace_id}", _either(pages.trace, api.trace)),
        Route("/progress/{subject:path}", _either(pages.source, api.progress)),
        Route("/lineage/{key:path}", api.lineage),
        Route("/sources-view", api.sources),
        Route("/stats", api.stats),
        Route("/digest", api.digest),
        Route("/export/scan/{source:path}", api.export_scan),
        static_files(),
    ]


def _either(page: Answer, document: Answer) -> Answer:
    async def answer(request: Request) -> Response:
        return await (page if wants_page(request) else document)(request)

    return answer


async def rebuild(settings: CatalogSettings | None = None, bus_settings: BusSettings | None = None) -> None:
    """Throw the read model away and hear every topic from its first record. Safe to repeat.

    Running catalogs see the wish, stop, and start over when they are started again, which the local stack and Kubernetes do by
    themselves; where none runs, it is done here. Raises GroupInUse where a running catalog does not let go.
    """
    settings, bus_settings = settings or CatalogSettings(), bus_settings or BusSettings()
    url = settings.database_url.get_secret_value()
    pool = await open_pool(url, schema=NAME, application_name="pursight-catalog-rebuild")
    async with pool:
        await migrate(pool, schema=NAME, folders=[BUS_MIGRATIONS, MIGRATIONS])
        await wishes.wish(pool)
        async with asyncio.timeout(REBUILD_SECONDS):
            await _start_over(pool, bus_settings)


async def _start_over(pool: asyncpg.Pool, bus_settings: BusSettings) -> None:
    """Fulfil the wish once nobody hears any more; another process may be faster."""
    for _ in range(int(LEAVE_SECONDS)):
        if not await wishes.is_wished(pool):
            return
        try:
            partitions = await rewind(bus_settings, NAME, topics_heard())
        except GroupInUse:
            await asyncio.sleep(1.0)
            continue
        await wishes.empty(pool)
        log.info("catalog.rebuild_started", extra={"partitions": partitions})
        return
    raise GroupInUse(NAME)


async def _see_wish(pool: asyncpg.Pool) -> None:
    """End the process, gracefully, where a rebuild is wanted: a group's offsets can only be set back while nobody hears."""
    if await wishes.is_wished(pool):
        log.info("catalog.rebuild_wanted")
        signal.raise_signal(signal.SIGTERM)


async def _trim(pool: asyncpg.Pool, settings: CatalogSettings) -> None:
    await trim_removed(pool)
    await trim_timeline(pool, days=settings.catalog_timeline_days, rows_kept=settings.catalog_timeline_rows)


service = Service(NAME, wire, CatalogSettings, MIGRATIONS)
