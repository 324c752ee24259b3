"""The complete tag set of one job: what the job says, what its asset's contract says, and what scans found in the asset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.tagger.domain.claims import evidence_claims
from services.tagger.domain.declared import Where, contract_claims, job_claims
from services.tagger.domain.facts import Fact
from services.tagger.domain.house import House
from services.tagger.domain.labels import RULES, Converted, Rules, convert
from services.tagger.domain.odcs import Normal
from services.tagger.domain.plan import Conflict, digest, plan, stamped
from services.tagger.domain.policy import broken, problems_of
from services.tagger.domain.vocabulary import importance
from shared.contracts.job import JobConfig
from shared.contracts.source import Problem
from shared.contracts.tags import Tag


@dataclass(frozen=True, slots=True)
class DerivedJob:
    """The tags of everything that the job runs on, most important first, which claims lost, and what scans found in its asset.

    `prefix`: how all our keys begin on what carries them; `problems`: what the operator's policy asks for and the job does not have.
    """

    tags: tuple[Tag, ...]
    conflicts: tuple[Conflict, ...]
    facts: tuple[Fact, ...] = ()
    prefix: str = ""
    problems: tuple[Problem, ...] = ()

    @property
    def digest(self) -> str:
        return digest(self.tags)

    def for_target(self, target: str) -> ForTarget:
        """The tags in the form of one kind of target (a key of `labels.RULES`), and those that it has no room for."""
        return fitted(self.tags, RULES[target], self.prefix)


@dataclass(frozen=True, slots=True)
class ForTarget:
    """`left_out`: our keys that exceed the count a resource may have."""

    converted: Converted
    left_out: tuple[str, ...]


def fitted(tags: Sequence[Tag], rules: Rules, prefix: str) -> ForTarget:
    """As many tags as one resource of this kind may carry, the least important left out."""
    converted = convert({tag.key: tag.value for tag in tags[: rules.most]}, rules, prefix=prefix)
    return ForTarget(converted, tuple(tag.key for tag in tags[rules.most :]))


def derive_job(
    job: tuple[JobConfig, Where],
    contract: tuple[Normal, Where] | None,
    facts: Iterable[Fact],
    *,
    before: Sequence[Tag] = (),
    now: datetime,
    trace_id: str = "",
    cause: str,
    house: House,
) -> DerivedJob:
    """All tags by one precedence (`claims.Strength`). `before`: the job's former tags, whose stamps stay while the content does."""
    facts = tuple(facts)
    claims = [*job_claims(*job, house.owner), *evidence_claims(facts)]
    if contract:
        claims += contract_claims(*contract, house.owner)
    planned = plan(claims, personal=house.personal)
    tags = stamped(planned.tags, before, now=now, trace_id=trace_id, cause=cause)
    told = tuple(broken(planned.tags, house.policy))
    sorted_tags = tuple(sorted(tags, key=lambda tag: importance(tag.key)))
    return DerivedJob(sorted_tags, (*planned.conflicts, *told), facts, house.prefix, problems_of(told, house.policy))
