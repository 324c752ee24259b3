"""Random kill -9 of services and broker under load. `CHAOS_SEED=7 CHAOS_KILLS=100 pytest tests/journeys/test_chaos.py -s` repeats a run."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from collections.abc import Sequence

import pytest

from shared.contracts.topics import SERVICES
from tests.journeys.frail import Frail, state
from tests.journeys.records import all_records, different_bytes, repeated
from tests.journeys.shop import statements
from tests.journeys.stack import until

SEED = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))
KILLS = int(os.environ.get("CHAOS_KILLS") or 32)
TABLES, SOURCES = 20, 4


@pytest.mark.timeout(1200)
async def test_random_kills_under_load_change_no_fact(frail: Frail) -> None:
    """Services and broker die at random while sources are registered and rescanned: the same facts, nothing stuck, equal bytes."""
    url = await frail.line.make_database("chaos", *statements(TABLES))
    names = [f"chaos-{number}" for number in range(SOURCES)]
    sources = [await frail.register(name, url) for name in names]
    await frail.settled(sources)
    undisturbed = await frail.digests(sources)
    for source in sources:
        await frail.remove(source)
    await frail.gone(sources)

    load = asyncio.create_task(keep_busy(frail, names, url))
    await kill_at_random(frail, sources, random.Random(SEED))
    load.cancel()
    await asyncio.gather(load, return_exceptions=True)
    for name in names:
        await frail.register(name, url)
    await frail.settled(sources)
    assert await frail.digests(sources) == undisturbed, f"seed {SEED}"
    assert frail.letters() == [], f"seed {SEED}"

    records = await all_records(frail.line.running.bootstrap)
    print(f"{len(records)} records, {repeated(records)} said again")
    assert different_bytes(records) == [], f"seed {SEED}"
    for source in sources:
        await frail.remove(source)
    await frail.gone(sources)


async def keep_busy(frail: Frail, names: Sequence[str], url: str) -> None:
    """Register everything, then scan again whatever is done."""
    sources = [await frail.register(name, url) for name in names]
    while True:
        for source in sources:
            now = await frail.progress(source)
            if now and now["done"]:
                await frail.rescan(source)
        await asyncio.sleep(0.5)


async def kill_at_random(frail: Frail, sources: Sequence[str], chance: random.Random) -> None:
    """KILLS parts die, one after the other; each is told with what was going on."""
    began = time.monotonic()
    print(f"\nseed {SEED}, {KILLS} kills", flush=True)
    for number in range(1, KILLS + 1):
        await asyncio.sleep(chance.uniform(0.2, 3.2))
        part, source = chance.choice((*SERVICES, "kafka")), chance.choice(sources)
        told = state(await frail.progress(source))
        await asyncio.to_thread(until, lambda part=part: frail.alive(part), what=f"{part} to live")
        frail.line.kill(part)
        print(f"{time.monotonic() - began:6.1f} s  {number:3}  {part:<10}  {source} {told}", flush=True)
