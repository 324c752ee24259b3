"""The tagger's door for events: each function one transaction for a whole batch. Clouds are touched by jobs only (worker.py)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import compress
from typing import Any

from services.tagger.domain.claims import source_claims
from services.tagger.domain.derive import DerivedAsset, derive_asset
from services.tagger.domain.plan import Declared, declare
from services.tagger.domain.privacy import Scrub
from services.tagger.domain.targets import asset_target, resource_of
from services.tagger.store import Store, TaggerUnit
from shared.bus.jobs import Jobs
from shared.bus.received import Cause, Received
from shared.contracts.asset import AssetRemoved
from shared.contracts.compliance import ComplianceEvaluated
from shared.contracts.names import source_of
from shared.contracts.scan import ScanCompleted
from shared.contracts.source import DataSource, SourceRemoved
from shared.contracts.tags import TagsDerived

Gone = tuple[str, str, str, str, datetime]  # target, asset, source, scan id, time


async def on_compliance_evaluated(batch: Sequence[Received[ComplianceEvaluated]], *, store: Store, jobs: Jobs, personal: Scrub) -> None:
    """compliance.evaluated -> tags.derived of the asset; a tombstone there becomes one here."""
    async with store.unit(batch) as unit:
        newest = _newest(compress(batch, unit.bus.is_new))
        evaluated = [received for received in newest if not received.tombstone]
        derived = await _derive(unit, evaluated, personal)
        await _bury(unit, [(received, "") for received in newest if received.tombstone])
        left = await unit.assets.save_sources(_sources(evaluated))
        await unit.assets.save([row for _, row in derived])
        for received, row in derived:
            if row.news:
                unit.bus.emit(row.event(), key=row.target, cause=received)
        for received, row in {row.source: (received, row) for received, row in derived if row.late}.values():
            await unit.reasons.ask(row.source, "", scan_id=row.scan_id, cause=cause_of(received))
        causes = {received.event.source: cause_of(received) for received in evaluated}
        for source, target in left:  # the source moved: our tags leave its former resource
            await unit.reasons.ask(source, target, scan_id="", cause=causes[source])
        targets = await unit.reasons.ripen(row.source for _, row in derived)
        await unit.enqueue(jobs, [*targets, *(target for _, target in left)])


def _newest(records: Iterable[Received[ComplianceEvaluated]]) -> list[Received[ComplianceEvaluated]]:
    """Of each key the newest: a tombstone replaces what came before it, an event an older one."""
    last: dict[str, Received[ComplianceEvaluated]] = {}
    for received in records:
        before = last.get(received.key)
        stale = before and not before.tombstone and not received.tombstone and before.event.sequence > received.event.sequence
        if not stale:
            last[received.key] = received
    return list(last.values())


async def _derive(
    unit: TaggerUnit, evaluated: Sequence[Received[ComplianceEvaluated]], personal: Scrub
) -> list[tuple[Received[ComplianceEvaluated], DerivedAsset]]:
    known = await unit.assets.known([asset_target(received.event.asset) for received in evaluated])
    declared: dict[str, tuple[DataSource, Declared]] = {}
    derived = []
    for received in evaluated:
        spec = received.event.spec
        if spec.key not in declared or declared[spec.key][0] != spec:
            declared[spec.key] = (spec, declare(source_claims(spec), personal=personal))
        row = derive_asset(
            received.event,
            known.get(asset_target(received.event.asset)),
            declared=declared[spec.key][1],
            now=unit.bus.now,
            said_at=received.time,
            trace_id=cause_of(received).trace_id,
            personal=personal,
        )
        if row:
            derived.append((received, row))
    return derived


def _sources(evaluated: Iterable[Received[ComplianceEvaluated]]) -> list[tuple[str, str, Any, datetime]]:
    """Each source once, as the newest event tells it."""
    newest: dict[str, Received[ComplianceEvaluated]] = {}
    for received in evaluated:
        if received.event.source not in newest or newest[received.event.source].time <= received.time:
            newest[received.event.source] = received
    rows = []
    for source, received in newest.items():
        resource = resource_of(received.event.spec)
        rows.append((source, resource.target if resource else "", received.event.spec, received.time))
    return rows


async def on_asset_removed(batch: Sequence[Received[AssetRemoved]], *, store: Store, jobs: Jobs) -> None:
    """asset.removed -> tombstone of the asset's tags.derived. It counts for its scan; news older than what we know do not."""
    async with store.unit(batch) as unit:
        fresh = list(compress(batch, unit.bus.is_new))
        await _bury(unit, [(received, received.event.scan_id) for received in fresh])
        await unit.enqueue(jobs, await unit.reasons.ripen(received.event.source for received in fresh))


async def _bury(unit: TaggerUnit, gone: Sequence[tuple[Received[Any], str]]) -> None:
    """Forget assets by key, and say so of those that had tags."""
    known = await unit.assets.known([asset_target(received.key) for received, _ in gone])
    rows: dict[str, Gone] = {}
    for received, scan_id in gone:
        target = asset_target(received.key)
        before = known.get(target)
        if before and not received.tombstone and before.said_at > received.time:
            continue
        rows[target] = (target, received.key, source_of(received.key), scan_id, received.time)
        if before and not before.removed:
            unit.bus.tombstone(TagsDerived, key=target, cause=received)
    await unit.assets.bury(list(rows.values()))


async def on_scan_completed(batch: Sequence[Received[ScanCompleted]], *, store: Store, jobs: Jobs, wait: timedelta) -> None:
    """scan.completed -> one job for the source's cloud resource, once all that the scan changed is derived, or after `wait`."""
    async with store.unit(batch) as unit:
        fresh = list(compress(batch, unit.bus.is_new))
        for received in fresh:
            scan = received.event
            await unit.reasons.add_scan(
                scan.source, scan.scan_id, expected=scan.changed + scan.removed, deadline=unit.bus.now + wait, cause=cause_of(received)
            )
        await unit.enqueue(jobs, await unit.reasons.ripen(received.event.source for received in fresh))


async def on_source_removed(batch: Sequence[Received[SourceRemoved]], *, store: Store, jobs: Jobs) -> None:
    """source.removed -> tombstones of all its assets' tags; a job takes our own tags from its resource."""
    async with store.unit(batch) as unit:
        for received in compress(batch, unit.bus.is_new):
            source, cause = received.event.source, cause_of(received)
            living = await unit.assets.living(source)
            await unit.assets.bury([(target, asset, source, "", received.time) for target, asset in living])
            for target, _ in living:
                unit.bus.tombstone(TagsDerived, key=target, cause=received)
            home = await unit.assets.forget_source(source)
            await unit.reasons.forget(source)
            if home:
                await unit.reasons.ask(source, home, scan_id="", cause=cause)
                await unit.enqueue(jobs, [home])


async def look_for_overdue(*, store: Store, jobs: Jobs) -> None:
    """Apply what waited too long for assets that never came (dead letters, a stage that is down)."""
    async with store.unit() as unit:
        await unit.enqueue(jobs, await unit.reasons.ripen(await unit.reasons.overdue()))


def cause_of(received: Received[Any]) -> Cause:
    """What is kept of an event, so that a later job can name it as the cause."""
    return Cause(received.id, received.traceparent, received.tenant)
