"""The driver for MySQL and MariaDB: dials, proves that the session only reads, and hands out snapshots and samples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from asyncmy.errors import MySQLError

from shared.contracts.source import Scope
from shared.errors import PurSightError
from shared.sources import mysql_facts, mysql_sample, mysql_statistics
from shared.sources.base import Dial, Estimate, Load, Probe, Sample, SampleTask, Standing, TableFacts
from shared.sources.dialling import keep_alive, signed_in
from shared.sources.mysql_catalog import MysqlSnapshot
from shared.sources.mysql_failures import mysql_failed
from shared.sources.mysql_line import Line, refuse
from shared.sources.mysql_release import Release, release
from shared.sources.postgres_knock import speaks_postgresql

_OLDEST = {True: 100_300, False: 50_700}  # MariaDB, MySQL
_DICTIONARY_SINCE = 80_000
_GREETING_SECONDS = 1.0
_WRONG_PASSWORD = 1045
_READ_ONLY_TRANSACTION = 0x2000  # a bit of the status that the server sends with each answer
_ALWAYS = """set names utf8mb4, sql_mode = '', time_zone = '+00:00', lock_wait_timeout = 3, innodb_lock_wait_timeout = 3,
  net_write_timeout = 600"""
_FRESH = ", information_schema_stats_expiry = 0"  # else sizes may be a day old
_MODE = "set session transaction isolation level read committed, read only"
_ERRORS = (MySQLError, UnicodeError, OSError, RuntimeError)


class MysqlDriver:
    """Entry point `mysql` of `pursight.sources`."""

    engine = "mysql"

    def whole(self, database: str, allowed: Scope) -> Scope:
        """A database is what others call a schema: the source's own, unless its scope names some."""
        return allowed if allowed.schemas else allowed.model_copy(update={"schemas": (database,)})

    @asynccontextmanager
    async def open(self, dial: Dial) -> AsyncIterator[MysqlSession]:
        """Raises Failed with a code of `failures`; the driver's own text stays here."""
        line = await signed_in(dial, _dial)
        try:
            session = MysqlSession(line, dial, self.engine)
            await session.verify()
            yield session
        except _ERRORS as error:
            raise mysql_failed(error) from None
        finally:
            await _close(line)


class MariadbDriver(MysqlDriver):
    """Entry point `mariadb` of `pursight.sources`: the same wire, told apart by what the server says of itself."""

    engine = "mariadb"


async def _dial(dial: Dial) -> Line:
    line = Line(dial)
    try:
        async with asyncio.timeout(dial.connect_seconds):
            await _greeted(line, dial)
    except (PurSightError, OSError) as error:
        raise mysql_failed(error) from None
    except Exception as error:
        number = error.args[0] if error.args and isinstance(error, MySQLError) else None
        if number == _WRONG_PASSWORD and not dial.password:
            refuse("password_missing")
        if not isinstance(number, int):
            refuse("not_mysql")  # the driver trusts its peer to speak the protocol, and stumbles over what does not
        raise mysql_failed(error) from None
    if dial.keepalive:
        keep_alive(line.socket)
    return line


async def _greeted(line: Line, dial: Dial) -> None:
    """A server of this family speaks first. Where none does, nobody waits in vain for another engine's. Raises what `connect` does."""
    connecting = asyncio.ensure_future(line.connect())
    try:
        await asyncio.wait((connecting,), timeout=_GREETING_SECONDS)
        if not (connecting.done() or line.greeted) and await speaks_postgresql(dial.host, dial.port):
            refuse("not_mysql")
        await connecting
    finally:
        connecting.cancel()


async def _close(line: Line) -> None:
    with suppress(*_ERRORS):
        if not line.half_read and not line.broken:
            await line.ensure_closed()
    line.close()


class MysqlSession:
    """One connection. Not for use by two tasks at once."""

    def __init__(self, line: Line, dial: Dial, engine: str) -> None:
        self._line, self._dial, self._engine = line, dial, engine
        self._release: Release = release(line.server_version)
        self.statements = 0

    async def verify(self) -> None:
        """Raises Failed where the server is too old or does not say itself that a transaction is read-only."""
        if self._release.number < _OLDEST[self._release.mariadb]:
            refuse("too_old")
        self.statements += 2
        seconds = self._dial.statement_seconds
        limit = f", max_statement_time = {seconds}" if self._release.mariadb else f", max_execution_time = {int(seconds * 1000)}"
        fresh = "" if self._release.mariadb or self._release.number < _DICTIONARY_SINCE else _FRESH
        await self._line.query(_ALWAYS + limit + fresh)
        await self._line.query(_MODE)
        async with self._reading():
            pass

    async def probe(self) -> Probe:
        async with self._reading():
            found, asked = await mysql_facts.probe(self._line, self._dial, self._engine)
            self.statements += asked
            return found

    async def standing(self) -> Standing:
        """Raises Failed with a code of `failures`."""
        try:
            found, asked = await mysql_facts.standing_of(self._line, self._release)
        except _ERRORS as error:
            raise mysql_failed(error) from None
        self.statements += asked
        return found

    async def load(self) -> Load:
        """Raises Failed with a code of `failures`."""
        try:
            found, asked = await mysql_facts.load_of(self._line, self._release)
        except _ERRORS as error:
            raise mysql_failed(error) from None
        self.statements += asked
        return found

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[MysqlSnapshot]:
        """Raises Failed where the line breaks meanwhile."""
        try:
            async with self._reading():
                self.statements += 1
                found = MysqlSnapshot(self._line, self._release, await mysql_facts.grants_of(self._line, self._release))
                try:
                    yield found
                finally:
                    await found.close()
                self.statements += found.statements
        except _ERRORS as error:
            raise mysql_failed(error) from None

    async def sample(self, tasks: Sequence[SampleTask]) -> list[Sample]:
        """One transaction for all: here a statement that fails leaves it as it was."""
        try:
            async with self._reading():
                return [await self._one(task) for task in tasks]
        except _ERRORS as error:
            raise mysql_failed(error) from None

    async def _one(self, task: SampleTask) -> Sample:
        try:
            found, asked = await mysql_sample.read(self._line, task)
        except (MySQLError, UnicodeError) as error:
            if self._line.broken:
                raise
            found, asked = mysql_sample.refused(task, error), 1
        self.statements += asked
        return found

    async def estimates(self, tables: Sequence[TableFacts]) -> list[Mapping[str, Estimate]]:
        """Raises Failed with a code of `failures`."""
        try:
            async with self._reading():
                found, asked = await mysql_statistics.estimates(self._line, self._release, tables)
        except _ERRORS as error:
            raise mysql_failed(error) from None
        self.statements += asked
        return found

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        """A transaction; behind a pooler it may be another server session's than the last."""
        self.statements += 1
        await self._line.query("start transaction read only")
        if not self._line.server_status & _READ_ONLY_TRANSACTION:
            refuse("not_read_only")
        try:
            yield
        finally:
            if not self._line.half_read and not self._line.broken:
                await self._line.query("rollback")
