"""Pages and documents: names are text whatever they hold, no script but ours, the exported object has its shape."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import asyncpg
import httpx
import pytest

from services.catalog.web.pages import FOLDER
from services.catalog.web.words import visible
from shared.access.actions import ROUTES
from shared.contracts.compliance import MissingFact, ViolationWaived
from shared.contracts.connection import SourceUnreachable
from shared.contracts.examples import BY_EVENT as EXAMPLE
from shared.contracts.rules import ContractCompared, PolicyPublished, RulesetPublished
from shared.contracts.tags import JobRejected, Tag, TagsApplied, TagsDerived, TagsFailed
from shared.web.auth import STYLE
from shared.web.problem_pages import page_of
from tests.catalog import story
from tests.catalog.story import CONTROL, SOURCE, TRACE, key_of
from tests.catalog.test_store import hear

HTML = {"accept": "text/html,application/xhtml+xml"}
HOSTILE = '<script>alert("x")</script>\'"&{{7*7}}\u202e.\n😀'


@pytest.fixture
async def told(pool: asyncpg.Pool) -> None:
    hostile = story.line(HOSTILE, {HOSTILE + "#1": "email", "plain": "none"})
    await hear(pool, [*story.scan(), *hostile])


async def test_hostile_names_are_text_on_every_page(told: None, client: httpx.AsyncClient) -> None:
    """No name opens a tag, closes an attribute, runs in the template or turns the reading direction."""
    asset = quote(key_of(HOSTILE), safe="/")
    pages = [
        "/",
        "/search",
        f"/search?q={quote(HOSTILE)}",
        f"/assets/{asset}",
        f"/timeline/{asset}",
        f"/progress/{SOURCE}",
        f"/traces/{TRACE}",
    ]
    for page in pages:
        answer = await client.get(page, headers=HTML)
        assert answer.status_code == 200, page
        assert "<script>alert" not in answer.text, page
        assert "\u202e" not in answer.text, page
        assert "49" not in re.sub(r"\d{2}:\d{2}:\d{2}\.\d{3}|[0-9a-f]{8,}", "", answer.text).replace("{{7*7}}", ""), page
    assert visible(HOSTILE) == HOSTILE.replace("\u202e", "�").replace("\n", "�")


async def test_an_address_with_hostile_text_is_answered(client: httpx.AsyncClient) -> None:
    """What is asked for is shown as text, also where it does not exist."""
    for page in ("/assets/a/b/<img src=x onerror=1>", "/progress/<b>", "/timeline/'\"", "/traces/%00", "/search?q=%00%27&class=%3Cb%3E"):
        answer = await client.get(page, headers=HTML)
        assert answer.status_code in (200, 404)
        assert "<img src=x" not in answer.text


async def test_pages_run_only_our_own_script(told: None, client: httpx.AsyncClient) -> None:
    """A strict policy, and nothing in the pages that it would have to allow."""
    for page in ("/", "/search", f"/assets/{key_of('customers')}", f"/progress/{SOURCE}"):
        answer = await client.get(page, headers=HTML)
        assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
        scripts = re.findall(r"<script[^>]*>(.*?)</script>", answer.text, re.S)
        assert scripts == [""]
        assert not re.search(r"\son\w+=|style=|javascript:", answer.text)


async def test_an_empty_catalog_tells_what_to_do(client: httpx.AsyncClient) -> None:
    overview = await client.get("/", headers=HTML)
    assert "pursight scan postgresql://user@host/database" in overview.text
    assert "No table is known yet" in (await client.get("/search", headers=HTML)).text


async def test_the_asset_page_says_why(told: None, client: httpx.AsyncClient) -> None:
    """Class, confidence, reason, violation with remedy, tag with origin, and who said it."""
    page = (await client.get(f"/assets/{key_of('customers')}", headers=HTML)).text
    for shown in (
        "198 of 200 values match",
        "90 %",
        "Personal data is encrypted",
        "<code>encrypt</code>",
        "DataClassification",
        "after <code>",
        " · indexed",
        "1 index beside its keys",
        "where (x = ?)",
    ):
        assert shown in page, shown


async def test_what_is_too_long_for_a_page_is_said_to_be_cut(told: None, client: httpx.AsyncClient) -> None:
    """A timeline has its newest events, a trace its first ones."""
    for path, words in ((f"/timeline/{key_of('orders')}", "newest"), (f"/traces/{TRACE}", "first")):
        assert f"Only the {words} 2 events" in (await client.get(f"{path}?limit=2", headers=HTML)).text
        assert "Only the" not in (await client.get(path, headers=HTML)).text


async def test_who_may_review_finds_a_form_at_each_column(told: None, pool: asyncpg.Pool, client: httpx.AsyncClient) -> None:
    """With the classes of the rule set in force and the one that the column has chosen; after it, the page says so and comes again."""
    address = f"/assets/{key_of('customers')}"
    assert 'action="/reviews"' not in (await client.get(address, headers=HTML)).text  # no classes were heard yet
    await hear(pool, [story.heard(EXAMPLE[RulesetPublished], EXAMPLE[RulesetPublished].name)])
    page = (await client.get(address, headers=HTML)).text
    form = next(form for form in re.findall(r"<form method=.*?</form>", page, re.S) if 'name="column" value="email"' in form)
    assert f'name="asset" value="{key_of("customers")}"' in form
    assert '<option value="email" selected>' in form
    assert 'http-equiv="refresh"' not in page
    reviewed = await client.get(f"{address}?reviewed=email", headers=HTML)
    assert 'http-equiv="refresh"' in reviewed.text
    assert "is on its way" in reviewed.text
    assert reviewed.headers["referrer-policy"] == "same-origin"
    assert "is on its way" not in (await client.get(f"{address}?reviewed=nothing", headers=HTML)).text


async def test_a_page_that_nobody_may_see_has_its_style(client: httpx.AsyncClient) -> None:
    """The style sheet, as it lies in the folder, and nothing besides: every other route, and file, asks who comes in."""
    del client.headers["Authorization"]
    page = page_of(b'{"title": "Sign in first"}', changing=False)
    assert re.findall('href="(.*?)"', page) == [STYLE, "/"]
    assert (await client.get(STYLE)).content == (FOLDER / "static" / "pages.css").read_bytes()
    files = [f"/static/{file.relative_to(FOLDER / 'static')}" for file in (FOLDER / "static").rglob("*.*")]
    assert STYLE in files
    roundabout = ["/static/%2e%2e/static/pages.css", "/static/pages.css/", "/static/pages.css/%2e%2e/mark.svg", "/static/", "/static"]
    paths = [re.sub("{.*?}", "x", path) for method, path in ROUTES if method == "GET"]
    for path in (*files, *paths, *roundabout):
        assert (await client.get(path)).status_code == 401 or path == STYLE, path
    assert (await client.post(STYLE)).status_code == 405


async def test_a_waiver_is_shown_with_its_end_and_reason(pool: asyncpg.Pool, client: httpx.AsyncClient) -> None:
    """While it holds; who gave it is no secret to who may read the table."""
    waiver = EXAMPLE[ViolationWaived].model_copy(update={"violation": f"customers|{CONTROL}", "asset": key_of("customers")})
    await hear(pool, [*story.scan(), story.heard(waiver, waiver.asset), story.evaluated("customers", "waived", sequence=2, second=9)])
    told = f"Accepted until {waiver.expires:%Y-%m-%d %H:%M} UTC by {waiver.actor}: {waiver.reason}"
    assert told in (await client.get(f"/assets/{key_of('customers')}", headers=HTML)).text
    await hear(pool, [story.evaluated("customers", "fail", sequence=3, second=10)])
    assert told not in (await client.get(f"/assets/{key_of('customers')}", headers=HTML)).text


@pytest.mark.parametrize(("opened", "told"), [pytest.param(31, True, id="it ran out"), pytest.param(20, False, id="a person ended it")])
async def test_a_waiver_that_ran_out_is_told(pool: asyncpg.Pool, client: httpx.AsyncClient, opened: int, told: bool) -> None:
    """It opened again when its time was over; what opened before was taken back, of which the ledger tells."""
    again = story.opened("customers", second=opened)
    change = {"violation": again.event.violation, "asset": again.event.asset, "expires": story.START + timedelta(seconds=30)}
    waiver = EXAMPLE[ViolationWaived].model_copy(update=change)
    waived = story.heard(waiver, waiver.asset, second=10)
    await hear(pool, [*story.scan(), waived, again, story.evaluated("customers", "fail", sequence=2, second=opened)])
    page = (await client.get(f"/assets/{key_of('customers')}", headers=HTML)).text
    words = f"Was accepted until {waiver.expires:%Y-%m-%d %H:%M} UTC by {waiver.actor}: {waiver.reason}"
    assert (words in page) is told


async def test_a_review_that_was_not_taken_is_told_where_it_was_given(told: None, pool: asyncpg.Pool, client: httpx.AsyncClient) -> None:
    """Why, and with what the person had chosen; nothing that a name holds changes on its way through the form."""
    address = f"/assets/{key_of('customers')}"
    await hear(pool, [story.heard(EXAMPLE[RulesetPublished], EXAMPLE[RulesetPublished].name)])
    page = (await client.get(f"{address}?refused=id&class_name=email", headers=HTML)).text
    (form,) = re.findall(r'<details class="review" open>.*?</form>', page, re.S)
    assert 'name="column" value="id"' in form
    assert re.findall(r'value="(\w+)" selected', form) == ["email"]
    for query, why in (("refused=id&class_name=email", "Try again"), ("refused=email&class_name=x", "class"), ("refused=x", "column")):
        told_there = re.findall(r'role="alert">(.*?)</p>', (await client.get(f"{address}?{query}", headers=HTML)).text)
        assert len(told_there) == 1, query
        assert why in told_there[0].partition("taken:")[2]
    hostile = (await client.get(f"/assets/{quote(key_of(HOSTILE), safe='/')}", headers=HTML)).text
    assert f'name="column" value="{quote(HOSTILE + "#1", safe="")}"' in hostile


async def test_a_jobs_page_has_its_refusals_and_its_tags(pool: asyncpg.Pool, client: httpx.AsyncClient) -> None:
    """Refused, then kept: its own tags and those of what it runs on, what failed there with its remedy, and what was skipped."""
    job, bucket = "acme/orders", "acme/resource:arn:aws:s3:::lake"
    tag = Tag(key="CostCenter", value="data-engineering", origin="jobs/orders.yaml:9 finops.cost_center")
    own = TagsDerived(target="acme/job:orders", job=job, sequence=1, tags=(tag,), digest="a")
    there = TagsDerived(target=bucket, job=job, resource="arn:aws:s3:::lake", provider="aws", sequence=1, tags=(tag,), digest="a")
    more = {"job": job, "resource": "arn:aws:s3:::lake", "provider": "aws", "target": bucket}
    failed = TagsFailed(**more, sequence=2, code="two_writers", cause="two writers", remedy="Let one of both write them.")
    skipped = TagsApplied(**more | {"resource": "vpc-1"}, sequence=3, outcome="skipped", code="account_missing", cause="no account")
    await hear(pool, [story.heard(EXAMPLE[JobRejected], job), story.heard(own, own.target), story.heard(there, bucket)])
    await hear(pool, [story.heard(failed, bucket, second=1), story.heard(skipped, bucket, second=2)])
    page = (await client.get(f"/timeline/{job}", headers=HTML)).text
    for shown in (
        "Job refused: 1 problem, in asset",
        "finops.cost_center",
        "arn:aws:s3:::lake",
        "No tags on vpc-1: no account",
        "two writers",
    ):
        assert shown in page, shown


async def test_an_asset_tells_what_its_contract_does_not(told: None, pool: asyncpg.Pool, client: httpx.AsyncClient) -> None:
    """On its page and for tools; gone with the contract."""
    key, example = key_of("customers"), EXAMPLE[ContractCompared]
    compared = example.model_copy(update={"asset": key, "source": SOURCE})
    await hear(pool, [story.heard(compared, key)])
    page = (await client.get(f"/assets/{key}", headers=HTML)).text
    assert "Beyond its contract" in page
    assert (await client.get(f"/assets/{key}")).json()["contract"]["findings"][0]["detected"]
    await hear(pool, [story.tombstone(ContractCompared, key, second=9)])
    assert (await client.get(f"/assets/{key}")).json()["contract"] is None


async def test_an_unreachable_source_shows_cause_and_remedy(pool: asyncpg.Pool, client: httpx.AsyncClient) -> None:
    await hear(pool, [story.registered(), story.connected(), story.heard(EXAMPLE[SourceUnreachable], SOURCE, second=3)])
    for page in ("/", f"/progress/{SOURCE}"):
        text = (await client.get(page, headers=HTML)).text
        assert "the server refused the password" in text
        assert "Cannot be reached" in text


async def test_a_source_page_tells_what_is_not_declared(pool: asyncpg.Pool, client: httpx.AsyncClient) -> None:
    """One line for the source, with what helps; the asset's page names the fact."""
    purpose = MissingFact(name="source.purpose", says="what the data is for", remedy="Say `it`.", declare="labels.purpose")
    await hear(pool, [*story.scan(), story.evaluated("orders", "unknown", sequence=2, second=9, missing=(purpose,))])
    page = (await client.get(f"/progress/{SOURCE}", headers=HTML)).text
    assert page.count("what the data is for: asked for by 1 table.") == 1
    assert "Say <code>it</code>." in page
    assert "source.purpose" in (await client.get(f"/assets/{key_of('orders')}", headers=HTML)).text
    assert (await client.get(f"/export/scan/{SOURCE}")).json()["undeclared"][0]["field"] == "labels.purpose"


async def test_tools_get_json_at_the_same_address(told: None, client: httpx.AsyncClient) -> None:
    """Without a browser's accept header every page is a document."""
    asset = (await client.get(f"/assets/{key_of('orders')}")).json()
    assert [(column["name"], column["class"]) for column in asset["columns"]] == [("id", "none"), ("contact_mail", "email")]
    assert asset["violations"][0]["remedy"] == "Run `encrypt`."
    assert asset["lineage"][0]["target"] == key_of("customers")
    timeline = (await client.get(f"/timeline/{key_of('orders')}")).json()["events"]
    assert timeline[1]["after"] == {"type": "source.registered", "service": "registry", "event_id": timeline[0]["event_id"]}
    progress = (await client.get(f"/progress/{SOURCE}")).json()
    assert (progress["done"], progress["total"], progress["tagged"]) == (True, 3, 3)
    stats = (await client.get("/stats")).json()
    assert {one["class"]: one["columns"] for one in stats["classes"]} == {"email": 3}


async def test_the_pages_own_script_gets_pages(told: None, client: httpx.AsyncClient) -> None:
    """It asks without naming HTML; a filter swaps the results alone, a poll takes the page's part that it names."""
    asks = {"hx-request": "true", "accept": "*/*"}
    found = await client.get("/search?class=email", headers=asks | {"hx-target": "results"})
    assert found.text.startswith('<div id="results"')
    assert "<html" not in found.text
    assert 'id="progress"' in (await client.get(f"/progress/{SOURCE}", headers=asks)).text


async def test_the_exported_object_has_its_shape(told: None, client: httpx.AsyncClient) -> None:
    """What `pursight scan --json` prints: one object, streamed, complete."""
    told_object = (await client.get(f"/export/scan/{SOURCE}")).json()
    assert set(told_object) >= {"source", "trace_id", "seconds", "assets", "violations", "tags"}
    assert (told_object["source"], told_object["trace_id"]) == (SOURCE, TRACE)
    assert set(told_object["seconds"]) == {"connected", "discovered", "classified", "judged", "tagged", "total"}
    customers = next(asset for asset in told_object["assets"] if asset["table"] == "customers")
    assert (customers["schema"], customers["kind"]) == ("public", "table")
    names = {"name", "type", "class", "category", "sensitivity", "confidence", "tier", "state", "reasons"}
    assert all(set(column) == names for column in customers["columns"])
    assert customers["columns"][1]["reasons"][0]["text"] == "198 of 200 values match"
    assert {one["severity"] for one in told_object["violations"]} == {"high"}
    assert told_object["tags"][0]["origin"] == "compliance.evaluated"


@pytest.mark.parametrize("tables", [4, 0])
async def test_the_object_as_it_is_printed(pool: asyncpg.Pool, client: httpx.AsyncClient, tables: int) -> None:
    """Spelled as the shell spells JSON, with the promised fields and no others: it passes it on as it is."""
    unjudged = story.discovered("unjudged", {"id": "integer"})
    some = [*story.scan(), *story.line(HOSTILE, {HOSTILE: "email", "plain": "none"}), unjudged]
    await hear(pool, some if tables else [story.registered(), story.connected(), story.completed(0)])
    whole = (await client.get(f"/export/scan/{SOURCE}")).json()
    del whole["scan_id"], whole["undeclared"]
    assert len(whole["assets"]) == tables
    assert (await client.get(f"/export/scan/{SOURCE}?printed=true")).text == json.dumps(whole, ensure_ascii=False)


async def test_a_source_without_tables_exports_as_empty(pool: asyncpg.Pool, client: httpx.AsyncClient) -> None:
    await hear(pool, [story.registered(), story.connected(), story.completed(0)])
    told_object = (await client.get(f"/export/scan/{SOURCE}")).json()
    assert (told_object["assets"], told_object["violations"], told_object["tags"]) == ([], [], [])


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/assets/a/b/c.d.e", 404, "asset_unknown"),
        ("/export/scan/a/b", 404, "source_unknown"),
        ("/traces/00", 404, "trace_unknown"),
        ("/search?limit=many", 400, "bad_number"),
        (f"/progress/{SOURCE}?since=yesterday", 400, "bad_time"),
    ],
)
async def test_mistakes_have_a_code_and_a_remedy(client: httpx.AsyncClient, path: str, status: int, code: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["remedy"]


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("class=emial", "there is no class emial. Did you mean email?"),
        ("class=zz", "there is no class zz. `pursight review classes` lists them."),
        ("framework=gdrp", "there is no framework gdrp. Known are: GDPR, PCI DSS 4.0."),
    ],
)
async def test_a_search_by_what_there_is_not_at_all(pool: asyncpg.Pool, client: httpx.AsyncClient, query: str, line: str) -> None:
    """A typing error is no empty answer, for tools and for people; what there is may be empty, and is called as people call it."""
    pci = PolicyPublished(name="pci-dss", version="1", digest="d", framework="PCI DSS 4.0")
    rules = EXAMPLE[RulesetPublished].model_copy(update={"classes": ("email", "iban")})
    await hear(pool, [*story.scan(), story.heard(rules, rules.name), story.heard(pci, pci.name)])
    for asks in ({}, HTML):
        answer = (await client.get(f"/search?{query}", headers=asks)).json()
        assert f"{answer['title']}. {answer['remedy']}" == line
    for known, total in (("class=iban", 0), ("framework=PCI-DSS", 0), ("framework=gdpr", 2), ("framework=GDPR", 2)):
        assert (await client.get(f"/search?{known}")).json()["total"] == total


def test_the_vendored_script_is_the_published_one() -> None:
    """Its digest stands in the table beside it."""
    folder = FOLDER / "static" / "vendor"
    script = next(folder.glob("htmx-*.min.js"))
    assert hashlib.sha256(script.read_bytes()).hexdigest() in (folder / "README.md").read_text()
    assert script.name in Path(FOLDER, "templates", "base.html").read_text()
