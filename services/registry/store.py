"""The registry's own tables: sources, their versions, the audit ledger. The only SQL of this service."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import asyncpg

from services.registry.domain.ledger import GENESIS, Entry, chain, storable
from shared.access.actor import Actor
from shared.access.proof import Proofs
from shared.bus.deadletters import forget_source
from shared.bus.received import Received
from shared.bus.unit import Cause, Unit, unit
from shared.contracts.audit import AuditAnchored, AuditRecorded
from shared.contracts.judging.schedule import next_after
from shared.contracts.judging.source import changed_fields
from shared.contracts.names import SourceName
from shared.contracts.scan import ScanRequested
from shared.contracts.source import DataSource, SourceRegistered, SourceRemoved
from shared.observe import tracing

SERVICE = "registry"
LEDGER_PART = 2000  # entries that are read at a time
AnyCause = Received[Any] | Cause
_LEDGER = """select * from ledger where tenant = $1 and number > $2
    and ($4::timestamptz is null or at::timestamptz >= $4) and ($5::timestamptz is null or at::timestamptz < $5)
    and ($6 = '' or strpos(body ->> 'actor', $6) > 0) and ($7 = '' or starts_with(body ->> 'object', $7))
    order by number limit $3"""


class Wanted(NamedTuple):
    """Which entries of a ledger: from `since` on, before `until`, with this in the actor, with an object that begins so."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str = ""
    object: str = ""


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Row:
    """A source as stored. `removed` rows keep their version, so that a new source of that name goes on counting."""

    key: str
    version: int
    spec: DataSource
    removed: bool
    notes: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


def _row(record: asyncpg.Record) -> Row:
    return Row(
        key=record["key"],
        version=record["version"],
        spec=DataSource.model_validate_json(record["spec"]),
        removed=record["removed"],
        notes=tuple(record["notes"]),
        created_at=record["created_at"],
        updated_at=record["updated_at"],
    )


class RegistryUnit:
    """One transaction of the registry: what is read and written here commits together with what is said."""

    def __init__(self, unit: Unit) -> None:
        self.bus = unit
        self._db = unit.connection

    async def get(self, key: str) -> Row | None:
        record = await self._db.fetchrow("select * from source where key = $1", key)
        return _row(record) if record else None

    async def register(self, spec: DataSource, notes: Sequence[str], *, actor: str, cause: AnyCause) -> Row:
        """Create or change the source and say so; an equal one changes nothing and says nothing."""
        before, created = await self.get(spec.key), await self.is_new(spec.key)
        if before and not created and before.spec == spec:
            return before
        changed = () if before is None or before.removed else changed_fields(before.spec, spec)
        version = before.version + 1 if before else 1
        await self._save(spec, version, notes, created)
        await self._db.execute(
            "insert into source_version values ($1, $2, $3, $4, $5, $6)",
            *(spec.key, version, spec.model_dump_json(), list(changed), actor, self.bus.now),
        )
        fact = SourceRegistered(
            source=spec.key,
            version=version,
            change="created" if created else "updated",
            spec=spec,
            changed_fields=changed,
            actor=actor,
            notes=tuple(notes),
        )
        self.bus.emit(fact, key=spec.key, cause=cause)
        self.bus.audit(spec.tenant, actor, "source.create" if created else "source.update", spec.key, cause)
        return Row(spec.key, version, spec, False, tuple(notes), before.created_at if before else self.bus.now, self.bus.now)

    async def _save(self, spec: DataSource, version: int, notes: Sequence[str], created: bool) -> None:
        await self._db.execute(
            """
            insert into source (key, tenant, name, version, spec, notes, created_at, updated_at, next_scan_at)
            values ($1, $2, $3, $4, $5, $6, $7, $7, $8)
            on conflict (key) do update set version = excluded.version, spec = excluded.spec,
                notes = excluded.notes, removed = false, updated_at = excluded.updated_at, next_scan_at = excluded.next_scan_at,
                created_at = case when $9 then excluded.created_at else source.created_at end
            """,
            *(
                spec.key,
                spec.tenant,
                spec.name,
                version,
                spec.model_dump_json(),
                list(notes),
                self.bus.now,
                next_after(spec.schedule, self.bus.now),
                created,
            ),
        )

    async def remove(self, key: str, *, actor: str, cause: AnyCause) -> Row | None:
        """Say that the source is gone, then clear its place on the compacted topic. None where there is none."""
        before = await self.get(key)
        if before is None or before.removed:
            return None
        version = before.version + 1
        await self._forget(before.spec, version)
        self.bus.emit(SourceRemoved(source=key, version=version, actor=actor), key=key, cause=cause)
        self.bus.tombstone(SourceRegistered, key=key, cause=cause)
        self.bus.audit(SourceName.parse(key).tenant, actor, "source.delete", key, cause)
        return before

    async def _forget(self, spec: DataSource, version: int) -> None:
        """Only the name and the version stay, so that a new source of that name goes on counting."""
        bare = DataSource(name=spec.name, tenant=spec.tenant, database=spec.name)
        await self._db.execute(
            """update source set removed = true, version = $2, updated_at = $3, next_scan_at = null, spec = $4, notes = '{}'
            where key = $1""",
            *(spec.key, version, self.bus.now, bare.model_dump_json()),
        )
        await self._db.execute("delete from source_version where key = $1", spec.key)
        await forget_source(self._db, spec.key, self.bus.now)

    async def is_new(self, key: str) -> bool:
        """Whether there is no such source."""
        return not await self._db.fetchval("select exists (select from source where key = $1 and not removed)", key)

    def ask_scan(self, request: ScanRequested, *, actor: Actor, proofs: Proofs, cause: AnyCause) -> str:
        """Say that a scan is wanted, and by whom; returns the event's id."""
        self.bus.audit(SourceName.parse(request.source).tenant, actor.id, "source.discover", request.source, cause)
        return self.bus.ask(request, key=request.source, cause=cause, seal=partial(proofs.seal, actor))

    async def append(self, entries: Iterable[Received[AuditRecorded]]) -> None:
        """Add to the ledger, in order, each tenant's chain on its own, and say how far it came. The caller's unit has locked the
        tenants' keys."""
        heads: dict[str, tuple[int, str]] = {}
        newest: dict[str, Received[AuditRecorded]] = {}
        rows: list[tuple[str, int, str, str, str, str, str]] = []
        for received in entries:
            tenant = received.event.tenant
            number, previous = heads.get(tenant) or await self._head(tenant)
            body, at, trace_id = storable(received.event), received.time.isoformat(), tracing.trace_id(received.traceparent)
            fresh = chain(previous, number + 1, at, received.id, body, trace_id)
            heads[tenant], newest[tenant] = (number + 1, fresh), received
            rows.append((tenant, number + 1, at, received.id, body.model_dump_json(), fresh, trace_id))
        await self._db.executemany("insert into ledger values ($1, $2, $3, $4, $5, $6, $7)", rows)
        for tenant, (number, head) in heads.items():
            self.bus.emit(AuditAnchored(tenant=tenant, number=number, hash=head), key=tenant, cause=newest[tenant])

    async def _head(self, tenant: str) -> tuple[int, str]:
        record = await self._db.fetchrow("select number, hash from ledger where tenant = $1 order by number desc limit 1", tenant)
        return (record["number"], record["hash"]) if record else (0, GENESIS)

    async def due(self) -> list[Row]:
        """Sources whose scheduled scan is due; each gets its next time. Locked, so that two instances never both ask."""
        records = await self._db.fetch(
            "select * from source where next_scan_at <= $1 and not removed for update skip locked limit 100", self.bus.now
        )
        rows = [_row(record) for record in records]
        nexts = [next_after(row.spec.schedule, self.bus.now) for row in rows]
        await self._db.executemany(
            "update source set next_scan_at = $2 where key = $1", list(zip([r.key for r in rows], nexts, strict=True))
        )
        return rows


class Store:
    """The registry's state."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def unit(self, batch: Sequence[Received[Any]] = (), keys: Iterable[str] = ()) -> AsyncIterator[RegistryUnit]:
        async with unit(self._pool, service=SERVICE, batch=batch, keys=keys) as opened:
            yield RegistryUnit(opened)

    async def sources(self, tenant: str | None = None) -> list[Row]:
        """Sources that are not removed, by name."""
        query = "select * from source where not removed and ($1::text is null or tenant = $1) order by tenant, name"
        return [_row(record) for record in await self._pool.fetch(query, tenant)]

    async def get(self, key: str) -> Row | None:
        record = await self._pool.fetchrow("select * from source where key = $1 and not removed", key)
        return _row(record) if record else None

    async def refers_to(self, reference: str) -> bool:
        """Whether a source that is not removed takes its password from there."""
        query = "select exists (select from source where not removed and spec::jsonb ->> 'password_secret' = $1)"
        return bool(await self._pool.fetchval(query, reference))

    async def versions(self, key: str) -> list[dict[str, Any]]:
        """The source's history, newest first."""
        records = await self._pool.fetch(
            "select version, changed_fields, actor, at from source_version where key = $1 order by version desc", key
        )
        return [{**record, "at": record["at"].isoformat()} for record in records]

    async def newest(self, tenant: str, most: int) -> list[Entry]:
        """The tenant's newest entries, the newest first."""
        records = await self._pool.fetch("select * from ledger where tenant = $1 order by number desc limit $2", tenant, most)
        return [_entry(record) for record in records]

    async def ledger(self, tenant: str, wanted: Wanted = EVERYTHING) -> AsyncIterator[list[Entry]]:
        """The tenant's entries in order, those that are wanted, in parts."""
        after = 0
        while records := await self._pool.fetch(_LEDGER, tenant, after, LEDGER_PART, *wanted):
            yield [_entry(record) for record in records]
            after = records[-1]["number"]


def _entry(record: asyncpg.Record) -> Entry:
    body = AuditRecorded.model_validate(json.loads(record["body"]))
    return Entry(record["number"], record["at"], record["event_id"], body, record["hash"], record["trace_id"])
