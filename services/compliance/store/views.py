"""What the HTTP edge reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from shared.contracts.asset import AssetClassified
from shared.db.scope import in_scope

_LIST = f"""
select violation, asset, source, control, framework, title, severity, state, message, remedy, facts, columns, opened_at, resolved_at,
    resolved_reason, waived_by, waived_reason, waived_until, count(*) over () as total
from violation left join asset using (asset, source)
where ($1::text is null or pack = $1) and ($2::text is null or severity = $2) and {in_scope("source", "$3")}
    and state = any($4::text[]) and ($5::text is null or asset = $5) and starts_with(violation::text, $6)
order by rank desc, asset.risk desc nulls last, asset, control limit $7 offset $8"""

_GROUPED = f"""
select control, framework, title, source, max(rank) as rank, (array_agg(severity order by rank desc))[1] as severity, count(*) as tables,
    (array_agg(asset order by rank desc, asset))[1:5] as examples, (array_agg(remedy))[1] as remedy,
    count(*) over () as total
from violation where ($1::text is null or pack = $1) and ($2::text is null or severity = $2) and {in_scope("source", "$3")}
    and state = any($4::text[]) and ($5::text is null or asset = $5) and starts_with(violation::text, $6)
group by control, framework, title, source order by rank desc, tables desc, control, source limit $7 offset $8"""

_COUNTS = f"""
select key as control, value as outcome, count(*) as assets from asset, jsonb_each_text(results)
where not removed and starts_with(key, $1) and {in_scope("source", "$2")} group by key, value"""

_TABLES = f"""
select control, asset, severity, state, message, facts, columns from violation
where pack = $1 and state <> 'resolved' and {in_scope("source", "$2")} order by rank desc, asset, control limit $3"""


@dataclass(frozen=True, slots=True)
class ViolationFilter:
    """Which violations; None means any. `begins` is how their ids do."""

    pack: str | None = None
    severity: str | None = None
    source: str | None = None
    states: tuple[str, ...] = ("open",)
    asset: str | None = None
    begins: str = ""
    limit: int = 100
    offset: int = 0

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.pack, self.severity, self.source, list(self.states), self.asset, self.begins, self.limit, self.offset


@dataclass(frozen=True, slots=True)
class ReportRow:
    """How often a control came out how, which facts were missing, and the tables on which it fails or is waived."""

    outcomes: Mapping[str, int]
    missing: Mapping[str, int]
    tables: Sequence[Mapping[str, Any]]


class Views:
    """Reads outside of units: they lock nothing and change nothing."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def violations(self, wanted: ViolationFilter) -> tuple[list[dict[str, Any]], int]:
        """A page of violations, worst first, riskiest table first; and how many there are in all."""
        rows = await self._pool.fetch(_LIST, *wanted.arguments)
        return [_shown(row) for row in rows], _total(rows)

    async def grouped(self, wanted: ViolationFilter) -> tuple[list[dict[str, Any]], int]:
        """A page of lines, one per control and source: how many tables, which ones for example; and how many lines there are in all."""
        rows = await self._pool.fetch(_GROUPED, *wanted.arguments)
        return [{name: value for name, value in row.items() if name not in ("rank", "total")} for row in rows], _total(rows)

    async def violation(self, violation: UUID) -> dict[str, Any] | None:
        row = await self._pool.fetchrow("select * from violation where violation = $1", violation)
        return _shown(row) if row else None

    async def report(self, pack: str, source: str | None, tables: int) -> dict[str, ReportRow]:
        """Outcomes by control; at most `tables` failing tables in all."""
        outcomes: dict[str, Counter[str]] = {}
        missing: dict[str, Counter[str]] = {}
        for row in await self._pool.fetch(_COUNTS, f"{pack}:", source):
            outcome, *facts = row["outcome"].split()
            outcomes.setdefault(row["control"], Counter())[outcome] += row["assets"]
            for fact in facts:
                missing.setdefault(row["control"], Counter())[fact] += row["assets"]
        failing: dict[str, list[Mapping[str, Any]]] = {}
        for row in await self._pool.fetch(_TABLES, pack, source, tables):
            failing.setdefault(row["control"], []).append(
                {**row, "facts": orjson.loads(row["facts"]), "columns": orjson.loads(row["columns"])}
            )
        return {control: ReportRow(counts, missing.get(control, {}), failing.get(control, ())) for control, counts in outcomes.items()}

    async def sample(self, limit: int) -> list[AssetClassified]:
        """Assets as they were classified last, newest first, to try rules on."""
        rows = await self._pool.fetch("select body from asset where not removed order by judged_at desc, asset limit $1", limit)
        return [AssetClassified.model_validate_json(row["body"]) for row in rows]


def _total(rows: Sequence[asyncpg.Record]) -> int:
    """What a page counted of all; nothing where it lies behind the last."""
    return rows[0]["total"] if rows else 0


_TIMES = ("opened_at", "resolved_at", "waived_until")


def _shown(row: asyncpg.Record) -> dict[str, Any]:
    """A violation as the outside sees it; empty and internal fields left out."""
    shown = {name: value for name, value in row.items() if value not in (None, "", []) and name not in ("total", "rank", "pack", "mark")}
    shown |= {"violation": str(row["violation"]), "facts": orjson.loads(row["facts"]), "columns": orjson.loads(row["columns"])}
    return shown | {name: row[name].isoformat() for name in _TIMES if row[name]}
