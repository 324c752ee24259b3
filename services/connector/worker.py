"""Dials sources: new ones at once, those out of reach again and again, those that answer now and then. Says only what changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from services.connector.domain.health import KEPT, Checks, health, retry_seconds, worth_saying
from services.connector.gateway import Dialler
from services.connector.store import ConnectorUnit, Row, Store
from shared.bus.jobs import Job, Jobs
from shared.bus.received import Cause
from shared.contracts.connection import ConnectionPlan, SourceConnected, SourceUnreachable
from shared.errors import PurSightError
from shared.observe import tracing
from shared.sources.base import Probe
from shared.sources.failures import failure_of

KIND = "dial"


class Watch:
    """Does the dials of one process."""

    def __init__(self, store: Store, jobs: Jobs, dialler: Dialler, *, check_seconds: float) -> None:
        self._store, self._jobs, self._dialler, self._check_seconds = store, jobs, dialler, check_seconds

    async def work(self, job: Job) -> None:
        """One dial of the source whose key the job has; then the next one is planned."""
        row = await self._store.source(job.key)
        if row is None:
            return
        with tracing.span("dial", row.traceparent) as own:
            try:
                plan, probe = await self._dialler.probe(row.spec, trace_id=tracing.trace_id(own))
            except PurSightError as error:
                await self._failed(job, row, error, own)
            else:
                await self._answered(job, row, plan, probe, own)

    async def _answered(self, job: Job, dialled: Row, plan: ConnectionPlan, probe: Probe, trace: str) -> None:
        async with self._store.unit(keys=[dialled.key]) as unit:
            await self._jobs.check(unit.bus.connection, job)
            row = await unit.held(dialled.key)
            if row is None or row.version != dialled.version:
                return  # registered anew meanwhile: that version has a job of its own
            connected = SourceConnected(
                source=row.key,
                sequence=row.sequence + 1,
                based_on=row.version,
                spec=row.spec,
                plan=plan,
                server=probe.server,
                privileges=probe.privileges,
                posture=probe.posture,
                warnings=probe.warnings,
            )
            digest = worth_saying(connected)
            if row.state != "connected" or row.said != digest:
                row = replace(row, sequence=connected.sequence, said=digest)
                unit.bus.emit(connected, key=row.key, cause=_cause(row, connected.sequence, trace))
            row = replace(row, state="connected", dialled_version=row.version, code="", attempts=0)
            await self._close(unit, _seen(row, probe.server.round_trip_seconds), self._check_seconds, trace)

    async def _failed(self, job: Job, dialled: Row, error: PurSightError, trace: str) -> None:
        found = failure_of(error)
        async with self._store.unit(keys=[dialled.key]) as unit:
            await self._jobs.check(unit.bus.connection, job)
            row = await unit.held(dialled.key)
            if row is None or row.version != dialled.version:
                return
            attempts = row.attempts + 1
            if row.state != "unreachable" or row.code != found.code or row.dialled_version != row.version:
                row = replace(row, sequence=row.sequence + 1)
                said = SourceUnreachable(
                    source=row.key, sequence=row.sequence, based_on=row.version, diagnosis=found.diagnosis(), attempts=attempts
                )
                unit.bus.emit(said, key=row.key, cause=_cause(row, row.sequence, trace))
            row = replace(row, state="unreachable", dialled_version=row.version, code=found.code, attempts=attempts, said="")
            await self._close(unit, _seen(row, None), retry_seconds(attempts, lasting=found.lasting), trace)

    async def _close(self, unit: ConnectorUnit, row: Row, next_seconds: float, trace: str) -> None:
        """Say health where its status changed, store, plan the next dial."""
        seen = Checks(row.latencies, row.checks, row.failures, row.state == "connected")
        now = health(row.key, row.sequence + 1, seen)
        if row.health != now.status:
            row = replace(row, sequence=now.sequence, health=now.status)
            unit.bus.emit(now, key=row.key, cause=_cause(row, now.sequence, trace))
        await unit.checked(row, next_seconds=next_seconds)
        later = unit.bus.now + timedelta(seconds=next_seconds)
        await self._jobs.enqueue(unit.bus.connection, KIND, row.key, "", later, traceparent=row.traceparent)


def _seen(row: Row, seconds: float | None) -> Row:
    """The row with this check counted; old ones fade by halves, so that the past does not weigh for ever."""
    checks, failures = row.checks + 1, row.failures + (seconds is None)
    if checks > 2 * KEPT:
        checks, failures = checks // 2, failures // 2
    latencies = [*row.latencies, seconds][-KEPT:] if seconds is not None else row.latencies
    return replace(row, checks=checks, failures=failures, latencies=latencies)


def _cause(row: Row, sequence: int, trace: str) -> Cause:
    """The registered event, and the number of what is said: the same dial said again would have the same id."""
    return Cause(f"{row.cause}/{sequence}", trace, row.tenant)
