"""The tagger's door for events: each function one transaction for a whole batch. Clouds are touched by jobs only (worker.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import compress
from typing import Any

from services.tagger.declarations import Change, Grown, change_contracts, claims_of, derive_jobs, keep_job, of_asset, say_findings
from services.tagger.domain.claims import source_claims
from services.tagger.domain.compare import Detected
from services.tagger.domain.declared import Where
from services.tagger.domain.derive import DerivedAsset, derive_asset
from services.tagger.domain.house import House
from services.tagger.domain.odcs import Shape, judge_contract
from services.tagger.domain.plan import Declared, declare
from services.tagger.domain.targets import asset_target, resource_of
from services.tagger.store import Store, TaggerUnit
from services.tagger.store.declared import Stored
from shared.access.actor import Actor
from shared.access.gate import Gate
from shared.bus.jobs import Jobs
from shared.bus.received import Cause, Received
from shared.contracts.asset import AssetRemoved
from shared.contracts.compliance import ComplianceEvaluated
from shared.contracts.judging.contract import key_of
from shared.contracts.judging.job import judge_job
from shared.contracts.names import SourceName, source_of
from shared.contracts.rules import ContractCompared, ContractPublished
from shared.contracts.scan import ScanCompleted
from shared.contracts.source import DataSource, Problem, SourceRemoved
from shared.contracts.tags import JobRejected, JobSubmitted, TagsDerived

Gone = tuple[str, str, str, str, datetime]  # target, asset, source, scan id, time


async def on_compliance_evaluated(batch: Sequence[Received[ComplianceEvaluated]], *, store: Store, jobs: Jobs, house: House) -> None:
    """compliance.evaluated -> tags.derived of the asset; a tombstone there becomes one here."""
    async with store.unit(batch) as unit:
        newest = _newest(compress(batch, unit.bus.is_new))
        evaluated = [received for received in newest if not received.tombstone]
        contracts = await _contracts(unit, evaluated)
        derived = await _derive(unit, evaluated, contracts, house)
        await _bury(unit, [(received, "") for received in newest if received.tombstone])
        left = await unit.assets.save_sources(_sources(evaluated))
        await unit.assets.save([row for _, row in derived])
        for received, row in derived:
            if row.news:
                unit.bus.emit(row.event(), key=row.target, cause=received)
        await say_findings(unit, [_look(received, contracts) for received, _ in derived])
        for received, row in {row.source: (received, row) for received, row in derived if row.late}.values():
            await unit.reasons.ask(row.source, "", scan_id=row.scan_id, cause=cause_of(received))
        causes = {received.event.source: cause_of(received) for received in evaluated}
        for source, target in left:  # the source moved: our tags leave its former resource
            await unit.reasons.ask(source, target, scan_id="", cause=causes[source])
        targets = await unit.reasons.ripen(row.source for _, row in derived)
        described = {stored.key: received for received, row in derived if row.changed for stored, _ in contracts.get(row.asset, ())}
        ran = await derive_jobs(unit, described, house)
        await unit.enqueue(jobs, [*targets, *ran, *(target for _, target in left)])


def _newest(records: Iterable[Received[ComplianceEvaluated]]) -> list[Received[ComplianceEvaluated]]:
    """Of each key the newest: a tombstone replaces what came before it, an event an older one."""
    last: dict[str, Received[ComplianceEvaluated]] = {}
    for received in records:
        before = last.get(received.key)
        stale = before and not before.tombstone and not received.tombstone and before.event.sequence > received.event.sequence
        if not stale:
            last[received.key] = received
    return list(last.values())


Contracts = Mapping[str, list[tuple[Stored, str]]]  # asset to the contracts that describe it


async def _contracts(unit: TaggerUnit, evaluated: Sequence[Received[ComplianceEvaluated]]) -> Contracts:
    """The contracts of these assets, which nobody changes until the commit."""
    tenants = {received.event.spec.tenant for received in evaluated}
    await unit.declarations.hold(tenants, alone=False)
    stored = await unit.declarations.contracts(tenants, [received.event.asset for received in evaluated])
    return {received.event.asset: of_asset(stored, received.event.spec, received.event.asset) for received in evaluated} if stored else {}


def _look(
    received: Received[ComplianceEvaluated], contracts: Contracts
) -> tuple[str, str, Stored | None, Detected, Received[ComplianceEvaluated]]:
    event = received.event
    found = contracts.get(event.asset)
    return event.asset, event.source, found[0][0] if found else None, Detected.of(event), received


async def _derive(
    unit: TaggerUnit, evaluated: Sequence[Received[ComplianceEvaluated]], contracts: Contracts, house: House
) -> list[tuple[Received[ComplianceEvaluated], DerivedAsset]]:
    known = await unit.assets.known([asset_target(received.event.asset) for received in evaluated])
    declared: dict[str, tuple[DataSource, Declared]] = {}
    derived = []
    for received in evaluated:
        spec = received.event.spec
        if spec.key not in declared or declared[spec.key][0] != spec:
            declared[spec.key] = (spec, declare(source_claims(spec, house.owner), personal=house.personal))
        row = derive_asset(
            received.event,
            known.get(asset_target(received.event.asset)),
            declared=declared[spec.key][1],
            now=unit.bus.now,
            said_at=received.time,
            trace_id=cause_of(received).trace_id,
            personal=house.personal,
            contract=claims_of(contracts.get(received.event.asset, ()), house.owner),
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


async def on_contract_published(
    batch: Sequence[Received[ContractPublished]], *, store: Store, jobs: Jobs, house: House, shape: Shape
) -> None:
    """contract.published -> tags.derived of the assets that it describes, contract.compared where the data shows more; or rejected."""
    changes = [await asyncio.to_thread(_change, received, shape) for received in batch]
    held: set[str] = set()
    while True:
        try:
            async with store.unit(batch, keys={change.key for change in changes} | held) as unit:
                fresh = list(compress(changes, unit.bus.is_new))
                await unit.enqueue(jobs, await change_contracts(unit, fresh, held=held, house=house))
                return
        except Grown as grown:
            held = grown.keys


def _change(received: Received[ContractPublished], shape: Shape) -> Change:
    judged = None if received.tombstone else judge_contract(received.event.document(), shape=shape)
    key = judged.key if judged else key_of(received.key)
    return Change(key, judged, received, f"contract.published:{received.id}", received.time)


async def on_job_submitted(batch: Sequence[Received[JobSubmitted]], *, store: Store, jobs: Jobs, house: House, gate: Gate) -> None:
    """job.submitted -> tags.derived of the job, and a job for each resource that it names; or job.rejected says every problem."""
    requests = [(received, judge_job(received.event.document())) for received in batch]
    async with store.unit(batch, keys={judged.key for _, judged in requests}) as unit:
        for received, judged in compress(requests, unit.bus.is_new):
            actor = received.actor or Actor("event:unknown")
            tenant = SourceName.parse(judged.key).tenant
            allowed = gate.allows(actor, "job.submit", tenant, judged.key, via="event")
            problems = judged.problems if allowed else (_not_allowed(actor.id),)
            if judged.job and allowed:
                where = Where(f"job.submitted:{received.id}")
                derived, targets = await keep_job(unit, judged, where, received, house, said_at=received.time)
                await unit.enqueue(jobs, targets)
                problems = derived.problems
            if problems:
                unit.bus.emit(JobRejected(job=judged.key, problems=problems, request_id=received.id), key=judged.key, cause=received)
            result = "denied" if not allowed else "failed" if problems else "allowed"
            codes = ", ".join(sorted({problem.code for problem in problems}))[:200]
            unit.bus.audit(tenant, actor.id, "job.submit", judged.key, received, result, codes)


def _not_allowed(actor: str) -> Problem:
    return Problem(
        field="document",
        code="not_allowed",
        message=f"{actor} does not have the permission job.submit here",
        remedy="Sign the event as a producer that has it, or ask the operator (PURSIGHT_SIGNERS, PURSIGHT_UPSTREAM_ROLES).",
    )


async def on_asset_removed(batch: Sequence[Received[AssetRemoved]], *, store: Store, jobs: Jobs) -> None:
    """asset.removed -> tombstone of the asset's tags.derived. It counts for its scan; news older than what we know do not."""
    async with store.unit(batch) as unit:
        fresh = list(compress(batch, unit.bus.is_new))
        await _bury(unit, [(received, received.event.scan_id) for received in fresh])
        await unit.enqueue(jobs, await unit.reasons.ripen(received.event.source for received in fresh))


async def _bury(unit: TaggerUnit, gone: Sequence[tuple[Received[Any], str]]) -> None:
    """Forget assets by key, and say so of those that had tags."""
    known = await unit.assets.known([asset_target(received.key) for received, _ in gone])
    compared = await unit.declarations.compared([asset_target(received.key) for received, _ in gone])
    rows: dict[str, Gone] = {}
    for received, scan_id in gone:
        target = asset_target(received.key)
        before = known.get(target)
        if before and not received.tombstone and before.said_at > received.time:
            continue
        rows[target] = (target, received.key, source_of(received.key), scan_id, received.time)
        if before and not before.removed:
            unit.bus.tombstone(TagsDerived, key=target, cause=received)
        if compared.get(target, ("",))[0]:
            unit.bus.tombstone(ContractCompared, key=received.key, cause=received)
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
            compared = await unit.declarations.compared([target for target, _ in living])
            await unit.assets.bury([(target, asset, source, "", received.time) for target, asset in living])
            for target, asset in living:
                unit.bus.tombstone(TagsDerived, key=target, cause=received)
                if compared[target][0]:
                    unit.bus.tombstone(ContractCompared, key=asset, cause=received)
            home = await unit.assets.forget_source(source)
            await unit.reasons.forget(source)
            if home:
                await unit.reasons.ask(source, home, scan_id="", cause=cause)
                await unit.enqueue(jobs, [home])


MOST_LOOKS = 500  # at a time; the next round takes the others


async def look_for_drift(*, store: Store, jobs: Jobs, after_seconds: float) -> None:
    """Look again at resources that nobody looked at for so long: what is on them may have been changed by somebody else."""
    async with store.unit() as unit:
        found = await unit.resources.to_look_at(after_seconds, most=MOST_LOOKS)
        for resource in found:
            await unit.reasons.ask("", resource.target, scan_id="", cause=Cause.new(tenant=resource.tenant), kind="look")
        await unit.enqueue(jobs, [resource.target for resource in found])


async def look_for_overdue(*, store: Store, jobs: Jobs) -> None:
    """Apply what waited too long for assets that never came (dead letters, a stage that is down)."""
    async with store.unit() as unit:
        await unit.enqueue(jobs, await unit.reasons.ripen(await unit.reasons.overdue()))


def cause_of(received: Received[Any]) -> Cause:
    """What is kept of an event, so that a later job can name it as the cause."""
    return Cause(received.id, received.traceparent, received.tenant)
