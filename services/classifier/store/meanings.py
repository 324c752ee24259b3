"""What was read of names, as vectors in PostgreSQL (pgvector), and what is near to them: the memory of tier 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from services.classifier.domain.meaning import Descriptions, Near
from shared.errors import UsageError

_REFUSED = (
    asyncpg.FeatureNotSupportedError,
    asyncpg.UndefinedFileError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidSchemaNameError,
)
_LOCK = 0x6D65616E  # one process at a time prepares
_WHERE = "select quote_ident(nspname) from pg_type join pg_namespace as n on n.oid = typnamespace where typname = 'vector'"
_TABLE = """create table if not exists meaning (text text primary key, model text not null, vector {schema}.vector(384) not null)"""
_OTHERS = "delete from meaning where model <> $1"
# Words that columns ask for, that reviewed columns have, that classes are described by; without a vector so far.
_UNREAD = """select text from (
        select unnest(asked) as text from asset where asked <> '{}' and not removed
        union select meaning from review where meaning <> '' union select unnest($1::text[])) as wanted
    where not exists (select from meaning where meaning.text = wanted.text) order by text limit $2"""
_KEEP = """insert into meaning (text, model, vector) select text, $3, vector::{schema}.vector
    from unnest($1::text[], $2::text[]) as read(text, vector) on conflict (text) do nothing"""
# By text: the examples that people of the tenant confirmed, and the classes whose descriptions are nearest.
_NEAR = """select asked.text, near.class_name, 1 - near.distance as nearness, near.confirmed from meaning as asked left join lateral (
        (select class_name, true as confirmed, read.vector operator({schema}.<=>) asked.vector as distance
            from review join meaning as read on read.text = review.meaning
            where split_part(review.asset, '/', 1) = $2 order by distance limit 5)
        union all
        (select class_name, false, min(read.vector operator({schema}.<=>) asked.vector) as distance
            from unnest($3::text[], $4::text[]) as told(class_name, text) join meaning as read on read.text = told.text
            group by class_name order by distance limit 2)) as near on true
    where asked.text = any($1)"""
_FORGET = """delete from meaning where text <> all($1::text[]) and not exists (select from asset where asset.asked @> array[meaning.text])
    and not exists (select from review where review.meaning = meaning.text)"""


@dataclass(frozen=True, slots=True)
class Meanings:
    """The vectors. `schema`: where the extension's type and operators live; `model`: who made the vectors."""

    pool: asyncpg.Pool
    schema: str
    model: str

    async def unread(self, descriptions: Descriptions, most: int) -> list[str]:
        """Texts that somebody asks for and nobody has read."""
        return [row["text"] for row in await self.pool.fetch(_UNREAD, [text for _, text in descriptions], most)]

    async def keep(self, texts: Sequence[str], vectors: Sequence[Sequence[float]]) -> None:
        """One vector a text; whoever came first is right."""
        told = ["[" + ",".join(f"{number:.7g}" for number in vector) + "]" for vector in vectors]
        await self.pool.execute(_KEEP.format(schema=self.schema), texts, told, self.model)

    async def near(
        self, connection: asyncpg.Connection, tenant: str, texts: Sequence[str], descriptions: Descriptions
    ) -> dict[str, tuple[Near, ...]]:
        """What each of these texts comes close to, as far as it was read."""
        classes, told = zip(*descriptions, strict=True)
        found: dict[str, tuple[Near, ...]] = {}
        for text, *near in await connection.fetch(_NEAR.format(schema=self.schema), texts, tenant, classes, told):
            found[text] = (*found.get(text, ()), *([Near(*near)] if near[0] else ()))
        return found

    async def forget(self, descriptions: Descriptions) -> None:
        """Texts that no column and no review has any more."""
        await self.pool.execute(_FORGET, [text for _, text in descriptions])


async def meanings_of(pool: asyncpg.Pool, model: str) -> Meanings:
    """The vectors of this model; those of another are forgotten. Raises UsageError where the database has no pgvector for us."""
    try:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
            schema = await connection.fetchval(_WHERE)
            if schema is None:
                await connection.execute("create extension vector")
                schema = await connection.fetchval(_WHERE)
            await connection.execute(_TABLE.format(schema=schema))
            await connection.execute(_OTHERS, model)
    except _REFUSED as error:
        remedy = "Install pgvector there and run: create extension vector."
        raise UsageError("the database has no pgvector", why=type(error).__name__, remedy=remedy, code="no_pgvector") from error
    return Meanings(pool, schema, model)
