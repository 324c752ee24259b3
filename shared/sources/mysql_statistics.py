"""What servers of the MySQL family know of columns: shares and counts from indexes and histograms.

A histogram is made of values; of MySQL's only its counts are asked for, of MariaDB's only what stands beside it. Either is there where
somebody has asked the server for it, and MariaDB shows it to few; indexes count for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import orjson
from asyncmy.errors import MySQLError

from shared.sources.base import Estimate, TableFacts
from shared.sources.mysql_line import Line, literal
from shared.sources.mysql_release import Release

_INDEXES = """select table_name, column_name, max(cardinality) from information_schema.statistics
  where table_schema = {schema} and table_name = {table} and seq_in_index = 1 and column_name is not null
  group by table_name, column_name"""
_BESIDE = """select table_name, column_name, nulls_ratio, avg_frequency, avg_length from mysql.column_stats
  where db_name = {schema} and table_name in ({tables})"""
# A bucket of a singleton histogram is one value; any other tells in its last place how many it holds.
_HISTOGRAMS = """select table_name, column_name, histogram ->> '$."null-values"', case histogram ->> '$."histogram-type"'
  when 'singleton' then json_length(histogram, '$.buckets') else histogram -> '$.buckets[*][3]' end
  from information_schema.column_statistics where schema_name = {schema} and table_name in ({tables})"""
_HISTOGRAMS_SINCE = 80_003
_BY_COLUMN = {True: _BESIDE, False: _HISTOGRAMS}
_Found = dict[tuple[str, str], Estimate]


async def estimates(line: Line, release: Release, tables: Sequence[TableFacts]) -> tuple[list[Mapping[str, Estimate]], int]:
    """And how many statements it took. Raises the driver's errors."""
    found: dict[tuple[str, str], dict[str, Estimate]] = {}
    asked = 0
    for schema, group in groupby(sorted(tables, key=_schema), key=_schema):
        rows = {facts.mark.table: facts.mark.rows for facts in group}
        asked += 2
        by_index = await _by_index(line, schema, list(rows))
        by_column = await _by_column(line, release, schema, rows)
        for table, column in by_index.keys() | by_column.keys():
            exact, rough = by_column.get((table, column), Estimate()), by_index.get((table, column), Estimate())
            found.setdefault((schema, table), {})[column] = rough if exact.distinct is None else exact
    return [found.get((facts.mark.schema, facts.mark.table), {}) for facts in tables], asked


def _schema(facts: TableFacts) -> str:
    return facts.mark.schema


async def _by_index(line: Line, schema: str, tables: Sequence[str]) -> _Found:
    """Of the column that an index begins with. Each table by name: a look at all would open every table of the schema."""
    rows = await line.rows(" union all ".join(_INDEXES.format(schema=literal(schema), table=literal(table)) for table in tables))
    return {(table, column): Estimate(distinct=float(count)) for table, column, count in rows if count is not None}


async def _by_column(line: Line, release: Release, schema: str, rows: Mapping[str, int | None]) -> _Found:
    """None where the server has no such statistics, or does not show them to us."""
    if not release.mariadb and release.number < _HISTOGRAMS_SINCE:
        return {}
    query = _BY_COLUMN[release.mariadb].format(schema=literal(schema), tables=",".join(map(literal, rows)))
    try:
        told = await line.rows(query)
    except MySQLError:
        if line.broken:
            raise
        return {}
    read = _beside if release.mariadb else _histogram
    return {(table, column): read(rows.get(table), *counts) for table, column, *counts in told}


def _beside(rows: int | None, nulls: str | None, each: str | None, length: str | None) -> Estimate:
    """`each`: how many rows share a value, on average.

    >>> _beside(100, "0.2000", "4.0000", "9.5000")
    Estimate(null_share=0.2, distinct=20.0, mean_bytes=9.5)
    """
    null_share, share = _number(nulls), _number(each)
    distinct = rows * (1 - (null_share or 0)) / share if rows is not None and share else None
    return Estimate(null_share, distinct, _number(length))


def _histogram(rows: int | None, nulls: str | None, counts: str | None) -> Estimate:
    """`counts`: how many values there are, or a list with how many each part has.

    >>> _histogram(None, "0.25", "[3, 4]")
    Estimate(null_share=0.25, distinct=7.0, mean_bytes=None)
    """
    told: Any = orjson.loads(counts) if counts else None
    return Estimate(_number(nulls), None if told is None else float(sum(told) if isinstance(told, list) else told))


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
