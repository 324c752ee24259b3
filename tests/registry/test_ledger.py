"""The audit ledger shows every edit, gap and reorder; nobody edits it by accident, and a cut end shows by its anchor on the broker."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer
from hypothesis import given
from hypothesis import strategies as st

import services.registry
from services.registry import api, handlers
from services.registry.domain.ledger import GENESIS, Entry, Verdict, chain, first_fault
from services.registry.gateway import Anchors, OwnSecrets
from services.registry.store import Store
from shared.access.proof import Proofs
from shared.bus import topics
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.bus.outgoing import unpack_headers
from shared.bus.received import Received
from shared.contracts.audit import AuditAnchored, AuditRecorded
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.observe import tracing
from shared.secrets.vault import LocalVault
from shared.settings import BusSettings
from shared.web.server import edge_app

MIGRATIONS = Path(services.registry.__file__ or "").parent / "migrations"


def ledger(actors: list[str]) -> list[Entry]:
    entries: list[Entry] = []
    for number, actor in enumerate(actors, 1):
        body = AuditRecorded(tenant="t", actor=actor, action="a", object="o", result="allowed")
        previous, at, id = entries[-1].hash if entries else GENESIS, f"2026-01-01T00:00:{number:02}", f"e{number}"
        trace_id = "f" * 32 if number > 1 else ""  # the first is from before traces were kept
        entries.append(Entry(number, at, id, body, chain(previous, number, at, id, body, trace_id), trace_id))
    return entries


@given(st.lists(st.text(), max_size=8))
def test_a_ledger_as_written_is_whole(actors: list[str]) -> None:
    """No fault where nobody touched it."""
    assert first_fault(ledger(actors)) is None


@given(st.lists(st.text(), min_size=2, max_size=8), st.data())
def test_a_removed_entry_is_found(actors: list[str], data: st.DataObject) -> None:
    """Taking one out of the middle shows at its place."""
    entries = ledger(actors)
    gone = data.draw(st.integers(0, len(entries) - 2))
    assert first_fault(entries[:gone] + entries[gone + 1 :]) == gone + 1


@pytest.mark.parametrize(
    "change", [{"at": "x"}, {"event_id": "x"}, {"trace_id": "x"}, {"hash": "x"}, {"body": "actor"}, {"body": "result"}]
)
def test_an_edited_entry_is_found(change: dict[str, Any]) -> None:
    """Changing who did it, when, or what came of it breaks the chain there."""
    entries = ledger(["a", "b", "c"])
    body = entries[1].body.model_copy(update={change["body"]: "x"}) if "body" in change else entries[1].body
    assert first_fault([entries[0], entries[1]._replace(**{**change, "body": body}), entries[2]]) == 2


def test_what_the_chain_alone_does_not_show_the_anchor_does() -> None:
    """An end that was cut off, and a chain that was made anew; an entry behind the anchor is fine."""
    whole, anew = ledger(["a", "b", "c"]), ledger(["a", "x", "c"])
    anchor = AuditAnchored(tenant="t", number=2, hash=whole[1].hash)
    for entries, fault in ((whole, None), (whole[:2], None), (whole[:1], 2), ([], 1), (anew, 2)):
        verdict = Verdict()
        verdict.look(entries[:1], anchor)
        verdict.look(entries[1:], anchor)
        verdict.end(anchor)
        assert verdict.fault == fault


class Book:
    """A registry on a database of its own, with the session's broker, and a tenant whose ledger nobody else writes."""

    def __init__(self, pool: asyncpg.Pool, bootstrap: str, home: Path) -> None:
        self.pool, self.store, self.bootstrap, self.tenant, self.heard = pool, Store(pool), bootstrap, f"t{os.urandom(4).hex()}", 0
        own = OwnSecrets(LocalVault(home), Jobs(pool, service="registry"))
        routes = list(api.routes(self.store, LocalVault(home), own, Proofs("t"), Anchors(BusSettings(bootstrap_servers=bootstrap))))
        transport = httpx.ASGITransport(edge_app(routes, token="t"))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://registry", headers={"Authorization": "Bearer t"})

    async def write(self, count: int, store: Store | None = None, **more: str) -> None:
        batch = []
        for number in range(count):
            self.heard += 1
            fields = {"actor": f"person:{number}", "object": f"{self.tenant}/crm", **more}
            event = AuditRecorded(tenant=self.tenant, action="source.update", result="denied", service="registry", **fields)
            now = datetime.now(UTC)
            batch.append(
                Received(
                    event, f"{self.tenant}-{self.heard}", self.tenant, "audit.recorded", 0, self.heard, now, self.tenant, "", tracing.root()
                )
            )
        await handlers.on_audit_recorded(batch, store=store or self.store)

    async def relay(self) -> None:
        """The anchors go to the real broker, as the relay would bring them."""
        rows = await self.pool.fetch("delete from outbox where topic = 'audit.anchored' returning *")
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
            for row in sorted(rows, key=lambda row: row["id"]):
                await producer.send_and_wait(row["topic"], row["body"], key=row["key"], headers=unpack_headers(row["headers"]))

    async def verified(self) -> dict[str, Any]:
        return dict((await self.http.get(f"/audit/{self.tenant}/verify")).json())

    async def tamper(self, *statements: str) -> None:
        """As who owns the tables."""
        await self.pool.execute("alter table ledger disable trigger ledger_stays")
        for statement in statements:
            await self.pool.execute(statement)
        await self.pool.execute("alter table ledger enable trigger ledger_stays")


@pytest.fixture
async def book(fresh_database_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[Book]:
    await topics.apply(BusSettings(bootstrap_servers=kafka_bootstrap), ["registry"])
    pool = await open_pool(fresh_database_url, schema="registry", application_name="test")
    await migrate(pool, schema="registry", folders=[FOLDER, MIGRATIONS])
    made = Book(pool, kafka_bootstrap, tmp_path / "secrets")
    yield made
    await made.http.aclose()
    await pool.close()


async def test_the_tables_own_rows_cannot_be_changed(book: Book) -> None:
    """Not by the services' user, who owns them, unless they first say that they mean it."""
    await book.write(2)
    for statement in ("update ledger set hash = ''", "delete from ledger", "truncate ledger"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await book.pool.execute(statement)
    assert (await book.verified())["entries"] == 2


@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        (["update ledger set body = jsonb_set(body, '{result}', '\"allowed\"') where number = 2"], 2),
        (["update ledger set at = '2020-01-01T00:00:00+00:00' where number = 3"], 3),
        (["delete from ledger where number = 2"], 2),
        (
            [
                "update ledger set number = 9 where number = 2",
                "update ledger set number = 2 where number = 3",
                "update ledger set number = 3 where number = 9",
            ],
            2,
        ),
        (["delete from ledger where number > 2"], 3),
        (["delete from ledger"], 1),
    ],
    ids=["changed", "at another time", "removed", "reordered", "cut off", "emptied"],
)
async def test_a_tampered_ledger_is_found(book: Book, statements: list[str], fault: int) -> None:
    """Real rows, changed by their owner; the anchor is on the broker, out of the database's reach."""
    await book.write(4)
    await book.relay()
    assert await book.verified() | {"head": ""} == {
        "tenant": book.tenant, "entries": 4, "head": "", "anchored": 4, "whole": True, "first_fault": None, "why": ""
    }  # fmt: skip
    await book.tamper(*statements)
    found = await book.verified()
    assert (found["whole"], found["first_fault"]) == (False, fault)


async def test_a_chain_made_anew_is_found(book: Book) -> None:
    """Even where every hash fits."""
    await book.write(3)
    await book.relay()
    entries = [entry async for part in book.store.ledger(book.tenant) for entry in part]
    forged, previous = [], GENESIS
    for entry in entries:
        body = entry.body.model_copy(update={"actor": "person:nobody"})
        previous = chain(previous, entry.number, entry.at, entry.event_id, body, entry.trace_id)
        forged.append((body.model_dump_json(), previous, entry.number))
    await book.tamper(*(f"update ledger set body = '{body}', hash = '{hash}' where number = {number}" for body, hash, number in forged))
    assert "made anew" in (await book.verified())["why"]


async def test_many_instances_write_one_chain(book: Book) -> None:
    """Eight at once, five batches each: no gap, no fork, nothing twice."""
    stores = [Store(book.pool) for _ in range(8)]
    await asyncio.gather(*(book.write(3, store) for store in stores for _ in range(5)))
    await book.relay()
    found = await book.verified()
    assert (found["entries"], found["whole"], found["anchored"]) == (120, True, 120)


async def test_an_export_holds_all_that_the_hashes_cover(book: Book) -> None:
    """It is narrowed by time, actor and object, and a whole one can be verified without the stack."""
    await book.write(2)
    await book.write(1, actor="machine:ci", object=f"{book.tenant}/=cmd()", detail="=1+1")
    lines = [json.loads(line) for line in (await book.http.get(f"/audit/{book.tenant}/export")).text.splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3]
    assert all(len(line["trace_id"]) == 32 for line in lines)
    assert first_fault(map(Entry.read, lines)) is None

    async def told(**query: str) -> list[int]:
        text = (await book.http.get(f"/audit/{book.tenant}/export", params=query)).text
        return [json.loads(line)["number"] for line in text.splitlines()]

    assert await told(actor="ci") == [3]
    assert await told(object=f"{book.tenant}/crm") == [1, 2]
    assert await told(since=lines[1]["at"], until=lines[2]["at"]) == [2]
    assert (await book.http.get(f"/audit/{book.tenant}/export", params={"since": "soon"})).json()["code"] == "bad_time"
    rows = (await book.http.get(f"/audit/{book.tenant}/export", params={"format": "csv"})).text.splitlines()
    assert len(rows) == 4
    assert "'=1+1" in rows[3]


async def test_nobody_stays_off_the_ledger_by_an_odd_name(book: Book) -> None:
    """A null character, which the database cannot keep, half a pair, line ends."""
    await book.write(1, object="a\x00b", actor="x\ny")
    (entry,) = (await book.http.get(f"/audit/{book.tenant}")).json()["entries"]
    assert (entry["object"], entry["actor"]) == ("a\ufffdb", "x\ny")
    assert (await book.verified())["whole"]
