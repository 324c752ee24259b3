"""Random kill -9 of services and broker under load. `CHAOS_SEED=7 CHAOS_KILLS=100 pytest tests/journeys/test_chaos.py -s` repeats a run."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from shared.contracts.topics import SERVICES
from tests.journeys.frail import Frail, state
from tests.journeys.records import all_records, different_bytes, repeated
from tests.journeys.shop import statements
from tests.journeys.stack import PATIENCE_SECONDS, until

SEED = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))
KILLS = int(os.environ.get("CHAOS_KILLS") or 35)
AT_ONCE = 7  # deaths in a round
TABLES, SOURCES = 20, 4


@pytest.mark.timeout(1200)
async def test_random_kills_under_load_change_no_fact(frail: Frail) -> None:
    """Services and broker die at random while sources are registered and scanned: every scan ends, with the same facts and equal bytes."""
    url = await frail.line.make_database("chaos", *statements(TABLES))
    names = [f"chaos-{number}" for number in range(SOURCES)]
    sources = [await frail.register(name, url) for name in names]
    await frail.settled(sources)
    undisturbed = await frail.digests(sources)
    for source in sources:
        await frail.remove(source)
    await frail.gone(sources)

    await kill_at_random(frail, dict(zip(names, sources, strict=True)), url, random.Random(SEED))
    await frail.settled(sources)
    assert await frail.digests(sources) == undisturbed, f"seed {SEED}"
    assert frail.letters() == [], f"seed {SEED}"

    records = await all_records(frail.line.running.bootstrap)
    print(f"{len(records)} records, {repeated(records)} said again")
    assert different_bytes(records) == [], f"seed {SEED}"
    for source in sources:
        await frail.remove(source)
    await frail.gone(sources)


async def kill_at_random(frail: Frail, sources: Mapping[str, str], url: str, chance: random.Random) -> None:
    """Round by round: all sources are registered, later scanned anew, parts die in the midst of it, and the line goes on."""
    began, number = time.monotonic(), 0
    print(f"\nseed {SEED}, {KILLS} kills", flush=True)
    while number < KILLS:
        since = datetime.now(UTC)
        for name, source in sources.items():
            if number == 0:
                await frail.register(name, url)
            else:
                await frail.insist("POST", "/scans", json={"source": source, "mode": "full"})
        for _ in range(min(AT_ONCE, KILLS - number)):
            await asyncio.sleep(chance.uniform(0.0, 0.6))
            part, source = chance.choice((*SERVICES, "kafka")), chance.choice(sorted(sources.values()))
            await asyncio.to_thread(until, lambda part=part: frail.alive(part), what=f"{part} to live")
            frail.line.kill(part)
            number += 1
            print(f"{time.monotonic() - began:6.1f} s  {number:3}  {part:<10}  {state(await frail.progress(source, since))}", flush=True)
        await one_ends(frail, list(sources.values()), since)
        print(f"{time.monotonic() - began:6.1f} s  a scan came to its end", flush=True)


async def one_ends(frail: Frail, sources: Sequence[str], since: datetime) -> None:
    """Wait until a scan that was asked for since then is done. Others may wait for the lease of a dead worker to run out."""
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while not any(now and now["done"] for now in [await frail.progress(source, since) for source in sources]):
        assert time.monotonic() < deadline, f"seed {SEED}: no scan came to its end; {await frail.open_work()}"
        await asyncio.sleep(0.2)
