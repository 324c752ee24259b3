"""PostgreSQL's catalogue as facts: a handful of statements for the whole database, streamed.

Each table's facts come from correlated sub-selects over the catalogue's own indexes, so the cost of a table does not depend
on the planner's guesses, rows leave as they are made, and a scan of three tables reads three tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import asyncpg
import orjson

from shared.contracts.source import Scope
from shared.evidence.literals import mask_literals
from shared.evidence.scrub import scrub
from shared.sources.base import Key, ReadFrom, TableFacts, TableMark

_CHUNK_TABLES = 250
_FEW_TABLES = 500
_ROWS_A_PAGE = 50  # a guess for tables that nobody analysed yet
_KINDS = {"r": "table", "p": "partitioned_table", "v": "view", "m": "materialized_view", "f": "foreign_table"}
_KEY_KINDS: dict[str, Any] = {"p": "primary_key", "u": "unique", "f": "foreign_key", "c": "check", "x": "exclusion"}
_TEXT, _LOOKED_AT = "S", frozenset("SNUIEA")
# Kinds of base type whose text form says nothing about a person, or is large.
_NOT_LOOKED_AT = frozenset(
    ("bytea", "tsvector", "tsquery", "geometry", "geography", "raster", "uuid", "vector", "halfvec", "sparsevec", "jsonpath", "gtsvector")
)

# The same few texts stand beside thousands of columns.
_scrub, _masked = lru_cache(8192)(scrub), lru_cache(8192)(mask_literals)

# Anything that a reader could see differently must be in here: a rescan trusts it.
_MARK = """
  hashtextextended(concat_ws(':', c.relkind, c.relowner, c.relrowsecurity,
    (select sum(hashtextextended(concat_ws(':', attname, atttypid, atttypmod, attnotnull, attidentity, attgenerated), attnum))
       from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped),
    (select sum(hashtextextended(description, objsubid)) from pg_description where objoid = c.oid and classoid = 'pg_class'::regclass),
    (select sum(hashtextextended(concat_ws(':', conname, contype, conkey::text, confkey::text, conbin::text,
              case when confrelid <> 0 then confrelid::regclass::text end), 0)) from pg_constraint where conrelid = c.oid),
    (select sum(hashtextextended(concat_ws(':', indkey::text, indisunique, indpred is null), 0)) from pg_index where indrelid = c.oid),
    (select sum(hashtextextended(adbin::text, adnum)) from pg_attrdef where adrelid = c.oid),
    case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
    coalesce(parts.leaves, 0)), 0)"""

_MARKS = """
select c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text,
  coalesce(parts.tuples, c.reltuples)::float8 tuples,
  coalesce(parts.pages, c.relpages)::int8 + coalesce(t.relpages, 0) pages,
  case when c.relkind in ('r', 'm') and c.relpages = 0 then pg_stat_get_live_tuples(c.oid) end live,
  current_setting('block_size')::int8 block, coalesce(parts.leaves, 0)::int4,
  (select rolsuper from pg_roles where rolname = current_user)
    or has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'),
  {mark}
from pg_class c join pg_namespace n on n.oid = c.relnamespace
left join pg_class t on t.oid = c.reltoastrelid
left join (
  select pg_partition_root(p.oid) root, sum(greatest(p.reltuples, 0)) tuples, sum(p.relpages) pages, count(*) leaves
  from pg_class p where p.relispartition and p.relkind in ('r', 'f') group by 1
) parts on c.relkind = 'p' and parts.root = c.oid
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and (cardinality($1::text[]) = 0 or n.nspname = any($1))
  and n.nspname <> all($2::text[])
  and (cardinality($3::text[]) = 0 or n.nspname || '.' || c.relname = any($3))"""

_DESCRIBE = """
select c.oid::int8, pg_get_userbyid(c.relowner)::text, c.relrowsecurity,
  a.positions, a.names, a.oids, a.types, a.flags, d.at, d.texts, f.at, f.texts, i.singles, i.columns, k.keys,
  case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
  case when c.relkind in ('v', 'm') then (
    select json_agg(distinct jsonb_build_array(n.nspname, r.relname))
    from pg_rewrite w join pg_depend p on p.classid = 'pg_rewrite'::regclass and p.objid = w.oid and p.refclassid = 'pg_class'::regclass
    join pg_class r on r.oid = p.refobjid and r.oid <> c.oid join pg_namespace n on n.oid = r.relnamespace
    where w.ev_class = c.oid) end,
  case when c.relkind = 'p' then (
    select array[n.nspname::text, p.relname::text] from pg_partition_tree(c.oid) t join pg_class p on p.oid = t.relid
    join pg_namespace n on n.oid = p.relnamespace where t.isleaf and p.relkind = 'r' order by p.relpages desc, p.relname limit 1) end
from pg_class c
cross join lateral (
  select array_agg(attnum::int4) positions, array_agg(attname::text) names, array_agg(atttypid::int8) oids,
    array_agg(format_type(atttypid, atttypmod)) types,
    array_agg((attnotnull::int4 + case when attidentity <> '' or attgenerated <> '' then 2 else 0 end)) flags
  from (select * from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped order by attnum) ordered) a
cross join lateral (
  select array_agg(objsubid) at, array_agg(description) texts
  from pg_description where objoid = c.oid and classoid = 'pg_class'::regclass) d
cross join lateral (
  select array_agg(adnum::int4) at, array_agg(pg_get_expr(adbin, adrelid)) texts from pg_attrdef where adrelid = c.oid) f
cross join lateral (
  select array_agg(indkey[0]::int4) filter (where indisunique and indnkeyatts = 1 and indpred is null) singles,
    string_agg(indkey::text, ' ') columns
  from pg_index where indrelid = c.oid) i
cross join lateral (
  select json_agg(json_build_array(conname, contype, conkey,
    case contype when 'c' then pg_get_expr(conbin, conrelid) when 'x' then pg_get_constraintdef(oid) end)) keys
  from pg_constraint where conrelid = c.oid and contype in ('p', 'u', 'f', 'c', 'x')) k
where c.oid = any($1::oid[])"""

# Where foreign keys point to: names, because a fact must read the same after a dump and restore.
_TARGETS = """
select k.conrelid::int8, k.conname::text, n.nspname::text, r.relname::text, array_agg(x.attname::text order by u.place)
from pg_constraint k cross join lateral unnest(k.confkey) with ordinality u(number, place)
join pg_attribute x on x.attrelid = k.confrelid and x.attnum = u.number
join pg_class r on r.oid = k.confrelid join pg_namespace n on n.oid = r.relnamespace
where k.contype = 'f' and k.conparentid = 0 and ($1::oid[] is null or k.conrelid = any($1)) group by 1, 2, 3, 4"""

# Row types of tables are left out: there are as many as tables.
_TYPES = """
select t.oid::int8, t.typcategory::text, coalesce(b.typname, e.typname, t.typname)::text
from pg_type t left join pg_type b on t.typtype = 'd' and b.oid = t.typbasetype
  left join pg_type e on t.typelem <> 0 and t.typlen = -1 and e.oid = t.typelem
where t.typtype in ('b', 'd', 'e') and coalesce(e.typtype, 'b') <> 'c'"""


class _Names(NamedTuple):
    """`kinds`: whether values of a type are looked at, and are text; `targets`: schema, table, columns by table and foreign key."""

    kinds: dict[int, tuple[bool, bool]]
    targets: dict[tuple[int, str], tuple[str, str, tuple[str, ...]]]


class PostgresSnapshot:
    """One repeatable-read transaction. Made and closed by the session."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.statements = 0

    async def marks(self, scope: Scope, *, compare: bool) -> list[TableMark]:
        self.statements += 1
        query = _MARKS.format(mark=_MARK if compare else "0::int8")
        rows = await self._connection.fetch(query, list(scope.schemas), list(scope.exclude_schemas), list(scope.tables))
        return [_mark(row) for row in rows]

    async def describe(self, tables: Sequence[TableMark]) -> AsyncIterator[list[TableFacts]]:
        """In chunks of 250; while the caller works on one, the server makes the next."""
        self.statements += 3
        marks = {table.id: table for table in tables}
        names = await self._names(list(marks))
        cursor = await self._connection.cursor(_DESCRIBE, list(marks))
        async for rows in _ahead(cursor):
            yield [_facts(row, marks[row[0]], names) for row in rows]

    async def _names(self, oids: list[int]) -> _Names:
        kinds = {row[0]: _looked_at(row[1], row[2]) for row in await self._connection.fetch(_TYPES)}
        few = oids if len(oids) < _FEW_TABLES else None  # for many tables one pass over all is cheaper than looking each up
        targets = {(row[0], row[1]): (row[2], row[3], tuple(row[4])) for row in await self._connection.fetch(_TARGETS, few)}
        return _Names(kinds, targets)


async def _ahead(cursor: Any) -> AsyncIterator[list[Any]]:
    """Chunks of a cursor, the next one asked for before this one is worked on."""
    coming = asyncio.ensure_future(cursor.fetch(_CHUNK_TABLES))
    try:
        while rows := await coming:
            coming = asyncio.ensure_future(cursor.fetch(_CHUNK_TABLES))
            await asyncio.sleep(0)  # lets the request out
            yield rows
    finally:
        coming.cancel()


_NEITHER = (False, False)


def _looked_at(category: str, name: str) -> tuple[bool, bool]:
    return category in _LOOKED_AT and name not in _NOT_LOOKED_AT, category == _TEXT


def _mark(row: Any) -> TableMark:
    oid, schema, table, kind, tuples, pages, live, block, leaves, readable, mark = row
    counted = tuples > 0 or (tuples == 0 and pages > 0)
    rows = int(tuples) if counted and kind in "rpm" else live or None
    return TableMark(
        id=oid,
        schema=schema,
        table=table,
        kind=_KINDS[kind],
        rows=rows,
        pages=pages or -(-(live or 0) // _ROWS_A_PAGE),
        bytes=pages * block,
        partitions=leaves,
        readable=bool(readable),
        mark=mark or 0,
    )


def _facts(row: Any, mark: TableMark, known: _Names) -> TableFacts:
    (_, owner, row_security, positions, names, oids, types, flags, *rest) = row
    (comment_at, comments, default_at, defaults, singles, indexed, keys, view, reads, leaf) = rest
    names, positions = names or [], positions or []
    told = dict(zip(comment_at, map(_scrub, comments), strict=True)) if comments else {}
    by_position = dict(zip(positions, names, strict=True))
    found = sorted(_key(each, by_position, known.targets.get((mark.id, each[0]))) for each in orjson.loads(keys)) if keys else []
    primary = {name for key in found if key.kind == "primary_key" for name in key.columns}
    looked_at = [known.kinds.get(oid, _NEITHER) for oid in oids or ()]
    return TableFacts(
        mark=mark,
        owner=owner,
        comment=told.pop(0, ""),
        row_security=row_security,
        positions=positions,
        names=names,
        types=types or [],
        nullable=[not flag & 1 for flag in flags or ()],
        generated=[flag > 1 for flag in flags or ()],
        sampled=[sampled for sampled, _ in looked_at],
        textual=[textual for _, textual in looked_at],
        defaults={at: _masked(text) for at, text in zip(default_at, defaults, strict=True) if text} if defaults else {},
        comments=told,
        primary_key=frozenset(at for at, name in by_position.items() if name in primary),
        unique=frozenset(singles or ()),
        indexed=frozenset(map(int, indexed.split())) if indexed else frozenset(),
        keys=found,
        view_definition=_masked(view) if view else "",
        depends_on=sorted((schema, table) for schema, table in orjson.loads(reads)) if reads else (),
        sample_from=ReadFrom(leaf[0], leaf[1]) if leaf else None,
    )


def _key(found: Sequence[Any], names: dict[int, str], target: tuple[str, str, tuple[str, ...]] | None) -> Key:
    name, kind, columns, expression = found
    return Key(
        name=name,
        kind=_KEY_KINDS[kind],
        columns=tuple(names[at] for at in columns or () if at in names),
        target=target[:2] if target else None,
        target_columns=target[2] if target else (),
        expression=_masked(expression) if expression else "",
    )
