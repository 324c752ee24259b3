"""What the connector touches outside: data sources, dialled to see whether and how they answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.connector.domain.notes import lasting_key, notes
from services.connector.domain.plan import most, plan, where
from shared.cloud.posture import merged
from shared.contracts.connection import ConnectionPlan, Diagnosis, Posture
from shared.contracts.judging.allowed import Allowed
from shared.contracts.source import DataSource
from shared.db.seats import Seats
from shared.egress import Surroundings, cloud_policy, guarded
from shared.errors import PurSightError
from shared.secrets.sign_in import SignIn
from shared.sources.base import Dial, Probe, SourceDriver, SourceSession
from shared.sources.dialling import dial_for, policy_for
from shared.sources.engines import driver_for
from shared.sources.gates import Report, preflight, refused
from shared.sources.kept import KeptLines

CloudWord = tuple[Posture | None, Diagnosis | None]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds after which a dial, or a statement, is given up."""

    connect_seconds: float
    statement_seconds: float


@dataclass(frozen=True, slots=True)
class Limits(Patience):
    """Of one preflight; `preflight_seconds` for all of it."""

    preflight_seconds: float


class Dialler:
    """Dials sources by their plan."""

    def __init__(self, *, home: Path, around: Surroundings, patience: Patience, seats: Seats | None = None) -> None:
        self._sign_in = SignIn(home, Allowed(around.secrets, around.endpoints))
        self._around, self._patience, self._seats = around, patience, seats
        self.kept = KeptLines()

    async def watch(self, spec: DataSource, version: int, *, active: str = "", trace_id: str = "") -> tuple[ConnectionPlan, Probe]:
        """Dial, sign in, look; the line is kept for glances, on a seat of the source's pool, where that has more than one.

        `active`: as for `plan`. Raises PurSightError with a code of the failure catalogue, the egress guard, the secret stores or the
        clouds, and PoolExhausted.
        """
        wanted = plan(spec, active)
        dial = await self._dial(spec, wanted, None, trace_id)
        driver: SourceDriver = driver_for(spec.engine)
        if self._seats:
            driver = Seated(driver, self._seats, spec, where(wanted), min(spec.pool_timeout, self._patience.connect_seconds))
        async with self._cloud_facts(spec) as cloud:
            with guarded(policy_for(spec, self._around)):
                found = await self.kept.probe(spec.key, version, driver, dial)
                if most(spec) == 1:
                    await self.kept.drop(spec.key)
            return wanted, noted(spec, with_cloud(found, *await cloud))

    @asynccontextmanager
    async def _cloud_facts(self, spec: DataSource) -> AsyncIterator[asyncio.Task[CloudWord]]:
        """What the cloud says of the source, asked for meanwhile: at the provider's addresses, so under its policy, not the source's."""

        async def ask() -> CloudWord:
            with guarded(cloud_policy(self._around)):
                return await self._sign_in.posture.told(spec)

        asked = asyncio.create_task(ask(), context=Context())
        try:
            yield asked
        finally:
            asked.cancel()

    def token_since(self, spec: DataSource) -> float | None:
        """When the cloud's token that the source signed in with last was fetched, in seconds since 1970."""
        return self._sign_in.token_since(spec)

    async def pool_used(self, spec: DataSource, wanted: ConnectionPlan) -> float | None:
        """The share of the sessions that the source's pool allows which somebody has, in whatever process."""
        return await self._seats.taken(spec.key, where(wanted), most(spec)) / most(spec) if self._seats else None

    async def glance(self, spec: DataSource, version: int) -> float | None:
        """Seconds of a round trip on the line that was kept, or None: then only a full look can tell."""
        return await self.kept.glance(spec.key, version, patience=self._patience.connect_seconds)

    async def preflight(self, spec: DataSource, wanted: ConnectionPlan, limits: Limits, *, password: str | None = None) -> Report:
        """Go through the gates of one endpoint. `password` stands in for the secret for this call alone and is kept nowhere."""
        try:
            driver, policy = driver_for(spec.engine), policy_for(spec, self._around)
            dial = await self._dial(spec, wanted, password, "", limits)
        except PurSightError as error:
            return refused(error)
        async with self._cloud_facts(spec) as cloud:
            with guarded(policy):
                lag = spec.replica_config.max_lag_seconds
                found = await preflight(spec, dial, driver, max_lag_seconds=lag, patience=limits.preflight_seconds)
            if found.probe:
                found.probe = noted(spec, with_cloud(found.probe, *await cloud))
        return found

    @asynccontextmanager
    async def line(self, spec: DataSource, wanted: ConnectionPlan) -> AsyncIterator[SourceSession]:
        """An open line to one of the source's endpoints, beside its pool. Raises as `watch` does."""
        dial = await self._dial(spec, wanted, None, "")
        async with AsyncExitStack() as stack:
            with guarded(policy_for(spec, self._around)):
                session = await stack.enter_async_context(driver_for(spec.engine).open(dial))
            yield session

    async def probed(self, spec: DataSource, wanted: ConnectionPlan, session: SourceSession) -> Probe:
        """What a probe on an open line finds. Raises as the driver does."""
        with guarded(policy_for(spec, self._around)):
            return noted(spec, await session.probe())

    async def _dial(
        self, spec: DataSource, wanted: ConnectionPlan, password: str | None, trace_id: str, limits: Patience | None = None
    ) -> Dial:
        return dial_for(
            spec,
            wanted,
            self._sign_in.lookup(spec, wanted, password=password),
            application_name=f"pursight-connector {trace_id}".strip(),
            connect_seconds=(limits or self._patience).connect_seconds,
            statement_seconds=(limits or self._patience).statement_seconds,
            ssl=await self._sign_in.tls_files(spec),
        )


class Seated:
    """A driver whose sessions each have a seat of their source's pool."""

    def __init__(self, driver: SourceDriver, seats: Seats, spec: DataSource, server: str, patience: float) -> None:
        self.engine, self.whole, self._driver = driver.engine, driver.whole, driver
        self._seats, self._spec, self._server, self._patience = seats, spec, server, patience

    @asynccontextmanager
    async def open(self, dial: Dial) -> AsyncIterator[SourceSession]:
        """Raises as the driver does, and PoolExhausted."""
        seat = self._seats.seat(self._spec.key, self._server, most(self._spec), patience=self._patience, use="idle")
        async with seat, self._driver.open(dial) as session:
            yield session


def noted(spec: DataSource, probe: Probe) -> Probe:
    """With what the source's own settings say beside it."""
    posture = probe.posture.model_copy(update={"lasting_key": bool(lasting_key(spec))})
    return probe._replace(posture=posture, warnings=(*probe.warnings, *notes(spec, probe.server, datetime.now(UTC))))


def with_cloud(found: Probe, facts: Posture | None, finding: Diagnosis | None) -> Probe:
    """The probe with what the cloud told, and with why it told nothing."""
    posture = merged(found.posture, facts) if facts else found.posture
    return found._replace(posture=posture, warnings=(*found.warnings, finding) if finding else found.warnings)
