"""Clean-up and gauges."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from prometheus_client import REGISTRY

from shared.bus import housekeeping
from shared.bus.received import Cause
from shared.bus.unit import inbox_mark, unit
from shared.contracts.scan import ScanCompleted
from shared.contracts.topics import BY_NAME


def test_a_mark_outlives_what_the_broker_may_deliver_again() -> None:
    """Never shorter than the topic's retention; of compacted topics long enough for a tombstone to pass."""
    for name, topic in BY_NAME.items():
        span = housekeeping.kept(name)
        assert span is None or topic.retention is None or topic.compacted or span > topic.retention
        assert not topic.compacted or (span is not None and span > timedelta(days=7))


async def test_old_marks_go_and_fresh_ones_stay(rig: Any) -> None:
    """Only marks of this topic, older than its retention, are removed."""
    pool = await rig.pool("discovery")
    insert = "insert into inbox (mark, topic, seen_at) values ($1, $2, now() - $3::interval)"
    for topic, days in (("scan.requested", 1), ("scan.requested", 9), ("source.connected", 9)):
        await pool.execute(insert, inbox_mark(topic, str(days)), topic, timedelta(days=days))
    assert await housekeeping.clean_inbox(pool, "discovery", ["scan.requested", "source.connected"]) == 1
    assert await pool.fetchval("select count(*) from inbox") == 2


async def test_the_outbox_is_a_gauge(rig: Any) -> None:
    """What waits to be published can be seen, with its age."""
    pool = await rig.pool("discovery")
    async with unit(pool, service="discovery", keys=["a/b"]) as work:
        done = ScanCompleted(source="a/b", scan_id="s", complete=True, tables=1, columns=1, changed=1, digest="d")
        work.emit(done, key="a/b", cause=Cause.new("one"))
    await housekeeping.measure(pool, "discovery")
    assert REGISTRY.get_sample_value("pursight_outbox_rows", {"service": "discovery"}) == 1
    assert (REGISTRY.get_sample_value("pursight_outbox_age_seconds", {"service": "discovery"}) or -1) >= 0


async def test_a_unit_that_fails_leaves_nothing(rig: Any) -> None:
    """State, inbox and outbox are one transaction."""
    pool = await rig.pool("discovery")
    try:
        async with unit(pool, service="discovery", keys=["a/b"]) as work:
            done = ScanCompleted(source="a/b", scan_id="s", complete=True, tables=1, columns=1, changed=1, digest="d")
            work.emit(done, key="a/b", cause=Cause.new("one"))
            await work._flush()
            raise RuntimeError
    except RuntimeError:
        pass
    assert await pool.fetchval("select count(*) from outbox") == 0
