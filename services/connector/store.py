"""The connector's own tables: sources as registered, and what was last said of each. The only SQL of this service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from shared.bus.received import Received
from shared.bus.unit import Unit, unit
from shared.contracts.source import DataSource, SourceRegistered

SERVICE = "connector"


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
    attempts: int
    health: str
    checks: int
    failures: int
    latencies: list[float]
    checked_at: datetime | None


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
        row = await self._pool.fetchrow("select * from source where key = $1 and state <> 'removed'", key)
        return _row(row) if row else None

    async def all(self) -> list[Row]:
        rows = await self._pool.fetch("select * from source where state <> 'removed' order by key limit 10000")
        return [_row(row) for row in rows]


class ConnectorUnit:
    """An open unit of work; `bus` says and tells what is new."""

    def __init__(self, bus: Unit) -> None:
        self.bus = bus
        self._sql = bus.connection

    async def register(self, event: SourceRegistered, received: Received[SourceRegistered]) -> bool:
        """Keep the source as it stands now. False where a newer version, or its removal, is known."""
        return bool(
            await self._sql.fetchval(
                """insert into source (key, version, spec, tenant, traceparent, cause, next_check_at, changed_at)
                values ($1, $2, $3, $4, $5, $6, $7, $7)
                on conflict (key) do update set version = $2, spec = $3, traceparent = $5, cause = $6, next_check_at = $7, changed_at = $7,
                    attempts = 0, state = case when source.state = 'removed' then 'new' else source.state end
                where source.version < $2 returning true""",
                *(event.source, event.version, event.spec.to_json().decode(), event.spec.tenant, received.traceparent, received.id),
                self.bus.now,
            )
        )

    async def forget(self, key: str, version: int) -> bool:
        """The source is gone; its number stays, so that a later one of this name goes on counting."""
        return bool(
            await self._sql.fetchval(
                """insert into source (key, version, spec, tenant, traceparent, cause, state, changed_at)
                values ($1, $2, '', '', '', '', 'removed', $3)
                on conflict (key) do update set version = $2, spec = '', state = 'removed', said = '', code = '', health = '',
                    latencies = '{}', checks = 0, failures = 0, next_check_at = null, changed_at = $3
                where source.version < $2 returning true""",
                *(key, version, self.bus.now),
            )
        )

    async def held(self, key: str) -> Row | None:
        """The source, locked until the end of this transaction."""
        row = await self._sql.fetchrow("select * from source where key = $1 and state <> 'removed' for update", key)
        return _row(row) if row else None

    async def look_again(self, key: str) -> None:
        """A person asks: what failed before no longer delays the next dial."""
        await self._sql.execute("update source set attempts = 0, next_check_at = $2 where key = $1", key, self.bus.now)

    async def checked(self, row: Row, *, next_seconds: float) -> None:
        """Store the outcome of a dial."""
        await self._sql.execute(
            """update source set sequence = $2, state = $3, dialled_version = $4, said = $5, code = $6, attempts = $7, health = $8,
                checks = $9, failures = $10, latencies = $11, checked_at = $12, next_check_at = $13 where key = $1""",
            *(row.key, row.sequence, row.state, row.dialled_version, row.said, row.code, row.attempts, row.health),
            *(row.checks, row.failures, row.latencies, self.bus.now, self.bus.now + timedelta(seconds=next_seconds)),
        )


def _row(row: Any) -> Row:
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
        attempts=row["attempts"],
        health=row["health"],
        checks=row["checks"],
        failures=row["failures"],
        latencies=list(row["latencies"]),
        checked_at=row["checked_at"],
    )
