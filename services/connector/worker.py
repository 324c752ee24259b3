"""Dials sources: new ones at once, those out of reach again and again, those that answer now and then. Says only what changed.

Most looks at a source that answered are glances on the line that was kept; the circuit of a source decides when one that failed is
dialled again, whichever worker's turn it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from services.connector import endpoints
from services.connector.domain.health import KEPT, Known, health, worth_saying, worth_saying_of
from services.connector.gateway import Dialler
from services.connector.store import ConnectorUnit, Row, Store
from shared.bus.jobs import Job, Jobs
from shared.bus.received import Cause
from shared.cloud.tokens import BY_TOKEN
from shared.contracts.connection import ConnectionPlan, SourceUnreachable
from shared.contracts.source import DataSource
from shared.db import circuits
from shared.db.circuit import Circuit
from shared.db.seats import PoolExhausted
from shared.errors import PurSightError
from shared.observe import tracing
from shared.sources.base import Probe
from shared.sources.failures import failure_of, why_of

KIND = "dial"
_BUSY_SECONDS = 5.0  # until the next try for a session, where the source's pool had none


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between two checks of a source that answers, and between two of them that look at everything."""

    check_seconds: float
    probe_seconds: float


class Watch:
    """Does the dials of one process."""

    def __init__(self, store: Store, jobs: Jobs, dialler: Dialler, rhythm: Rhythm) -> None:
        self._store, self._jobs, self._dialler, self._rhythm = store, jobs, dialler, rhythm

    async def work(self, job: Job) -> None:
        """One look at the source whose key the job has; then the next one is planned."""
        row = await self._store.source(job.key)
        if row is None:
            return await self._dialler.kept.drop(job.key)
        if self._glance_is_enough(row) and (seconds := await self._dialler.glance(row.spec, row.version)) is not None:
            return await self._glanced(job, row, seconds)
        if not await self._let_through(job, row):
            return
        active = await self._store.active(row.key)
        with tracing.span("dial", row.traceparent) as own:
            try:
                plan, probe = await self._dialler.watch(row.spec, row.version, active=active, trace_id=tracing.trace_id(own))
            except PoolExhausted:
                await self._busy(job, row)
            except PurSightError as error:
                await self._failed(job, row, active, error, own)
            else:
                await self._answered(job, row, active, plan, probe, own)

    def _glance_is_enough(self, row: Row) -> bool:
        if row.state != "connected" or row.dialled_version != row.version or row.probed_at is None:
            return False
        return (datetime.now(UTC) - row.probed_at).total_seconds() < self._rhythm.probe_seconds

    async def _let_through(self, job: Job, row: Row) -> bool:
        """Whether the source's circuit lets a dial through; where not, the job waits until it may."""
        if row.circuit.state == "closed":
            return True
        async with self._store.unit(keys=[row.key]) as unit:
            await self._jobs.check(unit.bus.connection, job)
            now = await unit.held(row.key)
            if now is None:
                return False
            answer = await circuits.ask(unit.bus.connection, row.key)
            if answer.wait_seconds:
                await self._later(unit, now, answer.wait_seconds)
            return not answer.wait_seconds

    async def _busy(self, job: Job, looked_at: Row) -> None:
        """Our own scans have every session that the pool allows, so the source does answer: no failure, and no news."""
        async with self._store.unit(keys=[looked_at.key]) as unit:
            if row := await self._still(unit, job, looked_at):
                await self._later(unit, row, _BUSY_SECONDS)

    async def _glanced(self, job: Job, looked_at: Row, seconds: float) -> None:
        async with self._store.unit(keys=[looked_at.key]) as unit:
            if row := await self._still(unit, job, looked_at):
                await self._close(unit, row, seconds, self._rhythm.check_seconds, row.traceparent)

    async def _answered(self, job: Job, dialled: Row, active: str, plan: ConnectionPlan, probe: Probe, trace: str) -> None:
        used = await self._dialler.pool_used(dialled.spec, plan)
        async with self._store.unit(keys=[dialled.key]) as unit:
            row = await self._still(unit, job, dialled)
            if row is None:
                return
            if await endpoints.active_now(unit.bus.connection, row.key) != active:
                return await self._later(unit, row, 0.0)  # another endpoint is active meanwhile
            connected = row.connected(row.sequence + 1, plan, probe)
            digest = worth_saying(connected)
            if row.state != "connected" or row.said != digest:
                row = replace(row, sequence=connected.sequence, said=digest)
                unit.bus.emit(connected, key=row.key, cause=_cause(row, connected.sequence, trace))
            now = unit.bus.now
            await circuits.answered(unit.bus.connection, row.key)
            row = replace(row, state="connected", dialled_version=row.version, code="", circuit=Circuit())
            row = replace(row, probed_at=now, known=self._known(plan, probe, row.spec, used), past=await unit.past(row.key))
            await self._close(unit, row, probe.server.round_trip_seconds, self._rhythm.check_seconds, trace)

    def _known(self, plan: ConnectionPlan, probe: Probe, spec: DataSource, pool_used: float | None) -> Known:
        server = probe.server
        return Known(
            database_bytes=server.database_bytes,
            connections=server.connections,
            max_connections=server.max_connections,
            pool_used=pool_used,
            certificate_ends=datetime.fromisoformat(server.tls_expires).timestamp() if server.tls_expires else None,
            token_since=self._dialler.token_since(spec) if plan.sign_in in BY_TOKEN else None,
            tls_version=server.tls_version,
            tls_issuer=server.tls_issuer,
            pooler=f"{server.pooler} ({server.pooler_mode})" if server.pooler else "",
        )

    async def _failed(self, job: Job, dialled: Row, active: str, error: PurSightError, trace: str) -> None:
        found = failure_of(error)
        async with self._store.unit(keys=[dialled.key]) as unit:
            row = await self._still(unit, job, dialled)
            if row is None:
                return
            if await endpoints.active_now(unit.bus.connection, row.key) != active:
                return await self._later(unit, row, 0.0)
            circuit = await circuits.not_answered(unit.bus.connection, row.key, code=found.code, lasting=found.lasting)
            if row.state != "unreachable" or row.code != found.code or row.dialled_version != row.version:
                row = replace(row, sequence=row.sequence + 1)
                said = SourceUnreachable(
                    source=row.key, sequence=row.sequence, based_on=row.version, diagnosis=found.diagnosis(), attempts=circuit.failures
                )
                unit.bus.emit(said, key=row.key, cause=_cause(row, row.sequence, trace))
            row = replace(row, state="unreachable", dialled_version=row.version, code=found.code, said="", probed_at=None)
            row = replace(row, circuit=circuit, past=await unit.past(row.key))
            await self._close(unit, row, None, circuit.until - circuit.at, trace)

    async def _still(self, unit: ConnectorUnit, job: Job, looked_at: Row) -> Row | None:
        """The row, held; None where it was registered anew (with a job of its own). Raises where the job is another's now."""
        await self._jobs.check(unit.bus.connection, job)
        row = await unit.held(looked_at.key)
        return row if row is not None and row.version == looked_at.version else None

    async def _close(self, unit: ConnectorUnit, row: Row, seconds: float | None, next_seconds: float, trace: str) -> None:
        """Count the check, say health where it changed, store, plan the next one."""
        row = _counted(row, seconds)
        now = health(row.key, row.sequence + 1, row.seen(unit.bus.now, why_of(row.code)))
        if row.health_said != (digest := worth_saying_of(now)):
            row = replace(row, sequence=now.sequence, health=now.status, health_said=digest)
            unit.bus.emit(now, key=row.key, cause=_cause(row, now.sequence, trace))
        await unit.checked(row, seconds=seconds, next_seconds=next_seconds)
        await self._later(unit, row, next_seconds)

    async def _later(self, unit: ConnectorUnit, row: Row, seconds: float) -> None:
        at = unit.bus.now + timedelta(seconds=seconds)
        await self._jobs.enqueue(unit.bus.connection, KIND, row.key, "", at, traceparent=row.traceparent)


def _counted(row: Row, seconds: float | None) -> Row:
    """The row with this check counted; old ones fade by halves, so that the past does not weigh for ever."""
    checks, failures = row.checks + 1, row.failures + (seconds is None)
    if checks > 2 * KEPT:
        checks, failures = checks // 2, failures // 2
    latencies = [*row.latencies, seconds][-KEPT:] if seconds is not None else row.latencies
    return replace(row, checks=checks, failures=failures, latencies=latencies)


def _cause(row: Row, sequence: int, trace: str) -> Cause:
    """The registered event, and the number of what is said: the same dial said again would have the same id."""
    return Cause(f"{row.cause}/{sequence}", trace, row.tenant)
