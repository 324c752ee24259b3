"""The circuit of each source, one row in a schema of its own: whoever dials the source asks it first, and tells it how that ended.

Every call is one statement, or part of the caller's transaction, on any connection to the shared state database; the clock is its server's.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TypeAlias

import asyncpg

from shared.db.circuit import Asked, Circuit, asked, failed, pressed
from shared.db.migrate import migrate
from shared.db.pool import open_pool

COLUMNS = "c.state as circuit_state, c.failures as circuit_failures, c.retries, c.at, c.until, c.code as circuit_code"
JOIN = "left join sources.circuit c using (key)"  # beside a table that has the source's key
_SCHEMA = "sources"
_LOCK = f"""insert into sources.circuit as c (key) values ($1) on conflict (key) do update set key = excluded.key
    returning {COLUMNS}, extract(epoch from clock_timestamp())::float8 as now"""
_KEEP = "update sources.circuit set state = $2, failures = $3, retries = $4, at = $5, until = $6, code = $7 where key = $1"
_ANSWERED = "update sources.circuit set state = 'closed', failures = 0, code = '' where key = $1 and (state <> 'closed' or failures > 0)"
_RENEWED = "update sources.circuit set state = 'closed', failures = 0, until = 0, code = '' where key = $1"

Sql: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


async def prepare(url: str) -> None:
    """Bring the shared schema to what this program needs. Raises as `open_pool` and `migrate` do."""
    pool = await open_pool(url, schema=_SCHEMA, max_size=1, application_name="pursight-circuits")
    try:
        await migrate(pool, schema=_SCHEMA, folders=[Path(__file__).parent / "migrations"])
    finally:
        await pool.close()


def circuit_of(row: asyncpg.Record) -> Circuit:
    """From a row that has `COLUMNS`; a closed one where the source has none yet."""
    state = row["circuit_state"]
    return Circuit(state, *(row[name] for name in ("circuit_failures", "retries", "at", "until", "circuit_code"))) if state else Circuit()


async def ask(sql: Sql, key: str) -> Asked:
    """May the source be dialled now?"""
    if await sql.fetchval("select true from sources.circuit where key = $1 and state <> 'closed'", key) is None:
        return Asked(Circuit())
    async with sql.transaction():
        circuit, now = await _locked(sql, key)
        answer = asked(circuit, now)
        await _keep(sql, key, answer.circuit)
        return answer


async def answered(sql: Sql | asyncpg.Pool, key: str) -> None:
    """The dial reached the source."""
    await sql.execute(_ANSWERED, key)


async def not_answered(sql: Sql, key: str, *, code: str, lasting: bool) -> Circuit:
    """The dial failed, by `code`; the circuit as it stands now."""
    async with sql.transaction():
        circuit, now = await _locked(sql, key)
        circuit = failed(circuit, now, lasting=lasting, dice=random.random(), code=code)
        await _keep(sql, key, circuit)
        return circuit


async def press(sql: Sql, key: str) -> None:
    """A person asks: the next dial goes through."""
    async with sql.transaction():
        circuit, now = await _locked(sql, key)
        await _keep(sql, key, pressed(circuit, now))


async def renew(sql: Sql, key: str) -> None:
    """The source was changed, or removed: what failed before says nothing about it now. Its budget stays what it is."""
    await sql.execute(_RENEWED, key)


async def _locked(sql: Sql, key: str) -> tuple[Circuit, float]:
    row = await sql.fetchrow(_LOCK, key)
    assert row is not None
    return circuit_of(row), row["now"]


async def _keep(sql: Sql, key: str, circuit: Circuit) -> None:
    await sql.execute(_KEEP, *(key, circuit.state, circuit.failures, circuit.retries, circuit.at, circuit.until, circuit.code))
