"""Long work: one worker at a time, gone on with after a crash, late writes refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.bus import housekeeping
from shared.bus.jobs import Job, Jobs, LostLease, work
from shared.errors import Transient


async def test_a_killed_workers_job_goes_on_from_its_cursor_and_its_late_writes_are_refused(rig: Any) -> None:
    """After the lease anybody takes over at the cursor; the first worker's cursor, end and failure are refused by its old number."""
    pool = await rig.pool("discovery")
    first, second = Jobs(pool, service="discovery", lease=0.2), Jobs(pool, service="discovery")
    await first.enqueue(pool, "scan", "a/b", "{}")
    old = await first.claim("scan")
    assert old is not None
    await first.save_cursor(pool, old, "page 3")
    assert await second.claim("scan") is None
    await asyncio.sleep(0.3)
    new = await second.claim("scan")
    assert new is not None
    assert (new.id, new.cursor, new.fence, new.attempt) == (old.id, "page 3", old.fence + 1, 2)
    for late in (first.save_cursor(pool, old, "page 4"), first.finish(pool, old), first.renew(old), first.fail(pool, old, 1.0)):
        with pytest.raises(LostLease):
            await late
    assert old.lost.is_set()
    await second.finish(pool, new)
    assert await second.waiting("scan") == 0


async def test_one_job_waits_per_key_and_the_next_begins_after_the_running_one(rig: Any) -> None:
    """Asked twice, done once with the newest payload; asked while it runs, done again afterwards, never beside it."""
    pool = await rig.pool("discovery")
    jobs = Jobs(pool, service="discovery")
    await jobs.enqueue(pool, "scan", "a", "1")
    await jobs.enqueue(pool, "scan", "a", "2", priority=5)
    await jobs.enqueue(pool, "scan", "b", "3")
    running = await jobs.claim("scan")
    assert running is not None
    assert (running.key, running.payload) == ("a", "2")
    await jobs.enqueue(pool, "scan", "a", "4", priority=9)
    other = await jobs.claim("scan")
    assert other is not None
    assert other.key == "b"
    assert await jobs.claim("scan") is None
    await jobs.finish(pool, running)
    again = await jobs.claim("scan")
    assert again is not None
    assert again.payload == "4"


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        pytest.param(
            [("big/1", "db1"), ("big/2", "db2"), ("big/3", "db3"), ("big/4", "db4"), ("small/1", "db9")],
            ["big/1", "small/1", "big/2", "big/3", "big/4"],
            id="a tenant with many does not hold up one with few",
        ),
        pytest.param(
            [("a/1", "db1"), ("a/2", "db1"), ("a/3", "db1"), ("a/4", "db2")], ["a/1", "a/4", "a/2", "a/3"], id="nor one host another"
        ),
    ],
)
@pytest.mark.parametrize("at_once", [1, 2])
async def test_who_shares_something_takes_turns(rig: Any, asked: list[tuple[str, str]], served: list[str], at_once: int) -> None:
    """Whether jobs run one after the other or beside each other."""
    pool = await rig.pool("discovery")
    jobs = Jobs(pool, service="discovery")
    for key, host in asked:
        await jobs.enqueue(pool, "scan", key, "", shares=(f"tenant:{key.partition('/')[0]}", f"host:{host}"))
    order, running = [], []
    while job := await jobs.claim("scan", fair=True):
        order.append(job.key)
        running.append(job)
        if len(running) == at_once:
            await jobs.finish(pool, running.pop(0))
    assert order == served


async def test_a_lane_for_the_urgent_takes_nothing_else(rig: Any) -> None:
    """However long the others wait; and the most urgent comes first in every lane."""
    pool = await rig.pool("discovery")
    jobs = Jobs(pool, service="discovery")
    await jobs.enqueue(pool, "scan", "a/1", "", priority=-10)
    assert await jobs.claim("scan", at_least=10) is None
    await jobs.enqueue(pool, "scan", "a/2", "", priority=10)
    urgent = await jobs.claim("scan", at_least=10)
    assert urgent is not None
    assert urgent.key == "a/2"


async def test_workers_do_every_job_once_and_try_failed_ones_again(rig: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job ends; a transient error is tried again, an unknown one a few times, then the job is failed and says its code."""
    monkeypatch.setattr("shared.bus.jobs.delay", lambda attempt: 0.01)
    pool = await rig.pool("discovery")
    jobs = Jobs(pool, service="discovery", lease=2.0)
    done: list[str] = []

    async def handler(job: Job) -> None:
        if job.key == "bad":
            raise ValueError("secret")
        if job.key == "slow" and job.attempt < 7:
            raise Transient("away")
        done.append(job.key)

    for key in ("a", "b", "slow", "bad"):
        await jobs.enqueue(pool, "scan", key, "{}")
    running = asyncio.create_task(work(jobs, "scan", handler, concurrency=3))
    await eventually(lambda: nothing_waits(jobs))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sorted(done) == ["a", "b", "slow"]
    row = await pool.fetchrow("select state, error_code, attempts from job where key = 'bad'")
    assert tuple(row) == ("failed", "ValueError", 5)
    assert await housekeeping.clean_jobs(pool, timedelta(0)) == 4


async def nothing_waits(jobs: Jobs) -> bool:
    return await jobs.waiting("scan") == 0


async def test_a_stopped_worker_gives_its_job_back_and_a_taken_over_one_is_cancelled(rig: Any, eventually: Any) -> None:
    """A stop does not wait for the lease: the job is due again at once. Where the lease is lost, the work is cancelled."""
    pool = await rig.pool("discovery")
    jobs = Jobs(pool, service="discovery", lease=0.6)
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(job: Job) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    await jobs.enqueue(pool, "scan", "a", "{}")
    running = asyncio.create_task(work(jobs, "scan", handler, concurrency=1))
    await begun.wait()
    await pool.execute("update job set fence = fence + 1")
    await asyncio.wait_for(cancelled.wait(), 5)
    await pool.execute("update job set lease_until = now()")
    begun.clear()
    await asyncio.wait_for(begun.wait(), 5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await pool.fetchval("select state from job") == "waiting"
