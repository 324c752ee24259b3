"""The registry's wiring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from services.registry import api, handlers
from services.registry.settings import RegistrySettings
from services.registry.store import Store
from shared.bus.unit import Cause
from shared.contracts.audit import AuditRecorded
from shared.contracts.scan import ScanRequested
from shared.contracts.source import SourceSubmitted, SourceWithdrawn
from shared.service import Service, ServiceContext


@asynccontextmanager
async def wire(context: ServiceContext[RegistrySettings]) -> AsyncIterator[None]:
    """Handlers, routes, and the clock that asks for scheduled scans."""
    store = Store(context.pool)
    context.bus.on(SourceSubmitted, partial(handlers.on_source_submitted, store=store), batch=100)
    context.bus.on(SourceWithdrawn, partial(handlers.on_source_withdrawn, store=store), batch=100)
    context.bus.on(AuditRecorded, partial(handlers.on_audit_recorded, store=store))
    context.routes += api.routes(store, context.settings.home)
    context.every(context.settings.schedule_check_seconds, partial(_scheduled_scans, store))
    yield


async def _scheduled_scans(store: Store) -> None:
    async with store.unit() as unit:
        for row in await unit.due():
            wanted = ScanRequested(source=row.key, reason=f"schedule {row.spec.schedule}")
            unit.ask_scan(wanted, actor="service:registry", cause=Cause.new(tenant=row.spec.tenant))


service = Service("registry", wire, RegistrySettings, Path(__file__).parent / "migrations")
