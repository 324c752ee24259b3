"""The registry's door for events: requests from upstream, and what every service wants on the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any, NamedTuple

from services.registry.gateway import OwnSecrets
from services.registry.store import RegistryUnit, Store
from shared.access.actor import Actor
from shared.access.gate import Gate
from shared.bus.received import Received
from shared.contracts.audit import AuditRecorded
from shared.contracts.judging.allowed import ANY, Allowed
from shared.contracts.judging.source import Judged, codes_of, judge, named
from shared.contracts.names import SourceName
from shared.contracts.source import Problem, SourceRejected, SourceSubmitted, SourceWithdrawn


async def on_source_submitted(batch: Sequence[Received[SourceSubmitted]], *, store: Store, gate: Gate, allowed: Allowed = ANY) -> None:
    """source.submitted -> source.registered or source.rejected. The same validation as over HTTP."""
    requests = [Request.read(received, allowed) for received in batch]
    async with store.unit(batch, keys=[request.key for request in requests]) as unit:
        for request in compress(requests, unit.bus.is_new):
            action = "source.create" if await unit.is_new(request.key) else "source.update"
            if refusal := refused(gate, request.received, action, request.key):
                reject(unit, request.key, (refusal,), request.received, action)
            elif request.judged.spec:
                await unit.register(request.judged.spec, request.judged.notes, actor=who(request.received).id, cause=request.received)
            else:
                reject(unit, request.key, request.judged.problems, request.received, action, request.judged.notes)


class Request(NamedTuple):
    """A submitted source, judged; `key` is the source's, or what comes closest where it is none."""

    received: Received[SourceSubmitted]
    judged: Judged
    key: str

    @classmethod
    def read(cls, received: Received[SourceSubmitted], allowed: Allowed) -> Request:
        document = received.event.document()
        judged = judge(document, allowed)
        return cls(received, judged, judged.spec.key if judged.spec else named(document))


async def on_source_withdrawn(batch: Sequence[Received[SourceWithdrawn]], *, store: Store, own: OwnSecrets, gate: Gate) -> None:
    """source.withdrawn -> source.removed, or source.rejected where there is no such source."""
    async with store.unit(batch, keys=[named(received.event.document()) for received in batch]) as unit:
        for received in compress(batch, unit.bus.is_new):
            key = named(received.event.document())
            if refusal := refused(gate, received, "source.delete", key):
                reject(unit, key, (refusal,), received, "source.delete")
            elif removed := await unit.remove(key, actor=who(received).id, cause=received):
                await own.let_go(unit.bus.connection, removed.spec)
            else:
                unknown = Problem(
                    field="name",
                    code="unknown_source",
                    message="no source of this name is registered",
                    remedy="See `pursight source list`.",
                )
                reject(unit, key, (unknown,), received, "source.delete")


def who(received: Received[Any]) -> Actor:
    """Who asks; nobody, who may do nothing, where the record was not looked at."""
    return received.actor or Actor("event:unknown")


def refused(gate: Gate, received: Received[Any], action: str, source: str) -> Problem | None:
    """Why this actor may not ask for that: the same words whether or not there is such a source."""
    actor = who(received)
    if gate.allows(actor, action, SourceName.parse(source).tenant, source, via="event"):
        return None
    lacking = "source.create and source.update" if action != "source.delete" else action
    return Problem(
        field="document",
        code="not_allowed",
        message=f"{actor.id} does not have the permission {lacking} here",
        remedy="Sign the event as a producer that has it, or ask the operator (PURSIGHT_SIGNERS, PURSIGHT_UPSTREAM_ROLES).",
    )


def reject(
    unit: RegistryUnit, source: str, problems: tuple[Problem, ...], received: Received[Any], action: str, notes: tuple[str, ...] = ()
) -> None:
    """Answer a request that cannot be done, or not by who asks."""
    unit.bus.emit(SourceRejected(source=source, problems=problems, request_id=received.id, notes=notes), key=source, cause=received)
    result = "denied" if problems[0].code == "not_allowed" else "failed"
    unit.bus.audit(SourceName.parse(source).tenant, who(received).id, action, source, received, result, codes_of(problems))


async def on_audit_recorded(batch: Sequence[Received[AuditRecorded]], *, store: Store) -> None:
    """audit.recorded -> the tenant's hash-chained ledger."""
    async with store.unit(batch, keys=[f"ledger:{received.event.tenant}" for received in batch]) as unit:
        await unit.append(compress(batch, unit.bus.is_new))
