"""Servers that take a connection, or a question, and then say nothing more: a scan ends with a diagnosis instead of waiting for ever."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from shared.contracts.source import DataSource, Scope
from shared.errors import Failed
from shared.sources import base, mysql_line
from shared.sources.base import Dial, SampleTask, SourceSession
from shared.sources.engines import driver_for
from tests.mongo_server import MongoServer
from tests.mysql_server import MysqlServer

ENGINES = ("postgresql", "mariadb", "mongodb", "s3")
SOON = 0.4  # seconds, where it is the server that has to be waited for
LONG = 10.0  # seconds in which a test that waits for ever is given up


class Way:
    """A port before a server. It passes on what both say, until it is told to pass on no more than so many bytes of the server's."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._both = list[asyncio.Task[None]]()
        self._ends = list[asyncio.StreamWriter]()
        self.left: int | None = None
        self.port = 0

    async def __aenter__(self) -> Way:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for each in self._both:
            each.cancel()
        await asyncio.gather(*self._both, return_exceptions=True)
        for end in self._ends:
            end.close()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.append(writer)
        if self.left == 0:
            return
        there, back = await asyncio.open_connection(self._host, self._port)
        self._ends.append(back)
        self._both += [asyncio.create_task(self._pass(reader, back)), asyncio.create_task(self._pass(there, writer, answers=True))]

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if answers and self.left is not None:
                    data, self.left = data[: self.left], max(0, self.left - len(data))
                writer.write(data)
                await writer.drain()
        if self.left is None:  # else the end would be an answer
            writer.close()


@pytest.fixture(params=ENGINES)
async def shop(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Way, Dial]]:
    """A way to each kind of server, and the dial that takes it."""
    of: Callable[[], Dial] = request.getfixturevalue(f"{request.param}_dial")
    dial = of()
    async with Way(dial.host, dial.port) as way:
        spec = dial.spec.model_copy(update={"port": way.port}) if dial.spec else None
        yield way, replace(dial, host="127.0.0.1", port=way.port, connect_seconds=LONG, statement_seconds=SOON, spec=spec)


@pytest.fixture
def postgresql_dial(postgres_url: str, dialled: Callable[..., Dial]) -> Callable[[], Dial]:
    return lambda: dialled(postgres_url, spec=DataSource(name="s", engine="postgresql", host="127.0.0.1", database="postgres"))


@pytest.fixture
def mariadb_dial(mariadb: MysqlServer) -> Callable[[], Dial]:
    return lambda: mariadb.dial(spec=DataSource(name="s", engine="mariadb", host="127.0.0.1", database="mysql"))


@pytest.fixture
def mongodb_dial(mongo: MongoServer) -> Callable[[], Dial]:
    name = f"silent_{secrets.token_hex(4)}"
    mongo.admin[name].people.insert_many([{"_id": n, "mail": f"user{n}@example.org"} for n in range(50)])
    mongo.user(name, database=name)
    spec = DataSource(name="s", engine="mongodb", host="127.0.0.1", database=name)
    return lambda: mongo.dial(name, name, spec=spec)


@pytest.fixture
def s3_dial(moto: str) -> Callable[[], Dial]:
    at, name = urlsplit(moto), f"silent-{secrets.token_hex(4)}"
    public = {"x-amz-acl": "public-read"}
    httpx.put(f"{moto}/{name}", headers=public).raise_for_status()
    httpx.put(f"{moto}/{name}/people.csv", headers=public, content=b"id,mail\n" + b"1,ann@example.org\n" * 400).raise_for_status()
    spec = DataSource(name="s", engine="s3", host=at.hostname or "", database=name)
    return lambda: Dial(at.hostname or "", at.port or 80, name, "", tls_mode="disable", spec=spec)


def opened(dial: Dial) -> AbstractAsyncContextManager[SourceSession]:
    assert dial.spec
    return driver_for(dial.spec.engine).open(dial)


async def _looked(session: SourceSession, dial: Dial) -> None:
    """As a scan does."""
    assert dial.spec
    async with session.snapshot() as snapshot:
        scope = driver_for(dial.spec.engine).whole(dial.database, Scope())
        marks = await snapshot.marks(scope, compare=False)
        async for _ in snapshot.describe(marks):
            pass


async def _sampled(session: SourceSession, dial: Dial) -> None:
    schema, table = {"mariadb": ("mysql", "user"), "s3": ("/", "people.csv"), "mongodb": (dial.database, "people")}.get(
        dial.spec.engine if dial.spec else "", ("pg_catalog", "pg_class")
    )
    (sample,) = await session.sample([SampleTask(0, schema, table, ("mail",), 10, 1, 1, False)])
    if sample.failure is not None:  # of a store, one object that does not come is that object's failure
        raise sample.failure.error()


@pytest.mark.parametrize("work", [_looked, _sampled])
@pytest.mark.parametrize("passed", [0, 40])
async def test_a_server_that_stops_answering(shop: tuple[Way, Dial], passed: int, work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and in the middle of its answer: it is given up, and the line is not closed politely, for which it had to answer, too."""
    monkeypatch.setattr(base, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(mysql_line, "CLOSE_SECONDS", 0.1)
    way, dial = shop

    async def scan() -> None:
        async with asyncio.timeout(LONG), opened(dial) as session:
            way.left = passed
            await work(session, dial)

    with pytest.raises(Failed) as refused:
        await scan()
    assert (refused.value.code, bool(refused.value.remedy)) == ("timeout", True)


async def test_a_server_that_takes_the_connection_and_says_nothing(shop: tuple[Way, Dial]) -> None:
    way, dial = shop
    way.left = 0
    with pytest.raises(Failed) as refused:
        async with asyncio.timeout(LONG), opened(replace(dial, connect_seconds=SOON)):
            pass
    assert (refused.value.code, bool(refused.value.remedy)) == ("timeout", True)
