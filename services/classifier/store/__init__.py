"""The only SQL of the classifier: verdicts, what they rest on, reviews, the rule set."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from services.classifier.domain.judging import Judged
from services.classifier.domain.promised import Contracts, Told, places_of, tables_of
from services.classifier.domain.reviews import Likes, Review, words_of
from shared.bus.received import AnyCause, Received
from shared.bus.unit import Unit, unit
from shared.contracts.asset import UNCLASSIFIED, AssetClassified, SchemaDiscovered
from shared.contracts.judging.contract import claims_on
from shared.contracts.names import encode, tenant_of
from shared.contracts.rules import RulesetPublished
from shared.db.scope import in_scope

SERVICE = "classifier"
_FASTEST = 1  # of zlib: a tenth of the bytes for a tenth of a millisecond

_ROWS = "select asset, sequence, discovered, removed, classes::text, said from asset where asset = any($1)"
_SAVE = """insert into asset (asset, source, sequence, discovered, body, classes, uncertain, targets, said, asked, named, judged_by,
        heard_at, judged_at)
    select asset, source, sequence, discovered, body, classes::jsonb, uncertain::jsonb, string_to_array(targets, ' '), said,
        string_to_array(asked, E'\\n'), named, judged_by, heard_at, $14
    from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::text[], $13::timestamptz[])
        as new(asset, source, sequence, discovered, body, classes, uncertain, targets, said, asked, named, judged_by, heard_at)
    on conflict (asset) do update set source = excluded.source, sequence = excluded.sequence, discovered = excluded.discovered,
        removed = false, body = coalesce(excluded.body, asset.body), classes = excluded.classes, uncertain = excluded.uncertain,
        targets = excluded.targets, said = excluded.said, asked = excluded.asked, named = excluded.named,
        judged_by = excluded.judged_by, heard_at = excluded.heard_at, judged_at = excluded.judged_at"""
_REMOVE = """insert into asset (asset, source, discovered, removed, heard_at, judged_at)
    select asset, source, discovered, true, $4, $4 from unnest($1::text[], $2::text[], $3::bigint[]) as gone(asset, source, discovered)
    on conflict (asset) do update set removed = true, body = null, classes = '{}', uncertain = null, targets = '{}',
        said = '', asked = '{}', discovered = greatest(asset.discovered, excluded.discovered), judged_at = excluded.judged_at"""
_KNOWN = """select asset, classes::text from asset where asset = any($1) and not removed"""
_BODIES = """select asset, sequence, body, classes::text, said, heard_at from asset
    where asset = any($1) and not removed and body is not null order by asset"""
_TABLES = "select body from asset where not removed and body is not null and asset > $1 order by asset limit $2"
_DECIDED = """select asset, "column", class_name from review where decision <> 'reject' and class_name <> $1 order by asset"""
_VERDICTS = """select asset, "column", class_name from review order by asset"""
_STALE = "select asset from asset where judged_by <> $1 and not removed and asset > $2 order by asset limit $3"
_OF_SOURCE = "select asset from asset where source = $1 and not removed and heard_at <= $2 order by asset limit $3"
_FOLLOWERS = "select asset from asset where targets && $1::text[] and not removed and asset <> all($2::text[]) order by asset"
_UNCERTAIN = f"""select asset, source, uncertain::text, judged_at, count(*) over () as total from asset
    where uncertain is not null and {in_scope("source", "$1")} order by source, asset limit $2 offset $3"""
_REVIEWS = """select asset, "column", decision, class_name, reviewer, evidence, words, alike, meaning from review where asset = any($1)"""
_KEEP_REVIEW = """insert into review (asset, "column", decision, class_name, reviewer, evidence, words, alike, meaning, reviewed_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict (asset, "column") do update set decision = excluded.decision, class_name = excluded.class_name,
        reviewer = excluded.reviewer, evidence = excluded.evidence, words = excluded.words, alike = excluded.alike,
        meaning = excluded.meaning, reviewed_at = excluded.reviewed_at"""
_SAME = """update asset set judged_by = same.judged_by, asked = string_to_array(same.asked, E'\\n'), judged_at = $4
    from unnest($1::text[], $2::text[], $3::text[]) as same(asset, judged_by, asked) where asset.asset = same.asset"""
_UNSETTLE = "update asset set judged_by = '' where asked <> '{}' and not removed and split_part(source, '/', 1) = $1"
_UNSETTLE_NAMED = """update asset set judged_by = '' where judged_by <> '' and not removed and split_part(source, '/', 1) = $1
    and (named = any($2) or named = '')"""
_CONTRACTS = """select contract, claims, object, properties from contract_object join contract on name = contract
    where tenant = any($1) and object = any($2) and claims && $3 order by contract, place"""
_KEEP_CONTRACT = "insert into contract (name, tenant, claims) values ($1, $2, $3)"
_KEEP_OBJECTS = """insert into contract_object (contract, place, object, properties)
    select $1, place, object, properties from unnest($2::text[], $3::text[]) with ordinality as told(object, properties, place)"""
_LIKES = """select split_part(asset, '/', 1) as tenant, words, alike, min(class_name) as class_name from review
    where alike <> '' and words = any($1) and split_part(asset, '/', 1) = any($2)
    group by tenant, words, alike having count(distinct class_name) = 1"""
_OF_TENANT = """select asset, body from asset where split_part(source, '/', 1) = $1 and not removed and body is not null and asset > $2
    order by asset limit $3"""
_PUBLISHED = """insert into ruleset (name, version, digest) values ($1, $2, $3)
    on conflict (name) do update set version = excluded.version, digest = excluded.digest where ruleset.digest <> excluded.digest
    returning name"""


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of one asset, without its body. `discovered`: the newest input judged or removed."""

    sequence: int = 0
    discovered: int = 0
    removed: bool = False
    classes: Mapping[str, str] | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """An asset as it was heard and judged."""

    table: SchemaDiscovered
    row: Row
    heard_at: datetime


class ClassifierUnit:
    """One transaction of the classifier. `bus` locks, knows duplicates, and says."""

    def __init__(self, bus: Unit) -> None:
        self.bus = bus

    async def rows(self, assets: Sequence[str]) -> dict[str, Row]:
        found = await self.bus.connection.fetch(_ROWS, assets)
        return {
            asset: Row(sequence, discovered, removed, orjson.loads(classes), said)
            for asset, sequence, discovered, removed, classes, said in found
        }

    async def bodies(self, assets: Sequence[str]) -> list[Stored]:
        """Assets with what they were judged on, by name; removed ones are left out."""
        found = await self.bus.connection.fetch(_BODIES, assets)
        return [
            Stored(_inflated(body), Row(sequence, 0, False, orjson.loads(classes), said), heard_at)
            for _, sequence, body, classes, said, heard_at in found
        ]

    async def known(self, targets: Iterable[str], besides: Iterable[str]) -> dict[str, str]:
        """Classes of these columns (asset#column), as far as their assets are not in `besides`."""
        wanted = set(targets)
        assets = {target.partition("#")[0] for target in wanted} - set(besides)
        if not assets:
            return {}
        found = await self.bus.connection.fetch(_KNOWN, sorted(assets))
        keyed = ((_column_key(asset, column), name) for asset, classes in found for column, name in orjson.loads(classes).items())
        return {key: name for key, name in keyed if key in wanted}

    async def reviews(self, assets: Sequence[str]) -> dict[str, dict[str, Review]]:
        found: dict[str, dict[str, Review]] = {}
        for asset, *fields in await self.bus.connection.fetch(_REVIEWS, assets):
            review = Review(*fields)
            found.setdefault(asset, {})[review.column] = review
        return found

    async def keep_review(self, asset: str, review: Review) -> None:
        await self.bus.connection.execute(_KEEP_REVIEW, asset, *astuple(review), self.bus.now)

    async def likes(self, tables: Sequence[SchemaDiscovered]) -> dict[str, Likes]:
        """By tenant: what people said of columns that have the name of one of these."""
        if not await self.bus.connection.fetchval("select exists (select from review where alike <> '')"):
            return {}
        names = {words_of(name) for name in {column.name for table in tables for column in table.columns}}
        tenants = {tenant_of(table.source) for table in tables}
        found: dict[str, dict[str, str]] = {}
        for tenant, words, alike, class_name in await self.bus.connection.fetch(_LIKES, sorted(names), sorted(tenants)):
            found.setdefault(tenant, {}).update({words: "", alike: class_name})
        return dict(found)

    async def save(self, tables: Sequence[tuple[SchemaDiscovered, Judged, datetime]], judged_by: str, *, with_body: bool = True) -> None:
        """Keep what was judged, and on what. `judged_by` is the digest of the rules; what waits for tier 3 counts as judged by none."""
        if not tables:
            return
        columns = list(zip(*(_columns(table, judged, with_body) for table, judged, _ in tables), strict=True))
        marks = ["" if judged.waits else judged_by for _, judged, _ in tables]
        heard = [heard_at for _, _, heard_at in tables]
        await self.bus.connection.execute(_SAVE, *columns, marks, heard, self.bus.now)

    async def mark_judged(self, same: Mapping[str, Judged], judged_by: str) -> None:
        """These came out the same by the rules of this digest."""
        if same:
            marks = ["" if judged.waits else judged_by for judged in same.values()]
            asked = ["\n".join(judged.asked) for judged in same.values()]
            await self.bus.connection.execute(_SAME, list(same), marks, asked, self.bus.now)

    async def contracts(self, tables: Sequence[SchemaDiscovered]) -> Contracts:
        """What contracts say of these tables."""
        tenants = {tenant_of(table.source) for table in tables}
        places = {place for table in tables for place in places_of(table)}
        claims = {claim for spec in {table.source: table.spec for table in tables}.values() for claim in claims_on(spec)}
        found = await self.bus.connection.fetch(_CONTRACTS, list(tenants), list(places), list(claims))
        return Contracts(Told(name, frozenset(claims), object, orjson.loads(properties)) for name, claims, object, properties in found)

    async def keep_contract(self, name: str, told: Sequence[Told]) -> None:
        """What the contract `tenant/contract` says, in place of what it said before. Assets that either may mean are to be judged again."""
        tenant, sql = tenant_of(name), self.bus.connection
        before = [row[0] for row in await sql.fetch("select object from contract_object where contract = $1", name)]
        await sql.execute("delete from contract where name = $1", name)
        if told:
            await sql.execute(_KEEP_CONTRACT, name, tenant, list(told[0].claims))
            properties = [orjson.dumps(each.properties).decode() for each in told]
            await sql.execute(_KEEP_OBJECTS, name, [each.object for each in told], properties)
        await sql.execute(_UNSETTLE_NAMED, tenant, list(tables_of([*before, *(each.object for each in told)])))

    async def unsettle(self, tenant: str) -> None:
        """What of this tenant asks tier 3 is to be judged again: a person gave an example."""
        await self.bus.connection.execute(_UNSETTLE, tenant)

    async def followers(self, moved: Sequence[str], besides: Sequence[str]) -> list[str]:
        """Assets, other than `besides`, with a foreign key to one of these columns."""
        if not moved:
            return []
        return [row[0] for row in await self.bus.connection.fetch(_FOLLOWERS, moved, besides)]

    async def remove(self, gone: Mapping[str, tuple[str, int, AnyCause]], rows: Mapping[str, Row]) -> None:
        """Forget assets (name to source, discovery's sequence, cause): state and reviews go, the sequence stays, the topic is cleared."""
        if not gone:
            return
        sources, sequences = [source for source, _, _ in gone.values()], [sequence for _, sequence, _ in gone.values()]
        await self.bus.connection.execute(_REMOVE, list(gone), sources, sequences, self.bus.now)
        await self.bus.connection.execute("delete from review where asset = any($1)", list(gone))
        for asset, (_, _, cause) in gone.items():
            if asset in rows and not rows[asset].removed:
                self.bus.tombstone(AssetClassified, key=asset, cause=cause)

    async def publish(self, event: RulesetPublished, cause: AnyCause) -> bool:
        """Say the rule set if it is another than was said last; returns whether it was."""
        changed = await self.bus.connection.fetchval(_PUBLISHED, event.name, event.version, event.digest) is not None
        if changed:
            self.bus.emit(event, key=event.name, cause=cause)
        return changed


class Store:
    """The classifier's schema. Only inside a unit is anything written."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def unit(self, batch: Sequence[Received[Any]] = (), keys: Iterable[str] = ()) -> AsyncIterator[ClassifierUnit]:
        """One transaction: keys locked, duplicates found; state and events commit together."""
        async with unit(self._pool, service=SERVICE, batch=batch, keys=keys) as bus:
            yield ClassifierUnit(bus)

    async def stale(self, digest: str, after: str, limit: int) -> list[str]:
        """Assets judged by other rules than `digest`, by name, from behind `after`."""
        return [row[0] for row in await self._pool.fetch(_STALE, digest, after, limit)]

    async def tables(self, after: str, limit: int) -> list[SchemaDiscovered]:
        """Tables as they were last heard, by name, from behind `after`."""
        return [_inflated(row["body"]) for row in await self._pool.fetch(_TABLES, after, limit)]

    async def named(self, tenant: str, words: str, after: str, limit: int) -> tuple[list[str], str]:
        """Of the next assets of a tenant, behind `after`, those with a column of this name; and the last that was looked at, or nothing."""
        letters = rb"[^a-z0-9\"]*".join(re.escape(letter).encode() for letter in words)
        form = re.compile(rb'"name":"[^a-z0-9"]*' + letters + rb'[^a-z0-9"]*"', re.IGNORECASE)
        rows = await self._pool.fetch(_OF_TENANT, tenant, after, limit)
        return [row["asset"] for row in rows if form.search(zlib.decompress(row["body"]))], rows[-1]["asset"] if rows else ""

    async def decided(self) -> dict[tuple[str, str], str]:
        """Columns (asset, column) that people gave a class, to that class."""
        found = await self._pool.fetch(_DECIDED, UNCLASSIFIED)
        return {(row["asset"], row["column"]): row["class_name"] for row in found}

    async def verdicts(self) -> dict[str, dict[str, str]]:
        """What people decided: assets, to columns, to their classes; the one for none where a class was rejected."""
        found: dict[str, dict[str, str]] = {}
        for asset, column, class_name in await self._pool.fetch(_VERDICTS):
            found.setdefault(asset, {})[column] = class_name
        return found

    async def assets_of(self, source: str, until: datetime, limit: int) -> list[str]:
        """Assets of a source that were last heard of at `until` or before."""
        return [row[0] for row in await self._pool.fetch(_OF_SOURCE, source, until, limit)]

    async def uncertain(self, source: str | None, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Assets with columns that a person should look at, and how many such assets there are."""
        rows = await self._pool.fetch(_UNCERTAIN, source, limit, offset)
        found = [
            {
                "asset": row["asset"],
                "source": row["source"],
                "judged_at": row["judged_at"].isoformat(),
                "columns": orjson.loads(row["uncertain"]),
            }
            for row in rows
        ]
        return found, rows[0]["total"] if rows else 0

    async def published(self) -> list[dict[str, str]]:
        """The rule sets that were said."""
        return [dict(row) for row in await self._pool.fetch("select name, version, digest from ruleset order by name")]


def _columns(table: SchemaDiscovered, judged: Judged, with_body: bool) -> tuple[Any, ...]:
    uncertain = orjson.dumps([column.model_dump(mode="json", exclude_defaults=True) for column in judged.uncertain]).decode()
    return (
        table.asset,
        table.source,
        judged.event.sequence,
        table.sequence,
        zlib.compress(table.to_json(), _FASTEST) if with_body else None,
        orjson.dumps(dict(judged.classes)).decode(),
        uncertain if judged.uncertain else None,
        " ".join(sorted({column.references for column in table.columns if column.references})),
        judged.said,
        "\n".join(judged.asked),
        table.table.casefold(),
    )


def _inflated(body: bytes) -> SchemaDiscovered:
    return SchemaDiscovered.model_validate_json(zlib.decompress(body))


def _column_key(asset: str, column: str) -> str:
    return f"{asset}#{encode(column)}"
