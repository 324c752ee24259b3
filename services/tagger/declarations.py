"""What contracts and jobs change, inside one unit of work: tags of the assets that a contract describes, its findings, a job's tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from services.tagger.domain.claims import Claim, Owner, source_claims
from services.tagger.domain.compare import Detected, Finding, compare, part_of
from services.tagger.domain.declared import Where, contract_claims
from services.tagger.domain.derive import DerivedAsset, derive_again, missing_keys
from services.tagger.domain.house import House
from services.tagger.domain.job import DerivedJob, derive_job
from services.tagger.domain.odcs import JudgedContract
from services.tagger.domain.placed import Skipped, placed
from services.tagger.domain.plan import declare
from services.tagger.domain.targets import Resource, asset_target, job_target
from services.tagger.store import TaggerUnit
from services.tagger.store.declared import Described, Stored, StoredJob
from shared.bus.received import AnyCause, Cause
from shared.contracts.job import JobConfig
from shared.contracts.judging.contract import is_of
from shared.contracts.judging.job import JudgedJob, judge_job
from shared.contracts.names import SourceName
from shared.contracts.rules import ContractCompared, ContractFinding, ContractRejected
from shared.contracts.source import DataSource
from shared.contracts.tags import TagsApplied, TagsDerived


class Change(NamedTuple):
    """A contract that was published, or with `judged` None, taken back."""

    key: str
    judged: JudgedContract | None
    cause: AnyCause
    origin: str
    said_at: datetime

    @property
    def tenant(self) -> str:
        return SourceName.parse(self.key).tenant


class Grown(Exception):
    """More assets are described than were locked: once more, with these keys."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__()
        self.keys = keys


def of_asset(stored: Iterable[Stored], spec: DataSource, asset: str) -> list[tuple[Stored, str]]:
    """The contracts that describe this asset, each with the path of the object that does."""
    found = [(each, part_of(each.normal.contract, asset)) for each in stored if is_of(each.normal.contract, spec)]
    return [(each, part) for each, part in found if part]


def claims_of(found: Iterable[tuple[Stored, str]], owner: Owner) -> list[Claim]:
    """What these contracts claim for the asset."""
    return [claim for each, part in found for claim in contract_claims(each.normal, each.where, owner, part=part)]


async def say_findings(unit: TaggerUnit, looked: Sequence[tuple[str, str, Stored | None, Detected, AnyCause]]) -> None:
    """Compare (asset, source, its contract, what was found, cause) and say what changed; where no contract is left, nothing stands."""
    before = await unit.declarations.compared([asset_target(asset) for asset, *_ in looked])
    rows = list[tuple[str, str, tuple[Finding, ...], int]]()
    for asset, source, stored, detected, cause in looked:
        target = asset_target(asset)
        was, known, number = before.get(target, ("", (), 0))
        if stored is None:
            if was:
                unit.bus.tombstone(ContractCompared, key=asset, cause=cause)
                rows.append((target, "", (), number))
            continue
        findings = compare(stored.normal, [detected])
        if (was, known) == (stored.key, findings):
            continue
        told = tuple(ContractFinding(**{name: text for name, text in each.as_dict().items() if name != "asset"}) for each in findings)
        event = ContractCompared(asset=asset, source=source, contract=stored.key, sequence=number + 1, findings=told)
        unit.bus.emit(event, key=asset, cause=cause)
        rows.append((target, stored.key, findings, number + 1))
    await unit.declarations.save_findings(rows)


async def change_contracts(unit: TaggerUnit, changes: Sequence[Change], *, held: set[str], house: House) -> list[str]:
    """Keep these contracts or say why not, and derive anew what they describe; returns the resources to look at.

    Raises Grown where that takes the locks of more assets than `held`.
    """
    await unit.declarations.hold({change.tenant for change in changes}, alone=True)
    affected: dict[str, tuple[Described, AnyCause]] = {}
    for change in changes:
        affected |= {each.asset: (each, change.cause) for each in await _described(unit, change)}
    if not affected.keys() <= held:
        raise Grown(held | affected.keys())
    for change in changes:
        await _keep(unit, change)
    targets = await _derive(unit, affected, {change.tenant for change in changes}, house)
    return [*targets, *await derive_jobs(unit, {change.key: change.cause for change in changes}, house)]


async def _described(unit: TaggerUnit, change: Change) -> list[Described]:
    """The assets that the contract described before, and those that it describes now."""
    before = await unit.declarations.contract(change.key)
    now = change.judged.contract if change.judged else None
    if change.judged and not now:
        return []
    both = [normal for normal in (before.normal if before else None, now) if normal]
    return [each for normal in both for each in await unit.declarations.described(normal, change.tenant)]


async def _keep(unit: TaggerUnit, change: Change) -> None:
    if change.judged is None:
        await unit.declarations.forget(change.key)
    elif change.judged.contract:
        await unit.declarations.save(change.key, change.tenant, change.judged, origin=change.origin, said_at=change.said_at)
    else:
        event = ContractRejected(contract=change.key, problems=change.judged.problems, request_id=change.cause.id)
        unit.bus.emit(event, key=change.key, cause=change.cause)


async def _derive(unit: TaggerUnit, affected: dict[str, tuple[Described, AnyCause]], tenants: set[str], house: House) -> list[str]:
    stored = await unit.declarations.contracts(tenants, affected)
    looked, rows, sources = [], list[tuple[DerivedAsset, AnyCause]](), dict[str, AnyCause]()
    for each, cause in affected.values():
        found = of_asset(stored, each.spec, each.asset)
        if row := _again(each, claims_of(found, house.owner), unit, cause, house):
            rows.append((row, cause))
        sources[each.source] = cause
        looked.append((each.asset, each.source, found[0][0] if found else None, each.detected, cause))
    await unit.assets.save([row for row, _ in rows])
    for row, cause in rows:
        unit.bus.emit(row.event(), key=row.target, cause=cause)
    await say_findings(unit, looked)
    for source, cause in sources.items():
        await unit.reasons.ask(source, "", scan_id="", cause=Cause(cause.id, cause.traceparent, cause.tenant))
    return await unit.reasons.ripen(sources)


def _again(each: Described, claims: Sequence[Claim], unit: TaggerUnit, cause: AnyCause, house: House) -> DerivedAsset | None:
    return derive_again(
        each.asset,
        each.source,
        each.known,
        each.facts,
        each.detected.classes,
        declared=declare(source_claims(each.spec, house.owner), personal=house.personal),
        contract=claims,
        now=unit.bus.now,
        trace_id=cause.traceparent[3:35],
        cause=f"contract.published:{cause.id}",
        personal=house.personal,
    )


async def plan_job(unit: TaggerUnit, job: JobConfig, key: str, where: Where, cause: AnyCause, house: House) -> DerivedJob:
    """The job's tags, with its asset's published contract and what scans found in the assets that the contract describes."""
    stored = await unit.declarations.contract(key)
    facts = [fact for each in (await unit.declarations.described(stored.normal, job.tenant_id) if stored else ()) for fact in each.facts]
    before = await unit.declarations.job(key)
    return derive_job(
        (job, where),
        (stored.normal, stored.where) if stored else None,
        facts,
        before=before.tags if before else (),
        now=unit.bus.now,
        trace_id=cause.traceparent[3:35],
        cause=where.name,
        house=house,
    )


async def keep_job(
    unit: TaggerUnit, judged: JudgedJob, where: Where, cause: AnyCause, house: House, *, said_at: datetime
) -> tuple[DerivedJob, list[str]]:
    """Keep a job, say its tags and what of it carries none; returns with them the resources to look at. Nothing is kept where a newer
    job is, or where the operator's policy has `problems` with its tags."""
    job, key = judged.job, judged.key
    assert job, "the caller refuses what is no job"
    before = await unit.declarations.job(key)
    derived = await plan_job(unit, job, key, where, cause, house)
    if derived.problems:
        return derived, []
    resources, skipped = placed(job)
    tenant = SourceName.parse(key).tenant
    kept = await unit.declarations.save_job(key, tenant, judged.document, derived, origin=where.name, said_at=said_at, skipped=skipped)
    if not kept:
        return derived, []
    targets = await unit.declarations.place_job(key, resources)
    await _say_job(unit, key, before, derived, skipped, cause)
    return derived, await _ask(unit, key, targets, cause)


async def derive_jobs(unit: TaggerUnit, causes: Mapping[str, AnyCause], house: House) -> list[str]:
    """Derive the jobs of these keys anew, because their contract or what scans found has changed; returns the resources to look at."""
    targets: list[str] = []
    if not causes:
        return targets
    for key in await unit.declarations.known_jobs(causes):
        before, cause = await unit.declarations.job(key), causes[key]
        judged = judge_job(before.document) if before else None
        if before is None or judged is None or judged.job is None:
            continue
        derived = await plan_job(unit, judged.job, key, Where(before.origin), cause, house)
        resources, skipped = placed(judged.job)
        if (derived.digest, derived.facts) == (before.digest, before.facts):
            continue
        tenant = SourceName.parse(key).tenant
        await unit.declarations.save_job(
            key, tenant, before.document, derived, origin=before.origin, said_at=before.said_at, skipped=skipped
        )
        await _say_job(unit, key, before, derived, (), cause)
        targets += await _ask(unit, key, [each.target for each in resources], cause)
    return targets


async def withdraw_job(unit: TaggerUnit, key: str, cause: AnyCause) -> list[str] | None:
    """Forget a job; returns the resources that lose its tags. None where there is none."""
    if await unit.declarations.job(key) is None:
        return None
    targets = await unit.declarations.place_job(key, ())
    await unit.declarations.forget_job(key)
    unit.bus.tombstone(TagsDerived, key=job_target(key), cause=cause)
    return await _ask(unit, key, targets, cause)


async def _ask(unit: TaggerUnit, key: str, targets: Sequence[str], cause: AnyCause) -> list[str]:
    for target in targets:
        await unit.reasons.ask(key, target, scan_id="", cause=Cause(cause.id, cause.traceparent, cause.tenant))
    return list(targets)


async def _say_job(
    unit: TaggerUnit, key: str, before: StoredJob | None, derived: DerivedJob, skipped: Sequence[Skipped], cause: AnyCause
) -> None:
    """Its tags, where they changed, and one result for each thing that it names and that carries none."""
    news = before is None or before.digest != derived.digest
    number = await unit.declarations.number_job(key, news + len(skipped))
    target = job_target(key)
    if news:
        gone = missing_keys(before.tags if before else (), derived.tags)
        told = {
            "sequence": number,
            "tags": derived.tags,
            "removed_keys": gone,
            "digest": derived.digest,
            "trace_id": cause.traceparent[3:35],
        }
        unit.bus.emit(TagsDerived(target=target, job=key, **told), key=target, cause=cause)
    for place, each in enumerate(skipped, number + news):
        resource = Resource(SourceName.parse(key).tenant, "aws", f"{each.path}={each.written}")
        why = {"code": each.code, "cause": each.cause, "remedy": each.remedy}
        event = TagsApplied(
            target=resource.target, job=key, resource=each.written, provider=each.provider, sequence=place, outcome="skipped", **why
        )
        unit.bus.emit(event, key=resource.target, cause=cause)
