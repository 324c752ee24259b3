"""From an evaluated asset to the tags that it must carry now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.tagger.domain.claims import Claim, asset_claims, evidence_claims
from services.tagger.domain.facts import Fact, facts_of
from services.tagger.domain.plan import Conflict, Declared, digest, plan, stamped
from services.tagger.domain.privacy import Scrub
from services.tagger.domain.targets import asset_target
from shared.contracts.compliance import ClassCount, ComplianceEvaluated
from shared.contracts.tags import Tag, TagsDerived


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of an asset."""

    sequence: int
    based_on: int
    scan_id: str
    digest: str
    tags: tuple[Tag, ...]
    removed: bool
    said_at: datetime


@dataclass(frozen=True, slots=True)
class DerivedAsset:
    """The tags of one asset. `news`: worth saying. `late`: changed after its scan was counted. `changed`: they are others than before."""

    target: str
    asset: str
    source: str
    sequence: int
    based_on: int
    scan_id: str
    digest: str
    tags: tuple[Tag, ...]
    removed_keys: tuple[str, ...]
    conflicts: tuple[Conflict, ...]
    facts: tuple[Fact, ...]
    classes: tuple[ClassCount, ...]
    trace_id: str
    said_at: datetime
    news: bool
    late: bool
    changed: bool = True

    def event(self) -> TagsDerived:
        """The fact to say."""
        return TagsDerived(
            target=self.target,
            source=self.source,
            asset=self.asset,
            sequence=self.sequence,
            based_on=self.based_on,
            scan_id=self.scan_id,
            tags=self.tags,
            removed_keys=self.removed_keys,
            digest=self.digest,
            trace_id=self.trace_id,
        )


def derive_asset(
    event: ComplianceEvaluated,
    known: Known | None,
    *,
    declared: Declared,
    now: datetime,
    said_at: datetime,
    trace_id: str,
    personal: Scrub,
    contract: Sequence[Claim] = (),
) -> DerivedAsset | None:
    """The asset's tags; None where the event is not newer than what was derived from. Said always for a new scan, so that it can count.

    `contract` is what the asset's data contracts claim.
    """
    if known and event.sequence <= known.based_on:
        return None
    facts = facts_of(event)
    planned = plan((*asset_claims(event.asset), *evidence_claims(facts), *contract), personal=personal, declared=declared)
    before = known.tags if known else ()
    tags = stamped(planned.tags, before, now=now, trace_id=trace_id, cause=f"compliance.evaluated:{event.asset}")
    sum_of_tags = digest(tags)
    changed = known is None or known.removed or known.digest != sum_of_tags
    same_scan = known is not None and known.scan_id == event.scan_id
    news = changed or not same_scan
    return DerivedAsset(
        target=asset_target(event.asset),
        asset=event.asset,
        source=event.source,
        sequence=(known.sequence if known else 0) + news,
        based_on=event.sequence,
        scan_id=event.scan_id,
        digest=sum_of_tags,
        tags=tags,
        removed_keys=missing_keys(before, tags),
        conflicts=planned.conflicts,
        facts=facts,
        classes=event.classes,
        trace_id=trace_id,
        said_at=said_at,
        news=news,
        late=changed and same_scan,
        changed=changed,
    )


def derive_again(
    asset: str,
    source: str,
    known: Known,
    facts: tuple[Fact, ...],
    classes: tuple[ClassCount, ...],
    *,
    declared: Declared,
    contract: Sequence[Claim],
    now: datetime,
    trace_id: str,
    cause: str,
    personal: Scrub,
) -> DerivedAsset | None:
    """The tags of an asset that is as it was, because a contract changed; None where they stay the same."""
    planned = plan((*asset_claims(asset), *evidence_claims(facts), *contract), personal=personal, declared=declared)
    tags = stamped(planned.tags, known.tags, now=now, trace_id=trace_id, cause=cause)
    if digest(tags) == known.digest:
        return None
    return DerivedAsset(
        target=asset_target(asset),
        asset=asset,
        source=source,
        sequence=known.sequence + 1,
        based_on=known.based_on,
        scan_id=known.scan_id,
        digest=digest(tags),
        tags=tags,
        removed_keys=missing_keys(known.tags, tags),
        conflicts=planned.conflicts,
        facts=facts,
        classes=classes,
        trace_id=trace_id,
        said_at=known.said_at,
        news=True,
        late=True,
    )


def missing_keys(before: Iterable[Tag], now: Iterable[Tag]) -> tuple[str, ...]:
    """Keys that were there and are not any more."""
    return tuple(sorted({tag.key for tag in before} - {tag.key for tag in now}))
