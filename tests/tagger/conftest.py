"""Parts that the tagger's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import services.tagger
from services.tagger.gateway.aws import AwsTags
from services.tagger.gateway.clouds import Clouds
from services.tagger.store import Store
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.cloud.aws import AwsSessions
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from tests.tagger.house import House
from tests.tagger.moto_server import Line, line_to

MIGRATIONS = Path(services.tagger.__file__ or "").parent / "migrations"


@pytest.fixture
async def line(moto: str) -> AsyncIterator[Line]:
    """A line to moto that counts and can refuse."""
    async with line_to(moto) as line:
        yield line


async def _resolve(reference: str) -> str:
    return "a-planted-secret"


@pytest.fixture
async def house(fresh_database_url: str, line: Line) -> AsyncIterator[House]:
    """The tagger without its bus, on a database of its own."""
    pool = await open_pool(fresh_database_url, schema="tagger", application_name="test")
    await migrate(pool, schema="tagger", folders=[FOLDER, MIGRATIONS])
    aws = AwsTags(AwsSessions(), resolve=_resolve, endpoints=frozenset({line.address}))
    yield House(pool, Store(pool), Jobs(pool, service="tagger"), Clouds(aws))
    await pool.close()
