"""The connector: plans, health, and dials of a real PostgreSQL that say only what changed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import httpx
import orjson
import pytest

from services.connector import api, handlers
from services.connector.domain.health import health
from services.connector.domain.plan import plan
from services.connector.gateway import Dialler, Limits, Patience
from services.connector.store import Store
from services.connector.worker import Rhythm, Watch
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.bus.received import Received
from shared.cloud.token import Token
from shared.contracts.connection import Posture, Privileges, ServerFacts, SourceConnected, SourceUnreachable
from shared.contracts.source import AwsConfig, DataSource, SourceRegistered, SourceRemoved, SslConfig
from shared.db import circuits
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.db.seats import Seats
from shared.egress import GuardedLoop, Surroundings
from shared.observe import tracing
from shared.sources.base import Probe
from shared.web.server import edge_app

MIGRATIONS = Path(__file__).parents[2] / "services" / "connector" / "migrations"
CANARY = "canary_pw_41b7"


@pytest.mark.parametrize(
    ("spec", "tls", "sign_in"),
    [
        ({}, "prefer", "none"),
        ({"password_secret": "env:X"}, "prefer", "password"),
        ({"location": "cloud", "password_secret": "env:X"}, "verify-full", "password"),
        ({"location": "hybrid"}, "verify-full", "none"),
        ({"location": "cloud", "ssl_config": SslConfig(mode="require")}, "require", "none"),
        ({"location": "cloud", "cloud_config": AwsConfig(provider="aws", use_iam_auth=True)}, "verify-full", "aws_iam"),
    ],
)
def test_the_plan_follows_the_place(spec: dict[str, Any], tls: str, sign_in: str) -> None:
    """Outside one's own house identity is proven by default; the cloud's identity goes before a password."""
    found = plan(DataSource(name="x", database="d", **spec))
    assert (found.tls_mode, found.sign_in) == (tls, sign_in)


@dataclass
class House:
    """The connector without a broker: what it would say lies in the outbox."""

    pool: asyncpg.Pool
    store: Store
    jobs: Jobs
    watch: Watch
    dialler: Dialler

    async def register(self, version: int, **spec: Any) -> None:
        source = DataSource(**({"name": "shop"} | spec))
        event = SourceRegistered(source=source.key, version=version, change="created", spec=source)
        await handlers.on_source_registered([_heard(event, "source.registered", version)], store=self.store, jobs=self.jobs)

    async def dial(self) -> list[tuple[str, dict[str, Any] | None]]:
        await self.pool.execute("update job set run_after = now() where state = 'waiting'")
        job = await self.jobs.claim("dial")
        assert job is not None
        await self.watch.work(job)
        await self.jobs.finish(self.pool, job)
        return await self.said()

    async def look_again(self) -> None:
        """As when a person asks for a check."""
        async with self.store.unit(keys=["default/shop"]) as unit:
            await unit.look_again("default/shop")

    async def health(self) -> dict[str, Any]:
        """`GET /health/sources/default/shop`."""
        preflight = api.Preflight(self.store, self.dialler, Limits(1, 1, 1), 1)
        app = edge_app(list(api.routes(self.store, self.jobs, preflight)), token="t")
        line = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=line, base_url="http://x", headers={"authorization": "Bearer t"}) as http:
            return dict((await http.get("/health/sources/default/shop")).json())

    async def said(self) -> list[tuple[str, dict[str, Any] | None]]:
        rows = await self.pool.fetch("with gone as (delete from outbox returning *) select topic, body from gone order by id")
        return [(row[0], orjson.loads(row[1]) if row[1] is not None else None) for row in rows]

    async def sessions(self) -> int:
        """How many sessions of the connector's dials the server has; one that was closed goes in a moment."""
        found = "select count(*) from pg_stat_activity where application_name ~ '^pursight-connector(?! seats)'"
        async with asyncio.timeout(10):
            while (now := await self.pool.fetchval(found)) > len(self.dialler.kept._lines):
                await asyncio.sleep(0.01)
        return int(now)


def _heard(event: Any, topic: str, number: int) -> Received[Any]:
    return Received(event, f"{topic}-{number}", event.source, topic, 0, number, datetime.now(UTC), "default", "", tracing.root())


@asynccontextmanager
async def house_at(url: str) -> AsyncIterator[House]:
    """On a schema of its own."""
    pool = await open_pool(url, schema="connector", application_name="test")
    await migrate(pool, schema="connector", folders=[FOLDER, MIGRATIONS])
    await circuits.prepare(url)
    store, jobs = Store(pool), Jobs(pool, service="connector")
    seats = Seats(url, service="connector")
    dialler = Dialler(home=Path("/nonexistent"), around=Surroundings(local=True), patience=Patience(5.0, 10.0), seats=seats)
    try:
        yield House(pool, store, jobs, Watch(store, jobs, dialler, Rhythm(60.0, 600.0)), dialler)
    finally:
        await dialler.kept.close()
        await seats.close()
        await pool.close()


@pytest.fixture
def in_house(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[House, dict[str, Any]], Coroutine[Any, Any, None]]], None]:
    """Runs a test's work on the guarded loop; `spec` is a source that answers."""
    parts = urlsplit(fresh_database_url)
    monkeypatch.setenv("TEST_SOURCE_PASSWORD", unquote(parts.password or ""))
    spec = {"host": parts.hostname, "port": parts.port, "database": parts.path.lstrip("/"), "username": parts.username}
    spec |= {"password_secret": "env:TEST_SOURCE_PASSWORD"}

    def run(work: Callable[[House, dict[str, Any]], Coroutine[Any, Any, None]]) -> None:
        async def inside() -> None:
            async with house_at(fresh_database_url) as house:
                await work(house, spec)

        with asyncio.Runner(loop_factory=GuardedLoop) as runner:
            runner.run(inside())

    return run


def test_a_source_that_answers_is_said_once(in_house: Any) -> None:
    """Facts, privileges, posture and plan the first time; nothing the second; all again for a new version."""

    async def work(house: House, spec: dict[str, Any]) -> None:
        await house.register(1, **spec)
        said = dict(await house.dial())
        found = SourceConnected.model_validate(said["source.connected"])
        assert (found.sequence, found.based_on, found.plan.secret, found.privileges.superuser) == (1, 1, "env:TEST_SOURCE_PASSWORD", True)
        assert {"superuser", "no_tls"} <= {warning.code for warning in found.warnings}
        assert said["source.health"]["status"] == "healthy"
        assert await house.dial() == []
        await house.register(2, **spec, owner="sales")
        said = dict(await house.dial())
        assert (said["source.connected"]["based_on"], set(said)) == (2, {"source.connected"})

    in_house(work)


def test_a_source_out_of_reach_is_said_on_change(in_house: Any) -> None:
    """The diagnosis once, silence while it stays, connected again when it answers; no secret in any of it."""

    async def work(house: House, spec: dict[str, Any]) -> None:
        await house.register(1, **spec | {"port": 1})
        said = dict(await house.dial())
        found = SourceUnreachable.model_validate(said["source.unreachable"])
        assert (found.diagnosis.code, bool(found.diagnosis.remedy), said["source.health"]["status"]) == ("refused", True, "down")
        assert await house.dial() == []
        await house.register(2, **spec | {"password_secret": "env:NOT_THERE"})
        assert dict(await house.dial())["source.unreachable"]["diagnosis"]["code"] == "secret_missing"
        await house.register(3, **spec)
        assert "source.connected" in dict(await house.dial())

    in_house(work)


def test_a_secret_that_vanishes_and_comes_back(in_house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is down with a code, a cause and what helps, in its health too; when the secret is back it is well again."""

    async def work(house: House, spec: dict[str, Any]) -> None:
        await house.register(1, **spec)
        assert "source.connected" in dict(await house.dial())
        password = os.environ["TEST_SOURCE_PASSWORD"]
        monkeypatch.delenv("TEST_SOURCE_PASSWORD")
        await house.look_again()
        said = dict(await house.dial())
        assert (said["source.unreachable"]["diagnosis"]["code"], said["source.health"]["status"]) == ("secret_missing", "down")
        shown = await house.health()
        why = shown["diagnosis"]
        assert (shown["state"], shown["code"], why["code"]) == ("unreachable", "secret_missing", "secret_missing")
        assert why["cause"]
        assert why["remedy"].lower() in shown["advice"][0].lower()
        assert said["source.health"]["advice"] == shown["advice"]
        monkeypatch.setenv("TEST_SOURCE_PASSWORD", password)
        await house.look_again()
        said = dict(await house.dial())
        assert said["source.connected"]["based_on"] == 1
        shown = await house.health()
        assert (shown["state"], shown["diagnosis"], shown["code"]) == ("connected", None, "")

    in_house(work)


def test_the_use_of_the_pool_and_the_age_of_the_token_are_part_of_health(in_house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that is kept has one of four seats. A token that was fetched a while ago, and is used again, is as old as that."""
    fetched = Token("t", time.time() + 600)

    async def database(*_: Any, **__: Any) -> Token:
        return fetched

    async def work(house: House, spec: dict[str, Any]) -> None:
        await house.register(1, **spec | {"pool_size": 3, "max_overflow": 1})
        await house.dial()
        assert (await house.health())["pool_used"] == 0.25
        sign_in = house.dialler._sign_in
        monkeypatch.setattr(sign_in._tokens, "database", database)
        monkeypatch.setattr(sign_in, "_clock", lambda: time.time() - 300)
        cloud = DataSource(
            **spec | {"name": "shop", "location": "cloud"}, cloud_config=AwsConfig(provider="aws", use_iam_auth=True, region="eu-west-1")
        )
        await sign_in.lookup(cloud, plan(cloud))("h", 1, False)
        monkeypatch.setattr(sign_in, "_clock", time.time)
        await sign_in.lookup(cloud, plan(cloud))("h", 1, False)
        row = await house.store.source("default/shop")
        assert row
        found = Probe(ServerFacts(version="15"), Privileges(role="u"), Posture(), ())
        row = replace(row, known=house.watch._known(plan(cloud), found, cloud, None))
        age = health("default/shop", 1, row.seen(datetime.now(UTC), None)).token_age_seconds
        assert age is not None
        assert 299 < age < 330

    in_house(work)


def test_a_removed_source_is_forgotten(in_house: Any) -> None:
    """A tombstone on source.connected, no spec kept, and a dial that comes late says nothing."""

    async def work(house: House, spec: dict[str, Any]) -> None:
        await house.register(1, **spec)
        await house.dial()
        gone = _heard(SourceRemoved(source="default/shop", version=2), "source.removed", 2)
        await handlers.on_source_removed([gone], store=house.store)
        assert await house.said() == [("source.connected", None)]
        assert await house.dial() == []
        assert await house.pool.fetchval("select string_agg(spec, '') from source") == ""

    in_house(work)


def test_a_look_at_a_source_that_answered_is_one_round_trip(in_house: Any) -> None:
    """On the line that was kept, by one session; its hour counts it; a broken line and a new version are looked at in full."""

    async def work(house: House, spec: dict[str, Any]) -> None:
        await house.register(1, **spec)
        await house.dial()
        full = await house.pool.fetchval("select probed_at from source")
        assert await house.dial() == []
        assert await house.pool.fetchval("select probed_at from source") == full
        assert await house.sessions() == 1
        counted = await house.pool.fetchrow("select sum(checks), sum(failures), max(bytes) > 0 from health_hour")
        assert tuple(counted) == (2, 0, True)
        await house.pool.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'pursight-connector%'")
        assert await house.dial() == []
        assert await house.pool.fetchval("select probed_at from source") > full
        await house.pool.execute("update source set state = 'removed', version = 9")
        await house.dial()
        assert await house.sessions() == 0

    in_house(work)


def test_an_open_circuit_lets_nobody_through(in_house: Any) -> None:
    """A job that comes early waits until the circuit's time is over; a person's check goes through at once."""

    async def work(house: House, spec: dict[str, Any]) -> None:
        await house.register(1, **spec | {"password_secret": "env:NOT_THERE"})
        said = dict(await house.dial())
        assert said["source.health"]["circuit"] == "open"
        before = await house.pool.fetchrow("select checks, c.failures, until from source join sources.circuit c using (key)")
        assert await house.dial() == []
        assert await house.pool.fetchrow("select checks, c.failures, until from source join sources.circuit c using (key)") == before
        assert await house.pool.fetchval("select run_after > now() from job where state = 'waiting'")
        await house.look_again()
        await house.dial()
        assert await house.pool.fetchval("select failures from sources.circuit") == 2

    in_house(work)


def test_the_clouds_facts_ride_on_the_connection_and_never_fail_it(in_house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encryption, backups and zones come with the server's own facts; a cloud that does not answer leaves one finding for information."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    arn = "arn:aws:rds:eu-central-1:123456789012:db:shop"
    managed = {"location": "cloud", "ssl_config": SslConfig(mode="disable"), "cloud_config": AwsConfig(provider="aws", resource_arn=arn)}

    async def work(house: House, spec: dict[str, Any]) -> None:
        await house.register(1, **spec | managed)
        found = SourceConnected.model_validate(dict(await house.dial())["source.connected"])
        assert (found.posture.encrypted_at_rest, found.posture.superuser_used) == (None, True)
        assert [each.severity for each in found.warnings if each.code == "cloud_facts_unknown"] == ["info"]

        async def told(_: DataSource) -> Any:
            return Posture(encrypted_at_rest=True, backup_retention_days=7, region="eu-central-1"), None

        monkeypatch.setattr(house.dialler._sign_in.posture, "told", told)
        await house.register(2, **spec | managed)
        found = SourceConnected.model_validate(dict(await house.dial())["source.connected"])
        assert (found.posture.encrypted_at_rest, found.posture.backup_retention_days, found.posture.superuser_used) == (True, 7, True)

    in_house(work)


def test_the_past_is_kept_for_a_month_and_has_a_trend(in_house: Any) -> None:
    """Hour by hour: a worse day than the week before, and fast growth, are said with advice; what is older than a month goes."""
    hours = """insert into health_hour (key, hour, checks, failures, seconds, bytes)
        select 'default/shop', date_trunc('hour', now()) - n * interval '1 hour', 100, case when n < 3 then 100 else 0 end, 1.0,
            case when n < 24 then 1000000000 else 1000 end
        from generate_series(0, 24 * 40) n"""

    async def work(house: House, spec: dict[str, Any]) -> None:
        await house.register(1, **spec)
        await house.pool.execute(hours)
        said = dict(await house.dial())["source.health"]
        assert (said["trend"], said["growth_bytes_per_day"] > 30_000_000) == ("worse", True)
        assert {each.partition(":")[0] for each in said["advice"]} == {
            "The last day was worse than the week before",
            "The database grows by more than a twentieth a day",
        }
        kept = await house.pool.fetchrow("select count(*), min(hour) > now() - interval '31 days' from health_hour")
        assert (kept[0] <= 24 * 30 + 1, kept[1]) == (True, True)
        shown = await house.health()
        assert (shown["trend"], shown["circuit"], shown["retries_left"], shown["status"]) == ("worse", "closed", 10.0, "healthy")
        assert {"latency_p95_seconds", "uptime", "connections_used", "certificate_days", "looked_at_in_full"} <= set(shown)

    in_house(work)
