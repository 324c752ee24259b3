"""The connector's own tables: sources as registered, and what was last said of each. The only SQL of this service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import orjson

from services.connector.domain.health import KEPT_DAYS, LONG_HOURS, SHORT_HOURS, Checks, Known, Past, Seen, Span
from shared.bus.received import Received
from shared.bus.unit import Unit, unit
from shared.contracts.connection import ConnectionPlan, Diagnosis, SourceConnected
from shared.contracts.source import DataSource, SourceRegistered
from shared.db import circuits
from shared.db.circuit import Circuit
from shared.sources.base import Probe

SERVICE = "connector"
_PAST = """with parts as (
    select part, h.* from health_hour h,
        lateral (values ('all'), (case when hour > $2 then 'day' when hour > $3 then 'before' end)) as p(part)
    where key = $1 and part is not null)
select part, sum(checks)::int4 as checks, sum(failures)::int4 as failures, sum(seconds) as seconds,
    (array_agg(bytes order by hour) filter (where bytes is not null))[1] as first_bytes,
    (array_agg(bytes order by hour desc) filter (where bytes is not null))[1] as last_bytes,
    coalesce(extract(epoch from max(hour) filter (where bytes is not null) - min(hour) filter (where bytes is not null)) / 86400, 0)::float8
        as days
from parts group by part"""
_SOURCE = f"select source.*, {circuits.COLUMNS} from source {circuits.JOIN} where"


@dataclass(frozen=True, slots=True)
class Row:
    """A source as this service knows it. `sequence` numbers what was said; `said` and `health` are digests of the last of it."""

    key: str
    version: int
    spec: DataSource
    tenant: str
    traceparent: str
    cause: str
    sequence: int
    state: str
    dialled_version: int
    said: str
    code: str
    health: str
    checks: int
    failures: int
    latencies: list[float]
    checked_at: datetime | None
    probed_at: datetime | None
    health_said: str
    circuit: Circuit
    known: Known
    past: Past

    def seen(self, now: datetime, why: Diagnosis | None) -> Seen:
        """What its health is judged by. `why`: what its code means."""
        checks = Checks(self.latencies, self.checks, self.failures, self.state == "connected")
        return Seen(checks, self.past, self.known, self.circuit.state, now.timestamp(), why, round(self.spec.slo_percent / 100, 6))

    def connected(self, sequence: int, plan: ConnectionPlan, probe: Probe) -> SourceConnected:
        """The event that says what a dial by `plan` found; `sequence` is its number among this source's."""
        return SourceConnected(
            source=self.key,
            sequence=sequence,
            based_on=self.version,
            spec=self.spec,
            plan=plan,
            server=probe.server,
            privileges=probe.privileges,
            posture=probe.posture,
            warnings=probe.warnings,
        )


class Store:
    """Reads that need no unit of work, and the units."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def unit(self, batch: Sequence[Received[Any]] = (), keys: Iterable[str] = ()) -> AsyncIterator[ConnectorUnit]:
        """One transaction: locks, inbox, state, outbox."""
        async with unit(self._pool, service=SERVICE, batch=batch, keys=keys) as bus:
            yield ConnectorUnit(bus)

    async def source(self, key: str) -> Row | None:
        """A source that is registered, None where it is not or no longer."""
        row = await self._pool.fetchrow(f"{_SOURCE} key = $1 and source.state <> 'removed'", key)
        return _row(row) if row else None

    async def active(self, key: str) -> str:
        """The address of a hybrid source's secondary while that is the active endpoint; empty otherwise."""
        return str(await self._pool.fetchval("select active from endpoints where key = $1", key) or "")

    async def all(self) -> list[Row]:
        rows = await self._pool.fetch(f"{_SOURCE} source.state <> 'removed' order by key limit 10000")
        return [_row(row) for row in rows]


class ConnectorUnit:
    """An open unit of work; `bus` says and tells what is new."""

    def __init__(self, bus: Unit) -> None:
        self.bus = bus
        self._sql = bus.connection

    async def register(self, event: SourceRegistered, received: Received[SourceRegistered]) -> bool:
        """Keep the source as it stands now. False where a newer version, or its removal, is known."""
        newer = bool(
            await self._sql.fetchval(
                """insert into source (key, version, spec, tenant, traceparent, cause, next_check_at, changed_at)
                values ($1, $2, $3, $4, $5, $6, $7, $7)
                on conflict (key) do update set version = $2, spec = $3, traceparent = $5, cause = $6, next_check_at = $7, changed_at = $7,
                    probed_at = null,
                    state = case when source.state = 'removed' then 'new' else source.state end
                where source.version < $2 returning true""",
                *(event.source, event.version, event.spec.to_json().decode(), event.spec.tenant, received.traceparent, received.id),
                self.bus.now,
            )
        )
        if newer:
            await circuits.renew(self._sql, event.source)
        return newer

    async def forget(self, key: str, version: int) -> bool:
        """The source is gone; its number stays, so that a later one of this name goes on counting."""
        gone = bool(
            await self._sql.fetchval(
                """insert into source (key, version, spec, tenant, traceparent, cause, state, changed_at)
                values ($1, $2, '', '', '', '', 'removed', $3)
                on conflict (key) do update set version = $2, spec = '', state = 'removed', said = '', code = '', health = '',
                    latencies = '{}', checks = 0, failures = 0, next_check_at = null, changed_at = $3, probed_at = null,
                    facts = '{}', health_said = ''
                where source.version < $2 returning true""",
                *(key, version, self.bus.now),
            )
        )
        if gone:
            await self._sql.execute("delete from health_hour where key = $1", key)
            await circuits.renew(self._sql, key)
        return gone

    async def held(self, key: str) -> Row | None:
        """The source, locked until the end of this transaction."""
        row = await self._sql.fetchrow(f"{_SOURCE} key = $1 and source.state <> 'removed' for update of source", key)
        return _row(row) if row else None

    async def look_again(self, key: str) -> None:
        """A person asks: what failed before no longer delays the next dial, and it looks at everything."""
        await self._sql.execute("update source set probed_at = null, next_check_at = $2 where key = $1", key, self.bus.now)
        await circuits.press(self._sql, key)

    async def checked(self, row: Row, *, seconds: float | None, next_seconds: float) -> None:
        """Store the outcome of a check, `seconds` being its latency, None where there was no answer; and count it in its hour."""
        answered = seconds is not None
        await self._sql.execute(
            """with counted as (insert into health_hour as h (key, hour, checks, failures, seconds, bytes)
                    values ($1, date_trunc('hour', $11::timestamptz), 1, $13, $14, $15)
                    on conflict (key, hour) do update set checks = h.checks + 1, failures = h.failures + $13,
                        seconds = h.seconds + $14, bytes = coalesce($15, h.bytes))
                update source set sequence = $2, state = $3, dialled_version = $4, said = $5, code = $6, health = $7,
                    checks = $8, failures = $9, latencies = $10, checked_at = $11, next_check_at = $12,
                    probed_at = $16, facts = $17, health_said = $18 where key = $1""",
            *(row.key, row.sequence, row.state, row.dialled_version, row.said, row.code, row.health),
            *(row.checks, row.failures, row.latencies, self.bus.now, self.bus.now + timedelta(seconds=next_seconds)),
            *(0 if answered else 1, seconds or 0.0, row.known.database_bytes),
            *(row.probed_at, orjson.dumps({"known": row.known, "past": row.past}).decode(), row.health_said),
        )

    async def past(self, key: str) -> Past:
        """What is kept of how the source did; what is older than that goes."""
        await self._sql.execute("delete from health_hour where key = $1 and hour < $2", key, self.bus.now - timedelta(days=KEPT_DAYS))
        day, before = (self.bus.now - timedelta(hours=hours) for hours in (SHORT_HOURS, LONG_HOURS))
        rows = await self._sql.fetch(_PAST, key, day, before)
        found = {row["part"]: Span(**{name: value for name, value in row.items() if name != "part"}) for row in rows}
        return Past(found.get("day", Span()), found.get("before", Span()), found.get("all", Span()))


def _row(row: Any) -> Row:
    facts = orjson.loads(row["facts"])
    return Row(
        key=row["key"],
        version=row["version"],
        spec=DataSource.model_validate_json(row["spec"]),
        tenant=row["tenant"],
        traceparent=row["traceparent"],
        cause=row["cause"],
        sequence=row["sequence"],
        state=row["state"],
        dialled_version=row["dialled_version"],
        said=row["said"],
        code=row["code"],
        health=row["health"],
        checks=row["checks"],
        failures=row["failures"],
        latencies=list(row["latencies"]),
        checked_at=row["checked_at"],
        probed_at=row["probed_at"],
        health_said=row["health_said"],
        circuit=circuits.circuit_of(row),
        known=Known(**facts.get("known", {})),
        past=Past(**{name: Span(**span) for name, span in facts.get("past", {}).items()}),
    )
