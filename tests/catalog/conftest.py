"""A catalog's schema of the test's own, and the pages and documents over it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from services.catalog.app import MIGRATIONS, routes
from shared.bus.migrations import FOLDER
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.web.server import edge_app


@pytest.fixture
async def pool(fresh_database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """The catalog's own schema, empty."""
    async with await open_pool(fresh_database_url, schema="catalog", application_name="test") as opened:
        await migrate(opened, schema="catalog", folders=[FOLDER, MIGRATIONS])
        yield opened


@pytest.fixture
async def client(pool: asyncpg.Pool) -> AsyncIterator[httpx.AsyncClient]:
    """Asks the catalog's routes with the stack's own token."""
    app = edge_app(routes(pool, stuck_after_seconds=60.0), token="t")
    headers = {"Authorization": "Bearer t"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://catalog", headers=headers) as opened:
        yield opened
