"""What PostgreSQL's planner knows of columns: shares and counts. The values that it keeps beside them are not asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from shared.sources.base import Estimate, TableFacts
from shared.sources.postgres_ascii import all_told, asked

# The view shows columns that we may read, and none of a table whose rows are hidden from us. Of a partitioned table only the sum over
# its partitions is kept, of any other we want the table's own. `offset 0` has the view asked table by table, by its indexes: asked for
# all at once, it is read whole.
_QUERY = """select asked.at::int4, s.attname::text, s.null_frac::float8, s.n_distinct::float8, s.avg_width::float8
from unnest($1::text[], $2::text[], $3::boolean[]) with ordinality asked(schema, name, parts, at)
cross join lateral (
  select attname, null_frac, n_distinct, avg_width from pg_stats
  where schemaname = asked.schema and tablename = asked.name and inherited = asked.parts offset 0) s"""


async def estimates(connection: asyncpg.Connection, tables: Sequence[TableFacts], *, raw: bool = False) -> list[Mapping[str, Estimate]]:
    """One statement for all. `raw`: names go and come as Latin-1. Raises the driver's errors."""
    marks = [facts.mark for facts in tables]
    names = [[mark.schema for mark in marks], [mark.table for mark in marks]]
    if raw:
        names = [list(map(asked, each)) for each in names]
    rows = await connection.fetch(_QUERY, *names, [mark.kind == "partitioned_table" for mark in marks])
    found: list[dict[str, Estimate]] = [{} for _ in tables]
    for at, column, null_share, distinct, width in map(all_told, rows) if raw else rows:
        found[at - 1][column] = Estimate(null_share, _distinct(distinct, marks[at - 1].rows), width)
    return list(found)


def _distinct(told: float, rows: int | None) -> float | None:
    """The planner keeps a number, or, where it grows with the table, minus its share of the rows; 0 where it does not know.

    >>> _distinct(12.0, None), _distinct(-0.5, 200), _distinct(-0.5, None)
    (12.0, 100.0, None)
    """
    if told < 0 and rows is not None:
        return -told * rows
    return told if told > 0 else None
