"""kill -9 at every named place: nothing is lost and nothing is done twice. And the check itself goes red when a part is taken out."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.bus import failpoints
from shared.contracts.scan import ScanRequested
from shared.contracts.topics import group_of

PROGRAM = Path(__file__).with_name("crash_program.py")
ROOT = Path(__file__).parents[3]
EVENTS = 120


async def run(rig: Any, *, kill: str = "", broken: str = "") -> int:
    environment = os.environ | {"PURSIGHT_FAILPOINTS": kill, "BROKEN": broken, "PYTHONPATH": str(ROOT)}
    arguments = (rig.url, rig.settings.bootstrap_servers, str(EVENTS))
    process = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), *arguments, env=environment, cwd=ROOT)
    try:
        return await asyncio.wait_for(process.wait(), 60)
    finally:
        if process.returncode is None:
            process.kill()


async def violations(rig: Any, start: Any) -> list[str]:
    """What is wrong with the outcome: events lost, effects doubled, answers missing, ids with different bytes."""
    pool = await rig.pool("discovery")
    times = {row["id"]: row["times"] for row in await pool.fetch("select id, times from tally")}
    answers: dict[str, set[bytes]] = {}
    for record in await rig.records("scan.completed", start):
        headers = dict(record.headers)
        answers.setdefault(headers["ce_id"].decode(), set()).add(record.value + repr(record.headers).encode())
    found = [] if len(times) == EVENTS else [f"{EVENTS - len(times)} events lost"]
    found += [] if set(times.values()) <= {1} else ["effects doubled"]
    found += [] if len(answers) == EVENTS else [f"{EVENTS - len(answers)} answers missing"]
    return found + ([] if all(len(one) == 1 for one in answers.values()) else ["an id with different bytes"])


async def scenario(rig: Any, *, kill: str, broken: str = "", begin: bool = True) -> list[str]:
    if begin:
        await rig.from_now("discovery", ScanRequested)
    start = await rig.ends("scan.completed")
    for number in range(EVENTS):
        event = ScanRequested(source=rig.key(f"s{number % 20}"), reason=str(number))
        await rig.raw("scan.requested", event.to_json(), key=event.source.encode(), partition=number % 3)
    await rig._producer.flush()
    assert await run(rig, kill=kill, broken=broken) == -signal.SIGKILL
    assert await run(rig, broken=broken) == 0
    return await violations(rig, start)


@pytest.mark.parametrize("place", [name for name in failpoints.NAMES if not name.startswith(("job", "deadletter"))])
async def test_a_kill_at_any_place_loses_nothing_and_doubles_nothing(rig: Any, place: str) -> None:
    """Killed at this place and started again: every event took effect once and was answered once, with one id and one set of bytes."""
    assert await scenario(rig, kill=place) == []


async def test_without_the_inbox_this_test_goes_red(rig: Any) -> None:
    """Law of the test: committed but offsets not, and nobody remembers: effects are doubled, and it is noticed."""
    assert "effects doubled" in await scenario(rig, kill="offsets.before_commit", broken="inbox")


async def test_without_the_outbox_this_test_goes_red(rig: Any) -> None:
    """Law of the test: a dual write, killed between its two halves, loses answers, and it is noticed."""
    assert any("answers missing" in one for one in await scenario(rig, kill="unit.committed", broken="outbox"))


async def test_a_kill_after_a_record_was_put_aside_keeps_one_dead_letter(rig: Any) -> None:
    """The record comes again after the kill and is still put aside once, told once, and blocks nothing."""
    start = await rig.ends("event.dead_lettered")
    await rig.from_now("discovery", ScanRequested)
    await rig.raw("scan.requested", b"not json", key=rig.key("bad").encode())
    await rig._producer.flush()
    assert await scenario(rig, kill="deadletter.committed", begin=False) == []
    pool = await rig.pool("discovery")
    assert await pool.fetchval("select count(*) from dead_letter") == 1
    assert len({dict(record.headers)["ce_id"] for record in await rig.records("event.dead_lettered", start)}) == 1


def test_groups_are_named_after_service_and_topic() -> None:
    """The group's name is what dashboards and access lists are generated from."""
    assert group_of("discovery", "scan.requested") == "pursight.discovery.scan.requested"
