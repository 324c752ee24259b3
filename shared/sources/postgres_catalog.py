"""PostgreSQL's catalogue as facts: a handful of statements for the whole database, streamed.

Each table's facts come from correlated sub-selects over the catalogue's own indexes, so the cost of a table does not depend
on the planner's guesses, rows leave as they are made, and a scan of three tables reads three tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import asyncpg
import orjson

from shared.contracts.source import Scope
from shared.evidence.literals import mask_literals
from shared.evidence.scrub import scrub
from shared.sources import postgres_ascii
from shared.sources.base import BINARY, NO_TEXT, TOLD_BY_TYPE, Index, Key, ReadFrom, TableFacts, TableMark

_CHUNK_TABLES = 250
_ROWS_A_PAGE = 50  # a guess for tables that nobody analysed yet
_KINDS = {"r": "table", "p": "partitioned_table", "v": "view", "m": "materialized_view", "f": "foreign_table"}
_KEY_KINDS: dict[str, Any] = {"p": "primary_key", "u": "unique", "f": "foreign_key", "c": "check", "x": "exclusion"}
_EXPRESSION = frozenset({0})  # among the numbers of an index's columns
_TEXT, _OF_TYPE, _LOOKED_AT = "S", frozenset("BDT"), frozenset("SNUIERC")
# Types that differ from their category: a point is a place; what is none of both says nothing about a person, or is large.
_KIND_OF = {
    **dict.fromkeys(("tsquery", "geometry", "geography", "raster", "vector", "halfvec", "sparsevec", "jsonpath", "gtsvector"), NO_TEXT),
    **{"uuid": TOLD_BY_TYPE, "bytea": BINARY, "point": ""},
}

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
    (select sum(hashtextextended(concat_ws(':', indkey::text, indisunique, indpred::text, indexprs::text, case when not indisprimary then
              (select concat_ws(':', x.relname, x.relam) from pg_class x where x.oid = indexrelid) end), 0))
       from pg_index where indrelid = c.oid),
    (select sum(hashtextextended(adbin::text, adnum)) from pg_attrdef where adrelid = c.oid),
    case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
    coalesce(parts.leaves, 0)), 0)"""

_WRITTEN = "pg_stat_get_tuples_inserted({0}) + pg_stat_get_tuples_updated({0}) + pg_stat_get_tuples_deleted({0})"
_MARKS = """
select c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text,
  coalesce(parts.tuples, c.reltuples)::float8 tuples,
  coalesce(parts.pages, c.relpages)::int8 + coalesce(t.relpages, 0) pages,
  case when c.relkind in ('r', 'm') and c.relpages = 0 then pg_stat_get_live_tuples(c.oid) end live,
  current_setting('block_size')::int8 block, coalesce(parts.leaves, 0)::int4,
  (select rolsuper from pg_roles where rolname = current_user)
    or has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'),
  case when c.relkind in ('r', 'm') then {written} else coalesce(parts.written, 0) end::int8, {mark}
from pg_class c join pg_namespace n on n.oid = c.relnamespace
left join pg_class t on t.relkind = 't' and t.oid = c.reltoastrelid
left join (
  select pg_partition_root(p.oid) root, sum(greatest(p.reltuples, 0)) tuples, sum(p.relpages) pages, count(*) leaves,
    sum({parts_written}) written
  from pg_class p where p.relispartition and p.relkind in ('r', 'f') group by 1
) parts on c.relkind = 'p' and parts.root = c.oid
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and (cardinality($1::text[]) = 0 or n.nspname = any($1))
  and n.nspname <> all($2::text[])
  and (cardinality($3::text[]) = 0 or n.nspname || '.' || c.relname = any($3))"""

_DESCRIBE = """
select c.oid::int8, pg_get_userbyid(c.relowner)::text, c.relrowsecurity,
  a.positions, a.names, a.types, a.nullable, a.generated, d.at, d.texts, f.at, f.texts, i.singles, i.columns, i.others, k.keys,
  case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
  case when c.relkind in ('v', 'm') then (
    select json_agg(distinct jsonb_build_array(n.nspname, r.relname))
    from pg_rewrite w join pg_depend p on p.classid = 'pg_rewrite'::regclass and p.objid = w.oid and p.refclassid = 'pg_class'::regclass
    join pg_class r on r.oid = p.refobjid and r.oid <> c.oid join pg_namespace n on n.oid = r.relnamespace
    where w.ev_class = c.oid) end,
  case when c.relkind = 'p' then (
    select array[n.nspname::text, p.relname::text, p.relpages::text] from pg_partition_tree(c.oid) t join pg_class p on p.oid = t.relid
    join pg_namespace n on n.oid = p.relnamespace where t.isleaf and p.relkind = 'r' order by p.relpages desc, p.relname limit 1) end
from pg_class c
cross join lateral (
  select array_agg(attnum::int4) positions, array_agg(attname::text) names,
    array_agg((atttypid::int8 << 32) | (atttypmod & 4294967295)) types,
    array_agg(not attnotnull) nullable, array_agg(attidentity <> '' or attgenerated <> '') generated
  from (select * from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped order by attnum) ordered) a
cross join lateral (
  select array_agg(objsubid) at, array_agg(description) texts
  from pg_description where objoid = c.oid and classoid = 'pg_class'::regclass) d
cross join lateral (
  select array_agg(adnum::int4) at, array_agg(pg_get_expr(adbin, adrelid)) texts from pg_attrdef where adrelid = c.oid) f
cross join lateral (
  select array_agg(indkey[0]::int4) filter (where indisunique and indnkeyatts = 1 and indpred is null and indkey[0] > 0) singles,
    string_agg(indkey::text, ' ') columns,
    json_agg((select json_build_array(x.relname, (indkey::int2[])[0:indnkeyatts - 1], indisunique,
        case when x.relam <> 403 then (select amname from pg_am where oid = x.relam) end,
        case when indexprs is not null then pg_get_expr(indexprs, indrelid) end,
        case when indpred is not null then pg_get_expr(indpred, indrelid) end)
      from pg_class x where x.oid = indexrelid))
      filter (where not indisprimary and not ((indisunique or indisexclusion) and exists (
        select from pg_constraint where conrelid = indrelid and conindid = indexrelid and contype in ('u', 'x')))) others
  from pg_index where indrelid = c.oid) i
cross join lateral (
  select json_agg(json_build_array(conname, contype, conkey,
    case contype when 'c' then pg_get_expr(conbin, conrelid) when 'x' then pg_get_constraintdef(oid) end,
    case when contype = 'f' and conparentid = 0 then (
      select json_build_array(n.nspname, r.relname, (
        select json_agg(x.attname order by u.place) from unnest(confkey) with ordinality u(number, place)
        join pg_attribute x on x.attrelid = confrelid and x.attnum = u.number))
      from pg_class r join pg_namespace n on n.oid = r.relnamespace where r.oid = confrelid) end)) keys
  from pg_constraint where conrelid = c.oid and contype in ('p', 'u', 'f', 'c', 'x')) k
where c.oid = any($1::oid[])"""

# A type with its modifier is one number: few of them stand beside many columns. Of an array counts what it is made of, of a domain too,
# however deep one is made of the other.
_TYPES = """
with recursive made(asked, of, listed) as (
  select asked, ((asked >> 32) & 4294967295)::oid, false from unnest($1::int8[]) asked
  union all
  select asked, case t.typtype when 'd' then t.typbasetype else t.typelem end, listed or t.typtype <> 'd'
  from made join pg_type t on t.oid = of where t.typtype = 'd' or (t.typlen = -1 and t.typelem <> 0))
select asked, format_type(((asked >> 32) & 4294967295)::oid, (asked << 32 >> 32)::int4), typcategory::text, typname::text, listed
from made join pg_type t on t.oid = of and t.typtype <> 'd' and (t.typlen <> -1 or t.typelem = 0)"""


class _Type(NamedTuple):
    """In the server's spelling; whether its values are looked at, and are text; what stands for it in `TableFacts.kinds`."""

    text: str
    sampled: bool
    textual: bool
    kind: str


class PostgresSnapshot:
    """One repeatable-read transaction. Made and closed by the session."""

    def __init__(self, connection: asyncpg.Connection, *, raw: bool = False) -> None:
        self._connection, self._raw = connection, raw
        self._types: dict[int, _Type] = {}
        self.statements = 0

    async def marks(self, scope: Scope, *, compare: bool) -> list[TableMark]:
        self.statements += 1
        query = _MARKS.format(
            mark=_MARK if compare else "0::int8", written=_WRITTEN.format("c.oid"), parts_written=_WRITTEN.format("p.oid")
        )
        asked = [list(map(postgres_ascii.asked, names) if self._raw else names) for names in _names(scope)]
        return [_mark(row) for row in self._told(await self._connection.fetch(query, *asked))]

    async def describe(self, tables: Sequence[TableMark]) -> AsyncIterator[list[TableFacts]]:
        """In chunks of 250; while the caller works on one, the server makes the next."""
        self.statements += 1
        marks = {table.id: table for table in tables}
        cursor = await self._connection.cursor(_DESCRIBE, list(marks))
        rows = await cursor.fetch(_CHUNK_TABLES)
        while rows:
            await self._learn(set().union(*(row["types"] or () for row in rows)))
            coming = asyncio.ensure_future(cursor.fetch(_CHUNK_TABLES))
            try:
                await asyncio.sleep(0)  # lets the request out
                found = [_facts(row, marks[row[0]], self._types) for row in self._told(rows)]
                yield (
                    [postgres_ascii.nameable(each, row["names"] or ()) for each, row in zip(found, rows, strict=True)]
                    if self._raw
                    else found
                )
                rows = await coming
            finally:
                coming.cancel()

    async def _learn(self, types: set[int]) -> None:
        if missing := types - self._types.keys():
            self.statements += 1
            for asked, text, category, name, listed in self._told(await self._connection.fetch(_TYPES, list(missing))):
                kind = _kind(category, name, listed=listed)
                self._types[asked] = _Type(text, kind in ("", BINARY), category == _TEXT and not listed, kind)

    def _told(self, rows: Sequence[Any]) -> Sequence[Any]:
        return postgres_ascii.all_told(rows) if self._raw else rows


def _names(scope: Scope) -> tuple[Sequence[str], ...]:
    return scope.schemas, scope.exclude_schemas, scope.tables


def _kind(category: str, name: str, *, listed: bool) -> str:
    """How values of a type are looked at, or why not; of a list of bytes each item would have to be unpacked whole."""
    found = _KIND_OF.get(name, "" if category in _LOOKED_AT else TOLD_BY_TYPE if category in _OF_TYPE else NO_TEXT)
    return NO_TEXT if found == BINARY and listed else found


def _mark(row: Any) -> TableMark:
    oid, schema, table, kind, tuples, pages, live, block, leaves, readable, written, mark = row
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
        written=written,
    )


def _facts(row: Any, mark: TableMark, known: Mapping[int, _Type]) -> TableFacts:
    (_, owner, row_security, positions, names, types, nullable, generated, *rest) = row
    (comment_at, comments, default_at, defaults, singles, indexed, others, keys, view, reads, leaf) = rest
    names, positions = names or (), positions or ()
    texts, sampled, textual, kinds = zip(*map(known.__getitem__, types), strict=True) if types else ((), (), (), ())
    told = dict(zip(comment_at, map(_scrub, comments), strict=True)) if comments else {}
    constraints = orjson.loads(keys) if keys else ()
    return TableFacts(
        mark=mark,
        owner=owner,
        comment=told.pop(0, ""),
        row_security=row_security,
        positions=positions,
        names=names,
        types=texts,
        nullable=nullable or (),
        generated=generated or (),
        sampled=sampled,
        textual=textual,
        defaults={at: _masked(text) for at, text in zip(default_at, defaults, strict=True) if text} if defaults else {},
        comments=told,
        primary_key=frozenset(at for _, kind, columns, *_ in constraints if kind == "p" for at in columns),
        unique=frozenset(singles or ()),
        indexed=frozenset(map(int, indexed.split())) - _EXPRESSION if indexed else frozenset(),
        keys=sorted(_key(each, positions, names) for each in constraints),
        view_definition=_masked(view) if view else "",
        depends_on=sorted((schema, table) for schema, table in orjson.loads(reads)) if reads else (),
        sample_from=ReadFrom(leaf[0], leaf[1], pages=int(leaf[2])) if leaf else None,
        numbered=True,
        kinds=kinds if any(kinds) else (),
        indexes=sorted(_index(each, positions, names) for each in orjson.loads(others)) if others else (),
    )


def _index(found: Sequence[Any], positions: Sequence[int], names: Sequence[str]) -> Index:
    name, columns, unique, method, expression, predicate = found
    return Index(
        name=name,
        columns=tuple(names[positions.index(at)] for at in columns if at in positions),
        unique=unique,
        method=method or "",
        expression=_masked(expression) if expression else "",
        predicate=_masked(predicate) if predicate else "",
    )


def _key(found: Sequence[Any], positions: Sequence[int], names: Sequence[str]) -> Key:
    name, kind, columns, expression, target = found
    return Key(
        name=name,
        kind=_KEY_KINDS[kind],
        columns=tuple(names[positions.index(at)] for at in columns or () if at in positions),
        target=(target[0], target[1]) if target else None,
        target_columns=tuple(target[2]) if target else (),
        expression=_masked(expression) if expression else "",
    )
