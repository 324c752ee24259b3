"""The catalogue of MySQL and MariaDB as facts: five statements for a schema, whatever its size, the one over columns streamed.

Marks and facts are made from the very same rows, so nothing that a reader could see differently escapes a mark. For a few tables each is
asked for by name, which these servers answer without looking at its neighbours.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from asyncmy.errors import MySQLError

from shared.contracts.source import Scope
from shared.evidence.literals import mask_literals
from shared.evidence.scrub import scrub
from shared.sources.base import BINARY, CLOSE_SECONDS, NO_TEXT, TOLD_BY_TYPE, Index, Key, ReadFrom, TableFacts, TableMark
from shared.sources.mysql_grants import Grants
from shared.sources.mysql_line import Line, literal, quoted
from shared.sources.mysql_release import Release

SYSTEM = frozenset({"information_schema", "performance_schema", "mysql", "sys"})
_CHUNK_TABLES = 50
_CHUNK_ROWS = 250  # small, so that what is read ahead is looked at between two of them
_FEW_TABLES = 8
_TURNS = 3  # of the event loop: the answer arrives, is read, and the next question is asked
_AHEAD = 16  # chunks that may be read before they are wanted
_PAGE_BYTES = 16_384
_SMALL_BYTES = 16 * _PAGE_BYTES
_FAR = 1 << 20  # rows that no small table has
_FOREIGN = frozenset({"FEDERATED", "CONNECT", "SPIDER", "S3"})
_KINDS = {"BASE TABLE": "table", "SYSTEM VERSIONED": "table", "VIEW": "view"}
_TEXTUAL = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double"})
_KIND_OF = {
    **dict.fromkeys(_TEXTUAL | _NUMBERS | {"enum", "set", "json", "inet4", "inet6"}, ""),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), BINARY),
    **dict.fromkeys(("date", "time", "datetime", "timestamp", "year", "uuid"), TOLD_BY_TYPE),
}

# A second that is not over may see another write after ours.
_TABLES = """select table_name, table_type, coalesce(engine, ''), coalesce(table_rows, 0), coalesce(data_length, 0),
  create_options like '%partitioned%', table_comment, case when update_time < now() then unix_timestamp(update_time) else 0 end
  from information_schema.tables where {place}"""
_PARTITIONS = """select table_name, coalesce(subpartition_name, partition_name), coalesce(table_rows, 0),
  coalesce(data_length, 0) from information_schema.partitions where partition_name is not null and {place}"""
# What most columns do not have comes as null, which costs the line a byte and us nothing.
_COLUMNS = """select table_name, column_name, column_type, case is_nullable when 'YES' then null else '' end,
  {default}, nullif(extra, ''), nullif(generation_expression, ''), nullif(column_comment, ''){place_in_order}
  from information_schema.columns where {place}"""
_DEFAULT = {True: "nullif(column_default, 'NULL')", False: "column_default"}  # MariaDB writes a default as SQL
_INDEXES = """select table_name, index_name, non_unique, seq_in_index, column_name, {method}
  from information_schema.statistics where {place}"""
_METHOD = {True: "''", False: "index_type"}  # MariaDB opens every table to say it, which takes as long as all the rest
_REFERENCES = """select table_name, constraint_name, ordinal_position, column_name, referenced_table_schema, referenced_table_name,
  referenced_column_name from information_schema.key_column_usage where referenced_table_name is not null and {place}"""
_VIEWS = "select table_name, view_definition from information_schema.views where {place}"
_CHECKS = {
    True: """select table_name, constraint_name, check_clause from information_schema.check_constraints where {place}""",
    False: """select t.table_name, c.constraint_name, c.check_clause from information_schema.check_constraints c
  join information_schema.table_constraints t using (constraint_schema, constraint_name) where {place}""",
}
# MySQL reads a dictionary in any order; by bytes, since two names may differ in case alone. MariaDB opens one table after the other.
_ORDER = {True: "", False: " order by cast(table_name as binary), ordinal_position"}
_CHECKS_SINCE = {True: 100_222, False: 80_016}

# A view's text as these servers keep it names each table of another schema with it, and joins with no comma.
_READS = re.compile(r"\b(?:from|join)\s+\(*(?:`((?:[^`]|``)+)`\.)?`((?:[^`]|``)+)`", re.IGNORECASE)
_VIEW_HEAD = re.compile(r".*? SQL SECURITY \w+ VIEW (?:`(?:[^`]|``)*`\.)?`(?:[^`]|``)*` (?:\(.*?\) )?AS ", re.DOTALL)
_PARTS_OF_A_CALL = re.compile(r"\b(?:extract|trim)\([^()]*?\bfrom\b", re.IGNORECASE)
_NOW = re.compile(r"current_timestamp(\(\d?\))?", re.IGNORECASE)

# The same few texts stand beside thousands of columns.
_scrub = lru_cache(8192)(scrub)
_first = itemgetter(0)
Row = tuple[Any, ...]
T = TypeVar("T")
Named = tuple[str, list[Row]]  # a table and the rows of its columns


@lru_cache(8192)
def _masked(text: str) -> str:
    return mask_literals(text, dialect="mysql")


@dataclass(slots=True)
class _Table:
    """All rows of one table, as the server gave them."""

    columns: list[Row]
    indexes: Sequence[Row] = ()
    references: Sequence[Row] = ()
    checks: Sequence[Row] = ()
    view: str = ""

    def digest(self, mark: TableMark, comment: str) -> int:
        said = repr((mark.kind, mark.partitions, comment, self.columns, self.indexes, self.references, self.checks, self.view))
        return int.from_bytes(blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


class _Parts(NamedTuple):
    """How many partitions a table has, and the largest, with its rows and bytes."""

    leaves: int = 0
    largest: str = ""
    rows: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Around:
    """What stands beside the columns, by table."""

    indexes: dict[str, list[Row]] = field(default_factory=dict)
    references: dict[str, list[Row]] = field(default_factory=dict)
    checks: dict[str, list[Row]] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)


class MysqlSnapshot:
    """One look; these servers' catalogues are not transactional, so a table that changes meanwhile is seen before or after. Made by
    the session."""

    def __init__(self, line: Line, release: Release, grants: Grants) -> None:
        self._line, self._release, self._grants = line, release, grants
        self._comments: dict[tuple[str, str], str] = {}
        self._parts: dict[tuple[str, str], _Parts] = {}
        self._reader: asyncio.Task[None] | None = None
        self.statements = 0

    async def marks(self, scope: Scope, *, compare: bool) -> list[TableMark]:
        found: list[TableMark] = []
        for schema in scope.schemas:
            if schema.lower() not in SYSTEM and schema not in scope.exclude_schemas:
                found += await self._marks(schema, _wanted(schema, scope.tables), len(found))
        return [mark async for mark in self._compared(found)] if compare else found

    async def _marks(self, schema: str, tables: Sequence[str] | None, start: int) -> list[TableMark]:
        """`tables` None are all of the schema."""
        rows = await self._rows(_TABLES, schema, tables)
        kept = [row for row in rows if row[1] in _KINDS and (tables is None or row[0] in tables)]
        parts = await self._partitions(schema, [row[0] for row in kept if row[5] == "1"])
        marks = []
        for at, row in enumerate(kept, start):
            place = (schema, row[0])
            self._comments[place] = "" if row[1] == "VIEW" else row[6]
            self._parts[place] = parts.get(row[0], _Parts())
            marks.append(_mark(at, schema, row, self._parts[place].leaves, self._grants.may("SELECT", schema, row[0])))
        return marks

    async def _partitions(self, schema: str, tables: Sequence[str]) -> dict[str, _Parts]:
        """Each asked for by name: a look at all would open every table of the schema."""
        found: dict[str, _Parts] = {}
        for at in range(0, len(tables), _FEW_TABLES):
            rows = await self._rows(_PARTITIONS, schema, tables[at : at + _FEW_TABLES])
            for table, group in groupby(sorted(rows, key=_first), key=_first):
                parts = [(int(row[2]), row[1], int(row[3])) for row in group]
                rows_, largest, size = max(parts)
                found[table] = _Parts(len(parts), largest, rows_, size)
        return found

    async def _compared(self, marks: Sequence[TableMark]) -> AsyncIterator[TableMark]:
        async for mark, table in self._tables(marks):
            yield replace(mark, mark=table.digest(mark, self._comments[mark.schema, mark.table]))

    async def describe(self, tables: Sequence[TableMark]) -> AsyncIterator[list[TableFacts]]:
        """In chunks of 50. The line is in use until the last of them, and is lost where the caller stops earlier."""
        chunk: list[TableFacts] = []
        async for mark, table in self._tables(tables):
            place = (mark.schema, mark.table)
            chunk.append(_facts(mark, table, self._comments.get(place, ""), self._parts.get(place, _Parts()), self._release))
            if len(chunk) == _CHUNK_TABLES:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    async def _tables(self, marks: Sequence[TableMark]) -> AsyncIterator[tuple[TableMark, _Table]]:
        async for by_name, around, found in self._ahead(self._read(marks)):
            for name, columns in found:
                if mark := by_name.get(name):
                    yield (
                        mark,
                        _Table(
                            columns,
                            around.indexes.get(name, ()),
                            around.references.get(name, ()),
                            around.checks.get(name, ()),
                            around.views.get(name, ""),
                        ),
                    )

    async def _ahead(self, found: AsyncGenerator[T]) -> AsyncIterator[T]:
        """The same, read while its earlier parts are worked on: the server makes an answer whole before it sends any of it."""
        read: asyncio.Queue[T | Exception | None] = asyncio.Queue(_AHEAD)
        reader = self._reader = asyncio.create_task(_put(found, read))
        try:
            while (each := await read.get()) is not None:
                if isinstance(each, Exception):
                    raise each
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                yield each
        finally:
            await _ended(reader)
            await found.aclose()

    async def close(self) -> None:
        """End what is still read ahead for somebody who stopped half way."""
        if self._reader:
            await _ended(self._reader)

    async def _read(self, marks: Sequence[TableMark]) -> AsyncGenerator[tuple[dict[str, TableMark], _Around, list[Named]]]:
        """Schema by schema, and in each by chunks: its marks by name, what stands beside the columns, and the tables' columns."""
        for schema, group in groupby(sorted(marks, key=lambda mark: (mark.schema, mark.id)), key=lambda mark: mark.schema):
            by_name = {mark.table: mark for mark in group}
            few = list(by_name) if len(by_name) <= _FEW_TABLES else None
            around = await self._around(schema, few, any(mark.kind == "view" for mark in by_name.values()))
            async for found in self._columns(schema, few):
                yield by_name, around, found

    async def _columns(self, schema: str, tables: Sequence[str] | None) -> AsyncIterator[list[Named]]:
        """The last table of a chunk waits for the next one, which may hold more of it."""
        if tables is not None:
            few = await self._rows(self._query_of_columns(", ordinal_position"), schema, tables)
            in_order = groupby(sorted(few, key=lambda row: (row[0], int(row[-1]))), key=_first)
            yield [(name, [row[:-1] for row in group]) for name, group in in_order]
            return
        self.statements += 1
        held: list[Row] = []
        async for rows in self._line.stream(
            _statement(self._query_of_columns(""), schema, tables) + _ORDER[self._release.mariadb], _CHUNK_ROWS
        ):
            whole = [(name, list(group)) for name, group in groupby(held + rows, key=_first)]
            _, held = whole.pop()
            yield whole
        if held:
            yield [(held[0][0], held)]

    def _query_of_columns(self, place_in_order: str) -> str:
        return _COLUMNS.format(default=_DEFAULT[self._release.mariadb], place_in_order=place_in_order, place="{place}")

    async def _around(self, schema: str, tables: Sequence[str] | None, views: bool) -> _Around:
        mariadb = self._release.mariadb
        indexes = _INDEXES.format(method=_METHOD[mariadb], place="{place}")
        found = _Around(
            indexes=_grouped(sorted(await self._rows(indexes, schema, tables), key=lambda row: (row[1], int(row[3])))),
            references=_grouped(sorted(await self._rows(_REFERENCES, schema, tables), key=lambda row: (row[1], int(row[2])))),
        )
        if self._release.number >= _CHECKS_SINCE[mariadb]:
            place = "constraint_schema" if mariadb else "t.table_schema"
            found.checks = _grouped(sorted(await self._rows(_CHECKS[mariadb], schema, tables, place)))
        if views:
            rows = await self._rows(_VIEWS, schema, tables)
            found.views = {row[0]: row[1] or await self._view(schema, row[0]) for row in rows}
        return found

    async def _view(self, schema: str, name: str) -> str:
        """MySQL lists the text of a view for its definer alone, and shows it, one by one, to whoever may; empty for the rest."""
        self.statements += 1
        try:
            shown = await self._line.names_and_row(f"show create view {quoted(schema)}.{quoted(name)}")
        except MySQLError:
            return ""
        return _VIEW_HEAD.sub("", str(shown.get("create view", "")), count=1)

    async def _rows(self, query: str, schema: str, tables: Sequence[str] | None, place: str = "table_schema") -> list[Row]:
        if tables is not None and not tables:
            return []
        self.statements += 1
        return await self._line.rows(_statement(query, schema, tables, place))


async def _put(found: AsyncGenerator[T], read: asyncio.Queue[T | Exception | None]) -> None:
    try:
        async for each in found:
            await read.put(each)
        await read.put(None)
    except Exception as error:
        await read.put(error)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,), timeout=CLOSE_SECONDS)


def _wanted(schema: str, tables: Sequence[str]) -> list[str] | None:
    """Names of the tables that a scope lists in this schema; None where it lists none at all."""
    start = f"{schema}."
    return [name.removeprefix(start) for name in tables if name.startswith(start)] if tables else None


def _statement(query: str, schema: str, tables: Sequence[str] | None, place: str = "table_schema") -> str:
    """For few tables the same question by name, several times over."""
    own = f"{place} = {literal(schema)}"
    if tables is None or len(tables) > _FEW_TABLES:
        return query.format(place=own)
    name = "t.table_name" if place.startswith("t.") else "table_name"
    return " union all ".join(query.format(place=f"{own} and {name} = {literal(table)}") for table in tables)


def _grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """By table, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found


def _mark(at: int, schema: str, row: Row, partitions: int, readable: bool) -> TableMark:
    """InnoDB says 0 rows also of a table that it has not counted yet, so that 0 of its is no answer. When a table was last written to is
    told since the server started; how much is not, so that only a small one is read again for it."""
    table, kind, engine, rows, size, _, _, written = row
    counted = int(rows)
    known = counted or engine == "MyISAM"
    return TableMark(
        id=at,
        schema=schema,
        table=table,
        kind="foreign_table" if engine in _FOREIGN else "partitioned_table" if partitions else _KINDS[kind],
        rows=counted if known and kind != "VIEW" else None,
        pages=-(-int(size) // _PAGE_BYTES) if counted else 0,
        bytes=int(size),
        partitions=partitions,
        readable=readable,
        mark=0,
        written=int(float(written)) * _FAR if int(size) <= _SMALL_BYTES else 0,
    )


def _facts(mark: TableMark, table: _Table, comment: str, parts: _Parts, release: Release) -> TableFacts:
    """Columns are numbered as they stand: these servers renumber them, too. The rare facts are looked at only where there are some."""
    _, names, types, must, defaults, extras, expressions, comments = zip(*table.columns, strict=True)
    told, sampled, textual, kinds = zip(*map(_TYPES.__getitem__, types), strict=True)
    size = len(names)
    keys, places = _keys(table), dict(zip(names, range(1, size + 1), strict=True))
    return TableFacts(
        mark=mark,
        owner="",
        comment=_scrub(comment) if comment else "",
        row_security=False,
        positions=list(range(1, size + 1)),
        names=names,
        types=told,
        nullable=[each is None for each in must],
        generated=[each is not None and _generated(each) for each in extras] if extras.count(None) < size else [False] * size,
        sampled=sampled,
        textual=textual,
        defaults=_defaults(table.columns, release) if defaults.count(None) + expressions.count(None) < 2 * size else {},
        comments={at: _scrub(each) for at, each in enumerate(comments, 1) if each} if comments.count(None) < size else {},
        primary_key=frozenset(places[name] for key in keys if key.kind == "primary_key" for name in key.columns if name in places),
        unique=frozenset(places[key.columns[0]] for key in keys if _alone(key) and key.columns[0] in places),
        indexed=frozenset(places[row[4]] for row in table.indexes if row[4] in places),
        keys=keys,
        view_definition=_masked(table.view) if table.view else "",
        depends_on=_depends_on(table.view, mark.schema) if table.view else (),
        sample_from=_largest(mark, parts),
        kinds=kinds if any(kinds) else (),
        indexes=_others(table, keys) if table.indexes else (),
    )


def _largest(mark: TableMark, parts: _Parts) -> ReadFrom | None:
    if not parts.largest:
        return None
    return ReadFrom(mark.schema, mark.table, parts.largest, parts.rows or None, -(-parts.bytes // _PAGE_BYTES))


def _defaults(columns: Sequence[Row], release: Release) -> dict[int, str]:
    found = {}
    for at, (_, _, type_, _, default, extra, expression, _) in enumerate(columns, 1):
        if expression is not None:
            found[at] = _masked(expression)
        elif default is not None:
            found[at] = _default(type_, default, extra or "", release.mariadb)
    return found


def _alone(key: Key) -> bool:
    return key.kind in ("primary_key", "unique") and len(key.columns) == 1


class _Types(dict[str, tuple[str, bool, bool, str]]):
    """By the server's spelling: ours, where the labels of an enum or a set are masked since they are values; whether values of the type
    are looked at; whether they are text; their kind, as in `TableFacts`. A number of one digit is this family's flag."""

    def __missing__(self, spelled: str) -> tuple[str, bool, bool, str]:
        if len(self) >= _MOST_TYPES:
            self.clear()
        name = re.split(r"[( ]", spelled, maxsplit=1)[0]
        told = _masked(spelled) if name in ("enum", "set") else spelled
        kind = TOLD_BY_TYPE if spelled.startswith("tinyint(1)") else _KIND_OF.get(name, NO_TEXT)
        found = self[spelled] = (told, kind in ("", BINARY), name in _TEXTUAL, kind)
        return found


_MOST_TYPES = 8192
_TYPES = _Types()


@lru_cache(64)
def _generated(extra: str) -> bool:
    words = extra.upper().replace("DEFAULT_GENERATED", "")
    return "AUTO_INCREMENT" in words or "GENERATED" in words


@lru_cache(8192)
def _default(type_: str, default: str, extra: str, mariadb: bool) -> str:
    """MariaDB writes a default as SQL; MySQL a literal bare, and only an expression, which `extra` tells, as SQL."""
    if mariadb or "DEFAULT_GENERATED" in extra:
        return _masked(default)
    return default if type_.startswith(("timestamp", "datetime")) and _NOW.fullmatch(default) else "?"


def _keys(table: _Table) -> list[Key]:
    """Primary and unique ones come from the indexes; a part of an index may be an expression, which has no name."""
    found = []
    for name, index in groupby((row for row in table.indexes if row[2] == "0"), key=lambda row: row[1]):
        columns = tuple(row[4] for row in index)
        if None not in columns:
            found.append(Key(name, "primary_key" if name == "PRIMARY" else "unique", columns, None, (), ""))
    for name, group in groupby(table.references, key=lambda row: row[1]):
        rows = list(group)
        target = (rows[0][4], rows[0][5])
        found.append(Key(name, "foreign_key", tuple(row[3] for row in rows), target, tuple(row[6] for row in rows), ""))
    found += [Key(name, "check", (), None, (), _masked(text)) for _, name, text in table.checks]
    return sorted(found, key=lambda key: (key.name, key.kind))


def _others(table: _Table, keys: Sequence[Key]) -> list[Index]:
    """Indexes that are no keys; a part that is an expression has no name, and what it says is told by the server's newer releases only."""
    own = {key.name for key in keys if key.kind in ("primary_key", "unique")}
    found = []
    for name, group in groupby((row for row in table.indexes if row[1] not in own), key=lambda row: row[1]):
        rows = list(group)
        columns, method = tuple(row[4] for row in rows if row[4]), rows[0][5].lower()
        expression = "?" if len(columns) < len(rows) else ""
        found.append(Index(name, columns, rows[0][2] == "0", "" if method == "btree" else method, expression))
    return found


def _depends_on(view: str, own: str) -> list[tuple[str, str]]:
    text = _PARTS_OF_A_CALL.sub("", mask_literals(view, dialect="mysql")) if view else ""
    return sorted({(schema.replace("``", "`") or own, table.replace("``", "`")) for schema, table in _READS.findall(text)})
