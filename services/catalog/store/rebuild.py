"""Throwing the read model away. A wish is a row, so that a crash half way only means: again."""

from __future__ import annotations

import asyncpg

_TABLES = ("fact", "asset", "verdict", "judgement", "violation", "tag_set", "edge", "scan", "step", "set_aside", "timeline", "inbox")


async def wish(pool: asyncpg.Pool) -> None:
    """Ask for a rebuild; the catalog's processes see it and start again."""
    await pool.execute("INSERT INTO rebuild (wanted_at) VALUES (now()) ON CONFLICT DO NOTHING")


async def is_wished(pool: asyncpg.Pool) -> bool:
    return bool(await pool.fetchval("SELECT EXISTS (SELECT FROM rebuild)"))


async def empty(pool: asyncpg.Pool) -> None:
    """Empty every table of the read model, the inbox too, and fulfil the wish, in one transaction. Dead letters stay."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f"TRUNCATE {', '.join(_TABLES)}")
        await connection.execute("DELETE FROM rebuild")
