"""One measured process of the bus benchmark: `python -m bench.bus.hops MODE` with its parameters as JSON on stdin.

Prints one JSON line: events, wall and CPU seconds from the first record taken to the last one acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, compress
from typing import Any

import asyncpg
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from shared.bus.migrations import FOLDER
from shared.bus.outgoing import fast_event_id, key_hash, pack_headers, unpack_headers
from shared.bus.received import Received
from shared.bus.runtime import HOP_BATCH, Bus, calm_collector
from shared.bus.unit import inbox_mark, unit
from shared.contracts.scan import ScanCompleted, ScanFailed
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.observe.setup import setup_tracing
from shared.settings import BusSettings

STATE = "create table if not exists state (key text primary key, times bigint not null, seen_at timestamptz not null)"
UPSERT = """insert into state (key, times, seen_at) select key, count(*), $2 from unnest($1::text[]) as k(key) group by key
    on conflict (key) do update set times = state.times + excluded.times, seen_at = excluded.seen_at"""
Parameters = dict[str, Any]
IN, OUT = "scan.completed", "scan.failed"


class Meter:
    """Counts events and knows when the last one is done."""

    def __init__(self, total: int) -> None:
        self.total, self.count, self.done = total, 0, asyncio.Event()
        self.wall = self.cpu = 0.0

    def begin(self) -> None:
        if not self.wall:
            self.wall, self.cpu = time.perf_counter(), time.process_time()

    def add(self, count: int) -> None:
        self.count += count
        if self.count >= self.total and not self.done.is_set():
            self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
            self.done.set()

    def line(self) -> Parameters:
        rss = psutil.Process().memory_info().rss >> 20
        return {"events": self.count, "seconds": round(self.wall, 3), "cpu_seconds": round(self.cpu, 3), "rss_mb": rss}


def answer(event: ScanCompleted, id: str) -> ScanFailed:
    """What a hop says: about as big as what it heard, so that writing costs what reading cost."""
    return ScanFailed(source=event.source, scan_id=id, progress=0.5, trace_id=event.trace_id, diagnosis=_Padding.of(event))


class _Padding:
    """A diagnosis of about 900 bytes, made once."""

    made: Any = None

    @classmethod
    def of(cls, event: ScanCompleted) -> Any:
        if cls.made is None:
            field = ScanFailed.model_fields["diagnosis"].annotation
            assert field is not None
            cls.made = field(code="timeout", cause="x" * 420, remedy="y" * 420)
        return cls.made


async def stateless(given: Parameters, meter: Meter) -> None:
    """The shipped runtime: consume, validate, say, acknowledged, offsets committed."""
    settings = BusSettings(bootstrap_servers=given["bootstrap"])
    pool = await _pool(given)
    bus = Bus("tagger", settings=settings, pool=pool, schema="tagger")

    def step(received: Received[ScanCompleted]) -> list[tuple[str, ScanFailed]]:
        meter.begin()
        return [(received.key, answer(received.event, received.id))]

    shipped = bus._sender.ship

    async def ship(load: Any) -> list[Exception | None]:
        results = await shipped(load)
        meter.add(sum(error is None for error in results))
        return results

    bus._sender.ship = ship  # type: ignore[method-assign]
    bus.hop(ScanCompleted, step)
    await bus.start()
    await meter.done.wait()
    await bus.stop()
    await pool.close()


async def stateful(given: Parameters, meter: Meter) -> None:
    """The shipped runtime with state: inbox, upsert, outbox in one transaction a batch; done when the relay has published all."""
    settings = BusSettings(bootstrap_servers=given["bootstrap"])
    pool = await _pool(given)
    bus = Bus("tagger", settings=settings, pool=pool, schema="tagger")

    async def handler(batch: Sequence[Received[ScanCompleted]]) -> None:
        meter.begin()
        async with unit(pool, service="tagger", batch=batch) as work:
            fresh = list(compress(batch, work.is_new))
            await work.connection.execute(UPSERT, [received.key for received in fresh], work.now)
            for received in fresh:
                work.emit(answer(received.event, received.id), key=received.key, cause=received)

    bus.on(ScanCompleted, handler)
    counted = bus._relay._count

    def count(rows: Sequence[Any], results: Sequence[Exception | None]) -> None:
        counted(rows, results)
        meter.add(sum(error is None for error in results))

    bus._relay._count = count  # type: ignore[method-assign]
    await bus.start()
    await meter.done.wait()
    await bus.stop()
    await pool.close()


async def floor(given: Parameters, meter: Meter) -> None:
    """The clients alone: the same polls, validation, answers, batches and offset commits, one by one; no envelope, id, metric, retry."""
    servers = given["bootstrap"]
    consumer = AIOKafkaConsumer(IN, bootstrap_servers=servers, group_id="floor", auto_offset_reset="earliest", enable_auto_commit=False)
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True, max_batch_size=1 << 20)
    await consumer.start()
    await producer.start()
    count, read = len(await producer.partitions_for(OUT)), ScanCompleted.__pydantic_validator__.validate_json
    calm_collector()
    while meter.count < meter.total:
        found = await consumer.getmany(timeout_ms=1_000, max_records=HOP_BATCH)
        batches: dict[int, Any] = {}
        for record in chain.from_iterable(found.values()):
            meter.begin()
            event, place = read(record.value), key_hash(record.key) % count
            if place not in batches:
                batches[place] = producer.create_batch()
            batches[place].append(timestamp=None, key=record.key, value=answer(event, event.scan_id).to_json())
        await asyncio.gather(*[await producer.send_batch(batch, OUT, partition=place) for place, batch in batches.items()])
        if found:
            await consumer.commit({place: several[-1].offset + 1 for place, several in found.items()})
        meter.add(sum(map(len, found.values())))
    await consumer.stop()
    await producer.stop()


async def rival_faststream(given: Parameters, meter: Meter) -> None:
    """What most teams write: FastStream one by one, validated, published, acknowledged after the handler."""
    broker = KafkaBroker(given["bootstrap"], logger=None, acks="all", enable_idempotence=True, allow_auto_create_topics=False)
    publisher = broker.publisher("scan.failed")

    @broker.subscriber("scan.completed", group_id="rival", auto_offset_reset="earliest", ack_policy=AckPolicy.ACK)
    async def handle(event: ScanCompleted) -> None:
        meter.begin()
        await publisher.publish(answer(event, event.scan_id), key=event.source.encode())
        meter.add(1)

    await broker.start()
    await meter.done.wait()
    await broker.stop()


async def rival_transactions(given: Parameters, meter: Meter) -> None:
    """A transaction and an offset commit per event with the same tables; its relay publishes batches beside it."""
    pool = await _pool(given)
    consumer = AIOKafkaConsumer(
        "scan.completed", bootstrap_servers=given["bootstrap"], group_id="rival", auto_offset_reset="earliest", enable_auto_commit=False
    )
    producer = AIOKafkaProducer(bootstrap_servers=given["bootstrap"], acks="all", enable_idempotence=True, max_batch_size=1 << 20)
    await consumer.start()
    await producer.start()
    relay = asyncio.create_task(_plain_relay(pool, producer, meter))
    async with pool.acquire() as connection:
        while meter.count < meter.total:
            for records in (await consumer.getmany(timeout_ms=200, max_records=500)).values():
                for record in records:
                    meter.begin()
                    event = ScanCompleted.model_validate_json(record.value)
                    await _one(connection, event, dict(record.headers)["ce_id"].decode())
                    await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})
    await relay
    await consumer.stop()
    await producer.stop()
    await pool.close()


async def _one(connection: asyncpg.Connection, event: ScanCompleted, id: str) -> None:
    async with connection.transaction():
        mark = inbox_mark("scan.completed", id)
        if await connection.fetchval("insert into inbox values ($1, 'scan.completed') on conflict do nothing returning 1", mark):
            await connection.execute(
                "insert into state values ($1, 1, now()) on conflict (key) do update set times = state.times + 1, seen_at = now()",
                event.source,
            )
            headers = [("ce_id", fast_event_id("tagger", id, "scan.failed", event.source, 0).encode())]
            await connection.execute(
                "insert into outbox (part, topic, key, body, headers) values (0, 'scan.failed', $1, $2, $3)",
                event.source.encode(),
                answer(event, id).to_json(),
                pack_headers(headers),
            )


async def _plain_relay(pool: asyncpg.Pool, producer: AIOKafkaProducer, meter: Meter) -> None:
    while meter.count < meter.total:
        async with pool.acquire() as connection:
            rows = await connection.fetch("select id, key, body, headers from outbox order by id limit 500")
            futures = [
                await producer.send("scan.failed", row["body"], key=row["key"], headers=unpack_headers(row["headers"])) for row in rows
            ]
            await asyncio.gather(*futures)
            await connection.execute("delete from outbox where id = any($1::bigint[])", [row["id"] for row in rows])
        meter.add(len(rows))
        await asyncio.sleep(0 if rows else 0.01)


async def _pool(given: Parameters) -> asyncpg.Pool:
    pool = await open_pool(given["database"], schema="tagger", application_name="bench")
    await migrate(pool, schema="tagger", folders=[FOLDER])
    await pool.execute(STATE)
    return pool


def validation_microseconds(body: bytes) -> float:
    """CPU time of one validation by itself, here and now: a hint at what the machine is worth at this moment."""
    read, start = ScanCompleted.__pydantic_validator__.validate_json, time.process_time()
    for _ in range(5_000):
        read(body)
    return (time.process_time() - start) / 5_000 * 1e6


MODES: dict[str, Callable[[Parameters, Meter], Awaitable[None]]] = {
    "stateless": stateless,
    "stateful": stateful,
    "floor": floor,
    "rival_faststream": rival_faststream,
    "rival_transactions": rival_transactions,
}


async def main(mode: str, given: Parameters) -> None:
    meter = Meter(given["events"])
    before = validation_microseconds(given["sample"].encode())
    close = setup_tracing("tagger", given.get("otlp", ""))
    await MODES[mode](given, meter)
    close()
    after = validation_microseconds(given["sample"].encode())
    print(json.dumps(meter.line() | {"validation_us": round((before + after) / 2, 1)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.load(sys.stdin)))
