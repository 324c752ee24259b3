"""Who may do what at the registry, by HTTP and by event: refused alike, kept alike, and nothing told of what one may not see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

import services.registry
from services.registry import api, handlers
from services.registry.gateway import Anchors, OwnSecrets
from services.registry.store import Store
from shared.access.actor import Actor
from shared.access.gate import Gate
from shared.access.proof import Proofs
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.bus.outgoing import unpack_headers
from shared.bus.received import Received
from shared.contracts.source import SourceSubmitted, SourceWithdrawn
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.secrets.vault import LocalVault
from shared.service import say_denied
from shared.settings import BusSettings, Machine
from shared.web.auth import SignIns
from shared.web.server import edge_app

MIGRATIONS = Path(services.registry.__file__ or "").parent / "migrations"
ROLES: dict[str, Any] = {"viewer": ("viewer",), "steward": ("steward",), "auditor": ("auditor",), "writer": (), "admin": ("admin",)}
CRM = {"name": "crm", "tenant": "acme", "host": "db.example", "database": "shop"}
ONLY_CREATES = 'permit (principal == PurSight::Actor::"machine:writer", action == PurSight::Action::"source.create", resource);'
PROOFS = Proofs("t")


@dataclass
class House:
    """A registry with machines of one tenant, one for each role, a stranger, and one that may only create."""

    pool: asyncpg.Pool
    store: Store
    own: OwnSecrets
    gate: Gate
    http: httpx.AsyncClient
    heard: int = 0

    async def ask(self, who: str, method: str, path: str, document: Any = None, **headers: str) -> httpx.Response:
        return await self.http.request(method, path, json=document, headers={"Authorization": f"Bearer {who}", **headers})

    async def event(self, who: Actor | None, document: dict[str, Any], *, withdraw: bool = False) -> list[dict[str, Any]]:
        """What is said because of it."""
        self.heard += 1
        kind, topic = (SourceWithdrawn, "source.withdrawn") if withdraw else (SourceSubmitted, "source.submitted")
        event = kind.model_validate(document)
        heard = Received(event, f"e-{self.heard}", "", topic, 0, self.heard, datetime.now(UTC), "acme", "", "", actor=who)
        await self.pool.execute("truncate outbox")
        if withdraw:
            await handlers.on_source_withdrawn([heard], store=self.store, own=self.own, gate=self.gate)
        else:
            await handlers.on_source_submitted([heard], store=self.store, gate=self.gate)
        return await self.said()

    async def said(self) -> list[dict[str, Any]]:
        rows = await self.pool.fetch("select topic, body from outbox where body is not null order by id")
        return [{"topic": row["topic"], **json.loads(row["body"])} for row in rows]


@pytest.fixture
async def house(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    pool = await open_pool(fresh_database_url, schema="registry", application_name="test")
    await migrate(pool, schema="registry", folders=[FOLDER, MIGRATIONS])
    (tmp_path / "own.cedar").write_text(ONLY_CREATES)
    gate, store, vault = Gate.load(tmp_path), Store(pool), LocalVault(tmp_path / "secrets")
    own = OwnSecrets(vault, Jobs(pool, service="registry"))
    machines = {
        name: Machine(sha256=hashlib.sha256(name.encode()).hexdigest(), roles=roles, tenant="acme") for name, roles in ROLES.items()
    }
    machines["stranger"] = Machine(sha256=hashlib.sha256(b"stranger").hexdigest(), roles=("admin",), tenant="other")
    app = edge_app(
        list(api.routes(store, vault, own, PROOFS, Anchors(BusSettings()))),
        token="t",
        signs=SignIns("t", machines=machines),
        gate=gate,
        record=partial(say_denied, pool, "registry"),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://registry") as http:
        yield House(pool, store, own, gate, http)
    await pool.close()


async def test_each_role_may_what_it_may(house: House) -> None:
    """On create, update, delete, validate, discover and the ledger; 403 says which permission lacks."""
    wanted = {
        ("POST", "/sources", json.dumps(CRM)): {"steward", "admin", "writer"},
        ("POST", "/sources", json.dumps({**CRM, "owner": "x"})): {"steward", "admin"},
        ("POST", "/sources/check", json.dumps(CRM)): {"steward", "admin"},
        ("GET", "/sources/acme/crm", "null"): {"viewer", "auditor", "steward", "admin"},
        ("POST", "/scans", '{"source": "acme/crm"}'): {"steward", "admin"},
        ("GET", "/audit/acme", "null"): {"auditor", "admin"},
        ("GET", "/secrets", "null"): set(),
        ("DELETE", "/sources/acme/crm", "null"): {"steward", "admin"},
    }
    for (method, path, document), able in wanted.items():
        for who in (*ROLES, "stranger"):
            if path == "/sources" and who == "writer":
                await house.pool.execute("truncate source, source_version" if "owner" not in document else "select 1")
            answer = await house.ask(who, method, path, json.loads(document))
            assert (answer.status_code != 403) is (who in able), (who, method, path, answer.text)
            if answer.status_code == 403:
                assert answer.json()["code"] == "not_allowed"
                assert "permission" in answer.json()["title"]


async def test_a_stranger_learns_nothing_of_what_is_there(house: House) -> None:
    """The same answer for what exists and what does not, and an empty list, also where nobody has anything."""
    assert (await house.ask("stranger", "GET", "/sources")).json() == {"sources": []}
    await house.ask("admin", "POST", "/sources", CRM)
    for method, path, document in (
        ("GET", "/sources/acme/{}", None),
        ("DELETE", "/sources/acme/{}", None),
        ("POST", "/sources", {**CRM, "name": "{}"}),
        ("POST", "/scans", {"source": "acme/{}"}),
        ("POST", "/sources/check", {**CRM, "name": "{}"}),
    ):
        found = []
        for name in ("crm", "hrm"):
            answer = await house.ask("stranger", method, path.format(name), json.loads(json.dumps(document).replace("{}", name)))
            found.append((answer.status_code, answer.text))
        assert found[0] == found[1]
        assert found[0][0] == 403
    assert (await house.ask("stranger", "GET", "/sources")).json() == {"sources": []}
    assert len((await house.ask("viewer", "GET", "/sources")).json()["sources"]) == 1


async def test_a_tenant_in_another_spelling_is_that_tenant(house: House) -> None:
    """Whichever way a document names it."""
    for document in ({**CRM, "tenant": "other"}, {"tenant_id": "other", **{k: v for k, v in CRM.items() if k != "tenant"}}):
        assert (await house.ask("steward", "POST", "/sources", document)).status_code == 403
        assert (await house.ask("stranger", "POST", "/sources", document)).status_code in (200, 201)


async def test_every_act_and_every_refusal_is_kept(house: House) -> None:
    """With actor, action, object and result; what was asked wrongly, too; a refusal in the actor's own ledger."""
    await house.ask("steward", "POST", "/sources", CRM)
    await house.ask("steward", "POST", "/sources", {**CRM, "port": 0})
    await house.ask("steward", "POST", "/scans", {"source": "acme/crm"})
    await house.ask("viewer", "DELETE", "/sources/acme/crm")
    await house.ask("stranger", "DELETE", "/sources/acme/crm")
    await house.ask("admin", "DELETE", "/sources/acme/crm")
    await house.ask("t", "PUT", "/secrets/crm", {"value": "x"})
    kept = [each for each in await house.said() if each["topic"] == "audit.recorded"]
    assert [(each["tenant"], each["actor"], each["action"], each["object"], each["result"]) for each in kept] == [
        ("acme", "machine:steward", "source.create", "acme/crm", "allowed"),
        ("acme", "machine:steward", "source.update", "acme/crm", "failed"),
        ("acme", "machine:steward", "source.discover", "acme/crm", "allowed"),
        ("acme", "machine:viewer", "source.delete", "acme/crm", "denied"),
        ("other", "machine:stranger", "source.delete", "acme/crm", "denied"),
        ("acme", "machine:admin", "source.delete", "acme/crm", "allowed"),
        ("default", "token:local", "secret.write", "local:crm", "allowed"),
    ]


async def test_a_secret_in_a_name_goes_nowhere(house: House) -> None:
    """Neither into the answer by event nor onto the ledger, which keeps for ever."""
    for name in ("postgres://u:xw3-Planted@h/d", "host=h password=xw3-Planted"):
        await house.ask("steward", "POST", "/sources", {**CRM, "name": name})
        said = [*await house.said(), *await house.event(Actor("person:1", "acme", frozenset({"steward"})), {**CRM, "name": name})]
        assert {each["topic"] for each in said} == {"audit.recorded", "source.rejected"}
        assert "Planted" not in json.dumps(said)


async def test_an_event_passes_the_same_gate(house: House) -> None:
    """Refused by source.rejected and kept, or done in the name of who asked; nobody's request does nothing."""
    steward, viewer = (Actor(f"person:{role}", "acme", frozenset({role})) for role in ("steward", "viewer"))
    for who in (viewer, None, Actor("event:unproven"), Actor("person:x", "other", frozenset({"admin"}))):
        rejected, audit = await house.event(who, CRM)
        assert (rejected["topic"], rejected["problems"][0]["code"]) == ("source.rejected", "not_allowed")
        assert (audit["action"], audit["result"]) == ("source.create", "denied")
    fact, audit = await house.event(steward, CRM)
    assert (fact["topic"], fact["actor"], audit["actor"], audit["result"]) == (
        "source.registered",
        "person:steward",
        "person:steward",
        "allowed",
    )
    told = [(await house.event(viewer, {"tenant": "acme", "name": name}, withdraw=True))[0] for name in ("crm", "hrm")]
    assert told[0]["problems"] == told[1]["problems"]
    assert (await house.event(steward, {"tenant": "acme", "name": "crm"}, withdraw=True))[0]["topic"] == "source.removed"


async def test_a_scan_is_asked_for_in_the_persons_name(house: House) -> None:
    """Discovery can prove who asked."""
    await house.ask("steward", "POST", "/sources", CRM)
    await house.ask("steward", "POST", "/scans", {"source": "acme/crm"})
    row = await house.pool.fetchrow("select * from outbox where topic = 'scan.requested'")
    assert row
    headers = dict(unpack_headers(row["headers"]))
    assert PROOFS.actor("scan.requested", row["key"], headers, row["body"]) == Actor("machine:steward", "acme", frozenset({"steward"}))
