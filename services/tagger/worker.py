"""The tagger's long work: bring one cloud resource to its tags. Intent stored, written, read back, result recorded.

No transaction is open while the cloud is awaited. One job runs per resource at a time; its writes are refused once another
worker has taken it over.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.tagger.domain.drift import DriftPolicy
from services.tagger.domain.house import House
from services.tagger.domain.resource import DerivedResource, ResourceState, derive_resource
from services.tagger.domain.wish import Applied
from services.tagger.gateway.clouds import Clouds
from services.tagger.store import SERVICE, Store, TaggerUnit
from services.tagger.store.reasons import Reason
from shared.bus.jobs import Job, Jobs
from shared.bus.received import Cause
from shared.contracts.base import Contract
from shared.contracts.tags import TagsApplied, TagsDerived, TagsFailed
from shared.errors import Failed, PurSightError, Transient
from shared.observe.names import counter

ATTEMPTS = 8  # of one job, where waiting may help; after that the next scan tries again
FIRST_WAIT, LONGEST_WAIT = 2.0, 300.0  # seconds


@dataclass(slots=True)
class Order:
    """What one job is to do, decided and stored before anything is written. `sequence` is the last number used."""

    target: str
    state: ResourceState
    derived: DerivedResource
    reasons: Sequence[Reason]
    sequence: int
    attempt: int

    @property
    def scans(self) -> list[str]:
        """The scans that this answers, one result each; empty for asks that no scan was behind."""
        return list(dict.fromkeys(reason.scan_id for reason in self.reasons))

    @property
    def quiet(self) -> bool:
        """A look for drift, which says nothing where it finds none."""
        return all(reason.kind == "look" for reason in self.reasons)

    def cause(self) -> Cause:
        """The newest reason's event; the number keeps the ids of what is said apart."""
        newest = self.reasons[-1].cause
        return Cause(f"{newest.id}/{self.sequence}", newest.traceparent, newest.tenant)

    def say(self, unit: TaggerUnit, event: Contract) -> None:
        unit.bus.emit(event, key=self.target, cause=self.cause())


async def apply(job: Job, *, store: Store, jobs: Jobs, clouds: Clouds, house: House) -> None:
    """Answer all reasons that are due for the job's target. Raises LostLease where another worker took over."""
    async with store.unit(keys=[job.key]) as unit:
        await jobs.check(unit.bus.connection, job)
        order = await _begin(unit, job, house)
    if order is None:
        return
    try:
        applied = await clouds.apply(order.derived.wish)
    except PurSightError as error:
        await _failed(order, error, job, store=store, jobs=jobs)
        return
    async with store.unit(keys=[job.key]) as unit:
        await _record(unit, order, applied)
        await jobs.finish(unit.bus.connection, job)
    if applied.outcome == "applied":
        counter("pursight_infrastructure_tags_applied", order.state.resource.provider).inc(len(applied.change.write))


async def _begin(unit: TaggerUnit, job: Job, house: House) -> Order | None:
    """Decide, say what the resource must carry where that is news, and store the intent."""
    reasons = await unit.reasons.due(job.key)
    state = await unit.state(job.key)
    if not reasons or state is None:
        await unit.reasons.close(reasons)
        return None
    trace_id = reasons[-1].trace_id
    scan_id = state.scan_id if reasons[-1].kind == "look" else reasons[-1].scan_id
    policy: DriftPolicy | None = None
    if any(reason.kind == "asked" for reason in reasons):  # a person wants it as it should be, whoever changed it
        state, policy = replace(state, seen={}), "restore"
    derived = derive_resource(state, now=unit.bus.now, trace_id=trace_id, cause=_why(reasons[-1], state), house=house, policy=policy)
    order = Order(job.key, state, derived, reasons, state.sequence, job.attempt)
    quiet = order.quiet and derived.digest == state.digest
    if derived.tags and not quiet and (derived.digest != state.digest or scan_id != state.scan_id):
        order.sequence += 1
        order.say(unit, derived.event(state, sequence=order.sequence, scan_id=scan_id, trace_id=trace_id))
    await unit.resources.begin(state, derived, sequence=order.sequence, scan_id=scan_id, attempt=job.attempt)
    return order


def _why(reason: Reason, state: ResourceState) -> str:
    if any(here.key == reason.source for here in state.jobs):
        return f"job.submitted:{reason.source}"
    return f"scan.completed:{reason.scan_id}" if reason.scan_id else reason.kind or "changed"


async def _record(unit: TaggerUnit, order: Order, applied: Applied) -> None:
    """One result per scan; where nothing is left to carry, the target's place on the compacted topic is cleared."""
    change = applied.change
    told = _told(applied)
    for scan_id in order.scans if not (order.quiet and _known(order, applied)) else ():
        order.sequence += 1
        order.say(unit, _failure(order, told, scan_id, applied) if told else _result(order, scan_id, applied))
    gone = not order.derived.tags
    if gone:
        unit.bus.tombstone(TagsDerived, key=order.target, cause=order.cause())
    if applied.outcome == "applied":
        _audit(unit, order, "allowed", f"{len(change.write)} written, {len(change.remove)} removed, {change.kept} of others kept")
    await unit.resources.done(order.target, applied, sequence=order.sequence, told=told, gone=gone)
    await unit.reasons.close(order.reasons)


def _known(order: Order, applied: Applied) -> bool:
    """Nothing was done, and nothing is otherwise than it was told before."""
    return applied.outcome == "unchanged" and set(applied.change.let_be) == set(order.state.drifted)


def _about(order: Order, scan_id: str) -> dict[str, Any]:
    """What every result says of its resource."""
    state = order.state
    return {
        "target": order.target,
        "source": state.source,
        "job": state.job,
        "resource": state.resource.id,
        "provider": state.resource.provider,
        "sequence": order.sequence,
        "scan_id": scan_id,
    }


def _result(order: Order, scan_id: str, applied: Applied) -> TagsApplied:
    change = applied.change
    return TagsApplied(
        **_about(order, scan_id),
        outcome=applied.outcome,
        written=tuple(change.write),
        removed=change.remove,
        kept=change.kept,
        drifted=change.drifted,
        held=change.conflicts,
        left_out=change.left_out,
        digest=order.derived.digest,
    )


def _told(applied: Applied) -> Failed | None:
    """What is said of our tags that somebody else changed and that were not put back."""
    keys = ", ".join(applied.change.let_be)
    if applied.contested:
        return Failed(
            "two writers set the same tags",
            why=f"{keys}: each time they were put back, the same other value came again",
            remedy="Let one of both write them: take the keys out of the other's configuration, in Terraform by lifecycle ignore_changes "
            "or the provider's ignore_tags. `pursight tags apply TARGET` writes ours once more.",
            code="two_writers",
        )
    if applied.change.let_be:
        return Failed(
            "somebody changed our tags",
            why=f"{keys}: not put back, because the operator wants to be asked",
            remedy="`pursight tags apply TARGET` puts them back; PURSIGHT_TAG_DRIFT=restore does so by itself.",
            code="tags_drifted",
        )
    return None


def _failure(order: Order, error: PurSightError, scan_id: str, applied: Applied | None = None, *, again: bool = False) -> TagsFailed:
    return TagsFailed(
        **_about(order, scan_id),
        code=error.code,
        cause=f"{error.what}: {error.why}" if error.why else error.what,
        remedy=error.remedy,
        drifted=applied.change.let_be if applied else (),
        attempts=order.attempt,
        will_retry=again,
    )


async def _failed(order: Order, error: PurSightError, job: Job, *, store: Store, jobs: Jobs) -> None:
    """Record why; try again later where that may help. Each failure is said, with whether it will be tried again."""
    again = isinstance(error, Transient) and order.attempt < ATTEMPTS
    async with store.unit(keys=[order.target]) as unit:
        for scan_id in order.scans:
            order.sequence += 1
            order.say(unit, _failure(order, error, scan_id, again=again))
        await unit.resources.failed(order.target, sequence=order.sequence, error=error)
        if again:
            await jobs.fail(unit.bus.connection, job, _wait(order.attempt), code=error.code)
            return
        _audit(unit, order, "failed", error.code)
        await unit.reasons.close(order.reasons)
        await jobs.finish(unit.bus.connection, job)


def _wait(attempt: int) -> float:
    """Seconds: doubles up to five minutes, the half of it random."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt)
    return random.uniform(longest / 2, longest)


def _audit(unit: TaggerUnit, order: Order, result: str, detail: str) -> None:
    unit.bus.audit(order.state.resource.tenant, f"service:{SERVICE}", "tags.apply", order.target, order.cause(), result, detail)
