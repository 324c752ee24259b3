"""What stands between and beside: PgBouncer in each mode, where a member stands, client certificates and TLS files by reference."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.connection import ConnectionPlan
from shared.contracts.source import DataSource, Scope
from shared.errors import Failed
from shared.secrets.sign_in import SignIn
from shared.sources.base import Dial, SampleTask, task_of
from shared.sources.dialling import dial_for
from shared.sources.postgres import PostgresDriver
from tests.pg_pair import PASSWORD, PgPair
from tests.pgbouncer import bouncing

CLIENTS = 20


def dial_to(pair: PgPair, port: int = 0, **more: Any) -> Dial:
    given = {"username": "scan", "password": PASSWORD, "tls_mode": "verify-full", "ca": pair.file("ca.pem")} | more
    return Dial(**({"host": "localhost", "port": port or pair.ports["a"], "database": "postgres", "connect_seconds": 60.0} | given))


async def code_of(dial: Dial) -> str:
    with pytest.raises(Failed) as caught:
        async with PostgresDriver().open(dial):
            pass
    return caught.value.code


async def test_a_pooler_is_known_by_its_mode(pg_pair: PgPair) -> None:
    """Directly none; PgBouncer by transaction and by session; by statement it is of no use, and says so in one line."""

    async def found(port: int = 0) -> tuple[str, str]:
        async with PostgresDriver().open(dial_to(pg_pair, port)) as session:
            server = (await session.probe()).server
            return server.pooler, server.pooler_mode

    assert await found() == ("", "")
    for mode in ("transaction", "session"):
        with bouncing(pg_pair, mode, size=3) as port:
            assert await found(port) == ("pgbouncer", mode)
    with bouncing(pg_pair, "statement", size=1) as port:
        assert await code_of(dial_to(pg_pair, port)) == "pooler_by_statement"
        assert await code_of(dial_to(pg_pair, port, password="wrong")) == "wrong_password"
        assert await code_of(dial_to(pg_pair, port, database="nowhere")) == "no_such_database"


@pytest.mark.parametrize("size", [1, 3])
async def test_twenty_clients_to_few_server_connections(pg_pair: PgPair, size: int) -> None:
    """Each reads in turns, on whatever connection its turn brings, and leaves nothing there that another would meet."""
    pg_pair.run("create table if not exists crowd (a int primary key, b text); grant select on crowd to scan")
    pg_pair.run("insert into crowd select g, 'v' || g from generate_series(1, 50) g on conflict do nothing")
    most = 0

    async def client(port: int, number: int) -> int:
        nonlocal most
        task = SampleTask(number, "public", "crowd", ("a", "b"), rows=10 + number, pages=1, seed=1, plain=False)
        async with PostgresDriver().open(dial_to(pg_pair, port)) as session:
            async with session.snapshot() as snapshot:
                marks = await snapshot.marks(Scope(schemas=("public",)), compare=True)
                assert "crowd" in {mark.table for mark in marks}
            for _ in range(3):
                sample = (await session.sample([task]))[0]
            most = max(most, int(pg_pair.run("select count(*) from pg_stat_activity where usename = 'scan'")[0][0]))
            return sample.rows

    with bouncing(pg_pair, "transaction", size=size) as port:
        rows = await asyncio.gather(*(client(port, number) for number in range(CLIENTS)))
        assert list(rows) == [10 + number for number in range(CLIENTS)]
        assert 1 <= most <= size
        settings = pg_pair.run("select count(*) from pg_stat_activity where usename = 'scan' and state = 'idle in transaction'")
        assert settings == [(0,)]
    pg_pair.run("drop table crowd")


async def test_where_members_stand(pg_pair: PgPair) -> None:
    """A primary is no replica. A replica that has all it was sent is not behind, though nothing happens for long."""
    async with PostgresDriver().open(dial_to(pg_pair)) as session:
        assert await session.standing() == (False, None)
    async with PostgresDriver().open(dial_to(pg_pair, pg_pair.ports["b"])) as session:
        is_replica, lag = await session.standing()
        assert (is_replica, lag) == (True, 0.0)
        assert (await session.probe()).server.is_replica


async def test_tls_files_by_reference(pg_pair: PgPair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Authority, certificate and key out of any secret store sign us in without a password; keepalives where the source is hybrid."""
    for name, file in (("TEST_CA", "ca.pem"), ("TEST_KEY", "app.key")):
        monkeypatch.setenv(name, Path(pg_pair.file(file)).read_text())
    ssl_config = {"ca": "env:TEST_CA", "cert": f"file:{pg_pair.file('app.crt')}", "key": "env:NOT_THERE | env:TEST_KEY"}
    spec = DataSource.model_validate(
        {"name": "x", "database": "postgres", "host": "localhost", "location": "hybrid", "username": "app", "ssl_config": ssl_config}
    )
    plan = ConnectionPlan(host="localhost", port=pg_pair.ports["a"], database="postgres", username="app", tls_mode="verify-full")
    sign_in = SignIn(tmp_path)
    files = await sign_in.tls_files(spec)
    dial = dial_for(spec, plan, sign_in.lookup(spec, plan), application_name="t", connect_seconds=60.0, statement_seconds=10.0, ssl=files)
    assert "PRIVATE" not in repr(dial)
    async with PostgresDriver().open(dial) as session:
        assert (await session.probe()).privileges.role == "app"
        line = session._connection._transport.get_extra_info("socket")
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
    assert await code_of(dial_to(pg_pair, username="app", ca=Path(pg_pair.file("other.pem")).read_text())) == "tls_untrusted"
    assert await code_of(dial_to(pg_pair, username="app", password="")) in ("tls_client_certificate", "not_allowed_from_here")
    assert not list(Path(tempfile.gettempdir()).glob("pursight-*.pem"))


async def test_documents_and_maps_are_read_by_their_text(pg_pair: PgPair) -> None:
    """`xml` and `hstore`, which Debian's server has: cut, and a large one is not unpacked."""
    pg_pair.run("""create extension if not exists hstore schema public; drop table if exists told;
        create table told (a xml, b hstore, c hstore[]); grant select on told to scan;
        insert into told select xmlparse(content '<who mail="ann' || g || '@example.org"/>'), hstore('mail', 'bob@example.org'),
          array[hstore('mail', 'cy@example.org')] from generate_series(1, 3) g;
        insert into told select xmlparse(content '<a>' || string_agg(md5(g::text), '') || '</a>') from generate_series(1, 9000) g""")
    async with PostgresDriver().open(dial_to(pg_pair)) as session:
        async with session.snapshot() as snapshot:
            marks = await snapshot.marks(Scope(tables=("public.told",)), compare=False)
            (facts,) = [each async for chunk in snapshot.describe(marks) for each in chunk]
        assert (list(facts.sampled), list(facts.kinds)) == ([True] * 3, [])
        (sample,) = await session.sample([task_of(facts, rows=10, seed=1, place=None)])
    assert sample.failure is None
    assert [values[0] for values in sample.columns] == [
        '<who mail="ann1@example.org"/>',
        '"mail"=>"bob@example.org"',
        '"mail"=>"cy@example.org"',
    ]
    assert (len(sample.columns[0]), max(map(len, sample.columns[0]))) == (4, 30)
