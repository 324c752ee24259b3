"""The registry's hand in the secret store: a removed source takes its own password along, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import pytest

import services.registry
from services.registry import api, handlers
from services.registry.gateway import FORGET, Anchors, OwnSecrets
from services.registry.store import Store
from services.registry.worker import forget_secret
from shared.access.actor import LOCAL_TOKEN
from shared.access.gate import shipped
from shared.access.proof import Proofs
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.bus.received import Received
from shared.bus.unit import Cause
from shared.contracts.judging.source import judge
from shared.contracts.names import SourceName
from shared.contracts.source import SourceWithdrawn
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.secrets.vault import LocalVault
from shared.settings import BusSettings
from shared.web.server import edge_app

MIGRATIONS = Path(services.registry.__file__ or "").parent / "migrations"


@dataclass
class House:
    """The registry without a broker, and the secret store of its stack."""

    pool: asyncpg.Pool
    store: Store
    vault: LocalVault
    jobs: Jobs
    own: OwnSecrets

    async def register(self, name: str, secret: str) -> None:
        judged = judge({"name": name, "database": "shop", "password_secret": secret})
        assert judged.spec
        async with self.store.unit(keys=[judged.spec.key]) as unit:
            await unit.register(judged.spec, (), actor="test", cause=Cause.new())

    async def withdraw(self, name: str) -> None:
        """By the event of an upstream."""
        event = SourceWithdrawn.model_validate({"name": name})
        heard = Received(
            event, f"w-{name}", f"default/{name}", "source.withdrawn", 0, 1, datetime.now(UTC), "default", "", "", actor=LOCAL_TOKEN
        )
        await handlers.on_source_withdrawn([heard], store=self.store, own=self.own, gate=shipped())

    async def work(self) -> int:
        """Do what was planned; how many jobs there were."""
        count = 0
        while job := await self.jobs.claim(FORGET):
            await forget_secret(job, store=self.store, own=self.own)
            await self.jobs.finish(self.pool, job)
            count += 1
        return count


@pytest.fixture
async def house(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    pool = await open_pool(fresh_database_url, schema="registry", application_name="test")
    await migrate(pool, schema="registry", folders=[FOLDER, MIGRATIONS])
    vault, jobs = LocalVault(tmp_path / "secrets"), Jobs(pool, service="registry")
    yield House(pool, Store(pool), vault, jobs, OwnSecrets(vault, jobs))
    await pool.close()


async def test_its_own_password_goes_with_the_source(house: House) -> None:
    """Not before the removal is done, and neither another source's nor one that a person named."""
    for name in ("default.crm", "default.crm2", "crm"):
        house.vault.put(name, "x")
    await house.register("crm", "local:default.crm")
    await house.register("crm2", "local:default.crm2")
    await house.withdraw("crm")
    assert "default.crm" in house.vault.names()
    assert await house.work() == 1
    assert house.vault.names() == ["crm", "default.crm2"]


async def test_a_password_that_another_source_uses_stays(house: House) -> None:
    """Until that source is gone, too, it is needed."""
    house.vault.put("default.crm", "x")
    await house.register("crm", "local:default.crm")
    await house.register("mirror", "local:default.crm")
    await house.withdraw("crm")
    await house.work()
    assert house.vault.get("default.crm") == "x"


async def test_a_password_under_another_name_stays(house: House) -> None:
    """A person stored it, and only that person knows who else needs it."""
    house.vault.put("team", "x")
    await house.register("crm", "local:team")
    await house.withdraw("crm")
    assert await house.work() == 0
    assert house.vault.names() == ["team"]


async def test_a_password_stored_anew_meanwhile_stays(house: House) -> None:
    """Whoever scans again at once is about to register a source that needs it."""
    house.vault.put("default.crm", "x")
    await house.register("crm", "local:default.crm")
    await house.withdraw("crm")
    house.vault.put("default.crm", "x")
    assert await house.work() == 1
    assert house.vault.get("default.crm") == "x"


def test_names_with_dots_are_told_apart() -> None:
    """Tenant `a` with source `b.c` and tenant `a.b` with source `c` have each their own."""
    assert SourceName("a", "b.c").secret != SourceName("a.b", "c").secret


async def test_a_removal_by_http_lets_it_go_as_well(house: House) -> None:
    """The same over the registry's edge."""
    house.vault.put("default.crm", "x")
    await house.register("crm", "local:default.crm")
    app = edge_app(list(api.routes(house.store, house.vault, house.own, Proofs("t"), Anchors(BusSettings()))), token="t")
    headers = {"Authorization": "Bearer t"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://registry", headers=headers) as client:
        assert (await client.delete("/sources/default/crm")).status_code == 202
    assert await house.work() == 1
    assert house.vault.names() == []
