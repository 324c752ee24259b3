"""The classifier's door for HTTP, through the edge that every service has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext
from unittest.mock import Mock
from urllib.parse import quote

import httpx
import pytest

from services.classifier import api, app
from services.classifier.commands import reviews
from shared.access.proof import Proofs
from shared.contracts.names import AssetName
from shared.errors import UsageError
from shared.web.server import edge_app
from tests.classifier.house import PEOPLE, House
from tests.classifier.tables import table

TOKEN = "a-token-for-tests"
DOUBTFUL = table("kunden_neu", ["login_qux_foo_bazz"])


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    edge = edge_app(api.routes(house.classifier.store, lambda: house.classifier.judge, Proofs(TOKEN)), token=TOKEN)
    transport = httpx.ASGITransport(app=edge, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://edge", headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


async def test_the_rules_in_force_are_shown(client: httpx.AsyncClient, house: House) -> None:
    """Name, version and digest; each class with category and sensitivity."""
    await app.announce(house.classifier)
    (listed,) = (await client.get("/rulesets")).json()["rulesets"]
    shown = (await client.get(f"/rulesets/{listed['name']}")).json()
    assert shown["digest"] == listed["digest"]
    assert {"name": "card_pan", "category": "payment", "sensitivity": "restricted"}.items() <= next(
        c for c in shown["classes"] if c["name"] == "card_pan"
    ).items()
    assert (await client.get("/rulesets/other")).status_code == 404


async def test_what_is_uncertain_waits_for_a_person(
    client: httpx.AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns that the rules abstained from are listed with reasons, by source; in the shell, too."""
    await house.discover(PEOPLE, DOUBTFUL)
    listed = (await client.get("/reviews", params={"source": PEOPLE.source})).json()
    assert [entry["asset"] for entry in listed["reviews"]] == [DOUBTFUL.asset]
    assert listed["reviews"][0]["columns"][0]["reasons"]
    assert (await client.get("/reviews", params={"source": "acme/other"})).json()["total"] == 0
    monkeypatch.setattr(reviews, "edge", lambda: nullcontext(Mock(get=lambda path, **query: listed)))
    reviews.list_()
    shown = capsys.readouterr().out
    assert "acme/crm/shop.public.kunden_neu" in shown
    assert "login_qux_foo_bazz" in shown
    listed["total"] += 2
    reviews.list_(limit=1)
    assert "… and 2 more tables: --limit 3 shows all." in capsys.readouterr().err


def test_a_column_may_be_written_as_it_is_shown() -> None:
    """One that has marks that cannot be shown; where two look the same, neither is meant."""
    columns = [{"name": name, "class": "email", "state": "classified"} for name in ("two\nlines", "plain", "a\n", "a\t")]
    line = Mock(get=Mock(return_value={"columns": columns}))
    for written, meant in (("two�lines", "two\nlines"), ("a\t", "a\t"), ("plain", "plain")):
        assert reviews._reviewable(line, DOUBTFUL.asset, written, "reject") == meant
    with pytest.raises(UsageError, match="it has two�lines, plain"):
        reviews._reviewable(line, DOUBTFUL.asset, "a�", "reject")


async def test_a_review_is_said_as_an_event(client: httpx.AsyncClient, house: House) -> None:
    """What is accepted travels on its topic, with the name of who signed in."""
    await house.discover(DOUBTFUL)
    body = {"asset": DOUBTFUL.asset, "column": "login_qux_foo_bazz", "decision": "relabel", "class_name": "email"}
    answer = await client.post("/reviews", json=body)
    assert answer.status_code == 202
    (said,) = await house.said("classification.reviewed")
    assert said is not None
    assert said["class_name"] == "email"
    assert said["reviewer"]


async def test_a_form_of_a_page_leads_back_to_it(client: httpx.AsyncClient, house: House) -> None:
    """What a browser sends off is the same review; fields that were left empty were not given."""
    await house.discover(DOUBTFUL)
    column = "login_qux_foo_bazz"
    answer = await client.post("/reviews", data={"asset": DOUBTFUL.asset, "column": column, "decision": "reject", "class_name": ""})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/assets/{DOUBTFUL.asset}?reviewed={column}#columns")
    (said,) = await house.said("classification.reviewed")
    assert said is not None
    assert (said["decision"], "class_name" in said) == ("reject", False)
    twice = await client.post("/reviews", content="asset=a&asset=b", headers={"content-type": "application/x-www-form-urlencoded"})
    assert (twice.status_code, twice.json()["code"]) == (400, "duplicate_field")
    for name, class_name in (("two%0Alines%25", "email"), (column, "no_such_class")):
        body = {"asset": DOUBTFUL.asset, "column": name, "decision": "confirm", "class_name": class_name}
        answer = await client.post("/reviews", data=body)
        assert answer.headers["location"] == f"/assets/{DOUBTFUL.asset}?refused={name}&class_name={class_name}#columns"
    longest = AssetName("acme", "lake", "bucket", "é" * 680, "ü" * 675).key  # of what the contract lets through
    answer = await client.post("/reviews", data=body | {"column": "é" * 7_000, "asset": longest})
    assert (answer.status_code, len(answer.headers["location"]) < 16_000) == (303, True)
    assert answer.headers["location"].startswith(f"/assets/{quote(longest, safe='/')}?refused=")
    assert (await client.post("/reviews", data=body | {"asset": longest + "x" * 50})).json()["code"] == "invalid_review"
    assert await house.said("classification.reviewed") == [said]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({"asset": "acme/crm/shop.public.nowhere"}, 404, id="unknown asset"),
        pytest.param({"column": "nothing"}, 404, id="unknown column"),
        pytest.param({"class_name": "no_such_class"}, 422, id="unknown class"),
        pytest.param({"decision": "perhaps"}, 400, id="unknown decision"),
        pytest.param({"asset": "nonsense"}, 400, id="no asset key"),
        pytest.param({"reviewer": "somebody else"}, 400, id="a reviewer cannot be given"),
    ],
)
async def test_a_review_that_cannot_be_taken_is_answered(
    client: httpx.AsyncClient, house: House, change: dict[str, str], status: int
) -> None:
    """Each with its status and a problem document; nothing is said on the topic."""
    await house.discover(DOUBTFUL)
    body = {"asset": DOUBTFUL.asset, "column": "login_qux_foo_bazz", "decision": "relabel", "class_name": "email"}
    answer = await client.post("/reviews", json=body | change)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert await house.said("classification.reviewed") == []
