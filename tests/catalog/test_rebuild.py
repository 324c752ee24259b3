"""Thrown away and heard again from the real topics: the same facts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from services.catalog.app import NAME, rebuild
from services.catalog.domain.absorb import topics_heard
from services.catalog.gateway import GroupInUse, rewind
from services.catalog.handlers import listen
from services.catalog.settings import CatalogSettings
from services.catalog.store import export
from services.catalog.store import rebuild as wishes
from shared.bus import topics
from shared.bus.runtime import Bus
from shared.contracts.envelope import Envelope
from shared.local.kafka import EmbeddedKafka
from shared.settings import BusSettings
from tests.catalog import story


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[BusSettings]:
    """A broker of this test's own: groups are set back, which others would feel."""
    with EmbeddedKafka(tmp_path / "kafka") as server:
        settings = BusSettings(bootstrap_servers=server.bootstrap)
        await topics.apply(settings, [NAME])
        yield settings


async def publish(settings: BusSettings) -> int:
    """The story's events on their topics."""
    events = story.scan()
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for event in events:
            envelope = Envelope(event.id, event.topic, "test", event.time, event.tenant, event.causation_id, event.traceparent)
            await producer.send(event.topic, event.event.to_json(), key=event.key.encode(), headers=list(envelope.headers()))
    return len(events)


@asynccontextmanager
async def running(pool: asyncpg.Pool, settings: BusSettings) -> AsyncIterator[Bus]:
    bus = Bus(NAME, settings=settings, pool=pool, schema=NAME)
    listen(bus, pool)
    await bus.start(wait=30.0)
    try:
        yield bus
    finally:
        await bus.stop()


async def until(found: Callable[[], Any], tries: int = 1800) -> None:
    for _ in range(tries):
        if await found():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("waited in vain")


async def test_rebuilding_leads_to_the_same_facts(pool: asyncpg.Pool, fresh_database_url: str, broker: BusSettings) -> None:
    """One command; while a catalog hears, it waits for it to let go instead of doing half."""
    sent = await publish(broker)

    async def heard_all() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM timeline") == sent)

    async with running(pool, broker):
        await until(heard_all)
        with pytest.raises(GroupInUse):
            await rewind(broker, NAME, topics_heard())
    before = await export.digest(pool)
    assert before["assets"] == 2
    await rebuild(CatalogSettings(database_url=fresh_database_url), broker)
    assert not await wishes.is_wished(pool)
    assert (await export.digest(pool)).get("assets") is None
    async with running(pool, broker):
        await until(heard_all)
    assert await export.digest(pool) == before
