"""From all sources and jobs that live on one cloud resource to the tags that it must carry now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.tagger.domain.claims import Claim, Owner, evidence_claims, source_claims
from services.tagger.domain.declared import Where, contract_claims, job_claims
from services.tagger.domain.derive import missing_keys
from services.tagger.domain.drift import DriftPolicy, Other
from services.tagger.domain.facts import Fact
from services.tagger.domain.house import House
from services.tagger.domain.labels import RULES, Converted, convert, convert_for_object, under
from services.tagger.domain.odcs import Normal
from services.tagger.domain.plan import Conflict, digest, plan, stamped
from services.tagger.domain.policy import broken
from services.tagger.domain.targets import Resource, rules_of
from services.tagger.domain.vocabulary import importance
from services.tagger.domain.wish import Wish
from shared.contracts.job import JobConfig
from shared.contracts.source import CloudConfig, DataSource
from shared.contracts.tags import Tag, TagsDerived

UNCOUNTED = 10_000  # Kubernetes limits the size of all annotations together, not their number
MARKS = ("ManagedBy", "TenantId")  # by these a resource is known for ours


@dataclass(frozen=True, slots=True)
class JobHere:
    """A job that runs on a resource, with its asset's contract and what scans found in the assets that the contract describes."""

    key: str
    job: JobConfig
    where: Where
    contract: tuple[Normal, Where] | None = None
    facts: Sequence[Fact] = ()

    def claims(self, owner: Owner) -> Iterator[Claim]:
        """All that speaks for this job's tags."""
        yield from job_claims(self.job, self.where, owner)
        yield from evidence_claims(self.facts)
        if self.contract:
            yield from contract_claims(*self.contract, owner)


@dataclass(frozen=True, slots=True)
class ResourceState:
    """What is stored of a resource: the sources on it that have assets, their facts added up, jobs, and what we said and wrote before.

    `ours` are the keys that we may change there, with the values that we gave or meant to give them; `contracts` are the
    data contracts of these sources; `cloud` is how a source signs in there, None where jobs alone name the resource; `seen` is what
    somebody else did to our keys, and `drifted` those that were told as left so.
    """

    resource: Resource
    source: str
    cloud: CloudConfig | None
    specs: Sequence[DataSource]
    facts: Sequence[Fact]
    tags: Sequence[Tag] = ()
    digest: str = ""
    sequence: int = 0
    scan_id: str = ""
    ours: Mapping[str, set[str]] | None = None
    contracts: Sequence[tuple[Normal, Where]] = ()
    jobs: Sequence[JobHere] = ()
    seen: Mapping[str, Other] = field(default_factory=dict)
    drifted: tuple[str, ...] = ()

    @property
    def job(self) -> str:
        """The first job by name; empty where there is none."""
        return self.jobs[0].key if self.jobs else ""


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
            job=state.job,
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
    state: ResourceState, *, now: datetime, trace_id: str, cause: str, house: House, policy: DriftPolicy | None = None
) -> DerivedResource:
    """The tags of all sources and jobs on this resource together; none where nothing is left. `policy` goes before the house's."""
    tags: tuple[Tag, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    if state.specs or state.jobs:
        planned = plan(_claims(state, house.owner), personal=house.personal)
        stamps = stamped(planned.tags, state.tags, now=now, trace_id=trace_id, cause=cause)
        tags = tuple(sorted(stamps, key=lambda tag: importance(tag.key)))
        conflicts = (*planned.conflicts, *broken(planned.tags, house.policy))
    converted = _converted(state, tags, house)
    rules = rules_of(state.resource)
    many = rules.most if rules.name != "kubernetes" else UNCOUNTED
    marks = {key: converted.tags[key] for key, (ours, _) in converted.origins.items() if ours in MARKS}
    wish = Wish(
        state.resource,
        state.cloud,
        converted.tags,
        state.ours or {},
        many,
        marks=marks,
        under=under(house.prefix, rules) if rules.name != "kubernetes" else "",
        seen=state.seen,
        policy=policy or house.drift,
    )
    return DerivedResource(tags, digest(tags), conflicts, converted.origins, wish)


def _claims(state: ResourceState, owner: Owner) -> Iterator[Claim]:
    for spec in state.specs:
        yield from source_claims(spec, owner)
    for normal, where in state.contracts:
        yield from contract_claims(normal, where, owner)
    for here in state.jobs:
        yield from here.claims(owner)
    yield from evidence_claims(state.facts)


def _converted(state: ResourceState, tags: Sequence[Tag], house: House) -> Converted:
    """In the provider's words. An object of Kubernetes also gets the labels and annotations that its jobs ask for."""
    plain = {tag.key: tag.value for tag in tags}
    rules = rules_of(state.resource)
    if rules.name != "kubernetes":
        return convert(plain, rules, prefix=house.prefix)
    found = convert_for_object(plain, prefix=house.prefix)
    for here in state.jobs:
        metadata = here.job.infrastructure.metadata
        for kind, given, form in (
            ("labels", metadata.labels, RULES["kubernetes"]),
            ("annotations", metadata.annotations, RULES["kubernetes-annotation"]),
        ):
            for key, value in convert(given, form).tags.items():
                if not house.personal(key) and not house.personal(value):
                    found.tags.setdefault(f"{kind}/{key}", value)
                    found.origins.setdefault(f"{kind}/{key}", (key, value))
    return found
