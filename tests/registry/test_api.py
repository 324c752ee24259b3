"""The registry's edge on a real PostgreSQL: one result by HTTP, by file and by event; nobody's change is lost; no secret is kept."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator

import services.registry
from services.registry import api, handlers
from services.registry.commands.files import written
from services.registry.gateway import Anchors, OwnSecrets
from services.registry.store import Store
from shared.access.actor import EVERYWHERE, Actor
from shared.access.gate import shipped
from shared.access.proof import Proofs
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.bus.received import Received
from shared.contracts.judging.source import judge
from shared.contracts.source import SourceSubmitted
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.secrets.vault import LocalVault
from shared.settings import BusSettings
from shared.web.server import edge_app

MIGRATIONS = Path(services.registry.__file__ or "").parent / "migrations"
CRM: dict[str, Any] = {"name": "crm", "host": "db.example", "database": "shop"}
UPSTREAM = Actor("event:upstream", EVERYWHERE, frozenset({"service"}))
CANARY = "xw3-Planted-Secret"


@dataclass
class Registry:
    """The registry without a broker: what it would say lies in the outbox."""

    pool: asyncpg.Pool
    store: Store
    http: httpx.AsyncClient
    heard: int = 0
    actor: Actor = UPSTREAM

    async def register(self, document: dict[str, Any], **headers: str) -> httpx.Response:
        return await self.http.post("/sources", json=document, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def submit(self, document: dict[str, Any]) -> None:
        self.heard += 1
        event = SourceSubmitted.model_validate_json(json.dumps(document))
        received = Received(
            event, f"s-{self.heard}", "", "source.submitted", 0, self.heard, datetime.now(UTC), "default", "", "", actor=self.actor
        )
        await handlers.on_source_submitted([received], store=self.store, gate=shipped())

    async def said(self, *topics: str) -> list[dict[str, Any]]:
        rows = await self.pool.fetch("select topic, body from outbox where body is not null order by id")
        return [json.loads(row["body"]) for row in rows if row["topic"] in topics]


@pytest.fixture
async def registry(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[Registry]:
    pool = await open_pool(fresh_database_url, schema="registry", application_name="test")
    await migrate(pool, schema="registry", folders=[FOLDER, MIGRATIONS])
    store, vault = Store(pool), LocalVault(tmp_path / "secrets")
    app = edge_app(
        list(api.routes(store, vault, OwnSecrets(vault, Jobs(pool, service="registry")), Proofs("t"), Anchors(BusSettings()))), token="t"
    )
    headers = {"Authorization": "Bearer t"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://registry", headers=headers) as http:
        yield Registry(pool, store, http)
    await pool.close()


async def test_http_file_and_event_give_the_same(registry: Registry) -> None:
    """Spec, notes and problems alike, good or bad, in YAML or JSON."""
    documents = [
        {**CRM, "labels": {"zz": "1", "a": "2"}, "schedule": "@daily"},
        {"source_type": "mysql", "name": "m", "db": "d", "ssl": True, "tenant_id": "acme", "cloud_provider": "aws", "aws_region": "r"},
        {"name": "lake", "engine": "s3", "bucket": "b"},
        {"connection_properties": {"name": "inside", "tenant": "acme", "dbname": "d"}},
        {"name": "bad", "hots": 1, "port": 0, "password": CANARY, "cloud_config": {"provider": "azure", "profile": "p"}},
    ]
    for document in documents:
        answer = (await registry.register(document)).json()
        fact = (await registry.said("source.registered", "source.rejected") or [{}])[-1]
        await registry.pool.execute("truncate outbox, source, source_version")
        await registry.submit(document)
        told = (await registry.said("source.registered", "source.rejected"))[-1]
        files = [written("f", yaml.safe_dump(document, sort_keys=False)), written("f", json.dumps(document, indent=1))]
        judged = [judge(file.document) for file in files]
        assert judged[0] == judged[1]
        assert answer["notes"] == list(judged[0].notes) == told.get("notes", [])
        if judged[0].spec:
            assert answer["spec"] == told["spec"] == fact["spec"] == json.loads(judged[0].spec.to_json())
        else:
            assert answer["problems"] == [problem.model_dump() for problem in judged[0].problems]
            assert told["problems"] == [json.loads(problem.to_json()) for problem in judged[0].problems]


async def test_the_same_document_again_changes_nothing(registry: Registry) -> None:
    """Idempotent by name, whatever the order of its fields and labels, after a trip through the database too."""
    document = {**CRM, "labels": {"zz": "1", "a": "2"}}
    first, again = await registry.register(document), await registry.register(dict(reversed(document.items())))
    assert (first.status_code, first.json()["changed"], first.headers["etag"]) == (201, True, '"1"')
    assert (again.status_code, again.json()["changed"], again.headers["etag"]) == (200, False, '"1"')
    assert len(await registry.said("source.registered")) == 1


async def test_the_ledger_has_what_changed_nothing(registry: Registry) -> None:
    """A check, an explanation, and a change that came too late: by whom, of which source, with what result; in codes alone."""
    await registry.register(CRM)
    await registry.register({**CRM, "owner": "late"}, if_match='"7"')
    await registry.http.delete("/sources/default/crm", headers={"If-Match": '"7"'})
    for path, document in (("check", CRM), ("explain", CRM), ("check", {**CRM, "password": CANARY, "port": 0})):
        await registry.http.post(f"/sources/{path}", json=document)
    said = await registry.said("audit.recorded")
    assert [(each["action"], each["result"], each.get("detail", "")) for each in said] == [
        ("source.create", "allowed", ""),
        ("source.update", "failed", "version_conflict"),
        ("source.delete", "failed", "version_conflict"),
        ("source.validate", "allowed", "check"),
        ("source.validate", "allowed", "explain"),
        ("source.validate", "failed", "check: invalid, secret_in_document"),
    ]
    assert {(each["actor"], each["object"]) for each in said} == {("token:local", "default/crm")}
    assert CANARY not in str(said)


async def test_two_registrations_at_once_are_two_versions(registry: Registry) -> None:
    """Neither is lost: both stand in the history and on the topic, in one order, and the later one is what is there."""
    answers = await asyncio.gather(*(registry.register({**CRM, "owner": f"team-{number}"}) for number in range(8)))
    assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 9))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    facts = await registry.said("source.registered")
    assert [fact["version"] for fact in facts] == list(range(1, 9))
    now = (await registry.http.get("/sources/default/crm")).json()
    assert now["spec"]["owner"] == facts[-1]["spec"]["owner"]
    assert len(now["versions"]) == 8


async def test_of_changes_made_for_one_version_one_is_taken(registry: Registry) -> None:
    """Optimistic concurrency: the others are told the version that they missed."""
    await registry.register(CRM)
    changes = [registry.register({**CRM, "owner": f"team-{number}"}, if_match='"1"') for number in range(6)]
    codes = sorted(answer.status_code for answer in await asyncio.gather(*changes))
    assert codes == [200] + [412] * 5
    late = (await registry.register({**CRM, "owner": "x"}, if_match="1")).json()
    assert (late["code"], late["title"]) == ("version_conflict", "The source is at version 2, not version 1")


@pytest.mark.parametrize(
    ("headers", "fresh", "known"),
    [
        ({"if_none_match": "*"}, 201, 412),
        ({"if_match": '"0"'}, 201, 412),
        ({"if_match": "*"}, 412, 200),
        ({"if_match": 'W/"1"'}, 412, 200),
        ({}, 201, 200),
    ],
)
async def test_conditions_on_what_is_there(registry: Registry, headers: dict[str, str], fresh: int, known: int) -> None:
    """Only new, only known, only this version."""
    assert (await registry.register(CRM, **headers)).status_code == fresh
    await registry.register(CRM)
    assert (await registry.register(CRM, **headers)).status_code == known


async def test_a_removal_is_refused_where_the_source_changed_since(registry: Registry) -> None:
    """What a person looked at is what goes; and it goes once."""
    await registry.register(CRM)
    await registry.register({**CRM, "owner": "x"})
    codes = [
        (await registry.http.delete("/sources/default/crm", headers={"If-Match": match})).status_code for match in ('"1"', '"2"', '"2"')
    ]
    assert codes == [412, 202, 404]
    nameless = await registry.http.get("/sources/default/")
    assert (nameless.status_code, nameless.json()["code"]) == (400, "no_name")
    assert [fact["version"] for fact in await registry.said("source.removed")] == [3]
    assert (await registry.register(CRM, if_none_match="*")).json()["version"] == 4


async def test_a_removal_and_a_change_at_once_leave_one_story(registry: Registry) -> None:
    """Whichever came first: versions grow without a gap, and the last fact agrees with what is there."""
    await registry.register(CRM)
    await asyncio.gather(registry.http.delete("/sources/default/crm"), registry.register({**CRM, "owner": "x"}))
    facts = await registry.said("source.registered", "source.removed")
    assert [fact["version"] for fact in facts] == [1, 2, 3]
    there = (await registry.http.get("/sources/default/crm")).status_code == 200
    assert there is ("spec" in facts[-1])


async def test_a_refused_secret_is_nowhere(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """No row, no log, no answer and no event holds it, by HTTP or by event."""
    caplog.set_level(logging.DEBUG)
    hiding = [{"password": CANARY}, {"password_secret": CANARY}, {"host": f"postgres://u:{CANARY}@h/d"}, {"extra": {"api_key": CANARY}}]
    for more in hiding:
        answer = await registry.register(CRM | more)
        checked = await registry.http.post("/sources/check", json=CRM | more)
        explained = await registry.http.post("/sources/explain", json=CRM | more)
        assert {answer.status_code, checked.status_code, explained.status_code} == {422}
        assert CANARY not in answer.text + checked.text + explained.text
        await registry.submit(CRM | more)
    assert len(await registry.said("source.rejected")) == len(hiding)
    tables = await registry.pool.fetch("select table_name from information_schema.tables where table_schema = 'registry'")
    rows = [str(dict(row)) for (table,) in tables for row in await registry.pool.fetch(f'select * from "{table}"')]
    assert rows
    assert not [row for row in rows if CANARY in row]
    assert CANARY not in caplog.text


async def test_hostile_requests_by_event_are_answered(registry: Registry) -> None:
    """Names that make no key, no names at all: rejected, not put aside."""
    for document in ({"name": "🦊" * 255, "database": "d"}, {"name": "x" * 10_000}, {"name": 7}, {}, {"tenant": [], "name": "\u202e"}):
        await registry.submit(document)
    rejected = await registry.said("source.rejected")
    assert len(rejected) == 5
    assert all(len(each["source"]) < 4096 for each in rejected)


async def test_the_schema_and_the_reasons_are_served(registry: Registry) -> None:
    """As published, and as the source would be connected."""
    answer = await registry.http.get("/sources/schema")
    Draft202012Validator(answer.json()).validate(CRM)
    frozen = json.loads((Path(services.registry.__file__ or "").parents[2] / "shared/contracts/schemas/data_source.v1.json").read_text())
    assert answer.json() == frozen
    assert (frozen["$id"], frozen["version"]) == ("https://pursight.dev/schemas/data_source.v1.json", "v1")
    answers = (await registry.http.post("/sources/explain", json={**CRM, "engine": "mysql"})).json()["answers"]
    assert {"about": "endpoint", "choice": "db.example:3306", "why": "single"} in answers
