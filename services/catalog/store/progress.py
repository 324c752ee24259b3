"""How far a scan has come: counts over its steps, the assets that wait, and the whole answer for pages and tools."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncpg
import orjson

from services.catalog.domain import progress as rules
from services.catalog.domain.progress import LINE_ENDS, Counts, Scan, Waiting
from services.catalog.store import read

_SCAN = """
SELECT scan_id, source, first_at, completed_at, failed_at, trace_id, doc::text AS doc, failure::text AS failure,
       EXISTS (SELECT FROM scan n WHERE n.source = s.source AND n.first_at > s.first_at AND n.completed_at IS NOT NULL) AS followed
FROM scan s WHERE {which} ORDER BY first_at DESC LIMIT 1
"""
_BY_ID = _SCAN.format(which="s.scan_id = $1")
_BY_SOURCE = _SCAN.format(which="s.source = $1 AND ($2::timestamptz IS NULL OR s.first_at >= $2)")
_COUNTS = """
SELECT count(*) AS found, count(classified_at) AS classified, count(judged_at) AS judged, count(tagged_at) AS tagged,
       max(discovered_at) AS discovered_at, max(classified_at) AS classified_at, max(judged_at) AS judged_at, max(tagged_at) AS tagged_at
FROM step WHERE scan_id = $1
"""
_OPEN = """
SELECT s.asset, s.discovered_at, s.classified_at, s.judged_at, d.service, d.topic, d.error_code,
       CASE WHEN d.topic IS NOT NULL THEN 'dead' WHEN a.removed THEN 'removed' WHEN a.sequence > s.sequence THEN 'superseded'
            ELSE 'waiting' END AS state
FROM step s LEFT JOIN asset a USING (asset)
LEFT JOIN LATERAL (
    SELECT service, topic, error_code FROM set_aside d
    WHERE d.asset = s.asset AND (d.scan_id = s.scan_id OR (d.scan_id = '' AND d.at >= s.discovered_at))
      AND d.service || ' ' || d.topic = ANY ($2)
    LIMIT 1) AS d ON true
WHERE s.scan_id = $1 AND s.tagged_at IS NULL
"""
_OPEN_COUNTS = f"SELECT state, count(*) AS count FROM ({_OPEN}) AS o GROUP BY 1"
_OPEN_SAMPLE = f"SELECT * FROM ({_OPEN}) AS o WHERE state IN ('waiting', 'dead') ORDER BY discovered_at, asset LIMIT $3"
_DEAD_UNSEEN = """
SELECT count(DISTINCT asset) FROM set_aside d WHERE d.service || ' ' || d.topic = ANY ($2) AND d.asset <> ''
  AND (d.scan_id = $1 OR (d.scan_id = '' AND d.at >= $4 AND starts_with(d.asset, $3 || '/')))
  AND NOT EXISTS (SELECT FROM step s WHERE s.scan_id = $1 AND s.asset = d.asset)
"""


async def scan_by_id(pool: asyncpg.Pool, scan_id: str) -> Scan | None:
    return _scan(await pool.fetchrow(_BY_ID, scan_id))


async def newest_scan(pool: asyncpg.Pool, source: str, since: datetime | None = None) -> Scan | None:
    """The newest scan of a source that was first heard of at or after `since`."""
    return _scan(await pool.fetchrow(_BY_SOURCE, source, since))


def _scan(record: asyncpg.Record | None) -> Scan | None:
    if record is None:
        return None
    values: dict[str, Any] = dict(record)
    for name in ("doc", "failure"):
        values[name] = orjson.loads(values[name]) if values[name] else None
    return Scan(**values)


async def counts(pool: asyncpg.Pool, scan: Scan, *, sample: int = 20) -> tuple[Counts, list[Waiting]]:
    """What the steps of this scan add up to, and up to `sample` assets that wait or were put aside, longest first."""
    async with pool.acquire() as connection:
        record = dict(await connection.fetchrow(_COUNTS, scan.scan_id))
        if record["found"] and record["tagged"] == record["found"] >= scan.changed:
            return Counts(**record), []
        open_ = dict(await connection.fetch(_OPEN_COUNTS, scan.scan_id, LINE_ENDS))
        unseen = await connection.fetchval(_DEAD_UNSEEN, scan.scan_id, LINE_ENDS, scan.source, scan.first_at)
        waiting = await connection.fetch(_OPEN_SAMPLE, scan.scan_id, LINE_ENDS, sample)
    ended = {name: open_.get(name, 0) for name in ("removed", "superseded")}
    dead = open_.get("dead", 0) + unseen
    return Counts(**record, **ended, dead=dead, unseen=unseen), [Waiting(**dict(one)) for one in waiting]


async def progress_of(
    pool: asyncpg.Pool, subject: str, *, now: datetime, stuck_after_seconds: float, since: datetime | None = None
) -> dict[str, Any]:
    """Progress of a scan by its id, else of the newest scan of a source that was first heard of at or after `since`."""
    scan = await scan_by_id(pool, subject) or await newest_scan(pool, subject, since)
    known = next(iter(await read.sources(pool, scan.source if scan else subject)), None)
    if scan is None:
        rejected = await read.rejection(pool, subject)
        fresh = rejected if rejected and (since is None or rejected["at"] >= since) else None
        return rules.before_scan(subject, known, fresh, now=now, stuck_after_seconds=stuck_after_seconds, asked_at=since)
    counted, waiting = await counts(pool, scan)
    told = rules.progress(scan, counted, waiting, now=now, stuck_after_seconds=stuck_after_seconds)
    return {**told, "seconds": rules.seconds(scan, counted, known)}
