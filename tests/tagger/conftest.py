"""Parts that the tagger's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import services.tagger
from services.tagger.gateway.aws import AwsTags
from services.tagger.gateway.clouds import Clouds
from services.tagger.gateway.estates import Estate, Estates
from services.tagger.store import Store
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.cloud.aws import AwsSessions
from shared.cloud.tokens import Tokens
from shared.contracts.cloud import AwsConfig
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


def estate(address: str) -> Estate:
    """As whom the jobs of the tests are tagged: at moto."""
    return Estate(
        aws=AwsConfig(provider="aws", access_key_id="testing", secret_access_key_ref="env:TAGGER_TEST_SECRET", endpoint_url=address)
    )


async def _resolve(reference: str) -> str:
    return "a-planted-secret"


@pytest.fixture
async def house(fresh_database_url: str, line: Line) -> AsyncIterator[House]:
    """The tagger without its bus, on a database of its own."""
    pool = await open_pool(fresh_database_url, schema="tagger", application_name="test")
    await migrate(pool, schema="tagger", folders=[FOLDER, MIGRATIONS])
    aws = AwsTags(AwsSessions(), resolve=_resolve, endpoints=frozenset({line.address}))
    clouds = Clouds(aws, Tokens(_resolve), Estates({"acme": estate(line.address)}), resolve=_resolve)
    yield House(pool, Store(pool), Jobs(pool, service="tagger"), clouds)
    await clouds.close()
    await pool.close()
