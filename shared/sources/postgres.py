"""The PostgreSQL driver: dials, proves that the session only reads, and hands out snapshots and samples.

Works through pgbouncer in transaction mode: no prepared statement outlives its transaction, and nothing is set for the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from types import MappingProxyType
from typing import Literal

import asyncpg

from shared.contracts.source import Scope
from shared.errors import Failed, PurSightError
from shared.sources import postgres_facts, postgres_sample, postgres_standing, postgres_statistics
from shared.sources.base import CLOSE_SECONDS, Dial, Estimate, Load, Probe, Sample, SampleTask, Standing, TableFacts
from shared.sources.cleartext import WatchedLoop
from shared.sources.dialling import keep_alive, signed_in
from shared.sources.failures import BY_CODE, failed
from shared.sources.postgres_ascii import RAW, is_raw
from shared.sources.postgres_catalog import PostgresSnapshot
from shared.sources.postgres_standing import pooler
from shared.sources.tls import context_for, verified

_OLDEST = 120000
# Set inside each transaction: a pooler may give the next one another server session.
_LOCAL = """set local statement_timeout = {milliseconds}; set local lock_timeout = 3000;
set local idle_in_transaction_session_timeout = 600000;
set local search_path = pg_catalog; set local jit = off; set local max_parallel_workers_per_gather = 0;
set local datestyle = iso; set local intervalstyle = iso_8601; set local extra_float_digits = 1"""
_LINE = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_ERRORS = (asyncpg.PostgresError, UnicodeError, *_LINE)
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
Isolation = Literal["read_committed", "repeatable_read"]


class PostgresDriver:
    """Entry point `postgresql` of `pursight.sources`."""

    engine = "postgresql"

    def whole(self, database: str, allowed: Scope) -> Scope:
        """A database holds schemas, and all of them belong to it."""
        return allowed

    @asynccontextmanager
    async def open(self, dial: Dial) -> AsyncIterator[PostgresSession]:
        """Raises Failed with a code of `failures`; the driver's own text stays here."""
        started = perf_counter()
        connection = await signed_in(dial, _dial)
        try:
            session = PostgresSession(connection, dial, perf_counter() - started)
            await session.verify()
            yield session
        except _ERRORS as error:
            raise failed(error) from None
        finally:
            await _close(connection)


async def _dial(dial: Dial) -> asyncpg.Connection:
    try:
        async with asyncio.timeout(dial.connect_seconds):
            return await _connect(dial)
    except PurSightError:
        raise
    except Exception as error:
        raise failed(error) from None


async def _connect(dial: Dial) -> asyncpg.Connection:
    """Raises Failed with a code of `failures`."""
    watched = WatchedLoop(asyncio.get_running_loop(), proven=verified(dial.tls_mode))
    try:
        connection = await _raw(dial, watched)
    except Exception as error:
        raise _refusal(watched) or failed(_told(error, dial)) from None
    if dial.keepalive:
        keep_alive(connection._transport.get_extra_info("socket"))
    return connection


async def _raw(dial: Dial, watched: WatchedLoop, settings: Mapping[str, str] = _NO_SETTINGS) -> asyncpg.Connection:
    """`prefer` tries TLS and, where the server has none, goes on without; nothing else ever does. Raises the driver's errors."""
    context = context_for(dial)
    ssl = "prefer" if dial.tls_mode == "prefer" and not dial.cert else context or False
    return await asyncpg.connect(
        host=dial.host,
        port=dial.port,
        database=dial.database,
        user=dial.username or "postgres",
        password=dial.password,  # never None: the driver would then look into the environment and into files
        ssl=ssl,
        loop=watched,
        timeout=dial.connect_seconds,
        statement_cache_size=0,
        command_timeout=dial.quiet_seconds,
        server_settings={"application_name": dial.application_name[:63], **settings},
    )


def _refusal(watched: WatchedLoop) -> Failed | None:
    if not watched.refused and not watched.foreign:
        return None
    return BY_CODE["clear_text_refused" if watched.refused else "not_postgresql"].error()


def _told(error: Exception, dial: Dial) -> BaseException:
    """A wrong password where none was given is a missing one."""
    if getattr(error, "sqlstate", "") == "28P01" and not dial.password:
        return BY_CODE["password_missing"].error()
    return error


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except _ERRORS:
        connection.terminate()


class PostgresSession:
    """One connection. Not for use by two tasks at once."""

    def __init__(self, connection: asyncpg.Connection, dial: Dial, dialled_seconds: float) -> None:
        self._connection, self._dial, self._dialled_seconds = connection, dial, dialled_seconds
        self.statements = 0
        self._busy: postgres_standing.Busy | None = None
        self._raw = is_raw(connection)

    async def verify(self) -> None:
        """Raises Failed where the server is too old or a transaction is not truly read-only."""
        version = self._connection.get_server_version()
        if version.major * 10000 < _OLDEST:
            raise BY_CODE["too_old"].error()
        async with self._reading("read_committed"):
            if await self._connection.fetchval("show transaction_read_only") != "on":
                raise BY_CODE["not_read_only"].error()

    async def probe(self) -> Probe:
        """Where a pooler stands between, two further lines are opened for a moment to tell how it shares its own."""
        async with self._reading("repeatable_read"):
            self.statements += postgres_facts.STATEMENTS
            found = await postgres_facts.probe(self._connection, self._dial, self._dialled_seconds)
        name, mode = await pooler(self._connection, self._another)
        return found._replace(server=found.server.model_copy(update={"pooler": name, "pooler_mode": mode})) if name else found

    async def _another(self, settings: Mapping[str, str]) -> asyncpg.Connection:
        """A further line with these startup parameters. Raises the driver's errors."""

        async def connect(dial: Dial) -> asyncpg.Connection:
            return await _raw(dial, WatchedLoop(asyncio.get_running_loop(), proven=verified(dial.tls_mode)), settings)

        return await signed_in(self._dial, connect)

    async def standing(self) -> Standing:
        """Raises Failed with a code of `failures`."""
        self.statements += 1
        try:
            return await postgres_standing.standing(self._connection)
        except _ERRORS as error:
            raise failed(error) from None

    async def load(self) -> Load:
        """Raises Failed with a code of `failures`."""
        self.statements += 1
        try:
            found, self._busy = await postgres_standing.load(self._connection, self._busy)
            return found
        except _ERRORS as error:
            raise failed(error) from None

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[PostgresSnapshot]:
        """Raises Failed where the line breaks meanwhile."""
        try:
            async with self._reading("repeatable_read", raw=self._raw):
                found = PostgresSnapshot(self._connection, raw=self._raw)
                yield found
                self.statements += found.statements
        except _ERRORS as error:
            raise failed(error) from None

    async def sample(self, tasks: Sequence[SampleTask]) -> list[Sample]:
        """One transaction for all while nothing fails; a failing batch is read again table by table."""
        samples: list[Sample] = []
        todo = list(postgres_sample.batches(tasks))
        while todo:
            done, failing = await self._some(todo)
            samples += done
            if failing is not None:
                for task in todo[failing]:
                    samples.append(await self._one(task))
            todo = [] if failing is None else todo[failing + 1 :]
        return samples

    async def _some(self, todo: Sequence[list[SampleTask]]) -> tuple[list[Sample], int | None]:
        """Samples of the batches before the first that fails, and which one that is."""
        samples: list[Sample] = []
        failing = 0
        try:
            async with self._reading("read_committed", raw=self._raw):
                for batch in todo:
                    self.statements += 1
                    samples += await postgres_sample.read(self._connection, batch, raw=self._raw)
                    failing += 1
        except (asyncpg.PostgresError, UnicodeError):
            return samples, failing
        except _LINE as error:
            raise failed(error) from None
        return samples, None

    async def _one(self, task: SampleTask) -> Sample:
        try:
            async with self._reading("read_committed", raw=self._raw):
                self.statements += 1
                return (await postgres_sample.read(self._connection, [task], raw=self._raw))[0]
        except (asyncpg.PostgresError, UnicodeError) as error:
            return postgres_sample.refused(task, error)
        except _LINE as error:
            raise failed(error) from None

    async def estimates(self, tables: Sequence[TableFacts]) -> list[Mapping[str, Estimate]]:
        """Raises Failed with a code of `failures`."""
        try:
            async with self._reading("read_committed", raw=self._raw):
                self.statements += 1
                return await postgres_statistics.estimates(self._connection, tables, raw=self._raw)
        except _ERRORS as error:
            raise failed(error) from None

    @asynccontextmanager
    async def _reading(self, isolation: Isolation, *, raw: bool = False) -> AsyncIterator[None]:
        self.statements += 1
        async with self._transaction(isolation):
            await self._connection.execute(_LOCAL.format(milliseconds=int(self._dial.statement_seconds * 1000)) + (RAW if raw else ""))
            yield

    @asynccontextmanager
    async def _transaction(self, isolation: Isolation) -> AsyncIterator[None]:
        """Who did not answer is not asked to end it either: that would be to wait once more. One who is not waited for any longer is told
        to stop, and to end it, within a moment."""
        transaction = self._connection.transaction(isolation=isolation, readonly=True)
        await transaction.start()
        try:
            yield
        except TimeoutError:
            self._connection.terminate()
            raise
        except asyncio.CancelledError:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):  # the driver has the server cancel the statement first
                    await transaction.rollback()
            except (TimeoutError, *_LINE):
                self._connection.terminate()
            raise
        except BaseException:
            await transaction.rollback()
            raise
        else:
            await transaction.commit()
