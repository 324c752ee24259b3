"""The tagger's long work: bring one cloud resource to its tags. Intent stored, written, read back, result recorded.

No transaction is open while the cloud is awaited. One job runs per resource at a time; its writes are refused once another
worker has taken it over.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from services.tagger.domain.claims import Owner
from services.tagger.domain.privacy import Scrub, handle_of
from services.tagger.domain.resource import DerivedResource, ResourceState, derive_resource
from services.tagger.domain.wish import Applied
from services.tagger.gateway.clouds import Clouds
from services.tagger.store import SERVICE, Store, TaggerUnit
from services.tagger.store.reasons import Reason
from shared.bus.jobs import Job, Jobs
from shared.bus.received import Cause
from shared.contracts.base import Contract
from shared.contracts.tags import TagsApplied, TagsDerived, TagsFailed
from shared.errors import PurSightError, Transient

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

    def cause(self) -> Cause:
        """The newest reason's event; the number keeps the ids of what is said apart."""
        newest = self.reasons[-1].cause
        return Cause(f"{newest.id}/{self.sequence}", newest.traceparent, newest.tenant)

    def say(self, unit: TaggerUnit, event: Contract) -> None:
        unit.bus.emit(event, key=self.target, cause=self.cause())


async def apply(job: Job, *, store: Store, jobs: Jobs, clouds: Clouds, personal: Scrub, owner: Owner = handle_of) -> None:
    """Answer all reasons that are due for the job's target. Raises LostLease where another worker took over."""
    async with store.unit(keys=[job.key]) as unit:
        await jobs.check(unit.bus.connection, job)
        order = await _begin(unit, job, personal, owner)
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


async def _begin(unit: TaggerUnit, job: Job, personal: Scrub, owner: Owner = handle_of) -> Order | None:
    """Decide, say what the resource must carry where that is news, and store the intent."""
    reasons = await unit.reasons.due(job.key)
    state = await unit.state(job.key)
    if not reasons or state is None:
        await unit.reasons.close(reasons)
        return None
    trace_id, scan_id = reasons[-1].trace_id, reasons[-1].scan_id
    derived = derive_resource(state, now=unit.bus.now, trace_id=trace_id, cause=_why(reasons[-1]), personal=personal, owner=owner)
    order = Order(job.key, state, derived, reasons, state.sequence, job.attempt)
    if derived.tags and (derived.digest != state.digest or scan_id != state.scan_id):
        order.sequence += 1
        order.say(unit, derived.event(state, sequence=order.sequence, scan_id=scan_id, trace_id=trace_id))
    await unit.resources.begin(state, derived, sequence=order.sequence, scan_id=scan_id, attempt=job.attempt)
    return order


def _why(reason: Reason) -> str:
    return f"scan.completed:{reason.scan_id}" if reason.scan_id else "asked"


async def _record(unit: TaggerUnit, order: Order, applied: Applied) -> None:
    """One result per scan; where nothing is left to carry, the target's place on the compacted topic is cleared."""
    state, change = order.state, applied.change
    for scan_id in order.scans:
        order.sequence += 1
        event = TagsApplied(
            target=order.target,
            source=state.source,
            resource=state.resource.id,
            provider=state.resource.provider,
            sequence=order.sequence,
            scan_id=scan_id,
            outcome=applied.outcome,
            written=tuple(change.write),
            removed=change.remove,
            kept=change.kept,
            digest=order.derived.digest,
        )
        order.say(unit, event)
    gone = not order.derived.tags
    if gone:
        unit.bus.tombstone(TagsDerived, key=order.target, cause=order.cause())
    if applied.outcome == "applied":
        _audit(unit, order, "allowed", f"{len(change.write)} written, {len(change.remove)} removed, {change.kept} of others kept")
    await unit.resources.done(order.target, sequence=order.sequence, outcome=applied.outcome, own=applied.own, change=change, gone=gone)
    await unit.reasons.close(order.reasons)


async def _failed(order: Order, error: PurSightError, job: Job, *, store: Store, jobs: Jobs) -> None:
    """Record why; try again later where that may help. Each failure is said, with whether it will be tried again."""
    again = isinstance(error, Transient) and order.attempt < ATTEMPTS
    state = order.state
    async with store.unit(keys=[order.target]) as unit:
        for scan_id in order.scans:
            order.sequence += 1
            event = TagsFailed(
                target=order.target,
                source=state.source,
                resource=state.resource.id,
                provider=state.resource.provider,
                sequence=order.sequence,
                scan_id=scan_id,
                code=error.code,
                cause=f"{error.what}: {error.why}" if error.why else error.what,
                remedy=error.remedy,
                attempts=order.attempt,
                will_retry=again,
            )
            order.say(unit, event)
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
