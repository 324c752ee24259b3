"""Discovery's door for events: sources that can be reached, requests to look, sources that went away. Each stores a job."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import compress
from typing import Any

from services.discovery.store import DiscoveryUnit, Scan, Store
from shared.access.actor import Actor
from shared.access.gate import Gate
from shared.bus.jobs import Jobs
from shared.bus.received import Received
from shared.contracts.connection import Diagnosis, SourceConnected, SourceFailedOver
from shared.contracts.envelope import event_id
from shared.contracts.names import SourceName
from shared.contracts.rules import RulesetPublished
from shared.contracts.scan import ScanFailed, ScanRequested
from shared.contracts.source import Scope, SourceRemoved
from shared.observe import tracing

_EVERYTHING = Scope()
_REMOVED = Diagnosis(code="source_removed", cause="the source was removed", remedy="Register it again, then ask for a scan.")


async def on_source_connected(batch: Sequence[Received[SourceConnected]], *, store: Store, jobs: Jobs) -> None:
    """source.connected -> a scan, where the connector says something newer than before. A tombstone is the removal's, and said there."""
    async with store.unit(batch) as unit:
        for received in compress(batch, unit.bus.is_new):
            if not received.tombstone and await unit.connect(received.event):
                await _ask(unit, jobs, _scan(received, received.event.source, reason="connected"))


async def on_ruleset_published(batch: Sequence[Received[RulesetPublished]], *, store: Store) -> None:
    """ruleset.published: the patterns of the newest are looked for from the next look on, by every instance."""
    async with store.unit(batch) as unit:
        fresh = [received.event for received in compress(batch, unit.bus.is_new) if not received.tombstone]
        if fresh:
            await unit.keep_patterns({told.name: told.pattern for told in fresh[-1].patterns})


async def on_source_failed_over(batch: Sequence[Received[SourceFailedOver]], *, store: Store) -> None:
    """source.failed_over: the new plan comes by source.connected, so there is only to remember that this was heard."""
    async with store.unit(batch):
        pass


async def on_scan_requested(batch: Sequence[Received[ScanRequested]], *, store: Store, jobs: Jobs, gate: Gate) -> None:
    """scan.requested -> a scan, or scan.failed with the reason why not. Both are audited, with who asked."""
    async with store.unit(batch, keys=[received.event.source for received in batch]) as unit:
        for received in compress(batch, unit.bus.is_new):
            await _requested(unit, jobs, received, gate)


async def _requested(unit: DiscoveryUnit, jobs: Jobs, received: Received[ScanRequested], gate: Gate) -> None:
    wanted = received.event
    scan = _scan(received, wanted.source, mode=wanted.mode, priority=wanted.priority, scope=wanted.scope, reason=wanted.reason[:200])
    denied = _not_allowed(received, gate)
    refusal = denied or _unknown_words(wanted) or await _not_connected(unit, wanted.source)
    if refusal:
        failed = ScanFailed(source=wanted.source, scan_id=scan.id, diagnosis=refusal, trace_id=tracing.trace_id(received.traceparent))
        unit.bus.emit(failed, key=wanted.source, cause=received)
    else:
        await _ask(unit, jobs, scan)
    _audit(unit, received, "denied" if denied else "failed" if refusal else "allowed", refusal.code if refusal else "")


def _not_allowed(received: Received[ScanRequested], gate: Gate) -> Diagnosis | None:
    """The same words whether or not there is such a source."""
    source, actor = received.event.source, _actor(received)
    if gate.allows(actor, "source.discover", _tenant(received, source), source, via="event"):
        return None
    return Diagnosis(
        code="not_allowed",
        cause=f"{actor.id} does not have the permission source.discover here",
        remedy="Sign the event as a producer that has it, or ask the operator (PURSIGHT_SIGNERS, PURSIGHT_UPSTREAM_ROLES).",
    )


def _actor(received: Received[ScanRequested]) -> Actor:
    return received.actor or Actor("event:unknown")


def _unknown_words(wanted: ScanRequested) -> Diagnosis | None:
    """A request's unknown field is reported with the nearest known one; its value never."""
    known = list(ScanRequested.model_fields)
    for name in wanted.__pydantic_extra__ or {}:
        near = get_close_matches(name, known, 1)
        remedy = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
        return Diagnosis(code="unknown_field", cause=f"the request has a field that is not known: {name[:63]!r}", remedy=remedy)
    return None


async def _not_connected(unit: DiscoveryUnit, source: str) -> Diagnosis | None:
    if await unit.is_connected(source):
        return None
    return Diagnosis(
        code="source_not_connected",
        cause="no such source is registered and connected",
        remedy="See `pursight source list` and the source's health.",
    )


async def on_source_removed(batch: Sequence[Received[SourceRemoved]], *, store: Store, jobs: Jobs) -> None:
    """source.removed -> open scans end with scan.failed, and a job that says every asset gone."""
    async with store.unit(batch) as unit:
        for received in compress(batch, unit.bus.is_new):
            source = received.event.source
            ended = await unit.forget(source, received.event.version, _scan(received, source, reason="source_removed"))
            for scan, trace_id, progress in ended:
                failed = ScanFailed(source=source, scan_id=scan, diagnosis=_REMOVED, trace_id=trace_id, progress=progress)
                unit.bus.emit(failed, key=source, cause=received)
            await unit.enqueue(jobs, source, "person", received.traceparent)


async def _ask(unit: DiscoveryUnit, jobs: Jobs, scan: Scan) -> None:
    if await unit.ask(scan):
        await unit.enqueue(jobs, scan.source, scan.priority, scan.traceparent)


def _scan(
    received: Received[Any],
    source: str,
    *,
    reason: str,
    mode: str = "incremental",
    priority: str = "normal",
    scope: Scope = _EVERYTHING,
) -> Scan:
    """Its id derives from the event, so the same event asks for the same scan."""
    return Scan(
        id=event_id("discovery", received.id, "scan", source, 0),
        source=source,
        state="waiting",
        tenant=_tenant(received, source),
        traceparent=received.traceparent,
        after=received.id,
        mode=mode,
        priority=priority,
        scope=scope,
        reason=reason,
    )


def _tenant(received: Received[Any], source: str) -> str:
    try:
        return SourceName.parse(source).tenant
    except ValueError:
        return received.tenant


def _audit(unit: DiscoveryUnit, received: Received[ScanRequested], result: str, detail: str) -> None:
    source = received.event.source
    unit.bus.audit(_tenant(received, source), _actor(received).id, "source.discover", source, received, result, detail)
