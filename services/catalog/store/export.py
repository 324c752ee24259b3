"""The whole of one source, streamed; and the digest of all facts, without times, ids, sequences and traces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import asyncpg
import orjson

from services.catalog.store import read
from shared.db.scope import in_scope

Record = dict[str, Any]

_ASSETS = f"""
SELECT a.asset, a.schema_name, a.table_name, a.kind, a.doc, v.doc AS verdict FROM asset a LEFT JOIN verdict v USING (asset)
WHERE NOT a.removed AND {in_scope("a.source", "$1")} ORDER BY a.asset
"""
_CONTROLS = f"""
SELECT j.asset, j.doc FROM judgement j JOIN asset a USING (asset)
WHERE NOT a.removed AND {in_scope("j.source", "$1")} ORDER BY j.asset
"""
_VIOLATIONS = f"""
SELECT asset, control, state, severity FROM live_violation
WHERE state <> 'resolved' AND {in_scope("source", "$1")} ORDER BY 1, 2
"""
_TAGS = f"""
SELECT t.target, t.tags FROM tag_set t LEFT JOIN asset a ON a.asset = t.asset
WHERE (t.asset = '' OR NOT a.removed) AND {in_scope("t.source", "$1")} ORDER BY t.target
"""
_SOURCE_VIOLATIONS = """
SELECT v.violation, v.asset, v.control, v.framework, v.severity, v.message, v.columns, v.facts, v.state
FROM live_violation v JOIN judgement j USING (asset) WHERE v.source = $1 AND v.state <> 'resolved'
ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low'], v.severity), j.risk DESC NULLS LAST, v.asset, v.control
"""
_SOURCE_TAGS = """
SELECT t.target, t.tags FROM tag_set t LEFT JOIN asset a ON a.asset = t.asset
WHERE t.source = $1 AND (t.asset = '' OR NOT a.removed) ORDER BY t.asset = '' DESC, t.target
"""
_SOURCES = f"""
SELECT r.key FROM fact r LEFT JOIN fact x ON x.kind = 'source.removed' AND x.key = r.key
WHERE r.kind = 'source.registered' AND coalesce(x.sequence, -1) < r.sequence AND {in_scope("r.key", "$1")} ORDER BY 1
"""
_EDGES = f"""
SELECT e.asset, e.kind, e.target, e.name FROM edge e JOIN asset a USING (asset)
WHERE NOT a.removed AND {in_scope("a.source", "$1")} ORDER BY 1, 2, 3, 4
"""

_WHEN = frozenset({"CreatedAt", "LastModified", "PurSightTrace"})  # tags that say when and in which trace


async def assets(pool: asyncpg.Pool, source: str | None) -> AsyncIterator[asyncpg.Record]:
    """Asset by asset: identity, what discovery said (`doc`) and what the classifier said (`verdict`), both JSON text."""
    async with pool.acquire() as connection, connection.transaction(readonly=True, isolation="repeatable_read"):
        async for record in connection.cursor(_ASSETS, source, prefetch=200):
            yield record


async def violations(pool: asyncpg.Pool, source: str) -> AsyncIterator[Record]:
    """Open and waived violations of a source, worst first, one by one."""
    said = await read.texts(pool)
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        async for record in connection.cursor(_SOURCE_VIOLATIONS, source, prefetch=500):
            yield {**dict(record), **said.of(record["control"]), "facts": orjson.loads(record["facts"])}


async def tags(pool: asyncpg.Pool, source: str) -> AsyncIterator[Record]:
    """Tag sets of a source, one by one: its resources first, then its assets."""
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        async for record in connection.cursor(_SOURCE_TAGS, source, prefetch=500):
            yield {"target": record["target"], "tags": orjson.loads(record["tags"])}


async def digest(pool: asyncpg.Pool, source: str | None = None) -> dict[str, str | int]:
    """A sha256 over all facts, or one source's, in sorted order, and how many there are of each kind. Equal facts, equal digest."""
    seal = sha256()
    counts: dict[str, int] = {}

    def add(kind: str, *parts: object) -> None:
        counts[kind] = counts.get(kind, 0) + 1
        seal.update(orjson.dumps((kind, *parts)) + b"\n")

    async with pool.acquire() as connection, connection.transaction(readonly=True, isolation="repeatable_read"):
        for record in await connection.fetch(_SOURCES, source):
            add("source", record["key"])
        async for record in connection.cursor(_ASSETS, source, prefetch=200):
            add("asset", record["asset"], record["kind"])
            for column in facts_of_columns(record):
                add("column", record["asset"], *column)
        async for record in connection.cursor(_CONTROLS, source, prefetch=200):
            for control in orjson.loads(record["doc"])["controls"]:
                add("control", record["asset"], control["control"], control["result"])
        for name, statement in (("violation", _VIOLATIONS), ("edge", _EDGES)):
            async for record in connection.cursor(statement, source, prefetch=1000):
                add(name, *record)
        async for record in connection.cursor(_TAGS, source, prefetch=500):
            for key, value in sorted((tag["key"], tag["value"]) for tag in orjson.loads(record["tags"]) if tag["key"] not in _WHEN):
                add("tag", record["target"], key, value)
    return {"digest": seal.hexdigest(), **{f"{kind}s": count for kind, count in sorted(counts.items())}}


def facts_of_columns(record: asyncpg.Record) -> list[tuple[str, ...]]:
    """Name, type, class, category, sensitivity and state of each column, in the table's order."""
    verdicts = {one["name"]: one for one in orjson.loads(record["verdict"])["columns"]} if record["verdict"] else {}
    names = ("class", "category", "sensitivity", "state")
    return [
        (column["name"], column["type"], *(str(verdicts.get(column["name"], {}).get(name, "")) for name in names))
        for column in orjson.loads(record["doc"])["columns"]
    ]
