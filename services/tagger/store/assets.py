"""Assets and their sources: what each table of this schema holds, read and written in sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from services.tagger.domain.derive import DerivedAsset, Known
from services.tagger.domain.facts import Fact
from services.tagger.domain.plan import Conflict
from shared.contracts.source import DataSource
from shared.contracts.tags import Tag

_SAVE = """
    insert into asset (target, asset, source, sequence, based_on, scan_id, digest, tags, conflicts, facts, classes, removed, said_at)
    select target, asset, source, sequence, based_on, scan_id, digest, tags::jsonb, conflicts::jsonb, facts::jsonb, classes::jsonb, false,
        said_at
    from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::timestamptz[])
        as new(target, asset, source, sequence, based_on, scan_id, digest, tags, conflicts, facts, classes, said_at)
    on conflict (target) do update set sequence = excluded.sequence, based_on = excluded.based_on, scan_id = excluded.scan_id,
        digest = excluded.digest, tags = excluded.tags, conflicts = excluded.conflicts, facts = excluded.facts, classes = excluded.classes,
        removed = false, said_at = excluded.said_at"""

# A removal by scan counts for its scan, also of an asset that was never derived; one older than what we know is passed over.
_BURY = """
    insert into asset (target, asset, source, sequence, based_on, scan_id, digest, tags, conflicts, facts, removed, said_at)
    select target, asset, source, 0, 0, scan_id, '', '[]', '[]', '[]', true, said_at
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) as gone(target, asset, source, scan_id, said_at)
    on conflict (target) do update set digest = '', tags = '[]', conflicts = '[]', facts = '[]', classes = '[]',
        contract = '', findings = '[]', removed = true,
        scan_id = case when excluded.scan_id = '' then asset.scan_id else excluded.scan_id end,
        said_at = greatest(asset.said_at, excluded.said_at)"""

_FACTS = """
    select fact ->> 0 as kind, fact ->> 1 as value, min(fact ->> 2) as origin, count(*)::int as assets
    from asset, jsonb_array_elements(facts) as fact where source = any($1) and not removed
    group by 1, 2 order by 1, 2"""

_SAVE_SOURCES = """
    with old as (select key, target from source where key = any($1)),
    new as (
        insert into source (key, target, spec, said_at)
        select key, target, spec::jsonb, said_at
        from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) as new(key, target, spec, said_at)
        on conflict (key) do update set target = excluded.target, spec = excluded.spec, said_at = excluded.said_at
            where excluded.said_at >= source.said_at
        returning key, target
    )
    select old.key, old.target from old join new using (key) where old.target not in ('', new.target)"""


class Assets:
    """The assets' part of a unit of work."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._db = connection

    async def known(self, targets: Sequence[str]) -> dict[str, Known]:
        """What is stored of these targets; those never seen are left out."""
        rows = await self._db.fetch(
            "select target, sequence, based_on, scan_id, digest, tags, removed, said_at from asset where target = any($1)", targets
        )
        return {row["target"]: known_of(row) for row in rows}

    async def save(self, derived: Sequence[DerivedAsset]) -> None:
        """Store the tags of all these assets in one statement."""
        if derived:
            await self._db.execute(_SAVE, *zip(*map(_asset_row, derived), strict=True))

    async def bury(self, gone: Sequence[tuple[str, str, str, str, datetime]]) -> None:
        """Forget all of these assets but their numbers. Each is (target, asset, source, scan id, time)."""
        if gone:
            await self._db.execute(_BURY, *zip(*gone, strict=True))

    async def living(self, source: str) -> list[tuple[str, str]]:
        """Target and key of each asset of this source."""
        rows = await self._db.fetch("select target, asset from asset where source = $1 and not removed order by target", source)
        return [(row["target"], row["asset"]) for row in rows]

    async def facts(self, sources: Sequence[str]) -> list[Fact]:
        """The facts of all assets of these sources, added up by the database."""
        rows = await self._db.fetch(_FACTS, sources)
        return [Fact(row["kind"], row["value"], row["origin"], row["assets"]) for row in rows]

    async def save_sources(self, sources: Iterable[tuple[str, str, DataSource, datetime]]) -> list[tuple[str, str]]:
        """Store (key, target, spec, time) where newer than what is known; returns (source, target) of resources that were left."""
        rows = [(key, target, spec.model_dump_json(), said_at) for key, target, spec, said_at in sorted(sources, key=lambda row: row[0])]
        if not rows:
            return []
        left = await self._db.fetch(_SAVE_SOURCES, *zip(*rows, strict=True))
        return [(row["key"], row["target"]) for row in left]

    async def forget_source(self, source: str) -> str:
        """Forget what the source is; returns the target of its cloud resource, empty where it had none."""
        return await self._db.fetchval("delete from source where key = $1 returning target", source) or ""

    async def behind(self, target: str) -> list[DataSource]:
        """The sources that live on this resource and have assets, by name."""
        rows = await self._db.fetch(
            """select spec from source
            where target = $1 and exists (select from asset where asset.source = source.key and not removed) order by key""",
            target,
        )
        return [DataSource.model_validate_json(row["spec"]) for row in rows]


def _asset_row(derived: DerivedAsset) -> tuple[Any, ...]:
    return (
        derived.target,
        derived.asset,
        derived.source,
        derived.sequence,
        derived.based_on,
        derived.scan_id,
        derived.digest,
        tags_text(derived.tags),
        conflicts_text(derived.conflicts),
        orjson.dumps([[fact.kind, fact.value, fact.origin] for fact in derived.facts]).decode(),
        orjson.dumps([each.model_dump() for each in derived.classes]).decode(),
        derived.said_at,
    )


def known_of(row: asyncpg.Record) -> Known:
    return Known(
        row["sequence"],
        row["based_on"],
        row["scan_id"],
        row["digest"],
        tags_from(row["tags"]),
        removed=row["removed"],
        said_at=row["said_at"],
    )


def tags_text(tags: Iterable[Tag]) -> str:
    """Tags as they are stored."""
    return orjson.dumps([[tag.key, tag.value, tag.origin] for tag in tags]).decode()


def tags_from(text: str) -> tuple[Tag, ...]:
    """The inverse of `tags_text`."""
    return tuple(Tag(key=key, value=value, origin=origin) for key, value, origin in orjson.loads(text))


def conflicts_text(conflicts: Iterable[Conflict]) -> str:
    """Conflicts as they are stored."""
    return orjson.dumps([{"key": one.key, "origin": one.origin, "reason": one.reason} for one in conflicts]).decode()
