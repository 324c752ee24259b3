"""The driver for servers that speak MongoDB's wire: knocks, signs in, sees that it may look, and hands out snapshots and samples."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from shared.contracts.source import Scope
from shared.errors import PurSightError
from shared.sources import mongo_facts, mongo_sample
from shared.sources.base import Dial, Estimate, Load, Probe, Sample, SampleTask, Standing, TableFacts
from shared.sources.dialling import signed_in
from shared.sources.mongo_catalog import PAGE_BYTES, MongoSnapshot
from shared.sources.mongo_failures import refusal
from shared.sources.mongo_knock import knock
from shared.sources.mongo_line import Line

_OF_A_TABLE = frozenset({"gone", "no_privilege", "statement_timeout", "server_out_of_memory", "server_error"})


class MongoDriver:
    """Entry point `mongodb` of `pursight.sources`."""

    engine = "mongodb"

    def whole(self, database: str, allowed: Scope) -> Scope:
        """A database is what others call a schema: the source's own, unless its scope names some."""
        return allowed if allowed.schemas else allowed.model_copy(update={"schemas": (database,)})

    @asynccontextmanager
    async def open(self, dial: Dial) -> AsyncIterator[MongoSession]:
        """Raises Failed with a code of `failures`; the server's own words stay here."""
        line = await signed_in(dial, _dial)
        try:
            session = MongoSession(line, dial)
            await session.verify()
            yield session
        finally:
            await line.close()


async def _dial(dial: Dial) -> Line:
    line = Line(dial, await knock(dial))
    try:
        await line.met()
        await line.run("admin", {"connectionStatus": 1})
    except BaseException:
        await line.close()
        raise
    return line


class MongoSession:
    """Commands that only read, to one member."""

    def __init__(self, line: Line, dial: Dial) -> None:
        self._line, self._dial = line, dial
        self._latencies: mongo_facts.Latencies = {}

    @property
    def statements(self) -> int:
        return self._line.statements

    async def verify(self) -> None:
        """Raises Failed where there is no such database, or our user may not see it."""
        database = self._dial.database
        try:
            if await self._line.rows(database, {"listCollections": 1, "nameOnly": True, "authorizedCollections": True}):
                return
        except PurSightError as error:
            if error.code != "no_privilege":
                raise
            known = self._dial.password or self._dial.cert
            raise refusal("may_not_connect" if known else "password_missing") from None
        found = await self._line.run("admin", {"listDatabases": 1, "nameOnly": True, "filter": {"name": database}})
        if not any(each["name"] == database for each in found.get("databases", ())):
            raise refusal("no_such_database")

    async def probe(self) -> Probe:
        return await mongo_facts.probe(self._line, self._dial)

    async def standing(self) -> Standing:
        """Of the member that is read from."""
        found = await self._line.run("admin", {"hello": 1})
        return Standing(True, self._line.lag()) if found.get("secondary") else Standing(False, None)

    async def load(self) -> Load:
        found, self._latencies = await mongo_facts.load(self._line, self._latencies)
        return found

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[MongoSnapshot]:
        yield MongoSnapshot(self._line, await mongo_facts.grants_of(self._line))

    async def sample(self, tasks: Sequence[SampleTask]) -> list[Sample]:
        return [await self._one(task) for task in tasks]

    async def estimates(self, tables: Sequence[TableFacts]) -> list[Mapping[str, Estimate]]:
        """Such a server keeps no statistics of fields; the look at the structure has counted in how many documents each is."""
        return [facts.estimates for facts in tables]

    async def _one(self, task: SampleTask) -> Sample:
        try:
            return await mongo_sample.read(self._line, task, page_bytes=PAGE_BYTES)
        except PurSightError as error:
            if error.code not in _OF_A_TABLE:
                raise
            return mongo_sample.refused(task, error)
