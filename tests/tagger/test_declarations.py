"""Contracts and jobs by event and over HTTP: the same judgement, the same tags; what the data shows beyond a contract is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.tagger import api
from services.tagger.gateway.standard import shape
from services.tagger.store import APPLY
from shared.access.actor import Actor
from shared.web.server import edge_app
from tests.tagger.examples import make_evaluated, make_source
from tests.tagger.house import RULE, House, tags_of
from tests.tagger.test_worked_example import ASSET, EXPECTED, JOB

ORDERS = "acme/orders/shop.public.orders"
TARGET = "acme/asset:orders/shop.public.orders"
SOURCE = make_source(labels={}, owner="")
UPSTREAM = Actor("event:upstream", "acme", frozenset({"service"}))


def contract(**changes: Any) -> dict[str, Any]:
    """The worked example's asset, of the table that the tests evaluate."""
    return (
        ASSET
        | {
            "id": "postgres_orders",
            "tenant": "acme",
            "servers": [{"server": "orders", "type": "custom"}],
            "schema": [
                {"name": "orders", "properties": [{"name": "email"}, {"name": "email2"}, {"name": "card", "classification": "internal"}]}
            ],
        }
        | changes
    )


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    app = edge_app(list(api.routes(house.store, house.jobs, house.clouds, RULE, shape)), token="token")
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://tagger", headers={"Authorization": "Bearer token"}) as client:
        yield client


async def one(house: House, topic: str) -> dict[str, Any]:
    [event] = await house.said(topic)
    return event


async def test_a_contract_reaches_the_tags_of_its_asset_whichever_comes_first(house: House) -> None:
    """Published after the scan or before it: the same tags, each with the event that it came from; the resource is looked at."""
    await house.evaluated(make_evaluated(spec=SOURCE))
    await house.said()
    [received] = await house.published(contract())
    event = await one(house, "tags.derived")
    tags = tags_of(event)
    assert (event["key"], event["sequence"], event["based_on"]) == (TARGET, 2, 1)
    assert (tags["Domain"], tags["Owner"], tags["RetentionDays"]) == ("sales", "data-team", "365")
    assert (tags["DataClassification"], tags["Sensitivity"]) == ("PII+Financial", "restricted")
    origins = {tag["key"]: tag["origin"] for tag in event["tags"]}
    assert origins["Owner"] == f"contract.published:{received.id} team.owner"
    assert await house.jobs.waiting(APPLY) == 1

    other = make_source("later", labels={}, owner="")
    await house.published(contract(id="later", servers=[{"server": "later", "type": "custom"}]))
    await house.evaluated(make_evaluated(spec=other))
    late = tags_of(await one(house, "tags.derived"))
    assert late.keys() == tags.keys()
    stamps = {"CreatedAt", "LastModified", "PurSightTrace"}
    assert {key: value for key, value in late.items() if key not in stamps} == {
        key: value for key, value in tags.items() if key not in stamps
    }


async def test_what_the_data_shows_beyond_the_contract_is_said_once(house: House) -> None:
    """A finding when it appears, silence while it stands, none left when the contract says it, a tombstone when the contract goes."""
    await house.published(contract())
    await house.evaluated(make_evaluated(spec=SOURCE))
    event = await one(house, "contract.compared")
    assert (event["key"], event["contract"], event["sequence"]) == (ORDERS, "acme/postgres_orders", 1)
    [finding] = event["findings"]
    assert (finding["code"], finding["column"], finding["declared"], finding["detected"]) == (
        "sensitivity_too_low",
        "card",
        "internal",
        "restricted",
    )
    await house.evaluated(make_evaluated(spec=SOURCE, sequence=2))
    assert await house.said("contract.compared") == []
    right = [{"name": "orders", "properties": [{"name": "email"}, {"name": "email2"}, {"name": "card", "classification": "restricted"}]}]
    await house.published(contract(schema=right))
    event = await one(house, "contract.compared")
    assert (event["sequence"], event.get("findings")) == (2, None)
    await house.said()
    await house.withdrawn("acme/postgres_orders")
    assert await one(house, "contract.compared") == {"topic": "contract.compared", "key": ORDERS}
    assert "Domain" not in tags_of(await one(house, "tags.derived"))


async def test_an_asset_that_goes_takes_its_findings_along(house: House) -> None:
    """By its removal, and by its source's."""
    await house.published(contract())
    await house.evaluated(make_evaluated(spec=SOURCE))
    await house.said()
    await house.asset_removed(ORDERS, source=SOURCE.key, scan_id="scan-2")
    assert [(event["topic"], event["key"]) for event in await house.said()] == [("tags.derived", TARGET), ("contract.compared", ORDERS)]
    await house.evaluated(make_evaluated(spec=SOURCE, sequence=2))
    await house.said()
    await house.source_removed(SOURCE.key)
    assert {event["topic"] for event in await house.said()} == {"tags.derived", "contract.compared"}


async def test_a_contract_that_is_none_is_answered_and_changes_nothing(house: House) -> None:
    """The former one holds; the same event again says nothing."""
    await house.published(contract())
    await house.evaluated(make_evaluated(spec=SOURCE))
    await house.said()
    batch = await house.published(contract(apiVersion="v2.2.2"))
    [event] = await house.said()
    assert (event["topic"], event["key"], event["request_id"]) == ("contract.rejected", "acme/postgres_orders", batch[0].id)
    assert event["problems"][0]["code"] == "contract_version"
    await house.publish(batch)
    assert await house.said() == []


async def test_a_contract_and_a_scan_at_once_leave_the_contracts_tags(house: House) -> None:
    """Whoever commits first, no asset is left without what its contract says."""
    tables = [f"t{number}" for number in range(6)]
    schema = [{"name": table, "properties": []} for table in tables]
    work = [house.evaluated(make_evaluated(table, spec=SOURCE)) for table in tables]
    await asyncio.gather(*work[:3], house.published(contract(schema=schema)), *work[3:])
    newest = {event["key"]: tags_of(event) for event in await house.said("tags.derived")}
    assert len(newest) == 6
    assert all(tags["Domain"] == "sales" for tags in newest.values())


async def test_a_contract_of_another_tenant_touches_nothing(house: House) -> None:
    """Also where source and table are called the same."""
    await house.evaluated(make_evaluated(spec=SOURCE))
    await house.said()
    await house.published(contract(tenant="other"))
    assert await house.said() == []


async def test_a_job_by_event_and_over_http_gives_the_same_tags(house: House, http: httpx.AsyncClient) -> None:
    """With its asset's contract and what scans found; a repeat changes no stamp; a dry run writes nothing and tells the change."""
    await house.published(contract(schema=[]))
    await house.submitted(JOB, UPSTREAM)
    by_event = (await http.get("/jobs/acme/postgres_orders")).json()
    tags = tags_of(by_event)
    assert {key: value for key, value in tags.items() if key in EXPECTED and key not in ("LastModified", "CreatedAt")} == {
        key: value for key, value in EXPECTED.items() if key not in ("LastModified", "CreatedAt")
    }
    again = (await http.post("/jobs", json=JOB)).json()
    assert (tags_of(again), again["change"]) == (tags, {"write": {}, "remove": []})
    change = {"environment": "dev", "finops": {"cost_center": "data-engineering", "project": "customer-analytics"}}
    dry = (await http.post("/jobs?dry_run=true", json=JOB | change)).json()
    assert dry["change"]["write"]["Environment"] == "dev"
    assert dry["change"]["remove"] == ["BusinessTags"]
    assert tags_of((await http.get("/jobs/acme/postgres_orders")).json()) == tags


async def test_evidence_is_in_a_jobs_tags(house: House, http: httpx.AsyncClient) -> None:
    """What scans found in the assets that the job's contract describes."""
    await house.published(contract(compliance={}))
    await house.evaluated(make_evaluated(spec=SOURCE))
    tags = tags_of((await http.post("/jobs", json=JOB)).json())
    assert (tags["DataClassification"], tags["Sensitivity"], tags["EncryptionRequired"]) == ("PII+Financial", "restricted", "true")


async def test_a_wrong_job_is_answered_alike(house: House, http: httpx.AsyncClient) -> None:
    """The same problems by event and over HTTP; who may not is told so; nothing is kept."""
    wrong = JOB | {"assett": "x", "environment": "${ENVIRONMENT}"}
    await house.submitted(wrong, UPSTREAM)
    event = await one(house, "job.rejected")
    answer = await http.post("/jobs", json=wrong)
    assert answer.status_code == 422
    assert answer.json()["problems"] == event["problems"] == (await http.post("/jobs/check", json=wrong)).json()["problems"]
    assert {problem["code"] for problem in event["problems"]} == {"unknown_field", "undefined_variable"}
    await house.submitted(JOB, Actor("event:upstream", "acme", frozenset({"viewer"})))
    assert (await one(house, "job.rejected"))["problems"][0]["code"] == "not_allowed"
    assert (await http.get("/jobs/acme/postgres_orders")).status_code == 404


async def test_a_job_that_breaks_the_operators_policy(house: House, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by event and over HTTP, with what is missing; what its contract says counts; one that is kept already stays."""
    bare = {key: value for key, value in JOB.items() if key != "finops"}
    for key, values in {"CostCenter": (), "Domain": ("sales", "hr")}.items():
        monkeypatch.setitem(RULE.policy, key, values)  # type: ignore[arg-type]
    await house.submitted(bare, UPSTREAM)
    event = await one(house, "job.rejected")
    assert [(each["field"], each["code"]) for each in event["problems"]] == [
        ("finops.cost_center", "tag_required"),
        ("infrastructure.metadata.tags.Domain", "tag_required"),
    ]
    for address in ("/jobs", "/jobs?dry_run=true"):
        answer = await http.post(address, json=bare)
        assert (answer.status_code, answer.json()["problems"]) == (422, event["problems"])
    assert (await http.get("/jobs/acme/postgres_orders")).status_code == 404
    await house.published(contract())
    assert (await http.post("/jobs", json=bare)).status_code == 201
    monkeypatch.setitem(RULE.policy, "Domain", ("hr",))  # type: ignore[arg-type]
    assert (await http.post("/jobs", json=bare | {"environment": "dev"})).json()["problems"][0]["code"] == "tag_not_allowed"
    assert tags_of((await http.get("/jobs/acme/postgres_orders")).json())["Environment"] == "prod"


async def test_contracts_over_http(house: House, http: httpx.AsyncClient) -> None:
    """Checked, published as an event, shown in ODCS and as written, compared before it is published, and taken from what was found."""
    await house.evaluated(make_evaluated(spec=SOURCE))
    checked = (await http.post("/contracts/check", json=contract())).json()
    assert checked["filled_in"] == ["apiVersion", "kind", "status", "version"]
    compared = (await http.post("/contracts/compare", json={"contract": contract(), "source": ""})).json()
    assert [(finding["code"], finding["column"]) for finding in compared["findings"]] == [("sensitivity_too_low", "card")]
    unnamed = {"contract": contract(servers=[]), "source": SOURCE.key}
    assert (await http.post("/contracts/compare", json=unnamed)).json() == compared
    await house.said()
    assert (await http.post("/contracts", json=contract())).status_code == 202
    event = await one(house, "contract.published")
    assert {name: value for name, value in event.items() if name not in ("topic", "key")} == contract()
    await house.published(contract())
    shown = (await http.get("/contracts/acme/postgres_orders")).json()
    assert (shown["contract"], shown["document"]) == (checked["contract"], contract())
    detected = (await http.get("/contracts/acme/orders/detected")).json()["contract"]
    assert (await http.post("/contracts/compare", json={"contract": detected})).json() == {"assets": [ORDERS], "findings": []}
    assert (await http.post("/contracts", json={"status": 7})).json()["code"] == "contract_rejected"
    assert (await http.get("/contracts/acme/none")).status_code == 404
