"""The registry's door for events: requests from upstream, and what every service wants on the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any, NamedTuple

from services.registry.gateway import OwnSecrets
from services.registry.store import RegistryUnit, Store
from shared.bus.received import Received
from shared.contracts.audit import AuditRecorded
from shared.contracts.judging.hostile import MAX_NAME
from shared.contracts.judging.source import Judged, judge
from shared.contracts.names import DEFAULT_TENANT, SourceName
from shared.contracts.source import Problem, SourceRejected, SourceSubmitted, SourceWithdrawn

ACTOR = "event:upstream"


async def on_source_submitted(batch: Sequence[Received[SourceSubmitted]], *, store: Store) -> None:
    """source.submitted -> source.registered or source.rejected. The same validation as over HTTP."""
    requests = [Request.read(received) for received in batch]
    async with store.unit(batch, keys=[request.key for request in requests]) as unit:
        for request in compress(requests, unit.bus.is_new):
            if request.judged.spec:
                await unit.register(request.judged.spec, request.judged.notes, actor=ACTOR, cause=request.received)
            else:
                reject(unit, request.key, request.judged.problems, request.received, request.judged.notes)


class Request(NamedTuple):
    """A submitted source, judged; `key` is the source's, or what comes closest where it is none."""

    received: Received[SourceSubmitted]
    judged: Judged
    key: str

    @classmethod
    def read(cls, received: Received[SourceSubmitted]) -> Request:
        document = received.event.document()
        judged = judge(document)
        return cls(received, judged, judged.spec.key if judged.spec else named(document))


async def on_source_withdrawn(batch: Sequence[Received[SourceWithdrawn]], *, store: Store, own: OwnSecrets) -> None:
    """source.withdrawn -> source.removed, or source.rejected where there is no such source."""
    async with store.unit(batch, keys=[named(received.event.document()) for received in batch]) as unit:
        for received in compress(batch, unit.bus.is_new):
            key = named(received.event.document())
            if removed := await unit.remove(key, actor=ACTOR, cause=received):
                await own.let_go(unit.bus.connection, removed.spec)
            else:
                unknown = Problem(
                    field="name",
                    code="unknown_source",
                    message="no source of this name is registered",
                    remedy="See `pursight source list`.",
                )
                reject(unit, key, (unknown,), received)


def reject(unit: RegistryUnit, source: str, problems: tuple[Problem, ...], received: Received[Any], notes: tuple[str, ...] = ()) -> None:
    """Answer a request that cannot be done."""
    unit.bus.emit(SourceRejected(source=source, problems=problems, request_id=received.id, notes=notes), key=source, cause=received)


def named(document: dict[str, Any]) -> str:
    """The source key that a request means, as far as it says; never raises."""
    tenant, name = document.get("tenant") or document.get("tenant_id"), document.get("name")
    return SourceName(_sayable(tenant) or DEFAULT_TENANT, _sayable(name) or "unnamed").key


def _sayable(given: object) -> str:
    """A name as it can stand in a key, whatever was given: short, and without half surrogates."""
    return given[:MAX_NAME].encode("utf-8", "replace").decode() if isinstance(given, str) else ""


async def on_audit_recorded(batch: Sequence[Received[AuditRecorded]], *, store: Store) -> None:
    """audit.recorded -> the tenant's hash-chained ledger."""
    async with store.unit(batch, keys=[f"ledger:{received.event.tenant}" for received in batch]) as unit:
        await unit.append(compress(batch, unit.bus.is_new))
