"""The connector's table of sources that have two endpoints: which one is active, and who watches them. SQL only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import orjson

from services.connector.domain.failover import WORDS, Role
from shared.contracts.connection import SourceConnected
from shared.contracts.source import DataSource
from shared.db import circuits

_MINE = """update endpoints set watcher = $1, watched_until = clock_timestamp() + $2 from source
    where source.key = endpoints.key and source.state <> 'removed'
        and (watcher = $1 or watched_until is null or watched_until < clock_timestamp())
    returning endpoints.key, source.version, source.spec, source.traceparent, endpoints.active, endpoints.wanted"""
_OURS = """select endpoints.key, source.version, source.spec, source.traceparent, endpoints.active, endpoints.wanted,
        watcher = $1 and watched_until > clock_timestamp() as mine
    from endpoints join source using (key) where source.state <> 'removed'
        and (watcher = $1 or watched_until is null or watched_until < clock_timestamp())"""


@dataclass(frozen=True, slots=True)
class Watched:
    """A source that this process watches. `active`: its secondary's address while that is the active one; `wanted`: by a person."""

    key: str
    version: int
    spec: DataSource
    traceparent: str
    active: str
    wanted: str


class Endpoints:
    """Which endpoint is active, beside `Store`, in whose units of work the writes belong."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def claim(self, watcher: str, lease_seconds: float) -> list[Watched]:
        """Begin or renew the watch over what nobody else watches."""
        return _watched(await self._pool.fetch(_MINE, watcher, timedelta(seconds=lease_seconds)))

    async def ours(self, watcher: str) -> list[Watched] | None:
        """What this process watches already; None where it is time to claim, because nobody watches some."""
        rows = await self._pool.fetch(_OURS, watcher)
        return _watched(rows) if all(row["mine"] for row in rows) else None

    async def release(self, watcher: str) -> None:
        """Somebody else may watch from now on."""
        await self._pool.execute("update endpoints set watched_until = null, watcher = '' where watcher = $1", watcher)

    async def shown(self, key: str) -> dict[str, Any] | None:
        """As people see it; None where the source has no second endpoint."""
        row = await self._pool.fetchrow("select * from endpoints where key = $1", key)
        if row is None:
            return None
        return {
            "active": "secondary" if row["active"] else "primary",
            "state": row["state"],
            "says": WORDS.get(row["state"], ""),
            "cause": row["cause"],
            "since": row["changed_at"].isoformat(),
            "seen_at": row["seen_at"].isoformat() if row["seen_at"] else None,
            "endpoints": orjson.loads(row["looks"]),
        }

    async def seen(self, key: str, watcher: str, *, state: str, looks: Sequence[dict[str, Any]]) -> None:
        """Keep what was seen, for people."""
        await self._pool.execute(
            "update endpoints set state = $3, looks = $4, seen_at = clock_timestamp() where key = $1 and watcher = $2",
            *(key, watcher, state, orjson.dumps(list(looks)).decode()),
        )


async def watch(connection: asyncpg.Connection, key: str, *, secondary: str) -> None:
    """The source as registered now has this second endpoint; empty: none. A choice that names another address no longer holds."""
    if not secondary:
        await connection.execute("delete from endpoints where key = $1", key)
        return
    await connection.execute(
        """insert into endpoints (key) values ($1) on conflict (key) do update set
            active = case when endpoints.active = $2 then $2 else '' end, wanted = '', looks = '{}',
            state = case when endpoints.active = $2 then endpoints.state else 'primary' end""",
        *(key, secondary),
    )


async def want(connection: asyncpg.Connection, key: str, role: Role) -> bool:
    """A person's wish, carried out by who watches. False where there is no such source."""
    return bool(await connection.fetchval("update endpoints set wanted = $2 where key = $1 returning true", key, role))


async def unwant(connection: asyncpg.Connection, key: str) -> None:
    """The wish was carried out, or could not be."""
    await connection.execute("update endpoints set wanted = '' where key = $1", key)


async def active_now(connection: asyncpg.Connection, key: str) -> str:
    """The active secondary's address, locked until the end of this transaction; empty where the primary is active."""
    return str(await connection.fetchval("select active from endpoints where key = $1 for share", key) or "")


async def move(connection: asyncpg.Connection, key: str, watcher: str, *, active: str, state: str, cause: str) -> bool:
    """Another endpoint is active from now on. False where another process watches, or the source is gone."""
    return bool(
        await connection.fetchval(
            """update endpoints set active = $3, state = $4, cause = $5, wanted = '', changed_at = clock_timestamp()
            where key = $1 and watcher = $2 returning true""",
            *(key, watcher, active, state, cause),
        )
    )


async def connected(connection: asyncpg.Connection, event: SourceConnected, digest: str) -> None:
    """What was said of the source when it moved. The next check looks at everything, on a line of its own."""
    await connection.execute(
        """update source set sequence = $2, state = 'connected', said = $3, code = '', dialled_version = $4,
            probed_at = null where key = $1""",
        *(event.source, event.sequence, digest, event.based_on),
    )
    await circuits.answered(connection, event.source)


def _watched(rows: Sequence[Any]) -> list[Watched]:
    return [Watched(row[0], row[1], DataSource.model_validate_json(row[2]), row[3], row[4], row[5]) for row in rows]
