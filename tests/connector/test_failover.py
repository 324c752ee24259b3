"""Hybrid sources: the machine that chooses, then a real pair whose primary dies, hangs, comes back, or is replaced."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import asyncpg
import httpx
import orjson
import pytest
from starlette.applications import Starlette

from services.connector import endpoints_api, handlers
from services.connector.domain.failover import Look, Move, Position, Rules, step
from services.connector.domain.notes import notes
from services.connector.domain.plan import most, plan, where
from services.connector.endpoints import Endpoints, move
from services.connector.gateway import Dialler, Patience
from services.connector.guard import Guard, Pace
from services.connector.settings import ConnectorSettings
from services.connector.store import Store
from services.connector.worker import Rhythm, Watch
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.bus.received import Received
from shared.contracts.connection import ServerFacts, SourceConnected, SourceFailedOver
from shared.contracts.source import DataSource, SourceRegistered, SourceRemoved
from shared.db import circuits
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.db.seats import Seats
from shared.egress import GuardedLoop, OwnPlaces, Surroundings, refusal
from shared.observe import tracing
from shared.sources.dialling import policy_for
from tests.mysql_server import PASSWORD as MYSQL_PASSWORD
from tests.mysql_server import MysqlServer, serving_mariadb, serving_mysql
from tests.pg_pair import PASSWORD, PgPair
from tests.tls_server import missing

MIGRATIONS = Path(__file__).parents[2] / "services" / "connector" / "migrations"
RULES = Rules(failures=3, max_lag_seconds=30.0, failback="auto", failback_after_seconds=60.0)
WELL, DEAD, REPLICA, WRITER = Look(), Look("refused"), Look(is_replica=True, lag_seconds=0.2), Look()
Seen = tuple[Look, Look]
SHIPPED = Pace(*(ConnectorSettings.model_fields[name].default for name in ("watch_seconds", "watch_patience", "watch_failures")))
HASTY = Pace(0.1, 0.4, 3)


def after(looks: list[Seen], was: Position = Position(), rules: Rules = RULES, apart: float = 1.0) -> tuple[Position, list[Move]]:  # noqa: B008
    """Where so many looks lead, and the moves on the way."""
    position, moves = was, []
    for at, (primary, secondary) in enumerate(looks):
        position, move = step(position, rules, primary, secondary, at * apart)
        moves += [move] if move else []
    return position, moves


@pytest.mark.parametrize(
    ("looks", "active", "state", "moves"),
    [
        ([(WELL, REPLICA)] * 5, "primary", "primary", []),
        ([(WELL, REPLICA), (DEAD, REPLICA), (DEAD, REPLICA), (WELL, REPLICA), (DEAD, REPLICA)], "primary", "primary_failing", []),
        ([(WELL, REPLICA)] + [(DEAD, REPLICA)] * 3, "secondary", "secondary", [Move("secondary", "refused")]),
        ([(WELL, REPLICA)] + [(DEAD, DEAD)] * 5, "primary", "none", []),
        ([(WELL, Look("", True, 31.0))] + [(DEAD, Look("", True, 0.0))] * 5, "primary", "none", []),
        ([(WELL, Look("", True, 1.0))] + [(DEAD, Look("", True, 90.0))] * 3, "secondary", "secondary", [Move("secondary", "refused")]),
        ([(DEAD, Look("", True, None))] * 3, "secondary", "secondary", [Move("secondary", "refused")]),
        ([(REPLICA, WRITER)] * 3, "secondary", "secondary", [Move("secondary", "primary_demoted")]),
        ([(REPLICA, REPLICA)] * 5, "primary", "primary", []),
    ],
)
def test_leaving_the_primary(looks: list[Seen], active: str, state: str, moves: list[Move]) -> None:
    """Three bad looks in a row, never two, and only to a secondary that was close behind while the primary lived, or took its place."""
    position, found = after(looks)
    assert (position.active, position.state, found) == (active, state, moves)


@pytest.mark.parametrize(
    ("looks", "rules", "state", "moves"),
    [
        ([(WELL, REPLICA)] * 7, RULES, "primary", [Move("primary", "primary_back")]),
        ([(WELL, REPLICA)] * 5, RULES, "returning", []),
        ([(WELL, REPLICA)] * 5 + [(DEAD, REPLICA)] + [(WELL, REPLICA)] * 5, RULES, "returning", []),
        ([(WELL, REPLICA)] * 20, Rules(3, 30.0, "manual", 60.0), "secondary", []),
        ([(WELL, WRITER)] * 20, RULES, "two_primaries", []),
        ([(REPLICA, WRITER)] * 20, RULES, "secondary", []),
        ([(DEAD, WRITER)] * 20, RULES, "secondary", []),
        ([(WELL, DEAD)] * 3, RULES, "primary", [Move("primary", "refused")]),
        ([(WELL, DEAD)] * 2, RULES, "secondary_failing", []),
        ([(DEAD, DEAD)] * 9, RULES, "none", []),
    ],
)
def test_returning_to_it(looks: list[Seen], rules: Rules, state: str, moves: list[Move]) -> None:
    """After a minute of health without a gap; never to one that lost its role, nor beside another that takes writes; at once in need."""
    position, found = after(looks, Position("secondary", "secondary"), rules, apart=10.0)
    assert (position.state, found) == (state, moves)


def test_what_may_be_read_besides() -> None:
    """The secondary stands in for the primary, not the other way round; replicas always do."""
    config = {"secondary": "db2:5433", "replica_members": ("db3",)}
    spec = DataSource(name="x", database="d", host="db1", location="hybrid", replica_config=config)
    before, now = plan(spec), plan(spec, "db2:5433")
    assert (before.role, where(before), [where(each) for each in before.others]) == ("primary", "db1:5432", ["db3:5432", "db2:5433"])
    assert (now.role, where(now), [where(each) for each in now.others]) == ("secondary", "db2:5433", ["db3:5432"])
    assert plan(spec, "elsewhere:1") == before


@pytest.mark.parametrize(
    ("spec", "server", "codes"),
    [
        ({}, {"max_connections": 100}, set()),
        ({"pool_size": 60, "max_overflow": 40}, {"max_connections": 100}, {"pool_too_large"}),
        ({"pool_size": 60, "max_overflow": 40}, {"max_connections": 100, "pooler": "pgbouncer"}, set()),
        ({}, {"pooler": "pgbouncer", "pooler_mode": "session"}, {"pooler_by_session"}),
        ({}, {"pooler": "pgbouncer", "pooler_mode": "transaction"}, set()),
        ({"location": "cloud", "ssl_config": {"mode": "require"}}, {}, {"tls_opt_out"}),
        ({"ssl_config": {"mode": "require"}}, {}, set()),
        ({"location": "cloud"}, {"tls_expires": "2026-11-21T23:00:00+00:00"}, {"tls_ends_soon"}),
        ({"location": "cloud"}, {"tls_expires": "2027-11-21T23:00:00+00:00"}, set()),
        ({}, {"is_replica": True}, {"lag_unknown"}),
    ],
)
def test_settings_beside_the_server(spec: dict[str, Any], server: dict[str, Any], codes: set[str]) -> None:
    """A pool larger than the server, identity not asked for outside one's own house, a certificate that ends today: each with a remedy."""
    source = DataSource.model_validate({"name": "x", "database": "d"} | spec)
    found = notes(source, ServerFacts(version="15", **server), datetime(2026, 11, 21, 12, tzinfo=UTC))
    assert {each.code for each in found} == codes
    assert all(each.remedy and each.severity == "warning" for each in found)


def test_a_secondary_is_not_our_own_state() -> None:
    """What may not be a source's first endpoint may not be its second either."""
    around = Surroundings(local=True, own=OwnPlaces(state_host="127.0.0.1", state_port=5999, state_database="pursight"))
    config = {"secondary": "localhost:5999"}
    spec = DataSource.model_validate({"name": "x", "database": "pursight", "host": "db1", "location": "hybrid", "replica_config": config})
    assert refusal("127.0.0.1", 5999, policy_for(spec, around))
    assert not refusal("127.0.0.1", 5998, policy_for(spec, around))


@dataclass
class House:
    """The connector's guard without a broker: what it would say lies in the outbox."""

    pool: asyncpg.Pool
    table: Endpoints
    store: Store
    jobs: Jobs
    pair: PgPair
    seats: Seats
    dialler: Dialler
    url: str
    version: int = 0
    guard: asyncio.Task[None] | None = None
    heard: list[tuple[str, Any]] = field(default_factory=list)

    async def register(self, **changed: Any) -> None:
        ports, ca = self.pair.ports, self.pair.file("ca.pem")
        config = {"secondary": f"localhost:{ports['b']}", "failback_after_seconds": 0.5} | changed.pop("replica_config", {})
        given = {"name": "shop", "host": "localhost", "port": ports["a"], "database": "postgres", "username": "scan", "location": "hybrid"}
        given |= {"password_secret": "env:TEST_PAIR_PASSWORD", "ssl_config": {"ca": ca}, "replica_config": config}
        self.version += 1
        spec = DataSource.model_validate(given | changed)
        event = SourceRegistered(source=spec.key, version=self.version, change="created", spec=spec)
        await handlers.on_source_registered([_heard(event, self.version)], store=self.store, jobs=self.jobs)

    async def remove(self) -> None:
        self.version += 1
        gone = SourceRemoved(source="default/shop", version=self.version)
        await handlers.on_source_removed([_heard(gone, self.version)], store=self.store)

    async def shown(self) -> dict[str, Any]:
        return await self.table.shown("default/shop") or {}

    async def ask(self, method: str, what: str, document: Any = None) -> dict[str, Any]:
        """The connector's edge."""
        app = Starlette(routes=endpoints_api.routes(self.store, self.table, self.seats))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
            return dict((await client.request(method, f"/health/sources/default/shop/{what}", json=document)).json())

    async def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not holds(found := await self.shown()):
            assert time.monotonic() < deadline, found
            assert self.guard
            assert not self.guard.done()
            await asyncio.sleep(0.02)
        return found

    async def until_both_answer(self) -> None:
        await self.until(lambda now: [each["code"] for each in now.get("endpoints", [])] == ["", ""])

    async def said(self, topic: str) -> list[Any]:
        rows = await self.pool.fetch("select topic, body from outbox order by id")
        return [orjson.loads(row[1]) for row in rows if row[0] == topic and row[1]]


def _heard(event: Any, number: int) -> Received[Any]:
    return Received(event, f"e-{number}", event.source, "t", 0, number, datetime.now(UTC), "default", "", tracing.root())


@asynccontextmanager
async def house_at(url: str, pair: PgPair, pace: Pace) -> AsyncIterator[House]:
    pool = await open_pool(url, schema="connector", application_name="test")
    await migrate(pool, schema="connector", folders=[FOLDER, MIGRATIONS])
    await circuits.prepare(url)
    store, table, jobs = Store(pool), Endpoints(pool), Jobs(pool, service="connector")
    seats = Seats(url, service="connector")
    dialler = Dialler(home=Path("/nonexistent"), around=Surroundings(local=True), patience=Patience(5.0, 10.0), seats=seats)
    house = House(pool, table, store, jobs, pair, seats, dialler, url)
    house.guard = asyncio.create_task(Guard(store, table, dialler, pace).run())
    try:
        yield house
    finally:
        house.guard.cancel()
        with suppress(asyncio.CancelledError):
            await house.guard
        await dialler.kept.close()
        await seats.close()
        await pool.close()


@pytest.fixture
def in_house(fresh_database_url: str, pg_pair: PgPair, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a test's work on the guarded loop."""
    monkeypatch.setenv("TEST_PAIR_PASSWORD", PASSWORD)

    def run(work: Any, pace: Pace = HASTY) -> None:
        async def inside() -> None:
            async with house_at(fresh_database_url, pg_pair, pace) as house:
                await work(house)

        with asyncio.Runner(loop_factory=GuardedLoop) as runner:
            runner.run(inside())

    return run


def test_a_primary_dies(in_house: Any, pg_pair: PgPair) -> None:
    """Within five seconds the secondary is read, said with cause and plan; a removal leaves no session."""

    async def work(house: House) -> None:
        await house.register()
        await house.until_both_answer()
        assert [each["stands"] for each in (await house.shown())["endpoints"]] == ["takes writes", "replica"]
        killed = time.monotonic()
        pg_pair.kill("a")
        found = await house.until(lambda now: now["active"] == "secondary")
        assert time.monotonic() - killed <= 5.0
        assert (found["state"], found["cause"]) == ("secondary", "refused")
        over = SourceFailedOver.model_validate((await house.said("source.failed_over"))[0])
        plan_now = SourceConnected.model_validate((await house.said("source.connected"))[0])
        assert (over.active, over.cause.code, over.endpoint) == ("secondary", "refused", f"localhost:{pg_pair.ports['b']}")
        assert (plan_now.plan.role, plan_now.plan.port, plan_now.plan.others) == ("secondary", pg_pair.ports["b"], ())
        assert (plan_now.sequence, plan_now.server.is_replica, plan_now.server.tls_issuer != "") == (over.sequence + 1, True, True)
        await house.remove()
        while pg_pair.sessions("b"):
            await asyncio.sleep(0.05)

    in_house(work, SHIPPED)


def test_a_primary_that_hangs(in_house: Any, pg_pair: PgPair) -> None:
    """Lines that stay open and say nothing are noticed too; back it goes by itself; a removal meanwhile ends the watch without a word."""

    async def work(house: House) -> None:
        await house.register()
        await house.until_both_answer()
        frozen = time.monotonic()
        pg_pair.freeze("a")
        try:
            found = await house.until(lambda now: now["active"] == "secondary")
            assert time.monotonic() - frozen <= 5.0
            assert found["cause"] == "timeout"
            pg_pair.thaw("a")
            assert (await house.until(lambda now: now["active"] == "primary"))["cause"] == "primary_back"
            pg_pair.freeze("a")
            await house.until(lambda now: now["active"] == "secondary")
            moves = [each["active"] for each in await house.said("source.failed_over")]
            assert moves == ["secondary", "primary", "secondary"]
            await house.remove()
            said = await house.pool.fetchval("select count(*) from outbox")
            assert await house.shown() == {}
        finally:
            pg_pair.thaw("a")
        while pg_pair.sessions("b"):
            await asyncio.sleep(0.05)
        assert await house.pool.fetchval("select count(*) from outbox") == said

    in_house(work)


def test_a_secondary_is_promoted(in_house: Any, pg_pair: PgPair) -> None:
    """The old primary, back as it was, is not returned to by itself, since both take writes; a person may order it."""

    async def work(house: House) -> None:
        await house.register()
        await house.until_both_answer()
        pg_pair.kill("a")
        await house.until(lambda now: now["active"] == "secondary")
        pg_pair.promote()
        pg_pair.start("a")
        found = await house.until(lambda now: now["state"] == "two_primaries")
        assert found["active"] == "secondary"
        await house.register(owner="sales")
        found = await house.until(lambda now: now["state"] == "two_primaries" and bool(now["endpoints"]))
        assert found["active"] == "secondary"  # a change that leaves the endpoints alone leaves the choice alone
        assert (await house.ask("GET", "endpoints"))["state"] == "two_primaries"
        assert (await house.ask("POST", "failover", {"to": "nowhere"}))["code"] == "invalid"
        assert (await house.ask("POST", "failover", {"to": "primary"}))["wanted"] == "primary"
        found = await house.until(lambda now: now["active"] == "primary")
        assert found["cause"] == "by_person"

    in_house(work)


def test_another_process_takes_over(in_house: Any, pg_pair: PgPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """One watcher at a time: the second waits while the first lives, then for its lease; what the first still decides is void."""
    monkeypatch.setattr("services.connector.guard.LEASE_SECONDS", 0.8)
    monkeypatch.setattr("services.connector.guard._RENEW_SECONDS", 0.2)

    async def work(house: House) -> None:
        async def watcher() -> str:
            return str(await house.pool.fetchval("select watcher from endpoints"))

        await house.register()
        await house.until_both_answer()
        first, second = await watcher(), Guard(house.store, house.table, house.dialler, HASTY)
        task = asyncio.create_task(second.run())
        await asyncio.sleep(1.0)  # longer than a lease
        assert await watcher() == first
        with monkeypatch.context() as gone:
            gone.setattr(Endpoints, "release", AsyncMock())
            assert house.guard
            house.guard.cancel()
            await asyncio.wait({house.guard})
        house.guard = task
        while await watcher() == first:
            await asyncio.sleep(0.02)
        async with house.store.unit(keys=["default/shop"]) as unit:
            assert not await move(unit.bus.connection, "default/shop", first, active="x:1", state="secondary", cause="refused")
        pg_pair.kill("a")
        assert (await house.until(lambda now: now["active"] == "secondary"))["cause"] == "refused"
        assert len(await house.said("source.failed_over")) == 1

    in_house(work)


def test_a_full_pool_is_no_failure(in_house: Any, pg_pair: PgPair) -> None:
    """Our own scans have every seat: the check waits as long as the source says, says nothing, and comes again; then it has its answer."""

    async def work(house: House) -> None:
        await house.register(location="on_prem", replica_config={"secondary": ""}, pool_size=1, max_overflow=1, pool_timeout=0.2)
        spec = (await house.store.all())[0].spec
        watch = Watch(house.store, house.jobs, house.dialler, Rhythm(60.0, 900.0))
        others = Seats(house.url, service="discovery")
        server = where(plan(spec))
        async with AsyncExitStack() as stack:
            for _ in range(most(spec)):
                await stack.enter_async_context(others.seat(spec.key, server, most(spec), patience=0.0))
            job = await house.jobs.claim("dial")
            assert job
            await watch.work(job)
            await house.jobs.finish(house.pool, job)
            assert await house.pool.fetchval("select count(*) from outbox") == 0
            assert (await house.ask("GET", "endpoints"))["pool"] == {"most": 2, "taken": 2}
        await house.pool.execute("update job set run_after = now() where state = 'waiting'")
        job = await house.jobs.claim("dial")
        assert job
        await watch.work(job)
        assert len(await house.said("source.connected")) == 1
        assert (await house.ask("GET", "endpoints"))["pool"] == {"most": 2, "taken": 1}  # the line that checks are made on
        await others.close()

    in_house(work)


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def mysql_pair(request: pytest.FixtureRequest) -> Iterator[tuple[MysqlServer, MysqlServer]]:
    """A primary and its replica by GTID, over TLS. Both have authorities of their own; one file holds the two."""
    if request.param == "mariadb" and shutil.which("mariadbd") is None:
        missing("Debian's mariadb-server")
    serving, options, by_gtid = {
        "mariadb": (serving_mariadb, ("--loose-performance-schema=OFF",), "master_use_gtid = slave_pos"),
        "mysql": (serving_mysql, ("--gtid-mode=ON", "--enforce-gtid-consistency=ON"), "master_auto_position = 1"),
    }[request.param]
    binlog = ("--log-bin=bin", "--log-slave-updates", *options)
    with serving("--server-id=1", *binlog) as first, serving("--server-id=2", *binlog) as second:
        first.run("reset master", "create database shop", "grant select on shop.* to reader@'%'")
        second.run("reset master", "set global read_only = 1")
        second.run(
            f"""change master to master_host = '127.0.0.1', master_port = {first.port}, master_user = 'repl', master_ssl = 1,
            master_ssl_ca = '{first.ca}', master_password = '{MYSQL_PASSWORD}', {by_gtid}""",
            "start slave",
        )
        yield first, second


def pid_of(server: MysqlServer) -> int:
    return int(next((server.folder / "data").glob("*.pid")).read_text())


def test_a_mysql_primary_dies(in_house: Any, mysql_pair: tuple[MysqlServer, MysqlServer], tmp_path: Path, monkeypatch: Any) -> None:
    """The same for MySQL's family; how far a replica is behind is told to who may know it, and asked for where it is not."""
    first, second = mysql_pair
    monkeypatch.setenv("TEST_MYSQL_PASSWORD", MYSQL_PASSWORD)
    authorities = tmp_path / "both.pem"
    authorities.write_text(Path(first.ca).read_text() + Path(second.ca).read_text())
    source = {"engine": first.engine, "host": "127.0.0.1", "port": first.port, "database": "shop", "username": "reader"}
    source |= {"password_secret": "env:TEST_MYSQL_PASSWORD", "ssl_config": {"ca": str(authorities)}}

    async def work(house: House) -> None:
        config = {"secondary": f"127.0.0.1:{second.port}"}
        await house.register(**source, replica_config=config)
        await house.until_both_answer()
        assert [(each["stands"], each["lag_seconds"]) for each in (await house.shown())["endpoints"]][1] == ("replica", None)
        watching = {"mariadb": ("replica monitor", "slave monitor"), "mysql": ("replication client",)}[first.engine]
        first.run(*(f"grant {privilege} on *.* to reader@'%'" for privilege in watching))
        while watching[-1].upper() not in str(second.run("show grants for reader@'%'")):
            await asyncio.sleep(0.02)
        await house.register(**source, owner="sales", replica_config=config)
        found = await house.until(lambda now: bool(now["endpoints"]) and now["endpoints"][1]["lag_seconds"] == 0.0)
        assert [each["stands"] for each in found["endpoints"]] == ["takes writes", "replica"]
        killed = time.monotonic()
        os.kill(pid_of(first), signal.SIGKILL)
        found = await house.until(lambda now: now["active"] == "secondary")
        assert time.monotonic() - killed <= 5.0
        assert found["cause"] in ("refused", "connection_reset")
        said = SourceConnected.model_validate((await house.said("source.connected"))[0])
        assert (said.plan.port, said.server.is_replica, "lag_unknown" in {each.code for each in said.warnings}) == (second.port, True, True)
        second.run("stop slave", "reset slave all", "set global read_only = 0")
        await house.until(lambda now: now["endpoints"][1]["stands"] == "takes writes")
        await house.remove()
        while second.sessions("reader"):
            await asyncio.sleep(0.05)

    in_house(work)
