"""The registry's state: idempotent by name, versions that grow, one ledger per tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

import services.registry
from services.registry.domain.ledger import first_fault
from services.registry.store import Store
from shared.bus.migrations import FOLDER
from shared.bus.received import Received
from shared.bus.unit import Cause
from shared.contracts.audit import AuditRecorded
from shared.contracts.judging.source import judge
from shared.contracts.source import DataSource
from shared.db.migrate import migrate
from shared.db.pool import open_pool

MIGRATIONS = Path(services.registry.__file__ or "").parent / "migrations"


@pytest.fixture
async def store(fresh_database_url: str) -> AsyncIterator[tuple[Store, asyncpg.Pool]]:
    pool = await open_pool(fresh_database_url, schema="registry", application_name="test")
    await migrate(pool, schema="registry", folders=[FOLDER, MIGRATIONS])
    yield Store(pool), pool
    await pool.close()


def spec(**more: object) -> DataSource:
    judged = judge({"name": "crm", "database": "shop", **more})
    assert judged.spec
    return judged.spec


async def said(pool: asyncpg.Pool) -> list[str]:
    return [row["topic"] for row in await pool.fetch("select topic from outbox order by id")]


async def register(store: Store, source: DataSource) -> int:
    async with store.unit(keys=[source.key]) as unit:
        return (await unit.register(source, (), actor="test", cause=Cause.new())).version


async def test_registering_twice_says_it_once(store: tuple[Store, asyncpg.Pool]) -> None:
    """An equal source changes nothing; a different one is a new version."""
    registry, pool = store
    assert [await register(registry, spec()), await register(registry, spec()), await register(registry, spec(owner="ops"))] == [1, 1, 2]
    assert (await said(pool)).count("source.registered") == 2
    assert [version["changed_fields"] for version in await registry.versions("default/crm")] == [["owner"], []]


async def test_removal_says_it_and_clears_the_compacted_topic(store: tuple[Store, asyncpg.Pool]) -> None:
    """First the removal, then the tombstone; a new source of that name goes on counting."""
    registry, pool = store
    await register(registry, spec())
    async with registry.unit(keys=["default/crm"]) as unit:
        assert await unit.remove("default/crm", actor="test", cause=Cause.new())
        assert await unit.remove("default/crm", actor="test", cause=Cause.new()) is None
    assert (await said(pool))[-3:-1] == ["source.removed", "source.registered"]
    assert await registry.get("default/crm") is None
    assert await register(registry, spec()) == 3


async def test_a_scheduled_scan_is_due_once(store: tuple[Store, asyncpg.Pool]) -> None:
    """Only one look finds it, and then it has a next time."""
    registry, pool = store
    await register(registry, spec(schedule="1h"))
    await pool.execute("update source set next_scan_at = now() - interval '1 minute'")
    async with registry.unit() as unit:
        assert [row.key for row in await unit.due()] == ["default/crm"]
    async with registry.unit() as unit:
        assert await unit.due() == []


async def test_the_ledger_is_chained_and_takes_an_entry_once(store: tuple[Store, asyncpg.Pool]) -> None:
    """Entries heard twice are written once, and the chain is whole."""
    registry, _ = store
    from datetime import UTC, datetime

    def heard(number: int) -> Received[AuditRecorded]:
        entry = AuditRecorded(tenant="t", actor=f"a{number}", action="x", object="o", result="denied")
        return Received(entry, f"id{number}", "t", "audit.recorded", 0, number, datetime(2026, 1, 1, tzinfo=UTC), "t", "", "")

    for batch in ([heard(1), heard(2)], [heard(2), heard(3)]):
        async with registry.unit(batch) as unit:
            await unit.append(entry for entry, new in zip(batch, unit.bus.is_new, strict=True) if new)
    entries = [entry async for part in registry.ledger("t") for entry in part]
    assert [entry.body.actor for entry in entries] == ["a1", "a2", "a3"]
    assert first_fault(entries) is None
