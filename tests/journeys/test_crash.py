"""kill -9 at every named place, in every service of the line: facts are those of an undisturbed run, and ids repeat with equal bytes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer

from shared.bus import failpoints
from shared.contracts.topics import SERVICES
from tests.journeys.frail import Frail, state
from tests.journeys.records import all_records, different_bytes, repeated
from tests.journeys.shop import statements

TABLES, SOURCES = 20, 3
PATIENCE_SECONDS = 600
JOBS = ("connector", "discovery")  # who works on jobs when a source is scanned


@pytest.fixture(autouse=True)
def _disarmed(frail: Frail) -> Iterator[None]:
    yield
    for file in frail.folder.iterdir():
        file.unlink()


def armed() -> list[tuple[str, str]]:
    """Service and place: each place in every second service that comes by it, or with CRASH_ALL in each."""
    return [
        (service, place)
        for at, service in enumerate(SERVICES)
        for number, place in enumerate(failpoints.NAMES)
        if (service in JOBS if place.startswith("job") else os.environ.get("CRASH_ALL") or (at + number) % 2)
    ]


def late(place: str) -> bool:
    """Comes only with a dead letter, which is the only thing that the catalog says."""
    return "deadletter" in place or place.startswith("catalog.relay")


async def all_fall(frail: Frail, sources: list[str]) -> None:
    """Scan again and again until nobody is left to die; what is put aside comes last."""
    began, shown, poisoned = time.monotonic(), 0, False
    while waiting := frail.waiting():
        for fallen in frail.fallen()[shown:]:
            print(f"{time.monotonic() - began:6.1f} s  {fallen}  {state(await frail.progress(sources[0]))}", flush=True)
            shown += 1
        assert time.monotonic() - began < PATIENCE_SECONDS, f"nobody came to {waiting}"
        if not poisoned and all(late(place) for place in waiting):
            await poison(frail)
            poisoned = True
        await asyncio.sleep(0.5)
        for source in sources:
            now = await frail.progress(source)
            if now and now["done"]:
                await frail.rescan(source)
    print(f"{time.monotonic() - began:6.1f} s  {len(frail.fallen())} deaths", flush=True)


async def poison(frail: Frail) -> None:
    """One record that no service can read, for each."""
    producer = AIOKafkaProducer(bootstrap_servers=frail.line.running.bootstrap)
    await producer.start()
    for topic in ("source.removed", "audit.recorded"):
        await producer.send_and_wait(topic, b"{no json", key=b"default/nobody")
    await producer.stop()


@pytest.mark.timeout(1200)
async def test_a_kill_at_every_place_of_every_service_changes_no_fact(frail: Frail) -> None:
    """Each service died once at each place while sources were scanned; the catalog's facts are the same, nothing is stuck."""
    url = await frail.line.make_database("crashed", *statements(TABLES))
    names = [f"crash-{number}" for number in range(SOURCES)]
    sources = [await frail.register(name, url) for name in names]
    await frail.settled(sources)
    undisturbed = await frail.digests(sources)
    assert all(one["assets"] == TABLES + 1 for one in undisturbed.values())
    for source in sources:
        await frail.remove(source)
    await frail.gone(sources)

    for service, place in armed():
        frail.arm(service, place, 3 if (service, place) == ("discovery", "unit.before_commit") else 1)
    for name in names:
        await frail.register(name, url)
    await all_fall(frail, sources)
    await frail.settled(sources)
    assert await frail.digests(sources) == undisturbed

    letters = frail.letters()
    assert sorted({letter["group_name"].split(".")[1] for letter in letters}) == sorted(SERVICES)
    assert len(letters) == len(SERVICES), letters
    assert frail.line.shell("dlq", "drop", "--yes", *[letter["id"] for letter in letters]).returncode == 0
    records = await all_records(frail.line.running.bootstrap)
    print(f"{len(records)} records, {repeated(records)} said again")
    assert different_bytes(records) == []
    for source in sources:
        await frail.remove(source)
    await frail.gone(sources)
