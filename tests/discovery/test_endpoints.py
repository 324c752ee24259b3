"""Scans of a source with several members: who is read, what happens when that one dies or cancels us, and what is left open. Real pairs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.connector.domain.plan import plan
from services.discovery.domain.members import Seen, best
from services.discovery.gateway import Line
from shared.contracts.connection import Privileges, ServerFacts, SourceConnected
from shared.contracts.source import DataSource, Scope
from shared.errors import Failed, PurSightError
from tests.mysql_server import PASSWORD as MYSQL_PASSWORD
from tests.mysql_server import MysqlServer
from tests.pg_pair import PASSWORD, PgPair
from tests.pgbouncer import bouncing

TABLES = 130  # more than one chunk
TRACE = "0af7651916cd43dd8448eb211c80319c"
LOCK = 7  # who holds it keeps `reader` from reading shop.slow
WAITS = "select true from pg_stat_activity where usename = 'reader' and wait_event = 'advisory'"
SQL = f"""drop schema if exists shop cascade; create schema shop; grant usage on schema shop to scan, reader;
do $$ begin for n in 1..{TABLES} loop
    execute format('create table shop.t%s (id int primary key, mail text)', n);
    execute format('insert into shop.t%s select g, ''m'' || g || ''@example.org'' from generate_series(1, 20) g', n);
end loop; end $$;
create table shop.slow (mail text); insert into shop.slow select 's' || g || '@example.org' from generate_series(1, 2) g;
create or replace function public.when_let() returns boolean language sql as 'select pg_advisory_xact_lock_shared({LOCK}) is not null';
alter table shop.slow enable row level security; create policy p on shop.slow to reader using (public.when_let());
grant select on all tables in schema shop to scan, reader;"""


@pytest.mark.parametrize(
    ("members", "which"),
    [
        ([Seen(True, 2.0, 0.1), Seen(True, 0.5, 0.9)], 1),
        ([Seen(True, 31.0, 0.1), Seen(True, 29.0, 0.9)], 1),
        ([Seen(True, 31.0, 0.1), Seen(True, None, 0.1)], None),
        ([Seen(True, 1.0, 0.1), Seen(False, None, 0.1)], 1),
        ([], None),
    ],
)
def test_the_least_behind(members: list[Seen], which: int | None) -> None:
    """Within the limit; one that does not tell how far behind it is, is not read; one that is no replica is not behind."""
    assert best(members, max_lag_seconds=30.0) == which


def connected_to(pair: PgPair, *, active: str = "a", port: int = 0, mode: str = "", **changed: Any) -> SourceConnected:
    """What the connector would say. Members are named by their letter."""
    address = {name: f"localhost:{number}" for name, number in pair.ports.items()}
    config = dict(changed.pop("replica_config", {}))
    config |= {"secondary": address.get(config.get("secondary", ""), "")}
    config |= {"replica_members": [address[each] for each in config.get("replica_members", ())]}
    given = {"name": "pair", "host": "localhost", "port": port or pair.ports["a"], "database": "postgres", "username": "scan"}
    given |= {"password_secret": "env:TEST_PAIR_PASSWORD", "ssl_config": {"ca": pair.file("ca.pem")}, "scope": {"schemas": ["shop"]}}
    spec = DataSource.model_validate(given | changed | {"replica_config": config})
    return SourceConnected(
        source=spec.key,
        sequence=1,
        based_on=1,
        spec=spec,
        plan=plan(spec, "" if active == "a" else address[active]),
        server=ServerFacts(version="15", pooler="pgbouncer" if mode else "", pooler_mode=mode),
        privileges=Privileges(role="scan"),
    )


@pytest.fixture
def shop(pg_pair: PgPair, monkeypatch: pytest.MonkeyPatch) -> PgPair:
    monkeypatch.setenv("TEST_PAIR_PASSWORD", PASSWORD)
    monkeypatch.setattr("services.discovery.worker.scan._MEMBER_SECONDS", 0.1)
    if not pg_pair.run("select true from pg_namespace where nspname = 'shop'"):
        pg_pair.run(SQL)
    pg_pair.caught_up()
    return pg_pair


def at_first_sample(monkeypatch: pytest.MonkeyPatch, do: Callable[[Line], Awaitable[None]]) -> None:
    """In the middle of a scan, once."""
    original, done = Line.sample, False

    async def sample(line: Line, *given: Any) -> Any:
        nonlocal done
        if not done:
            done = True
            await do(line)
        return await original(line, *given)

    monkeypatch.setattr(Line, "sample", sample)


def manifest(said: list[tuple[str, Any]]) -> dict[str, Any]:
    found = [body for topic, body in said if topic in ("scan.completed", "scan.failed")]
    assert len(found) == 1
    assert found[0].get("diagnosis") is None, found[0]
    return dict(found[0])


def tables(said: list[tuple[str, Any]]) -> list[str]:
    return sorted(body["table"] for topic, body in said if topic == "schema.discovered" and body)


def test_who_is_read(in_house: Any, shop: PgPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replica while it is close enough; else the primary. A dead primary's work is done by a replica, a dead replica's by it."""

    async def work(house: Any, url: str) -> None:
        async def read(avoid: frozenset[str] = frozenset(), **changed: Any) -> str:
            async with house.scanner._sources.open(connected_to(shop, **changed), "", avoid) as line:
                return {f"localhost:{port}": name for name, port in shop.ports.items()}[line.address]

        async with house.scanner._sources.open(connected_to(shop), TRACE):
            assert shop.sessions("a", f"pursight-discovery {TRACE}") == 1  # so the server's own people find the trace
        near, far = {"replica_members": ["b"]}, {"replica_members": ["b"], "max_lag_seconds": 0.05}
        assert await read(replica_config=near) == "b"
        assert await read(frozenset({f"localhost:{shop.ports['b']}"}), replica_config=near) == "a"
        assert await read(replica_config=near | {"read_preference": "primary"}) == "a"
        shop.run("select pg_wal_replay_pause()", "b")
        shop.run("create table if not exists public.tick (); drop table public.tick")
        try:
            assert await read(replica_config=far) == "a"
            with pytest.raises(PurSightError) as caught:
                await read(replica_config=far | {"read_preference": "secondary"})
            assert caught.value.code == "no_member_in_limit"
        finally:
            shop.run("select pg_wal_replay_resume()", "b")
        hybrid = {"location": "hybrid", "replica_config": {"secondary": "b", "max_lag_seconds": 3600}}
        assert await read(**hybrid) == "a"
        shop.kill("a")
        assert await read(**hybrid) == "b"
        assert await read(**hybrid, active="b") == "b"
        assert await read(replica_config=near | {"read_preference": "primary_preferred", "max_lag_seconds": 3600}) == "b"
        shop.start("a")
        shop.kill("b")
        assert await read(replica_config=near) == "a"
        shop.start("b")
        assert shop.sessions("a", "pursight-discovery") + shop.sessions("b", "pursight-discovery") == 0

    in_house(work)


def test_a_primary_dies_in_the_middle_of_a_scan(in_house: Any, shop: PgPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scan goes on at the secondary before anybody was told of a fail-over: nothing lost, nothing said twice."""

    async def work(house: Any, url: str) -> None:
        async def die(line: Line) -> None:
            shop.kill("a")

        at_first_sample(monkeypatch, die)
        await house.connect(connected_to(shop, location="hybrid", replica_config={"secondary": "b", "max_lag_seconds": 3600}))
        said = await house.scan()
        assert manifest(said)["tables"] == TABLES + 1
        assert len(tables(said)) == len(set(tables(said))) == TABLES + 1
        assert shop.sessions("b", "pursight-discovery") == 0

    in_house(work)


def test_a_replica_cancels_us(in_house: Any, shop: PgPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A primary's vacuum breaks what its replica was reading: a sample is read again, and a scan that lost its snapshot goes on."""

    def vacuum() -> None:
        shop.run("delete from shop.slow where mail = 's1@example.org'; insert into shop.slow values ('s1@example.org')")
        shop.run("vacuum shop.slow")

    def conflicts() -> int:
        any_kind = "sum(confl_snapshot + confl_lock + confl_bufferpin)"  # a page in use is another kind than what is seen of it
        return int(shop.run(f"select {any_kind} from pg_stat_database_conflicts", "b")[0][0])

    async def until_conflict(before: int) -> None:
        while conflicts() == before:
            await asyncio.sleep(0.05)

    async def work(house: Any, url: str) -> None:
        config = {"replica_members": ["b"]}
        lonely = connected_to(shop, username="reader", replica_config=config, scope={"schemas": ["shop"], "tables": ["shop.slow"]})

        async def read_again() -> None:
            async with house.scanner._sources.open(lonely, "") as line:
                async with line.snapshot() as snapshot:
                    marks = [mark for mark in await snapshot.marks(Scope(schemas=("shop",)), compare=False) if mark.table == "slow"]
                    facts = [each async for chunk in snapshot.describe(marks) for each in chunk]
                await line.prepare()
                with shop.held("b", LOCK) as release:
                    before, reading = conflicts(), asyncio.create_task(line.sample([("k", facts[0])], 10))
                    async with asyncio.timeout(30):
                        while not shop.run(WAITS, "b"):
                            await asyncio.sleep(0.02)
                    vacuum()
                    await asyncio.to_thread(shop.caught_up)  # not before the reader is out of the way
                    release()
                    sample = (await reading)[0]
            async with asyncio.timeout(30):  # a session's counts are the server's when it ends, or ten seconds later
                await until_conflict(before)
            assert sample is not None
            assert (sample.failure, sample.rows) == (None, 2)

        for _ in range(4):  # now and then the server ends the session instead of the statement, which is the scan's to survive
            try:
                await read_again()
                break
            except Failed as cut:
                if cut.code != "connection_reset":
                    raise
        else:
            pytest.fail("the session was ended each time")

        async def conflict(line: Line) -> None:
            before = conflicts()
            vacuum()
            await asyncio.to_thread(shop.caught_up)
            async with asyncio.timeout(30):
                await until_conflict(before)

        at_first_sample(monkeypatch, conflict)
        await house.connect(connected_to(shop, replica_config=config))
        said = await house.scan()
        assert manifest(said)["tables"] == len(tables(said)) == TABLES + 1

    in_house(work)


def test_scans_within_their_pool_leave_nothing_open(in_house: Any, shop: PgPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """One session or several, a pooler of one server connection, a scan that fails: the same facts, no session too many or left."""
    most, now = 0, 0

    async def work(house: Any, url: str) -> None:
        nonlocal most, now
        original = Line.sample

        async def sample(line: Line, *given: Any) -> Any:
            nonlocal most
            most = max(most, shop.sessions("a", "pursight-discovery"))
            return await original(line, *given)

        monkeypatch.setattr(Line, "sample", sample)
        monkeypatch.setattr("services.discovery.worker.scan._GROUP", 50)
        digests = []
        with bouncing(shop, "transaction", size=1) as port:
            for name, expected, changed in (
                ("roomy", 3, {}),
                ("tight", 2, {"pool_size": 2, "max_overflow": 0}),
                ("lonely", 1, {"pool_size": 1, "max_overflow": 0}),
                ("pooled", 1, {"port": port, "mode": "transaction"}),
            ):
                most = 0
                await house.connect(connected_to(shop, name=name, **changed))
                said = await house.scan()
                assert manifest(said)["tables"] == len(tables(said)) == TABLES + 1
                evidence = {body["table"]: body["columns"] for topic, body in said if topic == "schema.discovered" and body}
                digests.append(evidence)
                assert most == expected, name
                assert [topic for topic, _ in await house.scan()] == ["scan.completed"]
        assert all(each == digests[0] for each in digests)

        async def fails(*_: Any) -> None:
            raise RuntimeError

        monkeypatch.setattr(Line, "sample", fails)
        await house.connect(connected_to(shop, name="broken"))
        await house.ask()
        with pytest.raises(RuntimeError):
            await house.scanner.work(await house.claim())
        assert shop.sessions("a", "pursight-discovery") == 0

    in_house(work)


def test_a_cancelled_scan_leaves_nothing_open(in_house: Any, shop: PgPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a person in the middle of it, and by a worker that has to stop while the server is still answering."""

    async def work(house: Any, url: str) -> None:
        await house.connect(connected_to(shop))

        async def cancel(line: Line) -> None:
            assert shop.sessions("a", "pursight-discovery") == 3
            async with house.store.unit(keys=[house.source]) as unit:
                assert await unit.end("scan-1", "cancelled", code="cancelled")

        at_first_sample(monkeypatch, cancel)
        assert not {"scan.completed", "scan.failed"} & {topic for topic, _ in await house.scan()}
        assert shop.sessions("a", "pursight-discovery") == 0

        await house.connect(connected_to(shop, name="slow", username="reader", scope={"schemas": ["shop"], "tables": ["shop.slow"]}))
        await house.ask()
        with shop.held("a", LOCK):
            scan = asyncio.create_task(house.scanner.work(await house.claim()))
            while not shop.run(WAITS):
                assert not scan.done()
                await asyncio.sleep(0.02)
            scan.cancel()
            await asyncio.wait({scan})
            assert scan.cancelled()
            async with asyncio.timeout(20):
                while shop.sessions("a", "pursight-discovery"):  # the server hears of it a moment later
                    await asyncio.sleep(0.02)

    in_house(work)


def facts_of(body: dict[str, Any]) -> str:
    """Of a table, without what tells one scan from another."""
    return repr({name: value for name, value in body.items() if name not in ("scan_id", "spec", "fingerprint")})


def test_one_session_sees_what_three_see(in_house: Any, mariadb: MysqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine whose snapshot remembers what it listed: comments, parts, keys and views are told alike; and so it is the second time."""
    monkeypatch.setenv("TEST_PAIR_PASSWORD", MYSQL_PASSWORD)
    monkeypatch.setattr("services.discovery.worker.scan._GROUP", 2)
    mariadb.run(
        *("drop database if exists lonely", "create database lonely", "use lonely"),
        "create table a (id int primary key comment 'the key', mail varchar(99)) comment 'people'",
        "insert into a values (1, 'a@example.org'), (2, 'b@example.org')",
        "create table b (a_id int, foreign key (a_id) references a (id))",
        "create table parts (n int, t text) partition by range (n) (partition p values less than (10), partition q values less than (20))",
        "insert into parts values (1, 'x'), (11, 'y')",
        "create view seen as select id from a",
    )
    spec = {"engine": "mariadb", "host": "127.0.0.1", "port": mariadb.port, "database": "lonely", "username": "root"}
    spec |= {"password_secret": "env:TEST_PAIR_PASSWORD", "ssl_config": {"ca": mariadb.ca}}

    async def work(house: Any, url: str) -> None:
        found = []
        for name, pool in (("by-three", {}), ("by-one", {"pool_size": 1, "max_overflow": 0})):
            source = DataSource.model_validate(spec | {"name": name} | pool)
            server, role = ServerFacts(version="10.11"), Privileges(role="root")
            event = SourceConnected(
                source=source.key, sequence=1, based_on=1, spec=source, plan=plan(source), server=server, privileges=role
            )
            await house.connect(event)
            said = await house.scan()
            bodies = [body for topic, body in said if topic == "schema.discovered" and body]
            found.append({body["table"]: facts_of(body).replace(name, "either") for body in bodies})
            assert [topic for topic, _ in await house.scan()] == ["scan.completed"]
        assert sorted(found[0]) == ["a", "b", "parts", "seen"]
        assert found[0] == found[1]
        assert mariadb.sessions("root") == 1  # the test's own

    in_house(work)
    mariadb.run("drop database lonely")
