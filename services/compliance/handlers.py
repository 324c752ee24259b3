"""Compliance's door for events: classified assets in, results and violations out; and the jobs that judge again what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any

from services.compliance.domain.assess import Assessor
from services.compliance.store import AssetRow, Store
from shared.bus.jobs import Job, Jobs
from shared.bus.received import Cause, Received
from shared.contracts.asset import AssetClassified, AssetRemoved
from shared.contracts.connection import SourceConnected
from shared.contracts.names import SourceName, source_of
from shared.contracts.source import SourceRemoved

REEVALUATE, FORGET = "reevaluate", "forget"
EVERYTHING = "*"
CHUNK = 250  # assets per transaction of a job


async def on_asset_classified(batch: Sequence[Received[AssetClassified]], *, store: Store, assessor: Assessor) -> None:
    """asset.classified -> compliance.evaluated, violation.opened, violation.resolved. Of one asset only the newest verdict is judged."""
    async with store.unit(batch) as unit:
        newest = _newest(received for received in compress(batch, unit.bus.is_new) if not received.tombstone)
        rows = await unit.rows(list(newest))
        events = [(r.event, r) for asset, r in newest.items() if rows.get(asset, AssetRow()).is_older_than(r.event)]
        events.sort(key=lambda pair: pair[0].source)  # one source's facts after the other
        await unit.judge(events, assessor, only_changes=False)


def _newest(batch: Iterable[Received[AssetClassified]]) -> dict[str, Received[AssetClassified]]:
    newest: dict[str, Received[AssetClassified]] = {}
    for received in batch:
        other = newest.get(received.event.asset)
        if other is None or received.event.sequence > other.event.sequence:
            newest[received.event.asset] = received
    return newest


async def on_asset_removed(batch: Sequence[Received[AssetRemoved]], *, store: Store) -> None:
    """asset.removed -> violation.resolved, and the asset's place on compliance.evaluated is cleared."""
    async with store.unit(batch) as unit:
        fresh = list(compress(batch, unit.bus.is_new))
        dropped = [received for received in fresh if received.event.reason != "source_removed"]
        forgotten = [received for received in fresh if received.event.reason == "source_removed"]
        await unit.remove(_gone(dropped))
        await unit.remove(_gone(forgotten), forget=True)


def _gone(batch: Iterable[Received[AssetRemoved]]) -> dict[str, tuple[int, str, Received[Any] | Cause]]:
    return {r.event.asset: (r.event.sequence, r.event.scan_id, r) for r in sorted(batch, key=lambda r: r.event.sequence)}


async def on_source_connected(batch: Sequence[Received[SourceConnected]], *, store: Store, assessor: Assessor, jobs: Jobs) -> None:
    """source.connected: keep spec and posture; where facts that rules or tags read have changed, judge the source's assets again."""
    async with store.unit(batch) as unit:
        fresh = [r for r in compress(batch, unit.bus.is_new) if not r.tombstone]
        fresh.sort(key=lambda r: r.event.sequence)
        said = {r.event.source: (r.event.sequence, assessor.view(r.event.spec, r.event.posture)) for r in fresh}
        for source in await unit.connected(said):
            await jobs.enqueue(unit.bus.connection, REEVALUATE, source, "posture")


async def on_source_removed(batch: Sequence[Received[SourceRemoved]], *, store: Store, jobs: Jobs) -> None:
    """source.removed: forget what the connector said at once, and its assets and violations by a job."""
    async with store.unit(batch) as unit:
        for received in compress(batch, unit.bus.is_new):
            await unit.forget_source(received.event.source)
            await jobs.enqueue(unit.bus.connection, FORGET, received.event.source, "")


async def reevaluate(job: Job, *, store: Store, assessor: Assessor, jobs: Jobs) -> None:
    """Judge again what was judged by other rules or with other facts of its source; say only what came out differently."""
    source = "" if job.key == EVERYTHING else job.key
    while assets := await store.stale(assessor.rules.digest, source, job.cursor, CHUNK):
        async with store.unit(keys=assets) as unit:
            events = [(event, _cause(job, event.asset)) for event in await unit.bodies(assets)]
            events.sort(key=lambda pair: pair[0].source)
            await unit.judge(events, assessor, only_changes=True)
            await jobs.save_cursor(unit.bus.connection, job, assets[-1])


async def forget(job: Job, *, store: Store, jobs: Jobs) -> None:
    """Every asset of a removed source is gone. Discovery numbers its own removals above what we have seen, so theirs count later."""
    while assets := await store.assets_of(job.key, "", CHUNK):
        async with store.unit(keys=assets) as unit:
            rows = await unit.rows(assets)
            gone = {asset: (row.discovered, "", _cause(job, asset)) for asset, row in rows.items() if not row.removed}
            await unit.remove(gone, forget=True)
            await jobs.check(unit.bus.connection, job)


def _cause(job: Job, asset: str) -> Cause:
    """The cause of what a job says about one asset: a new one for each time the job comes by."""
    return job.cause(str(job.fence), tenant=SourceName.parse(source_of(asset)).tenant)
