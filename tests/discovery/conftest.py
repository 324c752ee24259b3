"""A source to scan, and discovery's own state, on one real PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import httpx
import orjson
import pytest

from services.discovery import api
from services.discovery.gateway import Patience, Sources
from services.discovery.store import Scan, Store
from services.discovery.worker.scan import Scanner
from shared.bus.jobs import Job, Jobs
from shared.bus.migrations import FOLDER
from shared.contracts.connection import ConnectionPlan, Posture, Privileges, ServerFacts, SourceConnected
from shared.contracts.source import DataSource, Scope
from shared.db import circuits
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.db.seats import Seats
from shared.egress import GuardedLoop, Surroundings
from shared.observe import tracing
from shared.settings import Machine
from shared.web.auth import SignIns
from shared.web.server import edge_app

MIGRATIONS = Path(__file__).parents[2] / "services" / "discovery" / "migrations"


def connected_of(url: str, *, sequence: int = 1, secret: str = "env:TEST_SOURCE_PASSWORD", **spec: Any) -> SourceConnected:
    """What the connector would say of this database."""
    parts = urlsplit(url)
    given = {"name": "shop", "host": parts.hostname, "port": parts.port, "database": parts.path.lstrip("/"), "username": parts.username}
    source = DataSource(**(given | {"password_secret": secret} | spec))
    plan = ConnectionPlan(
        host=source.host, port=source.port, database=source.database, username=unquote(source.username), secret=secret, tls_mode="disable"
    )
    return SourceConnected(
        source=source.key,
        sequence=sequence,
        based_on=sequence,
        spec=source,
        plan=plan,
        server=ServerFacts(version="18.4"),
        privileges=Privileges(role="x"),
        posture=Posture(tls_in_transit=False),
    )


@dataclass
class House:
    """Discovery without a broker: what it would say lies in the outbox."""

    pool: asyncpg.Pool
    store: Store
    jobs: Jobs
    scanner: Scanner
    sources: Sources
    number: int = 0
    source: str = ""
    scans: list[str] = field(default_factory=list)

    async def connect(self, event: SourceConnected) -> None:
        self.source = event.source
        async with self.store.unit(keys=[event.source]) as unit:
            await unit.connect(event)

    async def ask(self, **asked: Any) -> str:
        """Ask for a scan; its id."""
        self.number += 1
        id = f"scan-{self.number}"
        given = {"mode": "incremental", "priority": "normal", "scope": Scope(), "reason": "test", "tenant": "default"} | asked
        async with self.store.unit(keys=[self.source]) as unit:
            await unit.ask(Scan(id=id, source=self.source, state="waiting", traceparent=tracing.root(), **given))
            await self.jobs.enqueue(unit.bus.connection, "scan", self.source, "")
        return id

    async def claim(self) -> Job:
        job = await self.jobs.claim("scan")
        assert job is not None
        return job

    async def scan(self, **asked: Any) -> list[tuple[str, dict[str, Any] | None]]:
        """Ask, do, and take what was said: topic and body, without order between topics."""
        await self.ask(**asked)
        job = await self.claim()
        await self.scanner.work(job)
        await self.jobs.finish(self.pool, job)
        return await self.said()

    async def said(self) -> list[tuple[str, dict[str, Any] | None]]:
        rows = await self.pool.fetch("with gone as (delete from outbox returning *) select topic, body from gone order by id")
        return [(row[0], orjson.loads(row[1]) if row[1] is not None else None) for row in rows]


@asynccontextmanager
async def house_at(url: str, *, sample_seconds: float = 10.0, tries: int = 2) -> AsyncIterator[House]:
    """State in a schema of its own beside the source's tables, which discovery must then leave out by scope."""
    pool = await open_pool(url, schema="discovery", application_name="test")
    await migrate(pool, schema="discovery", folders=[FOLDER, MIGRATIONS])
    await circuits.prepare(url)
    store, jobs = Store(pool), Jobs(pool, service="discovery")
    seats = Seats(url, service="discovery")
    patience = Patience(5.0, 10.0, sample_seconds, 2)
    sources = Sources(home=Path("/nonexistent"), around=Surroundings(local=True), patience=patience, seats=seats, pool=pool)
    try:
        yield House(pool, store, jobs, Scanner(store, jobs, sources, tries=tries), sources)
    finally:
        await seats.close()
        await pool.close()


@asynccontextmanager
async def door_of(house: House) -> AsyncIterator[Callable[..., Coroutine[Any, Any, httpx.Response]]]:
    """Asks discovery's edge: method, path, and as whom: a steward, a viewer, or a steward of another tenant."""
    tenants = {"steward": "default", "viewer": "default", "stranger": "other"}
    machines = {
        name: Machine(sha256=hashlib.sha256(name.encode()).hexdigest(), roles=["viewer" if name == "viewer" else "steward"], tenant=tenant)
        for name, tenant in tenants.items()
    }
    app = edge_app(list(api.routes(house.store, house.jobs, house.sources)), token="t", signs=SignIns("t", machines=machines))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://discovery") as http:

        async def ask(method: str, path: str, who: str = "steward", content: str = "") -> httpx.Response:
            return await http.request(method, path, headers={"Authorization": f"Bearer {who}"}, content=content)

        yield ask


@pytest.fixture
def door() -> Any:
    """`door_of` for tests."""
    return door_of


@pytest.fixture
def connected() -> Callable[..., SourceConnected]:
    """`connected_of` for tests, which cannot import from here."""
    return connected_of


@pytest.fixture
def in_house(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[House, str], Coroutine[Any, Any, None]]], None]:
    """Runs a test's work in a house, on the guarded loop, with a database for state and source."""
    monkeypatch.setenv("TEST_SOURCE_PASSWORD", unquote(urlsplit(fresh_database_url).password or ""))

    def run(work: Callable[[House, str], Coroutine[Any, Any, None]], **more: Any) -> None:
        async def inside() -> None:
            async with house_at(fresh_database_url, **more) as house:
                await work(house, fresh_database_url)

        with asyncio.Runner(loop_factory=GuardedLoop) as runner:
            runner.run(inside())

    return run
