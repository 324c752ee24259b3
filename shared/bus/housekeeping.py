"""What has to be done now and then: measure lag and outbox, clean up inbox and jobs, ask whether the broker answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import asyncpg

from shared.contracts.topics import BY_NAME
from shared.observe.names import counter, gauge

MANY = 10_000
KEPT_COMPACTED = timedelta(days=30)  # a compacted topic keeps its facts for ever; an older one that comes again is judged by `sequence`
SLACK = timedelta(days=1)
KEPT_JOBS = timedelta(days=7)  # ended ones, for people who ask what happened

_OUTBOX = f"""select (select count(*) from (select from outbox limit {MANY + 1}) as waiting),
    coalesce(extract(epoch from now() - (select created_at from outbox order by id limit 1)), 0)::float8,
    (select count(*) from (select from dead_letter where state = 'open' limit {MANY + 1}) as letters)"""
_WAITING = "select kind, count(*) from job where state in ('waiting', 'running') group by kind"
_CLEAN = """delete from inbox where ctid = any(array(
    select ctid from inbox where topic = $1 and seen_at < now() - $2::interval limit 5000)) returning mark"""
_CLEAN_JOBS = """delete from job where id = any(array(
    select id from job where state in ('done', 'failed') and changed_at < now() - $1::interval limit 5000)) returning id"""


def kept(topic: str) -> timedelta | None:
    """How long a mark has to stay: as long as the broker may deliver the event again. None: for ever."""
    known = BY_NAME.get(topic)
    if known is None or known.compacted:
        return KEPT_COMPACTED
    return None if known.retention is None else known.retention + SLACK


async def measure(pool: asyncpg.Pool, service: str) -> None:
    """Set the gauges that only the database knows."""
    rows, age, letters = await pool.fetchrow(_OUTBOX)
    gauge("pursight_outbox_rows", service).set(rows)
    gauge("pursight_outbox_age_seconds", service).set(age)
    gauge("pursight_dead_letters_open", service).set(letters)
    for kind, count in await pool.fetch(_WAITING):
        gauge("pursight_jobs_waiting", service, kind).set(count)


async def clean_inbox(pool: asyncpg.Pool, service: str, topics: Iterable[str]) -> int:
    """Remove marks that can never be asked for again, a few thousand at a time; returns how many."""
    total = 0
    for topic in topics:
        span = kept(topic)
        while span is not None and (removed := len(await pool.fetch(_CLEAN, topic, span))):
            total += removed
    counter("pursight_inbox_removed", service).inc(total)
    return total


async def clean_jobs(pool: asyncpg.Pool, keep: timedelta = KEPT_JOBS) -> int:
    """Remove jobs that ended longer ago than `keep`, a few thousand at a time; returns how many."""
    total = 0
    while removed := len(await pool.fetch(_CLEAN_JOBS, keep)):
        total += removed
    await pool.execute("delete from job_turn where served_at < now() - $1::interval", keep)
    return total
