"""Reads for pages and tools: sources, one asset with all that is known of it, violations, lineage, timeline, figures.

Where lists take a `source`, it is one source's key, or a tenant with its slash for all of that tenant's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import orjson

from shared.db.scope import in_scope

Record = dict[str, Any]

_SOURCES = f"""
SELECT r.key AS source, r.sequence AS version, r.at AS registered_at, r.trace_id, r.doc::text AS registered,
       c.doc::text AS connected, c.at AS connected_at, c.sequence AS connected_sequence, c.trace_id AS connected_trace,
       u.doc::text AS unreachable, u.at AS unreachable_at, u.sequence AS unreachable_sequence,
       h.doc::text AS health, h.at AS health_at, o.doc::text AS failed_over
FROM fact r
LEFT JOIN fact x ON x.kind = 'source.removed' AND x.key = r.key
LEFT JOIN fact c ON c.kind = 'source.connected' AND c.key = r.key
LEFT JOIN fact u ON u.kind = 'source.unreachable' AND u.key = r.key
LEFT JOIN fact h ON h.kind = 'source.health' AND h.key = r.key
LEFT JOIN fact o ON o.kind = 'source.failed_over' AND o.key = r.key
WHERE r.kind = 'source.registered' AND {in_scope("r.key", "$1")} AND coalesce(x.sequence, -1) < r.sequence
ORDER BY r.key
"""
_REJECTED = "SELECT doc::text AS doc, at FROM fact WHERE kind = 'source.rejected' AND key = $1"
_FIGURES = f"""
SELECT a.source, count(*) AS tables, sum(a.column_count)::bigint AS columns, coalesce(sum(v.review_count), 0)::bigint AS review,
       max(array_position(ARRAY['public', 'internal', 'confidential', 'restricted'], v.sensitivity)) AS worst,
       coalesce(max(j.risk), 0) AS risk, coalesce(sum(cardinality(j.failing)), 0)::bigint AS open
FROM asset a LEFT JOIN verdict v USING (asset) LEFT JOIN judgement j USING (asset)
WHERE NOT a.removed AND {in_scope("a.source", "$1")} GROUP BY 1
"""
_CLASSES = f"""
SELECT a.source, c.key AS class, sum(c.value::bigint)::bigint AS columns, count(*) AS tables
FROM asset a JOIN verdict v USING (asset), jsonb_each_text(v.class_counts) AS c
WHERE NOT a.removed AND {in_scope("a.source", "$1")} GROUP BY 1, 2 ORDER BY 3 DESC, 2
"""
_FRAMEWORKS = f"""
SELECT f.key AS framework, r.key AS result, sum(r.value::bigint)::bigint AS count
FROM asset a JOIN judgement j USING (asset), jsonb_each(j.results) AS f, jsonb_each_text(f.value) AS r
WHERE NOT a.removed AND {in_scope("a.source", "$1")} GROUP BY 1, 2 ORDER BY 1, 2
"""
_SENSITIVITIES = f"""
SELECT coalesce(v.sensitivity, 'unknown') AS sensitivity, count(*) AS tables
FROM asset a LEFT JOIN verdict v USING (asset) WHERE NOT a.removed AND {in_scope("a.source", "$1")} GROUP BY 1
"""
_RISKIEST = f"""
SELECT a.asset, a.source, a.schema_name, a.table_name, a.rows_estimated, j.risk, coalesce(v.sensitivity, j.sensitivity) AS sensitivity,
       coalesce(v.classes, '{{}}') AS classes, cardinality(j.failing) AS failing, j.frameworks
FROM judgement j JOIN asset a USING (asset) LEFT JOIN verdict v USING (asset)
WHERE NOT a.removed AND j.risk > 0 AND {in_scope("a.source", "$1")} ORDER BY j.risk DESC, j.asset LIMIT $2
"""
_RANK = "array_position(ARRAY['critical', 'high', 'medium', 'low'], v.severity)"
_VIOLATIONS = f"""
SELECT v.*, a.schema_name, a.table_name, coalesce(j.risk, 0) AS risk,
       v.state = 'open' AND v.opened_at >= (v.waiver ->> 'expires')::timestamptz AS waiver_ran_out
FROM live_violation v JOIN asset a USING (asset) LEFT JOIN judgement j USING (asset)
WHERE v.state = ANY ($1) AND {in_scope("v.source", "$2")} AND ($3::text IS NULL OR v.asset = $3)
ORDER BY {_RANK}, j.risk DESC NULLS LAST, v.asset, v.control LIMIT $4
"""
_CONTROLS = f"""
SELECT v.severity, v.control, min(v.message) AS message, count(*) AS count,
       count(DISTINCT v.source) AS sources, (array_agg(v.asset ORDER BY j.risk DESC NULLS LAST, v.asset))[1:$2] AS assets
FROM live_violation v LEFT JOIN judgement j USING (asset)
WHERE v.state = 'open' AND {in_scope("v.source", "$1")} GROUP BY 1, 2
ORDER BY {_RANK}, count(*) DESC, v.control
"""
_TAXONOMY = "SELECT DISTINCT jsonb_array_elements_text(doc -> 'classes') AS name FROM fact WHERE kind = 'ruleset.published' ORDER BY name"
_TEXTS = """
SELECT t ->> 'control' AS control, t ->> 'title' AS title, t ->> 'remedy' AS remedy
FROM fact, jsonb_array_elements(doc -> 'texts') AS t WHERE kind = 'policy.published' ORDER BY at
"""
_UNDECLARED = """
SELECT u.field, count(*) AS tables, min(j.asset) AS example
FROM judgement j JOIN asset a USING (asset), unnest(j.undeclared) AS u(field)
WHERE NOT a.removed AND a.source = $1 GROUP BY 1 ORDER BY 2 DESC, 1
"""
_JUDGEMENTS = "SELECT asset, doc FROM judgement WHERE asset = ANY ($1)"
_ASSET = """
SELECT a.asset, a.source, a.scan_id, a.schema_name, a.table_name, a.kind, a.owner, a.rows_estimated, a.column_count, a.at, a.doc,
       v.doc AS verdict, v.at AS classified_at, v.sensitivity, v.classes, v.review_count,
       j.doc AS judgement, j.at AS judged_at, j.risk, j.regulations, j.frameworks
FROM asset a LEFT JOIN verdict v USING (asset) LEFT JOIN judgement j USING (asset) WHERE a.asset = $1 AND NOT a.removed
"""
_TAGS = """
SELECT t.target, t.resource, t.provider, t.asset, t.job, t.tags, t.at, ok.doc::text AS applied, ok.at AS applied_at,
       bad.doc::text AS failed, bad.at AS failed_at
FROM tag_set t
LEFT JOIN fact ok ON ok.kind = 'tags.applied' AND ok.key = t.target
LEFT JOIN fact bad ON bad.kind = 'tags.failed' AND bad.key = t.target
WHERE ($1::text IS NOT NULL AND t.asset = $1) OR ($2::text IS NOT NULL AND t.source = $2 AND t.resource <> '')
   OR ($3::text IS NOT NULL AND t.job = $3)
ORDER BY t.asset = '', t.target
"""
_LINEAGE = """
WITH RECURSIVE
up(asset, depth) AS (
    SELECT $1::text, 0 UNION
    SELECT e.target, up.depth + 1 FROM up JOIN edge e ON e.asset = up.asset WHERE up.depth < $2),
down(asset, depth) AS (
    SELECT $1::text, 0 UNION
    SELECT e.asset, down.depth + 1 FROM down JOIN edge e ON e.target = down.asset WHERE down.depth < $2)
SELECT 'up' AS side, e.* FROM edge e WHERE e.asset IN (SELECT asset FROM up WHERE depth < $2)
UNION ALL
SELECT 'down', e.* FROM edge e WHERE e.target IN (SELECT asset FROM down WHERE depth < $2)
ORDER BY 1, 2, 4 LIMIT 500
"""
_TIMELINE = """
SELECT event_id, type, subject, at, service, causation_id, trace_id, summary FROM (
    SELECT * FROM timeline WHERE subject = ANY ($1) ORDER BY at DESC, number DESC LIMIT $2) AS latest
ORDER BY at, number
"""
_TRACE = """
SELECT event_id, type, subject, at, service, causation_id, trace_id, summary FROM timeline
WHERE trace_id = ANY ($1) ORDER BY at, number LIMIT $2
"""
_TRACE_SCANS = """
SELECT scan_id, source, trace_id, false AS linked FROM scan WHERE trace_id = $1
UNION SELECT s.scan_id, s.source, s.trace_id, true FROM step JOIN scan s USING (scan_id) WHERE step.trace_id = $1 AND s.trace_id <> $1
"""
_SCAN_TRACES = "SELECT DISTINCT trace_id FROM step WHERE scan_id = ANY ($1) AND trace_id <> '' ORDER BY 1 LIMIT $2"


def plain(record: asyncpg.Record, *documents: str) -> Record:
    """A record as a dictionary, its JSON documents parsed."""
    values = dict(record)
    for name in documents:
        values[name] = orjson.loads(values[name]) if values[name] else None
    return values


async def sources(pool: asyncpg.Pool, source: str | None = None) -> list[Record]:
    """Every registered source, or those in the scope `source`, with the newest facts about reaching it."""
    documents = ("registered", "connected", "unreachable", "health", "failed_over")
    return [plain(record, *documents) for record in await pool.fetch(_SOURCES, source)]


async def rejection(pool: asyncpg.Pool, source: str) -> Record | None:
    """The last refused request for this source."""
    record = await pool.fetchrow(_REJECTED, source)
    return plain(record, "doc") if record else None


async def figures(pool: asyncpg.Pool, source: str | None = None) -> Record:
    """Counts of everything: by source, class, sensitivity and framework."""
    return {
        "sources": [dict(record) for record in await pool.fetch(_FIGURES, source)],
        "classes": [dict(record) for record in await pool.fetch(_CLASSES, source)],
        "frameworks": [dict(record) for record in await pool.fetch(_FRAMEWORKS, source)],
        "sensitivities": [dict(record) for record in await pool.fetch(_SENSITIVITIES, source)],
    }


async def riskiest(pool: asyncpg.Pool, source: str | None = None, limit: int = 10) -> list[Record]:
    return [dict(record) for record in await pool.fetch(_RISKIEST, source, limit)]


async def violations(
    pool: asyncpg.Pool, *, source: str | None = None, asset: str | None = None, states: Sequence[str] = ("open",), limit: int = 100
) -> list[Record]:
    """Worst first: by severity, then by the risk of the table."""
    answer, said = await pool.fetch(_VIOLATIONS, list(states), source, asset, limit), await texts(pool)
    return [plain(record, "facts", "waiver") | said.of(record["control"]) for record in answer]


async def open_controls(pool: asyncpg.Pool, source: str | None = None, *, tables: int = 6) -> list[Record]:
    """Open violations by control, worst first, each with its riskiest `assets`: a person mends a cause once, not table by table."""
    said = await texts(pool)
    return [dict(record) | said.of(record["control"]) for record in await pool.fetch(_CONTROLS, source, tables)]


class Texts(dict[str, Record]):
    """Title and remedy by control, as the policies say them."""

    def of(self, control: str) -> Record:
        """Those of one control; one whose policy was not heard yet goes by its number."""
        return self.get(control) or {"title": control, "remedy": ""}


async def texts(pool: asyncpg.Pool) -> Texts:
    """What the newest policies say of their controls."""
    return Texts({record[0]: {"title": record[1], "remedy": record[2]} for record in await pool.fetch(_TEXTS)})


async def classes(pool: asyncpg.Pool) -> list[str]:
    """All that a column may be, as the newest rule sets say it."""
    return [record[0] for record in await pool.fetch(_TAXONOMY)]


async def undeclared(pool: asyncpg.Pool, source: str) -> list[Record]:
    """What nobody declared on this source although controls ask for it, most asked first: `field` of its document, what that would
    tell, how to declare it, and on how many `tables` something stays unknown for want of it."""
    found = await pool.fetch(_UNDECLARED, source)
    docs = {asset: orjson.loads(doc) for asset, doc in await pool.fetch(_JUDGEMENTS, [record["example"] for record in found])}
    return [
        {
            "field": record["field"],
            "tables": record["tables"],
            **next(
                {"says": fact["says"], "remedy": fact["remedy"]}
                for fact in docs[record["example"]]["missing"]
                if fact["declare"] == record["field"]
            ),
        }
        for record in found
    ]


async def asset(pool: asyncpg.Pool, key: str) -> Record | None:
    """One asset with what discovery, classifier and compliance last said of it."""
    record = await pool.fetchrow(_ASSET, key)
    return plain(record, "doc", "verdict", "judgement") if record else None


async def tags(pool: asyncpg.Pool, *, asset: str | None = None, source: str | None = None, job: str | None = None) -> list[Record]:
    """The tags of one asset, of the resources of its source, or of a job and its resources, with what became of writing them."""
    return [plain(record, "tags", "applied", "failed") for record in await pool.fetch(_TAGS, asset, source, job)]


async def beyond_contract(pool: asyncpg.Pool, asset: str) -> Record | None:
    """What the data of this asset shows and its contract does not say; None where it has none."""
    record = await pool.fetchrow("SELECT doc::text AS doc, at FROM fact WHERE kind = 'contract.compared' AND key = $1", asset)
    return plain(record, "doc")["doc"] if record else None


async def lineage(pool: asyncpg.Pool, key: str, *, depth: int = 1) -> list[Record]:
    """Edges up to `depth` steps from the asset: `side` up is what it refers to, down is what refers to it."""
    return [dict(record) for record in await pool.fetch(_LINEAGE, key, depth)]


def subjects_of(subject: str) -> list[str]:
    """An asset's timeline includes its source's: registered, connected, scanned."""
    parts = subject.split("/")
    return [subject, "/".join(parts[:2])] if len(parts) == 3 else [subject]


async def timeline(pool: asyncpg.Pool, subjects: Sequence[str], *, limit: int = 500) -> list[Record]:
    """The newest lines about these subjects, oldest first."""
    return [dict(record) for record in await pool.fetch(_TIMELINE, list(subjects), limit)]


async def trace(pool: asyncpg.Pool, trace_id: str, *, limit: int = 1000, traces: int = 200) -> Record:
    """All lines of a trace; of a scan's trace also those of its assets' own traces; of an asset's, the scan it belongs to."""
    scans = [dict(record) for record in await pool.fetch(_TRACE_SCANS, trace_id)]
    own = [scan["scan_id"] for scan in scans if not scan["linked"]]
    linked = [record[0] for record in await pool.fetch(_SCAN_TRACES, own, traces)] if own else []
    above = [scan["trace_id"] for scan in scans if scan["linked"]]
    every = list(dict.fromkeys([trace_id, *above, *linked]))
    lines = [dict(record) for record in await pool.fetch(_TRACE, every, limit)]
    return {"trace_id": trace_id, "scans": scans, "traces": every, "events": lines}
