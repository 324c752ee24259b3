"""Samples of PostgreSQL tables: several tables a statement, each column as one array of short texts.

The same table gives the same sample as long as its data stays: small tables are read from their start, larger ones by blocks
chosen from a seed. Values are cut at the server, so a large document costs the line nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg

from shared.sources.base import Sample, SampleTask
from shared.sources.binary import BYTES, texts_in
from shared.sources.failures import failure_of
from shared.sources.postgres_ascii import told

VALUE_CHARACTERS = 200
_HUGE_BYTES = 65_536  # a value stored larger than this is not unpacked whole for a glance at its start
_TIMES = {f"{kind} {zone} time zone" for kind in ("time", "timestamp") for zone in ("with", "without")}
_NUMBERS = {"bigint", "double precision", "integer", "money", "real", "smallint"}
_FIXED = _TIMES | _NUMBERS | {"boolean", "cidr", "date", "inet", "interval", "macaddr", "macaddr8", "uuid"}
# The values of those are small, whatever they are, and never hold the separator.
_CUT = frozenset({"text", "character varying"})  # of which the server unpacks no more than what it is asked for
_SMALL_PAGES = 16
_BLOCKS = 64
_STATEMENT_COLUMNS, _STATEMENT_TABLES = 480, 16
_SEPARATOR = "\x1f"  # no keyboard writes it


def quoted(name: str) -> str:
    """An identifier as PostgreSQL reads it back. Raises ValueError for NUL, which no name can hold."""
    if "\0" in name:
        raise ValueError("a name holds NUL")
    return '"' + name.replace('"', '""') + '"'


def statement(number: int, task: SampleTask, *, plain: bool = False) -> str:
    """One row: the task's number, how many rows were read, how many values each column has, and the values.

    A column's values come as one text, joined, which both sides handle several times faster than an array; `plain` asks for arrays.
    What cannot hold the separator is not counted, and what cannot be large is not weighed: both cost the server more than the values.
    """
    types = task.types or ("",) * len(task.columns)
    counts = ",".join("null" if type_ in _FIXED else f"count(c{each})" for each, type_ in enumerate(types))
    form = "array_agg(c{0}) filter (where c{0} is not null)" if plain else "string_agg(c{0}, e'\\x1f')"
    each_value = ",".join(form.format(each) for each in range(len(types)))
    values = each_value if plain else f"array[{each_value}]"
    inner = ",".join(
        f"{_value(name, type_, binary=name in task.binary)} c{at}" for at, (name, type_) in enumerate(zip(task.columns, types, strict=True))
    )
    table = f"{quoted(task.schema)}.{quoted(task.table)}"
    source = f"(select {inner} from {table}{_choice(task)} limit {task.rows}) s"
    return f"select {number}, count(*), array[{counts}]::int8[], {values} from {source}"


def _value(name: str, type_: str, *, binary: bool) -> str:
    """Of a text, or of bytes, however large, the server unpacks no more than the start; of a list, one item stands for it."""
    column = quoted(name)
    if binary:
        return f"encode(substring({column} from 1 for {BYTES}), 'hex')"
    if type_.endswith("[]"):
        column = f"(select e from unnest({column}) e where e is not null order by hashtext(e::text) limit 1)"
        return f"left({column}::text, {VALUE_CHARACTERS})"
    start = f"left({column}::text, {VALUE_CHARACTERS})"
    base, bounded, _ = type_.partition("(")
    if type_ in _FIXED or base in _CUT or (base == "numeric" and bounded):
        return start
    return f"case when pg_column_size({column}) >= {_HUGE_BYTES} then '' else {start} end"


def _choice(task: SampleTask) -> str:
    """Blocks by seed, then rows by a hash of their place, so that the sample is spread and can be had again."""
    if task.plain or task.pages <= _SMALL_PAGES:
        return ""
    share = min(100.0, 100.0 * _BLOCKS / task.pages)
    return f" tablesample system ({share:.6f}) repeatable ({task.seed}) order by hashtextextended(ctid::text, {task.seed})"


def batches(tasks: Sequence[SampleTask]) -> Iterator[list[SampleTask]]:
    """Groups for one statement each: not too many columns, not too many tables."""
    batch: list[SampleTask] = []
    columns = 0
    for task in tasks:
        if batch and (len(batch) >= _STATEMENT_TABLES or columns + len(task.columns) > _STATEMENT_COLUMNS):
            yield batch
            batch, columns = [], 0
        batch.append(task)
        columns += len(task.columns)
    if batch:
        yield batch


async def read(connection: asyncpg.Connection, batch: Sequence[SampleTask], *, raw: bool = False) -> list[Sample]:
    """One statement, and one more for each table whose values hold the separator. `raw`: bytes come as Latin-1. Raises the driver's
    errors."""
    rows = await connection.fetch(" union all ".join(f"({statement(at, task)})" for at, task in enumerate(batch)))
    found = {row[0]: _sample(batch[row[0]], row) for row in rows}
    samples = [found[at] or await _plainly(connection, task) for at, task in enumerate(batch)]
    return [_as_told(each, task) for each, task in zip(samples, batch, strict=True)] if raw else samples


def _sample(task: SampleTask, row: Any) -> Sample | None:
    """None where a value holds the separator."""
    _, read_rows, counts, texts = row
    columns = [text.split(_SEPARATOR) if text is not None else [] for text in texts]
    if any(count is not None and len(column) != count for column, count in zip(columns, counts, strict=True)):
        return None
    return _told(task, read_rows, columns)


def _told(task: SampleTask, rows: int, columns: list[list[str]]) -> Sample:
    """Bytes arrive as digits."""
    if not task.binary:
        return Sample(task.token, rows, columns)
    found = [
        texts_in(map(bytes.fromhex, values)) if name in task.binary else values for name, values in zip(task.columns, columns, strict=True)
    ]
    binary = frozenset(at for at, texts in enumerate(found) if texts is None)
    return Sample(task.token, rows, [texts or [] for texts in found], binary=binary)


def _as_told(sample: Sample, task: SampleTask) -> Sample:
    """Texts as they were meant; what bytes say is read already."""
    columns = [
        values if name in task.binary else list(map(told, values)) for name, values in zip(task.columns, sample.columns, strict=True)
    ]
    return sample._replace(columns=columns)


async def _plainly(connection: asyncpg.Connection, task: SampleTask) -> Sample:
    row = await connection.fetchrow(statement(0, task, plain=True))
    return _told(task, row[1], [list(values or ()) for values in row[3:]])


def refused(task: SampleTask, error: BaseException) -> Sample:
    """No values, and why, in our own words."""
    return Sample(task.token, 0, (), failure_of(error).diagnosis())
