"""The world goes away and comes back, and work that burns CPU."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import pytest

from shared.bus import topics
from shared.bus.edge import Publisher, tail
from shared.bus.received import Cause, Received
from shared.bus.runtime import Bus
from shared.bus.unit import unit
from shared.contracts.scan import ScanCompleted, ScanRequested
from shared.errors import Transient
from shared.local.kafka import EmbeddedKafka
from shared.settings import BusSettings


async def test_a_broker_that_dies_makes_it_unready_and_when_it_is_back_all_goes_on(
    rig: Any, eventually: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said while the broker is away waits in the outbox; afterwards it is sent, and hearing goes on by itself.

    Who only watches, from a shell, is told.
    """
    monkeypatch.setattr("shared.bus.runtime.HEALTH_SECONDS", 0.5)
    monkeypatch.setattr("shared.bus.edge.AWAY_SECONDS", 1.0)
    pool, heard = await rig.pool("discovery"), list[Any]()

    async def handler(batch: Sequence[Received[Any]]) -> None:
        async with unit(pool, service="discovery", batch=batch) as work:
            heard.extend(compress(batch, work.is_new))

    broker = EmbeddedKafka(tmp_path / "kafka")
    await asyncio.to_thread(broker.start)
    try:
        settings = BusSettings(bootstrap_servers=broker.bootstrap)
        await topics.apply(settings)
        bus = Bus("discovery", settings=settings, pool=pool, schema="discovery")
        bus.on(ScanRequested, handler)
        await bus.start()
        await eventually(lambda: bus.ready() == [])
        watching = asyncio.create_task(watched(settings))
        async with Publisher.open(settings) as publisher:
            await publisher.publish(ScanRequested(source="a/b"), key="a/b")
        await eventually(lambda: len(heard) == 1)
        await asyncio.to_thread(broker.stop)
        await eventually(lambda: bool(bus.ready()))
        assert "does not answer any more" in await watching
        async with unit(pool, service="discovery", keys=["a/b"]) as work:
            done = ScanCompleted(source="a/b", scan_id="s", complete=True, tables=1, columns=1, changed=1, digest="d")
            work.emit(done, key="a/b", cause=Cause.new("away"))
        await asyncio.to_thread(broker.start)
        await eventually(lambda: bus.ready() == [])
        async with Publisher.open(settings) as publisher:
            await publisher.publish(ScanRequested(source="a/b"), key="a/b")
        await eventually(lambda: len(heard) == 2)
        await eventually(lambda: nothing_waits(pool))
        await bus.stop()
    finally:
        await asyncio.to_thread(broker.stop)


async def watched(settings: BusSettings) -> str:
    """Why watching ends, once it has seen something."""
    seen = 0
    try:
        async for _ in tail(settings, ["scan.requested"], from_start=True):
            seen += 1
    except Transient as error:
        return error.what if seen else "nothing was seen"
    raise AssertionError("it does not end by itself")


async def nothing_waits(pool: Any) -> bool:
    return not await pool.fetchval("select count(*) from outbox")


async def test_what_burns_cpu_leaves_the_loop_free(rig: Any) -> None:
    """Off-loaded work runs in a thread, and the loop goes on meanwhile."""
    bus = await rig.bus("discovery", await rig.pool("discovery"))
    ticks = 0

    def burn() -> str:
        total = 0
        for number in range(3_000_000):
            total += number
        return threading.current_thread().name

    work = asyncio.create_task(bus.offload(burn))
    while not work.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert (await work).startswith("discovery-offload")
    assert ticks >= 3


async def test_a_sessions_end_in_the_middle_loses_nothing(rig: Any, eventually: Any) -> None:
    """PostgreSQL ends our sessions while a batch is in its unit: it is rolled back, tried again, and takes effect once."""
    await rig.from_now("discovery", ScanRequested)
    pool, calls, effects = await rig.pool("discovery"), [0], []

    async def handler(batch: Sequence[Received[Any]]) -> None:
        calls[0] += 1
        async with unit(pool, service="discovery", batch=batch) as work:
            if calls[0] == 1:
                number = await work.connection.fetchval("select pg_backend_pid()")
                await (await rig.pool("other")).execute("select pg_terminate_backend($1)", number)
            await work.connection.execute("select 1")
            fresh = list(compress(batch, work.is_new))
        effects.extend(fresh)

    bus = await rig.bus("discovery", pool)
    bus.on(ScanRequested, handler)
    await bus.start()
    await rig.raw("scan.requested", ScanRequested(source=rig.key("a")).to_json(), key=rig.key("a").encode())
    await eventually(lambda: len(effects) == 1)
    assert calls[0] == 2
    assert await pool.fetchval("select count(*) from dead_letter") == 0
