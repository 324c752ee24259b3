"""What a tag's values cost: read out of doubles of the clouds' reports, shown as one table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.tagger.commands.cost import app
from services.tagger.domain.costs import ALLOCATED, Cost, Period, as_csv, billing_query, cells, summed
from services.tagger.gateway.costs import BillingExport, CostExplorer
from services.tagger.gateway.rest import Edge
from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.errors import PurSightError, UsageError
from tests.tagger.reports import EXPORT, BigQuery, Explorer, reports

MONTH = Period(date(2026, 11, 1), date(2026, 12, 1))
SESSIONS = AwsSessions()
COSTS = st.lists(
    st.builds(
        Cost,
        st.sampled_from(["", "data-engineering", "Data Engineering", "=x"]),
        st.sampled_from(["aws", "gcp"]),
        st.decimals(-1000, 1000, places=9),
        st.sampled_from(["EUR", "USD"]),
    ),
    max_size=8,
)


@settings(max_examples=30)
@given(COSTS)
def test_no_cent_is_lost_and_no_currency_is_mixed(costs: list[Cost]) -> None:
    """Sums by value, cloud and currency come to the sum of all; once each; the same in any order."""
    rows = summed(costs)
    for currency in ("EUR", "USD"):
        assert sum(row.amount for row in rows if row.currency == currency) == sum(
            cost.amount for cost in costs if cost.currency == currency
        )
    assert len({row[:2] + row[3:] for row in rows}) == len(rows)
    assert summed(reversed(costs)) == rows
    assert len(cells(rows)) == len(rows)


def test_one_value_in_both_clouds_is_spelled_once() -> None:
    """GCP knows no capitals; a value that a spreadsheet would compute is quoted."""
    own = next(row for row in summed([Cost("PII+Financial", "aws", Decimal(1), "USD"), Cost("pii-financial", "gcp", Decimal(3), "USD")]))
    assert (own.value, own.cloud) == ("PII+Financial", "gcp")
    assert as_csv([Cost("=1+1", "aws", Decimal("1E-9"), "USD")], "Project") == "Project,cloud,cost,currency\n'=1+1,aws,0.000000001,USD\n"


def test_the_query_is_bigquerys_own_sql() -> None:
    """It parses, names one table, and what is asked for comes by parameter."""
    parsed = sqlglot.parse_one(billing_query(EXPORT), read="bigquery")
    assert [".".join(part.name for part in table.parts) for table in parsed.find_all(sqlglot.exp.Table)] == [EXPORT]
    assert {each.name for each in parsed.find_all(sqlglot.exp.Parameter)} == {"label", "since", "until"}
    with pytest.raises(ValueError, match="full name"):
        billing_query("a.b.c` UNION ALL SELECT 1 --")


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[tuple[Explorer, BigQuery]]:
    async with reports() as made:
        yield made


@pytest.fixture
def explorer(served: tuple[Explorer, BigQuery]) -> Explorer:
    """As new for each test."""
    address = served[0].address
    served[0].__init__()  # type: ignore[misc]
    served[0].address = address
    return served[0]


@pytest.fixture
def bigquery(served: tuple[Explorer, BigQuery], monkeypatch: pytest.MonkeyPatch) -> BigQuery:
    """As new for each test."""
    address = served[1].address
    served[1].__init__()  # type: ignore[misc]
    served[1].address = address
    monkeypatch.setattr("services.tagger.gateway.rest.waits", lambda: iter([0.0] * 3))
    return served[1]


def cost_explorer(explorer: Explorer) -> CostExplorer:
    return CostExplorer(SESSIONS, AwsSignIn("us-east-1", "", "", "testing", "testing", explorer.address, ours=True))


async def test_costs_by_tag_in_pages_through_throttling(explorer: Explorer) -> None:
    """All pages, exact amounts, what carries no tag too."""
    explorer.answers["GetCostAndUsage"] = ["LimitExceededException"]
    found = await cost_explorer(explorer).by_tag("CostCenter", MONTH)
    assert found == [
        Cost("data-engineering", "aws", Decimal("10.25"), "USD"),
        Cost("Sales", "aws", Decimal("0.1"), "USD"),
        Cost("", "aws", Decimal("0.2000000001"), "USD"),
    ]
    assert explorer.asked[0][1]["TimePeriod"] == {"Start": "2026-11-01", "End": "2026-12-01"}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (["LimitExceededException"] * 9, "throttled"),
        (["DataUnavailableException"], "cost_data_unavailable"),
        (["BillExpirationException"], "cost_data_unavailable"),
        (["AccessDeniedException"], "access_denied"),
        (["ExpiredTokenException"], "credentials_expired"),
    ],
)
async def test_what_cost_explorer_refuses(explorer: Explorer, theirs: list[str], ours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with a code and a remedy."""
    monkeypatch.setattr("shared.cloud.aws.CALL_ATTEMPTS", 1)  # else the library would wait between them
    explorer.answers["GetCostAndUsage"] = list(theirs)
    with pytest.raises(PurSightError) as told:
        await cost_explorer(explorer).by_tag("CostCenter", MONTH)
    assert told.value.code == ours
    assert told.value.remedy


async def test_tags_are_activated_twenty_at_a_time(explorer: Explorer) -> None:
    """What a 200 hides is told by key."""
    keys = [f"key{number}" for number in range(45)]
    explorer.tags = dict.fromkeys(keys, "Inactive")
    explorer.refused = {"key44"}
    ours = cost_explorer(explorer)
    assert await ours.activate([*keys, "unknown"]) == {"key44": "TagKeysNotFoundException", "unknown": "TagKeysNotFoundException"}
    assert (await ours.states(keys[:3])) == dict.fromkeys(keys[:3], "Active")


async def test_the_query_counts_each_row_once(bigquery: BigQuery) -> None:
    """Run by a real SQL engine: rows with several labels and credits, without any, and of other months."""
    bigquery.add(10.5, {"cost_center": "data-engineering", "project": "x"}, day="2026-11-01T00:00:00Z", credits=(-0.25, -0.25))
    bigquery.add(1.25, {"cost_center": "data-engineering"}, day="2026-11-30T23:59:59Z")
    bigquery.add(2, {"project": "x", "goog-gke": "y"}, day="2026-11-15T00:00:00Z")
    bigquery.add(3, {}, day="2026-11-15T00:00:00Z", credits=(-1.0,))
    bigquery.add(0.5, {"cost_center": "sales"}, day="2026-11-15T00:00:00Z")
    bigquery.add(99, {"cost_center": "sales"}, day="2026-12-01T00:00:00Z")
    bigquery.add(99, {"cost_center": "sales"}, day="2026-10-31T23:59:59Z")
    async with httpx.AsyncClient() as http:
        found = await BillingExport(Edge(http, bigquery.address, _bearer, "it"), EXPORT).by_tag("cost_center", MONTH)
    assert found == [
        Cost("data-engineering", "gcp", Decimal("11.25"), "EUR"),
        Cost("", "gcp", Decimal(4), "EUR"),
        Cost("sales", "gcp", Decimal("0.5"), "EUR"),
    ]
    assert bigquery.asked[0]["maximumBytesBilled"]


async def _bearer(_: bool) -> str:
    return "a-token"


@pytest.mark.parametrize(
    ("answers", "table", "ours"),
    [
        ([(403, "accessDenied", "PERMISSION_DENIED")], EXPORT, "access_denied"),
        ([(403, "rateLimitExceeded", "PERMISSION_DENIED")] * 9, EXPORT, "throttled"),
        ([(400, "bytesBilledLimitExceeded", "INVALID_ARGUMENT")], EXPORT, "query_failed"),
        ([(503, "backendError", "UNAVAILABLE")], EXPORT, "unreachable"),
        ([], "shop-prod.billing.other", "table_missing"),
    ],
)
async def test_what_bigquery_refuses(bigquery: BigQuery, answers: list[tuple[int, str, str]], table: str, ours: str) -> None:
    """Each with a code and a remedy, in words of costs."""
    bigquery.answers = list(answers)
    async with httpx.AsyncClient() as http:
        with pytest.raises(PurSightError) as told:
            await BillingExport(Edge(http, bigquery.address, _bearer, "it"), table).by_tag("cost_center", MONTH)
    assert told.value.code == ours
    assert told.value.what == "costs could not be read"
    assert told.value.remedy


@pytest.fixture
def shell(explorer: Explorer, bigquery: BigQuery, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`pursight cost …` with both doubles as its clouds."""
    for name, value in {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_ENDPOINT_URL": explorer.address}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("services.tagger.commands.cost.BIGQUERY", bigquery.address)

    class Given:
        value = "a-token"

    async def fetch(*_: Any) -> Given:
        return Given()

    monkeypatch.setattr("shared.cloud.gcp.fetch", fetch)

    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), catch_exceptions=False, standalone_mode=False)

    return run


async def test_one_table_of_both_clouds(shell: Any, bigquery: BigQuery) -> None:
    """With shares within a currency; as CSV likewise."""
    bigquery.add(4, {"cost_center": "data-engineering"}, day="2026-11-15T00:00:00Z")
    told = json.loads((await shell("report", "--since", "2026-11-01", "--until", "2026-12-01", "--gcp-table", EXPORT, "--json")).stdout)
    assert [(each["value"], each["cloud"], each["currency"]) for each in told["costs"]] == [
        ("data-engineering", "gcp", "EUR"),
        ("data-engineering", "aws", "USD"),
        ("", "aws", "USD"),
        ("Sales", "aws", "USD"),
    ]
    assert told["notes"] == []
    text = (await shell("report", "--since", "2026-11-01", "--until", "2026-12-01", "--no-aws", "--gcp-table", EXPORT, "--csv")).stdout
    assert text.startswith("CostCenter,cloud,cost,currency\ndata-engineering,gcp,4")


async def test_a_tag_that_is_not_active_yet_is_told_and_activated(shell: Any, explorer: Explorer) -> None:
    """Exit code 3 as long as any is not; what AWS has not met stays so."""
    told = json.loads((await shell("report", "--by", "project", "--json")).stdout)
    assert "pursight cost activate" in told["notes"][0]
    done = await shell("activate", "--json")
    assert done.return_value == 3
    keys = json.loads(done.stdout)["keys"]
    assert (keys["Project"], keys["CostCenter"], keys["Environment"]) == ("active", "active", "not met on any resource yet")
    assert keys.keys() == set(ALLOCATED)
    assert json.loads((await shell("report", "--by", "project", "--json")).stdout)["notes"] == []


async def test_costs_by_tags_under_the_operators_prefix(
    shell: Any, explorer: Explorer, bigquery: BigQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What our tags are called on resources is what is asked for; what nobody may be called is told."""
    monkeypatch.setenv("PURSIGHT_TAG_PREFIX", "gov")
    explorer.tags["gov:CostCenter"], explorer.costs["gov:CostCenter"] = "Active", {"sales": "1"}
    bigquery.add(4, {"gov_cost_center": "sales", "cost_center": "other"}, day="2026-11-15T00:00:00Z")
    found = await shell("report", "--since", "2026-11-01", "--until", "2026-12-01", "--gcp-table", EXPORT, "--json")
    assert [each["value"] for each in json.loads(found.stdout)["costs"] if each["cloud"] == "gcp"] == ["sales"]
    assert {"Type": "TAG", "Key": "gov:CostCenter"} in [group for _, body in explorer.asked for group in body.get("GroupBy", ())]
    assert "gov:Project" in json.loads((await shell("activate", "--json")).stdout)["keys"]
    monkeypatch.setenv("PURSIGHT_TAG_PREFIX", "Gov!")
    with pytest.raises(UsageError, match="PURSIGHT_TAG_PREFIX"):
        await shell("report")


async def test_a_cloud_that_fails_does_not_hide_the_other(shell: Any, explorer: Explorer, bigquery: BigQuery) -> None:
    """Told in the notes; where all fail, it is the error."""
    bigquery.add(4, {"cost_center": "x"}, day="2026-11-15T00:00:00Z")
    explorer.answers["ListCostAllocationTags"] = ["AccessDeniedException"] * 2
    told = json.loads((await shell("report", "--since", "2026-11-01", "--until", "2026-12-01", "--gcp-table", EXPORT, "--json")).stdout)
    assert [each["cloud"] for each in told["costs"]] == ["gcp"]
    assert "One cloud is missing" in told["notes"][0]
    with pytest.raises(PurSightError):
        await shell("report")


@pytest.mark.parametrize(
    "arguments", [("--no-aws",), ("--gcp-table", "a.b.c`"), ("--since", "yesterday"), ("--since", "2026-11-02", "--until", "2026-11-02")]
)
async def test_what_cannot_be_asked(shell: Any, explorer: Explorer, arguments: tuple[str, ...]) -> None:
    """Told before anybody is asked."""
    with pytest.raises(UsageError):
        await shell("report", *arguments)
    assert explorer.asked == []
