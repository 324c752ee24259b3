"""The registry's wiring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from services.registry import api, handlers, worker
from services.registry.gateway import FORGET, Anchors, OwnSecrets
from services.registry.settings import RegistrySettings
from services.registry.store import Store
from shared.access.actor import everybody
from shared.access.proof import Proofs
from shared.bus.jobs import work
from shared.bus.unit import Cause
from shared.contracts.audit import AuditRecorded
from shared.contracts.judging.allowed import Allowed
from shared.contracts.scan import ScanRequested
from shared.contracts.source import SourceSubmitted, SourceWithdrawn
from shared.secrets.vault import LocalVault
from shared.service import Service, ServiceContext

OURSELVES = everybody("service:registry")


@asynccontextmanager
async def wire(context: ServiceContext[RegistrySettings]) -> AsyncIterator[None]:
    """Handlers, routes, the clock that asks for scheduled scans, and what is done after a removal."""
    store, vault = Store(context.pool), LocalVault(context.settings.home / "secrets")
    own, settings = OwnSecrets(vault, context.jobs), context.settings
    allowed = Allowed.by(settings.mode, settings.secrets_allowed, settings.cloud_endpoints)
    context.bus.on(SourceSubmitted, partial(handlers.on_source_submitted, store=store, gate=context.gate, allowed=allowed), batch=100)
    context.bus.on(SourceWithdrawn, partial(handlers.on_source_withdrawn, store=store, own=own, gate=context.gate), batch=100)
    context.bus.on(AuditRecorded, partial(handlers.on_audit_recorded, store=store))
    context.routes += api.routes(store, vault, own, context.proofs, Anchors(context.bus_settings), allowed)
    context.spawn(partial(work, context.jobs, FORGET, partial(worker.forget_secret, store=store, own=own), concurrency=1))
    context.every(context.settings.schedule_check_seconds, partial(_scheduled_scans, store, context.proofs))
    yield


async def _scheduled_scans(store: Store, proofs: Proofs) -> None:
    async with store.unit() as unit:
        for row in await unit.due():
            wanted = ScanRequested(source=row.key, priority="bulk", reason=f"schedule {row.spec.schedule}")
            unit.ask_scan(wanted, actor=OURSELVES, proofs=proofs, cause=Cause.new(tenant=row.spec.tenant))


service = Service("registry", wire, RegistrySettings, Path(__file__).parent / "migrations")
