"""Compliance's wiring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from services.compliance import api, handlers
from services.compliance.domain.assess import Assessor
from services.compliance.domain.policy import Rules
from services.compliance.domain.rules import rules_from
from services.compliance.settings import ComplianceSettings
from services.compliance.store import Store, Views
from shared.bus.jobs import Jobs, work
from shared.bus.unit import Cause
from shared.contracts.asset import AssetClassified, AssetRemoved
from shared.contracts.connection import SourceConnected
from shared.contracts.source import SourceRemoved
from shared.service import Service, ServiceContext

PACKS = Path(__file__).parent / "domain" / "packs"


def load_rules(extra: Path | None = None) -> Rules:
    """The shipped packs, and those of `extra`, checked. Raises InvalidPack."""
    files = [*PACKS.glob("*.yaml"), *(extra.glob("*.yaml") if extra else ())]
    return rules_from({path.name: path.read_text("utf-8") for path in files})


@asynccontextmanager
async def wire(context: ServiceContext[ComplianceSettings]) -> AsyncIterator[None]:
    """Handlers, jobs, routes, and the clock of the waivers."""
    assessor = Assessor(load_rules(context.settings.policy_packs))
    store, jobs = Store(context.pool), context.jobs
    context.bus.on(AssetClassified, partial(handlers.on_asset_classified, store=store, assessor=assessor), batch=500)
    context.bus.on(AssetRemoved, partial(handlers.on_asset_removed, store=store))
    context.bus.on(SourceConnected, partial(handlers.on_source_connected, store=store, assessor=assessor, jobs=jobs), batch=100)
    context.bus.on(SourceRemoved, partial(handlers.on_source_removed, store=store, jobs=jobs), batch=100)
    reevaluate = partial(handlers.reevaluate, store=store, assessor=assessor, jobs=jobs)
    context.spawn(partial(work, jobs, handlers.REEVALUATE, reevaluate, concurrency=1))
    context.spawn(partial(work, jobs, handlers.FORGET, partial(handlers.forget, store=store, jobs=jobs), concurrency=1))
    context.every(context.settings.waiver_check_seconds, partial(_waivers, store, jobs))
    context.routes += api.routes(store, Views(context.pool), assessor)
    await announce(store, jobs, assessor)
    yield


async def announce(store: Store, jobs: Jobs, assessor: Assessor) -> None:
    """Say the packs that changed since they were said last, and judge again what older ones judged."""
    async with store.unit(keys=["packs"]) as unit:
        await unit.publish(assessor.rules.policies, Cause.new())
    if await store.stale(assessor.rules.digest, "", "", 1):
        async with store.unit() as unit:
            await jobs.enqueue(unit.bus.connection, handlers.REEVALUATE, handlers.EVERYTHING, "policies")


async def _waivers(store: Store, jobs: Jobs) -> None:
    async with store.unit(keys=["waivers"]) as unit:
        if await unit.lapse():
            await jobs.enqueue(unit.bus.connection, handlers.REEVALUATE, handlers.EVERYTHING, "waivers")


service = Service("compliance", wire, ComplianceSettings, Path(__file__).parent / "migrations")
