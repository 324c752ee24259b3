"""Seats at data sources: how many sessions PurSight holds at a server at once, over all processes that share one state database.

A seat is a session-level advisory lock: nobody has to renew it, and it is free the moment its process ends, however it ends. All seats
of a process hang on one connection, so the URL must lead to PostgreSQL itself or to a pooler in session mode, as for the relay.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from hashlib import sha256
from time import monotonic

import asyncpg

from shared.db.pool import away
from shared.errors import Transient
from shared.observe.names import gauge, histogram

_TAKEN = """select count(*) from pg_locks join unnest($1::int8[]) n on ((classid::int8 << 32) | objid::int8) = n
    where locktype = 'advisory' and objsubid = 1 and granted
        and database = (select oid from pg_database where datname = current_database())"""
_POLL_SECONDS = (0.02, 0.2)  # between two tries for a seat that somebody else has


class PoolExhausted(Transient):
    """Every seat at this server is taken, and was for as long as one may wait."""

    def __init__(self, most: int) -> None:
        super().__init__(
            "the source's pool is exhausted",
            why=f"all {most} sessions that it allows are in use",
            remedy="Raise pool_size or max_overflow, or wait.",
            code="pool_exhausted",
        )


class Seats:
    """The seats of one process. Used within one event loop."""

    def __init__(self, url: str, *, service: str) -> None:
        self._url, self._service = url, service
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()  # one statement at a time
        self._queues: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._held: set[int] = set()

    @asynccontextmanager
    async def seat(self, source: str, server: str, most: int, *, patience: float, use: str = "in_use") -> AsyncIterator[None]:
        """One of `most` seats at `server`, waited for in the order of asking. `use`: as what it is counted.

        Raises PoolExhausted after `patience` seconds.
        """
        began = monotonic()
        self._tell(source, "waiting", 1)
        try:
            seat = await self._wait(source, server, most, began + patience)
        finally:
            self._tell(source, "waiting", -1)
        histogram("pursight_source_wait_seconds", self._service, source).observe(monotonic() - began)
        if seat is None:
            raise PoolExhausted(most)
        self._tell(source, use, 1)
        try:
            yield
        finally:
            self._tell(source, use, -1)
            await asyncio.shield(self._give_back(seat))

    async def taken(self, source: str, server: str, most: int) -> int:
        """How many of these seats somebody has, in whatever process."""
        async with self._turn:
            connection = await self._connected()
            return int(await connection.fetchval(_TAKEN, _numbers(source, server, most)))

    async def close(self) -> None:
        """Give all seats back."""
        if self._connection:
            self._connection.terminate()
            self._connection = None
        self._held.clear()

    async def _wait(self, source: str, server: str, most: int, until: float) -> int | None:
        queue = self._queues[source, server]
        if queue.locked() and until <= monotonic():
            return None  # others wait already
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.01, until - monotonic())):
                await queue.acquire()
        except TimeoutError:
            return None
        try:
            while True:
                if (seat := await self._try(_numbers(source, server, most))) is not None:
                    return seat
                if monotonic() >= until:
                    return None
                await asyncio.sleep(min(random.uniform(*_POLL_SECONDS), max(0.0, until - monotonic())))
        finally:
            queue.release()

    async def _try(self, numbers: list[int]) -> int | None:
        """A free one of these, ours now. Who is cancelled meanwhile gives back what the server may have given already."""
        asked = asyncio.create_task(self._claim(numbers))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            if (seat := await asked) is not None:
                await self._give_back(seat)
            raise

    async def _claim(self, numbers: list[int]) -> int | None:
        """Our own are left out: PostgreSQL would give them to us once more."""
        async with self._turn:
            free = [number for number in numbers if number not in self._held]
            if not free:
                return None
            connection = await self._connected()
            found: int | None = await connection.fetchval("select n from unnest($1::int8[]) n where pg_try_advisory_lock(n) limit 1", free)
            if found is not None:
                self._held.add(found)
            return found

    async def _give_back(self, seat: int) -> None:
        async with self._turn:
            self._held.discard(seat)
            if self._connection and not self._connection.is_closed():
                try:
                    await self._connection.execute("select pg_advisory_unlock($1)", seat)
                except Exception as error:
                    if not away(error):
                        raise

    async def _connected(self) -> asyncpg.Connection:
        """The connection, opened outside of what a source's egress policy covers. A new one takes again what the lost one held, where
        nobody else was faster. Raises Transient."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncio.create_task(self._open(), context=Context())
        return self._connection

    async def _open(self) -> asyncpg.Connection:
        try:
            name = f"pursight-{self._service} seats"
            connection = await asyncpg.connect(self._url, timeout=10, server_settings={"application_name": name})
            await connection.fetch("select pg_try_advisory_lock(n) from unnest($1::int8[]) n", list(self._held))
        except Exception as error:
            if not away(error):
                raise
            raise Transient("the database does not answer", why=type(error).__name__, code="database_away") from error
        return connection

    def _tell(self, source: str, state: str, more: int) -> None:
        gauge("pursight_source_sessions", self._service, source, state).inc(more)


def _numbers(source: str, server: str, most: int) -> list[int]:
    """The locks that stand for these seats, the same in every process."""
    return [int.from_bytes(sha256(f"seat {source} {server} {at}".encode()).digest()[:8], "big", signed=True) for at in range(most)]
