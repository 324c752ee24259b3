"""Discovery's own tables: sources as the connector told them, scans, assets as last said. The only SQL of this service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

import asyncpg
import orjson

from services.discovery.domain.plan import Known
from shared.bus.jobs import Jobs
from shared.bus.received import Received
from shared.bus.unit import Unit, unit
from shared.contracts.connection import SourceConnected
from shared.contracts.scan import PaceChange
from shared.contracts.source import Scope
from shared.db.scope import in_scope
from shared.observe import tracing
from shared.sources.base import TableMark

SERVICE, SCAN = "discovery", "scan"
URGENT = 10
_PRIORITY = {"person": URGENT, "normal": 0, "bulk": -10}


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan as asked for. `tries` counts how often it was begun; `after` is the id of the event that asked."""

    id: str
    source: str
    state: str
    mode: str
    priority: str
    scope: Scope
    reason: str
    tenant: str
    traceparent: str
    tries: int = 0
    after: str = ""


@dataclass(frozen=True, slots=True)
class Before:
    """What was last said of an asset. `sequence` 0: nothing yet."""

    sequence: int = 0
    gone: bool = False
    fingerprint: str = ""
    evidence: str = ""
    looked: str = "none"
    outline: str = ""
    warmth: float = 0.0
    days: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """An asset's new state; the fields are the table's columns, in order, but for `gone`."""

    key: str
    source: str
    schema_name: str
    table_name: str
    sequence: int
    mark: int
    pages: int
    fingerprint: str
    evidence: str
    outline: str
    looked_by: str
    looked: str
    columns: int
    text_columns: int
    text_columns_with_evidence: int
    left_out: str
    warmth: float
    skipped: str
    written: int


_COLUMNS = attrgetter(*(field.name for field in fields(Row)))


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the assets of a source that are there."""

    columns: int
    text_columns: int
    text_columns_with_evidence: int
    facts: Sequence[tuple[str, str]]
    left_out: Mapping[str, tuple[int, Sequence[str]]]  # how many, and the first of them
    skipped: Sequence[tuple[str, int]]  # as it is kept, and of how many assets


_NAMED = 100  # assets that the manifest names for each reason
_CHANGES = 100  # of a scan's pace that are kept: the last
_DAYS = "(extract(epoch from now() - warm_at) / 86400)::float8"
_URGENCY = "array_position(array['person', 'normal', 'bulk'], {})"
_SAVE = """insert into asset (key, source, schema_name, table_name, sequence, mark, pages, fingerprint, evidence, outline,
        looked_by, looked, columns, text_columns, text_columns_with_evidence, left_out, warmth,
        skipped, written, gone, warm_at)
    select *, false, now() from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::text[], $9::text[], $10::text[], $11::text[],
        $12::text[], $13::int[], $14::int[], $15::int[], $16::text[], $17::real[], $18::text[], $19::bigint[])
    on conflict (key) do update set sequence = excluded.sequence, mark = excluded.mark, pages = excluded.pages, gone = false,
        fingerprint = excluded.fingerprint, evidence = excluded.evidence, outline = excluded.outline, looked_by = excluded.looked_by,
        looked = excluded.looked, columns = excluded.columns, text_columns = excluded.text_columns,
        text_columns_with_evidence = excluded.text_columns_with_evidence,
        left_out = excluded.left_out, skipped = excluded.skipped, written = excluded.written,
        warmth = excluded.warmth, warm_at = excluded.warm_at, missed_by = ''"""
_TOTALS = """select coalesce(sum(columns), 0)::bigint, coalesce(sum(text_columns), 0)::bigint,
        coalesce(sum(text_columns_with_evidence), 0)::bigint from asset where {}"""
_WITHIN = """source = $1 and not gone and (${0}::text[] is null
        or (schema_name, table_name) in (select * from unnest(${0}::text[], ${1}::text[])))"""


class Store:
    """Reads that need no unit of work, and the units."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def unit(self, batch: Sequence[Received[Any]] = (), keys: Iterable[str] = ()) -> AsyncIterator[DiscoveryUnit]:
        """One transaction: locks, inbox, state, outbox."""
        async with unit(self._pool, service=SERVICE, batch=batch, keys=keys) as bus:
            yield DiscoveryUnit(bus)

    async def connected(self, source: str) -> SourceConnected | None:
        """What the connector last said; None where it said nothing, or the source is gone."""
        text = await self._pool.fetchval("select connected from source where key = $1 and version > removed_version", source)
        return SourceConnected.model_validate_json(text) if text else None

    async def patterns(self) -> dict[str, str]:
        """The patterns of the rule set in force, by name, in its order."""
        text = await self._pool.fetchval("select told from pattern")
        found: dict[str, str] = orjson.loads(text) if text else {}
        return found

    async def is_there(self, key: str) -> bool:
        """Whether the last look at its source found this asset."""
        return bool(await self._pool.fetchval("select true from asset where key = $1 and not gone", key))

    async def next_scan(self, source: str) -> Scan | None:
        """The most urgent; of these one that was begun before the waiting ones, in the order of asking."""
        row = await self._pool.fetchrow(
            f"""select * from scan where source = $1 and state in ('waiting', 'running')
            order by {_URGENCY.format("priority")}, state, asked_at, id limit 1""",
            source,
        )
        return _scan(row) if row else None

    async def draining(self, source: str) -> Scan | None:
        """Where the source was removed and not forgotten yet: its removal, in the form of a scan that finds nothing."""
        row = await self._pool.fetchrow("select * from draining where source = $1", source)
        if row is None:
            return None
        return Scan(row["id"], source, "running", "full", "normal", Scope(), "source_removed", row["tenant"], row["traceparent"])

    async def known(self, source: str) -> dict[tuple[str, str], Known]:
        """Every asset of the source that is there, by schema and table."""
        rows = await self._pool.fetch(
            f"""select schema_name, table_name, key, mark, pages, looked_by, looked, left_out, missed_by, warmth, {_DAYS}, written
            from asset where source = $1 and not gone""",
            source,
        )
        return {(row[0], row[1]): Known(*row[2:]) for row in rows}

    async def totals(self, source: str, only: Sequence[tuple[str, str]] | None) -> Totals:
        """For the manifest. `only` names schema and table of what was looked at, None means all."""
        schemas, tables = ([each[at] for each in only] if only is not None else None for at in (0, 1))
        sums = await self._pool.fetchrow(_TOTALS.format(_WITHIN.format(2, 3)), source, schemas, tables)
        facts = await self._pool.fetch(f"select key, fingerprint from asset where {_WITHIN.format(2, 3)}", source, schemas, tables)
        reasons = await self._pool.fetch(
            f"""select left_out, count(*), (array_agg(key order by key))[:{_NAMED}] from asset
            where {_WITHIN.format(2, 3)} and left_out <> '' group by 1 order by 1""",
            *(source, schemas, tables),
        )
        skipped = await self._pool.fetch(
            f"select skipped, count(*) from asset where {_WITHIN.format(2, 3)} and skipped <> '' group by 1", source, schemas, tables
        )
        pairs, counts = [(row[0], row[1]) for row in facts], {row[0]: (row[1], row[2]) for row in reasons}
        columns, texts, with_evidence = sums
        return Totals(columns, texts, with_evidence, facts=pairs, left_out=counts, skipped=list(map(tuple, skipped)))

    async def ending(self, scan: str) -> tuple[int, int, list[dict[str, Any]]]:
        """Of all attempts of a scan, whoever went before it meanwhile: how many assets it said, at how many values it looked, and the last
        changes of its pace."""
        row = await self._pool.fetchrow("select changed, sampled_values, pace from scan where id = $1", scan)
        return (row["changed"], row["sampled_values"], orjson.loads(row["pace"])) if row else (0, 0, [])

    async def scans(self, source: str = "", limit: int = 50) -> list[dict[str, Any]]:
        """The newest scans, in the scope `source`."""
        rows = await self._pool.fetch(
            f"select * from scan where {in_scope('source', '$1')} order by asked_at desc, id limit $2", source, min(limit, 500)
        )
        return [_shown(row) for row in rows]

    async def scan(self, id: str) -> dict[str, Any] | None:
        """One scan as the outside sees it, with the last changes of its pace."""
        row = await self._pool.fetchrow("select * from scan where id = $1", id)
        return _shown(row) | {"pace": orjson.loads(row["pace"])} if row else None


class DiscoveryUnit:
    """An open unit of work; `bus` says and tells what is new."""

    def __init__(self, bus: Unit) -> None:
        self.bus = bus
        self._sql = bus.connection

    async def keep_patterns(self, told: Mapping[str, str]) -> None:
        """These, name to pattern, in place of those before."""
        text = orjson.dumps(told).decode()
        await self._sql.execute("insert into pattern (told) values ($1::json) on conflict (one) do update set told = excluded.told", text)

    async def connect(self, event: SourceConnected) -> bool:
        """Keep what the connector said. False where it is old, or the source was removed since."""
        return bool(
            await self._sql.fetchval(
                """insert into source (key, version, sequence, connected, changed_at) values ($1, $2, $3, $4, $5)
                on conflict (key) do update set version = $2, sequence = $3, connected = $4, changed_at = $5
                where source.sequence < $3 and source.removed_version < $2 returning true""",
                *(event.source, event.based_on, event.sequence, event.to_json().decode(), self.bus.now),
            )
        )

    async def is_connected(self, source: str) -> bool:
        return bool(await self._sql.fetchval("select true from source where key = $1 and version > removed_version", source))

    async def ask(self, scan: Scan) -> bool:
        """Store a scan. False where it was asked for before."""
        return bool(
            await self._sql.fetchval(
                """insert into scan (id, source, mode, priority, scope, reason, tenant, traceparent, asked_at, after)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing returning true""",
                *(scan.id, scan.source, scan.mode, scan.priority, scan.scope.to_json().decode(), scan.reason, scan.tenant),
                *(scan.traceparent, self.bus.now, scan.after),
            )
        )

    async def runs(self, scan: str) -> bool:
        """Whether the scan is still wanted; until this transaction ends it stays so."""
        return bool(await self._sql.fetchval("select state = 'running' from scan where id = $1 for share", scan))

    async def is_overtaken(self, scan: Scan) -> bool:
        """Whether a more urgent scan of the same source waits."""
        return bool(
            await self._sql.fetchval(
                f"""select exists (select from scan where source = $1 and state = 'waiting'
                and {_URGENCY.format("priority")} < {_URGENCY.format("$2")})""",
                *(scan.source, scan.priority),
            )
        )

    async def give_way(self, scan: str) -> None:
        """The scan waits again; what was begun so does not count as a try."""
        await self._sql.execute("update scan set state = 'waiting', tries = tries - 1 where id = $1 and state = 'running'", scan)

    async def pause(self, scan: str) -> bool:
        """False where it is neither waiting nor running."""
        return bool(
            await self._sql.fetchval(
                "update scan set state = 'paused' where id = $1 and state in ('waiting', 'running') returning true", scan
            )
        )

    async def resume(self, scan: str) -> bool:
        """False where it is not paused."""
        return bool(
            await self._sql.fetchval("update scan set state = 'waiting', tries = 0 where id = $1 and state = 'paused' returning true", scan)
        )

    async def enqueue(self, jobs: Jobs, source: str, priority: str, traceparent: str) -> None:
        """A job for the scans of this source, which takes turns with others of its tenant and of its host."""
        shares = await self._shares(source)
        urgency = _PRIORITY.get(priority, 0)
        await jobs.enqueue(self._sql, SCAN, source, "", priority=urgency, traceparent=traceparent, shares=shares)

    async def _shares(self, source: str) -> list[str]:
        row = await self._sql.fetchrow(
            """select connected::jsonb #>> '{plan,host}', connected::jsonb #>> '{plan,port}'
            from source where key = $1 and connected <> ''""",
            source,
        )
        host = [f"host:{row[0]}:{row[1]}"] if row and row[0] else []
        return [f"tenant:{source.partition('/')[0]}", *host]

    async def share(self, scan: str) -> float:
        """How far the scan came, 0 to 1."""
        row = await self._sql.fetchrow("select tables, looked from scan where id = $1", scan)
        return min(1.0, row[1] / row[0]) if row and row[0] else 0.0

    async def drained(self, source: str) -> None:
        """Nothing of the source is there any more."""
        await self._sql.execute("delete from draining where source = $1", source)
        await self._sql.execute("delete from scan where source = $1 and state not in ('waiting', 'running')", source)

    async def forget(self, source: str, version: int, drain: Scan) -> list[tuple[str, str, float]]:
        """The source is gone: its open scans end, what was said of older versions no longer counts, and a worker is to drain it.

        Returns id, trace and share of the scans that ended.
        """
        await self._sql.execute(
            "insert into draining (source, id, tenant, traceparent) values ($1, $2, $3, $4) on conflict do nothing",
            *(source, drain.id, drain.tenant, drain.traceparent),
        )
        await self._sql.execute(
            """insert into source (key, version, sequence, connected, removed_version, changed_at) values ($1, 0, 0, '', $2, $3)
            on conflict (key) do update set removed_version = greatest(source.removed_version, $2), connected = '', changed_at = $3""",
            *(source, version, self.bus.now),
        )
        rows = await self._sql.fetch(
            """update scan set state = 'cancelled', code = 'source_removed', ended_at = $2
            where source = $1 and state in ('waiting', 'running', 'paused') returning id, traceparent, tables, looked""",
            *(source, self.bus.now),
        )
        return [(row[0], tracing.trace_id(row[1]), min(1.0, row[3] / row[2]) if row[2] else 0.0) for row in rows]

    async def begin(self, scan: str) -> bool:
        """False where nobody wants it any more just now."""
        return bool(
            await self._sql.fetchval(
                """update scan set state = 'running', tries = tries + 1, started_at = coalesce(started_at, $2)
                where id = $1 and state in ('waiting', 'running') returning true""",
                *(scan, self.bus.now),
            )
        )

    async def progress(self, scan: str, *, tables: int | None = None, looked: int = 0, changed: int = 0, values: int = 0) -> None:
        await self._sql.execute(
            """update scan set tables = coalesce($2, tables), looked = looked + $3, changed = changed + $4,
            sampled_values = sampled_values + $5 where id = $1""",
            *(scan, tables, looked, changed, values),
        )

    async def paced(self, scan: str, change: PaceChange) -> int:
        """Remember a change of the scan's pace; how many it has had so far, 0 where it no longer runs."""
        found: int | None = await self._sql.fetchval(
            f"""update scan set paced = paced + 1,
                pace = case when jsonb_array_length(pace) < {_CHANGES} then pace else pace - 0 end || $2::jsonb
            where id = $1 and state = 'running' returning paced""",
            *(scan, change.to_json().decode()),
        )
        return found or 0

    async def end(self, scan: str, state: str, *, code: str = "", report: bytes = b"") -> bool:
        """Close a scan. False where it was closed already."""
        return bool(
            await self._sql.fetchval(
                """update scan set state = $2, code = $3, report = $4, ended_at = $5
                where id = $1 and state in ('waiting', 'running', 'paused') returning true""",
                *(scan, state, code, report.decode(), self.bus.now),
            )
        )

    async def before(self, keys: Sequence[str]) -> dict[str, Before]:
        """What was last said of these assets, those that are gone too."""
        rows = await self._sql.fetch(
            f"select key, sequence, gone, fingerprint, evidence, looked, outline, warmth, {_DAYS} from asset where key = any($1)",
            list(keys),
        )
        return {row[0]: Before(*row[1:]) for row in rows}

    async def save(self, rows: Sequence[Row]) -> None:
        await self._sql.execute(_SAVE, *map(list, zip(*map(_COLUMNS, rows), strict=True)))

    async def mark(self, source: str, marks: Sequence[tuple[str, str, int]]) -> None:
        """Remember the structure marks (schema, table, mark) that the next scan compares with."""
        await self._sql.execute(
            """update asset set mark = seen.mark from unnest($2::text[], $3::text[], $4::bigint[]) as seen(schema_name, table_name, mark)
            where asset.source = $1 and not gone and (asset.schema_name, asset.table_name) = (seen.schema_name, seen.table_name)""",
            *(source, [mark[0] for mark in marks], [mark[1] for mark in marks], [mark[2] for mark in marks]),
        )

    async def unread(self, source: str, marks: Sequence[TableMark]) -> None:
        """Remember why nobody could look into these this time; what was said of them stands."""
        await self._sql.execute(
            """update asset set left_out = seen.why
            from unnest($2::text[], $3::text[], $4::text[]) as seen(schema_name, table_name, why)
            where asset.source = $1 and not gone and (asset.schema_name, asset.table_name) = (seen.schema_name, seen.table_name)""",
            *(source, [mark.schema for mark in marks], [mark.table for mark in marks], [mark.unread for mark in marks]),
        )

    async def missed(self, source: str, keys: Sequence[str], scan: str) -> None:
        """A complete scan did not see these assets, and saw all others."""
        await self._sql.execute(
            """update asset set missed_by = case when key <> all($2) then '' when missed_by = '' then $3 else missed_by end
            where source = $1 and not gone and (missed_by <> '' or key = any($2))""",
            *(source, list(keys), scan),
        )

    async def remove(self, keys: Sequence[str], scan: str) -> list[tuple[str, int]]:
        """Mark assets as gone; each with its next sequence. Those that were gone already are left out."""
        rows = await self._sql.fetch(
            """update asset set gone = true, sequence = sequence + 1, looked_by = $2, fingerprint = '', evidence = '',
                outline = '', missed_by = '' where key = any($1) and not gone
            returning key, sequence""",
            *(list(keys), scan),
        )
        return [(row[0], row[1]) for row in rows]

    async def some_of(self, source: str, limit: int) -> list[str]:
        """Keys of assets that are there."""
        return [row[0] for row in await self._sql.fetch("select key from asset where source = $1 and not gone limit $2", source, limit)]


def _scan(row: Any) -> Scan:
    return Scan(
        id=row["id"],
        source=row["source"],
        state=row["state"],
        mode=row["mode"],
        priority=row["priority"],
        scope=Scope.model_validate_json(row["scope"]),
        reason=row["reason"],
        tenant=row["tenant"],
        traceparent=row["traceparent"],
        after=row["after"],
        tries=row["tries"],
    )


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _shown(row: Any) -> dict[str, Any]:
    return {
        "scan_id": row["id"],
        "source": row["source"],
        "state": row["state"],
        "mode": row["mode"],
        "priority": row["priority"],
        "reason": row["reason"],
        "tables": row["tables"],
        "looked": row["looked"],
        "changed": row["changed"],
        "code": row["code"],
        "trace_id": row["traceparent"][3:35],
        "asked_at": _iso(row["asked_at"]),
        "started_at": _iso(row["started_at"]),
        "ended_at": _iso(row["ended_at"]),
        "report": orjson.loads(row["report"]) if row["report"] else None,
    }
