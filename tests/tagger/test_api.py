"""The tagger over HTTP: plans with origins, results, a dry run, an ask."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from services.tagger import api
from services.tagger.declarations import House as Rule
from services.tagger.domain.privacy import holds_personal
from services.tagger.gateway.standard import shape
from services.tagger.store import APPLY
from shared.web.server import edge_app
from tests.tagger.examples import make_evaluated, make_source
from tests.tagger.house import House
from tests.tagger.moto_server import Line, make


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    app = edge_app(list(api.routes(house.store, house.jobs, house.clouds, Rule(holds_personal), shape)), token="token")
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://tagger", headers={"Authorization": "Bearer token"}) as client:
        yield client


async def test_plans_by_source_asset_and_page(house: House, http: httpx.AsyncClient) -> None:
    """A plan is found by its source, its asset, its target; pages follow each other."""
    await house.evaluated(make_evaluated("a"), make_evaluated("b.%c"))
    first = (await http.get("/plans?limit=1")).json()
    second = (await http.get(f"/plans?limit=1&after={first['after']}")).json()
    assert [plan["target"] for page in (first, second) for plan in page["plans"]] == [
        "acme/asset:orders/shop.public.a",
        "acme/asset:orders/shop.public.b%2E%25c",
    ]
    assert len((await http.get("/plans?source=acme/orders")).json()["plans"]) == 2
    [plan] = (await http.get("/plans", params={"asset": "acme/orders/shop.public.a"})).json()["plans"]
    assert {"key": "Owner", "value": "data-team", "origin": "source:owner"} in plan["tags"]
    assert (await http.get(f"/plans/{plan['target']}")).json() == plan
    odd = (await http.get("/plans/acme/asset:orders/shop.public.b%2E%25c")).json()
    assert {tag["key"]: tag["value"] for tag in odd["tags"]}["Asset"] == "public.b.%c"


async def test_what_is_not_there(http: httpx.AsyncClient) -> None:
    """Unknown targets and odd limits are told as problems."""
    assert (await http.get("/plans/acme/asset:x/y")).json()["code"] == "unknown_target"
    assert (await http.get("/resources/acme/resource:x")).status_code == 404
    assert (await http.post("/resources/acme/resource:x/apply?dry_run=true")).status_code == 404
    assert (await http.get("/plans?limit=many")).json()["code"] == "limit_invalid"
    assert (await http.get("/plans", headers={"Authorization": "Bearer wrong"})).status_code == 401


async def test_dry_run_ask_and_result(house: House, http: httpx.AsyncClient, line: Line) -> None:
    """The dry run tells the change and writes nothing; the ask becomes a job; the result is there to read."""
    arn = await make(line.behind, "database")
    spec = make_source(arn=arn, endpoint_url=line.address)
    await house.evaluated(make_evaluated(spec=spec))
    path = f"/resources/acme/resource:{arn}"
    dry = (await http.post(f"{path}/apply?dry_run=true")).json()
    assert dry["write"]["DataClassification"] == "PII+Financial"
    assert await house.jobs.waiting(APPLY) == 0
    asked = await http.post(f"{path}/apply")
    assert (asked.status_code, len(asked.json()["trace_id"])) == (202, 32)
    assert await house.run_jobs() == 1
    [row] = (await http.get("/resources?source=acme/orders")).json()["resources"]
    assert (row["outcome"], row["tags_of_ours"]["Owner"], row["problem"]) == ("applied", "data-team", None)
    assert row["converted_from"]["Owner"] == ["Owner", "data-team"]
    assert (await http.get(path)).json() == row
    assert (await http.post(f"{path}/apply?dry_run=true")).json()["write"] == {}
    said = [(one["actor"], one["action"]) for one in await house.said("audit.recorded")]
    assert said == [("token:local", "tags.apply"), ("service:tagger", "tags.apply")]


async def test_a_dry_run_that_cannot_look(house: House, http: httpx.AsyncClient) -> None:
    """A failure of the cloud is a problem document with a remedy."""
    await house.evaluated(make_evaluated(spec=make_source(endpoint_url="http://127.0.0.1:9")))
    answer = await http.post("/resources/acme/resource:arn:aws:rds:eu-central-1:123456789012:db:orders/apply?dry_run=1")
    assert (answer.status_code, answer.json()["code"]) == (422, "endpoint_not_allowed")
    assert "PURSIGHT_AWS_ENDPOINTS" in answer.json()["remedy"]
