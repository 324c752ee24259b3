"""The tagger's wiring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypedDict

from services.tagger import api, handlers, worker
from services.tagger.gateway.aws import AwsTags
from services.tagger.gateway.clouds import Clouds
from services.tagger.gateway.estates import Estates
from services.tagger.gateway.standard import shape
from services.tagger.settings import TaggerSettings
from services.tagger.store import APPLY, Store
from shared.bus.jobs import work
from shared.cloud.aws import AwsSessions, Resolve
from shared.cloud.tokens import Tokens
from shared.contracts.asset import AssetRemoved
from shared.contracts.compliance import ComplianceEvaluated
from shared.contracts.judging.allowed import Allowed
from shared.contracts.rules import ContractPublished
from shared.contracts.scan import ScanCompleted
from shared.contracts.source import SourceRemoved
from shared.contracts.tags import JobSubmitted
from shared.egress import EgressPolicy, GuardedLoop, cloud_policy, surroundings
from shared.secrets.resolvers import Secrets
from shared.service import Service, ServiceContext

DRIFT_ROUND_SECONDS = 60.0


class Guard(TypedDict):
    """What all writers to clouds need to be safe."""

    resolve: Resolve
    policy: EgressPolicy
    allowed: Allowed


@asynccontextmanager
async def wire(context: ServiceContext[TaggerSettings]) -> AsyncIterator[None]:
    """Handlers, routes, the workers that write to clouds, and the clock for scans that never become whole."""
    settings, jobs, store = context.settings, context.jobs, Store(context.pool)
    secrets = Secrets(settings.home).resolve
    allowed = Allowed.by(settings.mode, settings.secrets_allowed)
    guard: Guard = {"resolve": secrets, "policy": _policy(context), "allowed": allowed}
    aws = AwsTags(AwsSessions(), endpoints=settings.aws_endpoints, **guard)
    clouds = Clouds(aws, Tokens(secrets), Estates.load(settings.job_clouds, local=settings.mode == "local"), **guard)
    wait = timedelta(seconds=settings.scan_wait_seconds)
    house = settings.house()
    context.bus.on(ComplianceEvaluated, partial(handlers.on_compliance_evaluated, store=store, jobs=jobs, house=house), batch=500)
    context.bus.on(ContractPublished, partial(handlers.on_contract_published, store=store, jobs=jobs, house=house, shape=shape), batch=10)
    context.bus.on(JobSubmitted, partial(handlers.on_job_submitted, store=store, jobs=jobs, house=house, gate=context.gate), batch=10)
    context.bus.on(AssetRemoved, partial(handlers.on_asset_removed, store=store, jobs=jobs))
    context.bus.on(ScanCompleted, partial(handlers.on_scan_completed, store=store, jobs=jobs, wait=wait), batch=100)
    context.bus.on(SourceRemoved, partial(handlers.on_source_removed, store=store, jobs=jobs), batch=10)
    context.routes += api.routes(store, jobs, clouds, house, shape)
    apply = partial(worker.apply, store=store, jobs=jobs, clouds=clouds, house=house)
    context.spawn(partial(work, jobs, APPLY, apply, concurrency=settings.apply_concurrency))
    context.every(settings.overdue_check_seconds, partial(handlers.look_for_overdue, store=store, jobs=jobs))
    look = partial(handlers.look_for_drift, store=store, jobs=jobs, after_seconds=settings.drift_look_seconds)
    context.every(min(settings.drift_look_seconds, DRIFT_ROUND_SECONDS), look)
    try:
        yield
    finally:
        await clouds.close()


def _policy(context: ServiceContext[TaggerSettings]) -> EgressPolicy:
    settings = context.settings
    around = surroundings(
        mode=settings.mode,
        private=settings.egress_private,
        database_url=settings.database_url.get_secret_value(),
        bootstrap=context.bus_settings.bootstrap_servers,
        http_port=settings.http_port,
        own_identity=settings.own_identity,
    )
    return cloud_policy(around)


service = Service("tagger", wire, TaggerSettings, Path(__file__).parent / "migrations", GuardedLoop)
