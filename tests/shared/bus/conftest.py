"""A rig per test: a database of its own, the session's broker read from its present end, and services started on them."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from shared.bus import topics
from shared.bus.consume import Timing
from shared.bus.edge import close
from shared.bus.migrations import FOLDER
from shared.bus.runtime import Bus
from shared.contracts.topics import BY_EVENT, group_of, retry_topic_of
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.settings import BusSettings

TEST_KEY = base64.b64encode(b"k" * 32).decode()


class Rig:
    """What a test of the bus needs. `tag` makes keys of this test's own."""

    def __init__(self, stack: AsyncExitStack, settings: BusSettings, url: str) -> None:
        self._stack, self.settings, self.url = stack, settings, url
        self.tag = f"t{secrets.token_hex(4)}"
        self._producer: AIOKafkaProducer | None = None

    def key(self, name: str) -> str:
        return f"{self.tag}/{name}"

    async def pool(self, service: str, max_size: int = 4) -> asyncpg.Pool:
        pool = await open_pool(self.url, schema=service, application_name="test", max_size=max_size)
        self._stack.push_async_callback(pool.close)
        await migrate(pool, schema=service, folders=[FOLDER])
        return pool

    async def bus(self, service: str, pool: asyncpg.Pool, *, timing: Timing | None = None) -> Bus:
        bus = Bus(service, settings=self.settings, pool=pool, schema=service, timing=timing)
        self._stack.push_async_callback(bus.stop)
        return bus

    async def from_now(self, service: str, event: type) -> None:
        """Let this service's group begin at the end, so that other tests' records are not met."""
        topic = BY_EVENT[event].name
        options = {"bootstrap_servers": self.settings.bootstrap_servers, "group_id": group_of(service, topic), "enable_auto_commit": False}
        consumer = AIOKafkaConsumer(**options)
        await consumer.start()
        try:
            names = (topic, retry_topic_of(service, topic))
            for name in names:
                consumer._client.add_topic(name)
            await consumer._client.force_metadata_update()
            places = [TopicPartition(name, number) for name in names for number in consumer.partitions_for_topic(name) or ()]
            consumer.assign(places)
            await consumer.commit(await consumer.end_offsets(places))
        finally:
            await consumer.stop()

    async def raw(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Sequence[Any] = (), partition: int = 0
    ) -> Any:
        """Put any bytes on a topic, as a careless upstream would."""
        if self._producer is None:
            self._producer = AIOKafkaProducer(bootstrap_servers=self.settings.bootstrap_servers, max_request_size=1 << 25, linger_ms=5)
            await self._producer.start()
            self._stack.push_async_callback(self._producer.stop)
        return await self._producer.send(topic, value, key=key, headers=list(headers), partition=partition)

    async def ends(self, topic: str) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=self.settings.bootstrap_servers)
        await consumer.start()
        try:
            return dict(
                await consumer.end_offsets([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()])
            )
        finally:
            await consumer.stop()

    async def records(self, topic: str, start: dict[TopicPartition, int] | None = None) -> list[ConsumerRecord]:
        """All records of a topic from `start` to its present end, those of this test's keys."""
        ends = await self.ends(topic)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.bootstrap_servers, enable_auto_commit=False)
        await consumer.start()
        found: list[ConsumerRecord] = []
        try:
            consumer.assign(list(ends))
            for place in ends:
                consumer.seek(place, (start or {}).get(place, 0))
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += batch
        finally:
            await close(consumer)
        return [record for record in found if self.tag.encode() in (record.key or b"")]


async def until(condition: Callable[[], Awaitable[bool] | bool], seconds: float = 180.0) -> None:
    """Wait for a condition; fail where it does not come true in time."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result is True or (not isinstance(result, bool) and await result):
            return
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
async def topics_made(kafka_bootstrap: str) -> BusSettings:
    settings = BusSettings(bootstrap_servers=kafka_bootstrap)
    await topics.apply(settings)
    return settings


@pytest.fixture
async def rig(topics_made: BusSettings, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setenv("PURSIGHT_DEAD_LETTER_KEY", TEST_KEY)
    async with AsyncExitStack() as stack:
        yield Rig(stack, topics_made, fresh_database_url)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    return until
