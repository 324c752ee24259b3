"""What a PostgreSQL server is among its replicas, and what may stand between it and us: a pooler, and how it shares connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import asyncpg

from shared.sources.base import Load, Standing

# Seconds behind the primary. While changes stream in, one that has replayed all it received is not behind, however quiet the primary is.
LAG = """case when not pg_is_in_recovery() then null
    when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() and exists (select from pg_stat_wal_receiver) then 0
    else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end::float8"""
# Whose sessions we may not look into have no state; with one of those we cannot tell how many are at work.
_LOAD = f"""select case when bool_and(state is not null) then count(*) filter (where state = 'active') end,
    coalesce({LAG}, (select extract(epoch from max(replay_lag))::float8 from pg_stat_replication)),
    extract(epoch from clock_timestamp() - statement_timestamp())::float8,
    extract(epoch from clock_timestamp())::float8,
    (select sum((to_jsonb(base) ->> 'active_time')::float8) / 1000 from pg_stat_database as base)
from pg_stat_activity where pid <> pg_backend_pid() and datid is not null and application_name !~ '^pursight'"""
_PROOF = "geqo_seed"  # a parameter that PgBouncer does not know and so refuses at the start of a connection
_LOOKS = 3
_SERVED_SECONDS = 3.0

Dialled = Callable[[Mapping[str, str]], Awaitable[asyncpg.Connection]]


class Pooler(NamedTuple):
    """What shares server connections between its clients. `mode`: how long a client keeps one."""

    name: str = ""
    mode: str = ""


async def standing(connection: asyncpg.Connection) -> Standing:
    """Raises the driver's errors."""
    row = await connection.fetchrow(f"select pg_is_in_recovery(), {LAG}")
    return Standing(row[0], row[1])


class Busy(NamedTuple):
    """What all sessions together have worked up to a time, both in seconds; since PostgreSQL 14."""

    at: float
    worked: float | None


async def load(connection: asyncpg.Connection, before: Busy | None) -> tuple[Load, Busy]:
    """And what to give the next time. Raises the driver's errors.

    A moment misses statements that are short, and tells nothing to who may not look into others' sessions; so the mean number at work
    since the last look counts too, which everybody may see, and of which we are a part.
    """
    active, lag, seconds, at, worked = await connection.fetchrow(_LOAD)
    mean = None
    if before is not None and before.worked is not None and worked is not None and at > before.at:
        mean = max(0.0, (worked - before.worked) / (at - before.at))
    return Load(active, lag, seconds, mean), Busy(at, worked)


async def pooler(connection: asyncpg.Connection, dial: Dialled) -> Pooler:
    """The pooler on this line, if any. `dial` opens a further line with these startup parameters. Raises the driver's errors.

    A pooler cannot know at the start which server process will serve us, so it makes a number up. Where two idle clients meet the same
    process in turn, it goes with the transaction; a pooler in session mode would have given each its own.
    """
    own = await connection.fetchval("select pg_backend_pid()")
    if own == connection.get_server_pid():
        return Pooler()
    return Pooler(await _name(dial), await _mode(connection, dial))


async def _name(dial: Dialled) -> str:
    try:
        other = await dial({_PROOF: "0"})
    except asyncpg.PostgresError as error:
        return "pgbouncer" if "unsupported startup parameter" in str(error) else "unknown"
    other.terminate()
    return "unknown"


async def _mode(connection: asyncpg.Connection, dial: Dialled) -> str:
    try:
        other = await dial({})
    except (asyncpg.PostgresError, OSError):
        return ""  # no room for a second client just now
    try:
        async with asyncio.timeout(_SERVED_SECONDS):
            for _ in range(_LOOKS):
                if await connection.fetchval("select pg_backend_pid()") == await other.fetchval("select pg_backend_pid()"):
                    return "transaction"
    except TimeoutError:
        pass  # the only server connection is kept for our first line
    finally:
        other.terminate()
    return "session"
