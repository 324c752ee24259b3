"""What people see over HTTP: plans and resources, read only."""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson

from shared.db.scope import in_scope

MAX_PAGE = 1000
_ON = f"""($1 = '' or target in (
        select target from source where {in_scope("key", "$1")}
        union select target from job_resource where {in_scope("job", "$1")}))"""
_PLANS = f"""
    select target, source, asset, '' as resource, sequence, scan_id, digest, tags, conflicts, said_at as changed_at
    from asset where not removed and {in_scope("source", "$1")} and ($2 = '' or asset = $2) and target > $3 and ($4 = '' or target = $4)
    union all
    select target, source, '' as asset, resource, sequence, scan_id, digest, tags, conflicts, changed_at
    from resource where not gone and {_ON}
        and $2 = '' and target > $3
        and ($4 = '' or target = $4)
    order by target limit $5"""
_RESOURCES = f"""
    select target, resource, provider, tenant, source, sequence, digest, scan_id, outcome, code, cause, remedy, attempts, written,
        mapping, kept, held, left_out, drifted, gone, changed_at, applied_at,
        array(select job from job_resource where job_resource.target = resource.target order by job) as jobs
    from resource where {_ON}
        and target > $2 and ($3 = '' or target = $3)
        and ($5 = '' or target in (select target from job_resource where job = $5))
    order by target limit $4"""


async def plans(
    pool: asyncpg.Pool, *, source: str = "", asset: str = "", after: str = "", target: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """Tag sets by target, each tag with its origin."""
    rows = await pool.fetch(_PLANS, source, asset, after, target, min(limit, MAX_PAGE))
    return [_plan(row) for row in rows]


def _plan(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "target": row["target"],
        "source": row["source"],
        **({"asset": row["asset"]} if row["asset"] else {"resource": row["resource"]}),
        "sequence": row["sequence"],
        "scan_id": row["scan_id"],
        "digest": row["digest"],
        "tags": [{"key": key, "value": value, "origin": origin} for key, value, origin in orjson.loads(row["tags"])],
        "conflicts": orjson.loads(row["conflicts"]),
        "changed_at": row["changed_at"].isoformat(),
    }


async def resources(
    pool: asyncpg.Pool, *, source: str = "", after: str = "", target: str = "", job: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """What became of the tags on each cloud resource."""
    return [_resource(row) for row in await pool.fetch(_RESOURCES, source, after, target, min(limit, MAX_PAGE), job)]


def _resource(row: asyncpg.Record) -> dict[str, Any]:
    problem = {name: row[name] for name in ("code", "cause", "remedy", "attempts")} if row["outcome"] == "failed" else None
    return {
        **{name: row[name] for name in ("target", "resource", "provider", "tenant", "source", "sequence", "digest", "scan_id", "outcome")},
        "problem": problem,
        "tags_of_ours": orjson.loads(row["written"]),
        "converted_from": orjson.loads(row["mapping"]),
        "tags_of_others": row["kept"],
        "held_by_others": row["held"],
        "left_out": row["left_out"],
        "drifted": row["drifted"],
        "jobs": row["jobs"],
        "gone": row["gone"],
        "changed_at": row["changed_at"].isoformat(),
        "applied_at": row["applied_at"].isoformat() if row["applied_at"] else None,
    }
