"""Writes: all rows of a batch in a handful of statements. Duplicates and reordering change nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

import asyncpg

from services.catalog.domain import rows
from services.catalog.store.upserts import STATEMENTS, newest

# What a tombstone of a compacted topic takes away. An asset keeps a stub, so that its sequence is remembered.
_FORGET_KEYS: dict[str, tuple[str, ...]] = {
    "schema.discovered": (
        "UPDATE asset SET removed = true, doc = '{}', words = '' WHERE asset = ANY ($1) AND NOT removed",
        "DELETE FROM edge WHERE asset = ANY ($1)",
    ),
    "asset.classified": ("DELETE FROM verdict WHERE asset = ANY ($1)",),
    "compliance.evaluated": ("DELETE FROM judgement WHERE asset = ANY ($1)",),
    "tags.derived": ("DELETE FROM tag_set WHERE target = ANY ($1)",),
}
_FORGET_FACT = "DELETE FROM fact WHERE kind = $2 AND key = ANY ($1)"
_FORGET_SOURCE = (
    "DELETE FROM step USING scan WHERE step.scan_id = scan.scan_id AND scan.source = ANY ($1)",
    *(f"DELETE FROM {table} WHERE source = ANY ($1)" for table in ("scan", "asset", "verdict", "judgement", "violation", "tag_set")),
    "DELETE FROM edge USING unnest($1::text[]) AS s(source) WHERE starts_with(edge.asset, s.source || '/')",
    "DELETE FROM set_aside USING unnest($1::text[]) AS s(source) WHERE starts_with(set_aside.asset || '/', s.source || '/')",
    "DELETE FROM timeline USING unnest($1::text[]) AS s(source) WHERE starts_with(timeline.subject, s.source || '/')",
    "DELETE FROM fact WHERE key = ANY ($1) AND kind LIKE 'source.%' AND kind NOT IN ('source.removed', 'source.registered')",
)

# Each stage says its own removals after the source's, and they leave stubs here.
_LEFT_OVER = """
DELETE FROM {table} AS t USING fact AS x WHERE x.kind = 'source.removed' AND x.key = t.source AND x.at <= now() - $1::interval
  AND NOT EXISTS (SELECT FROM fact r WHERE r.kind = 'source.registered' AND r.key = x.key)
"""


async def write(connection: asyncpg.Connection, batch: Iterable[rows.Row]) -> None:
    """Upsert everything, kind by kind; lines of the timeline are only added, the inbox keeps them single."""
    by_kind: defaultdict[type[rows.Row], list[rows.Row]] = defaultdict(list)
    for row in batch:
        by_kind[type(row)].append(row)
    edges, failing, told = (by_kind.pop(kind, []) for kind in (rows.Edge, rows.Failing, rows.Told))
    for kind, of_kind in by_kind.items():
        kept = newest(kind, of_kind)
        written = await _upsert(connection, kind, kept)
        if kind is rows.Asset:
            await _replace_edges(connection, kept, set(written), edges)
        if kind is rows.Judgement:
            await _add_failing(connection, kept, set(written), failing)
    if told:
        await connection.copy_records_to_table("timeline", records=told, columns=rows.Told._fields)


async def _upsert(connection: asyncpg.Connection, kind: type[rows.Row], kept: Sequence[rows.Row]) -> list[str]:
    answer = await connection.fetch(STATEMENTS[kind], *map(list, zip(*kept, strict=True)))
    return [record[0] for record in answer]


async def _replace_edges(connection: asyncpg.Connection, assets: Iterable[rows.Row], written: set[str], edges: Iterable[rows.Row]) -> None:
    """The edges of an asset are those of its newest description, all others go."""
    newest_sequence = {row.asset: row.sequence for row in assets if isinstance(row, rows.Asset) and row.asset in written}
    await connection.execute("DELETE FROM edge WHERE asset = ANY ($1)", list(newest_sequence))
    current = [edge for edge in edges if isinstance(edge, rows.Edge) and newest_sequence.get(edge.asset) == edge.sequence]
    if current:
        await _upsert(connection, rows.Edge, newest(rows.Edge, current))


async def _add_failing(
    connection: asyncpg.Connection, judgements: Iterable[rows.Row], written: set[str], failing: Iterable[rows.Row]
) -> None:
    """What fails by the newest judgement of an asset. What does not any more stays, and the view knows that it is over."""
    newest_sequence = {row.asset: row.sequence for row in judgements if isinstance(row, rows.Judgement) and row.asset in written}
    current = [row for row in failing if isinstance(row, rows.Failing) and newest_sequence.get(row.asset) == row.sequence]
    if current:
        await _upsert(connection, rows.Failing, newest(rows.Failing, current))


async def forget(connection: asyncpg.Connection, topic: str, keys: Sequence[str]) -> None:
    """Take away what a topic had said of these keys: their tombstones came."""
    if not keys:
        return
    if topic not in _FORGET_KEYS:
        await connection.execute(_FORGET_FACT, list(keys), topic)
    for statement in _FORGET_KEYS.get(topic, ()):
        await connection.execute(statement, list(keys))


async def forget_sources(connection: asyncpg.Connection, sources: Sequence[str]) -> None:
    """Take away everything about these sources. The facts that they were registered and removed stay, to compare versions."""
    for statement in _FORGET_SOURCE:
        await connection.execute(statement, list(sources))


async def trim_removed(connection: asyncpg.Connection | asyncpg.Pool, *, after: timedelta = timedelta(hours=1)) -> None:
    """Drop what came in late about sources that were removed at least `after` ago and not registered again."""
    for table in ("asset", "violation"):
        await connection.execute(_LEFT_OVER.format(table=table), after)


async def trim_timeline(connection: asyncpg.Connection | asyncpg.Pool, *, days: int, rows_kept: int) -> int:
    """Drop lines older than `days`, and the oldest beyond `rows_kept`. Returns how many went."""
    status = await connection.execute(
        "DELETE FROM timeline WHERE at < now() - make_interval(days => $1) OR number <= (SELECT max(number) FROM timeline) - $2",
        days,
        rows_kept,
    )
    return int(status.rpartition(" ")[2])
