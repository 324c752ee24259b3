"""From all sources that live on one cloud resource to the tags that it must carry now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.tagger.domain.claims import Owner, evidence_claims, source_claims
from services.tagger.domain.declared import Where, contract_claims
from services.tagger.domain.derive import missing_keys
from services.tagger.domain.facts import Fact
from services.tagger.domain.labels import convert
from services.tagger.domain.odcs import Normal
from services.tagger.domain.plan import Conflict, digest, plan, stamped
from services.tagger.domain.privacy import Scrub, handle_of
from services.tagger.domain.targets import Resource, rules_of
from services.tagger.domain.vocabulary import importance
from services.tagger.domain.wish import Wish
from shared.contracts.source import CloudConfig, DataSource
from shared.contracts.tags import Tag, TagsDerived


@dataclass(frozen=True, slots=True)
class ResourceState:
    """What is stored of a resource: the sources on it that have assets, their facts added up, and what we said and wrote before.

    `ours` are the keys that we may change there, with the values that we gave or meant to give them; `contracts` are the
    data contracts of these sources.
    """

    resource: Resource
    source: str
    cloud: CloudConfig
    specs: Sequence[DataSource]
    facts: Sequence[Fact]
    tags: Sequence[Tag] = ()
    digest: str = ""
    sequence: int = 0
    scan_id: str = ""
    ours: Mapping[str, set[str]] | None = None
    contracts: Sequence[tuple[Normal, Where]] = ()


@dataclass(frozen=True, slots=True)
class DerivedResource:
    """The tags of a cloud resource in our words, and the wish in those of its provider. `mapping` leads back: key to (key, value)."""

    tags: tuple[Tag, ...]
    digest: str
    conflicts: tuple[Conflict, ...]
    mapping: dict[str, tuple[str, str]]
    wish: Wish

    def event(self, state: ResourceState, *, sequence: int, scan_id: str, trace_id: str) -> TagsDerived:
        """The fact to say."""
        return TagsDerived(
            target=state.resource.target,
            source=state.source,
            resource=state.resource.id,
            provider=state.resource.provider,
            sequence=sequence,
            scan_id=scan_id,
            tags=self.tags,
            removed_keys=missing_keys(state.tags, self.tags),
            digest=self.digest,
            trace_id=trace_id,
        )


def derive_resource(
    state: ResourceState, *, now: datetime, trace_id: str, cause: str, personal: Scrub, owner: Owner = handle_of
) -> DerivedResource:
    """The tags of all sources on this resource together; none where no source is left."""
    tags: tuple[Tag, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    if state.specs:
        claims = [claim for spec in state.specs for claim in source_claims(spec, owner)]
        claims += [claim for normal, where in state.contracts for claim in contract_claims(normal, where, owner)]
        planned = plan((*claims, *evidence_claims(state.facts)), personal=personal)
        stamps = stamped(planned.tags, state.tags, now=now, trace_id=trace_id, cause=cause)
        tags = tuple(sorted(stamps, key=lambda tag: importance(tag.key)))
        conflicts = planned.conflicts
    rules = rules_of(state.resource)
    converted = convert({tag.key: tag.value for tag in tags}, rules)
    wish = Wish(state.resource, state.cloud, converted.tags, state.ours or {}, rules.most)
    return DerivedResource(tags, digest(tags), conflicts, converted.origins, wish)
