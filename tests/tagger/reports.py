"""Doubles of the clouds' cost reports, with their errors: Cost Explorer, and BigQuery with a real SQL engine behind it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import duckdb
import sqlglot
from aiohttp import web

EXPORT = "shop-prod.billing.gcp_billing_export_v1_01"
ROWS_OF_A_PAGE = 2


class Explorer:
    """Cost Explorer: costs are told by a tag only once it is active; `answers` are errors to give first, by action."""

    def __init__(self) -> None:
        self.tags = {"CostCenter": "Active", "Project": "Inactive", "Team": "Inactive"}
        self.costs: dict[str, dict[str, str]] = {"CostCenter": {"data-engineering": "10.25", "Sales": "0.1", "": "0.2000000001"}}
        self.answers: dict[str, list[str]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refused: set[str] = set()
        self.address = ""

    async def handle(self, request: web.Request) -> web.Response:
        action = request.headers["X-Amz-Target"].rpartition(".")[2]
        body = await request.json()
        self.asked.append((action, body))
        if waiting := self.answers.get(action):
            return _aws_error(waiting.pop(0))
        given: Callable[[dict[str, Any]], Any] = getattr(self, action)
        try:
            return _json(given(body))
        except ValueError as error:
            return _aws_error(str(error))

    def ListCostAllocationTags(self, body: dict[str, Any]) -> dict[str, Any]:
        wanted = [key for key in body["TagKeys"] if key in self.tags]
        start = int(body.get("NextToken") or 0)
        listed = [{"TagKey": key, "Type": body["Type"], "Status": self.tags[key]} for key in wanted[start : start + 1]]
        return {"CostAllocationTags": listed, **({"NextToken": str(start + 1)} if len(wanted) > start + 1 else {})}

    def UpdateCostAllocationTagsStatus(self, body: dict[str, Any]) -> dict[str, Any]:
        if len(body["CostAllocationTagsStatus"]) > 20:
            raise ValueError("ValidationException")
        errors = []
        for each in body["CostAllocationTagsStatus"]:
            if each["TagKey"] not in self.tags or each["TagKey"] in self.refused:
                errors.append({"TagKey": each["TagKey"], "Code": "TagKeysNotFoundException", "Message": "no"})
            else:
                self.tags[each["TagKey"]] = each["Status"]
        return {"Errors": errors}

    def GetCostAndUsage(self, body: dict[str, Any]) -> dict[str, Any]:
        if date.fromisoformat(body["TimePeriod"]["Start"]) >= date.fromisoformat(body["TimePeriod"]["End"]):
            raise ValueError("ValidationException")
        key, metric = body["GroupBy"][0]["Key"], body["Metrics"][0]
        known = self.costs.get(key, {}) if self.tags.get(key) == "Active" else {}
        values = list((known or {"": "10.55"}).items())
        start = int(body.get("NextPageToken") or 0)
        groups = [
            {"Keys": [f"{key}${value}"], "Metrics": {metric: {"Amount": amount, "Unit": "USD"}}}
            for value, amount in values[start : start + ROWS_OF_A_PAGE]
        ]
        more = {"NextPageToken": str(start + ROWS_OF_A_PAGE)} if len(values) > start + ROWS_OF_A_PAGE else {}
        return {"ResultsByTime": [{"TimePeriod": body["TimePeriod"], "Total": {}, "Groups": groups, "Estimated": True}], **more}


class BigQuery:
    """BigQuery's query interface: not complete at first, in pages; the query itself is run by DuckDB on a table of the export's shape."""

    def __init__(self) -> None:
        self.database = duckdb.connect()
        self.database.execute(
            "create table gcp_billing_export_v1_01 (cost double, currency varchar, usage_start_time timestamptz, "
            "labels struct(key varchar, value varchar)[], credits struct(name varchar, amount double)[])"
        )
        self.answers: list[tuple[int, str, str]] = []
        self.asked: list[dict[str, Any]] = []
        self.rows: list[Any] = []
        self.address = ""

    def add(self, cost: float, labels: dict[str, str], *, day: str, credits: tuple[float, ...] = ()) -> None:
        """A line of the bill."""
        listed = [{"key": key, "value": value} for key, value in labels.items()]
        taken = [{"name": "discount", "amount": amount} for amount in credits]
        self.database.execute("insert into gcp_billing_export_v1_01 values (?, 'EUR', ?, ?, ?)", [cost, day, listed, taken])

    async def query(self, request: web.Request) -> web.Response:
        if self.answers:
            return _google_error(*self.answers.pop(0))
        body = await request.json()
        self.asked.append(body)
        table = re.search(r"FROM `([^`]+)`", body["query"])
        if table is None or table[1] != EXPORT:
            return _google_error(404, "notFound", "NOT_FOUND")
        try:
            spelled = sqlglot.transpile(body["query"].replace(EXPORT, EXPORT.rpartition(".")[2]), read="bigquery", write="duckdb")[0]
        except sqlglot.errors.ParseError:
            return _google_error(400, "invalidQuery", "INVALID_ARGUMENT")
        values = {each["name"]: each["parameterValue"]["value"] for each in body["queryParameters"]}
        self.rows = self.database.execute(spelled, values).fetchall()
        return _json({"jobComplete": False, "jobReference": {"jobId": "job_1", "location": "EU"}})

    async def results(self, request: web.Request) -> web.Response:
        assert request.query["location"] == "EU"
        start = int(request.query.get("pageToken") or 0)
        page = self.rows[start : start + ROWS_OF_A_PAGE]
        more = {"pageToken": str(start + ROWS_OF_A_PAGE)} if len(self.rows) > start + ROWS_OF_A_PAGE else {}
        return _json({"jobComplete": True, "rows": [{"f": [{"v": str(cell)} for cell in row]} for row in page], **more})


def _json(body: Any) -> web.Response:
    return web.Response(text=json.dumps(body), content_type="application/x-amz-json-1.1")


def _aws_error(code: str) -> web.Response:
    return web.Response(status=400, text=json.dumps({"__type": code, "message": "no"}), content_type="application/x-amz-json-1.1")


def _google_error(status: int, reason: str, word: str) -> web.Response:
    error = {"code": status, "message": "no", "status": word, "errors": [{"reason": reason}]}
    return web.Response(status=status, text=json.dumps({"error": error}), content_type="application/json")


@asynccontextmanager
async def reports() -> AsyncIterator[tuple[Explorer, BigQuery]]:
    """Both, listening on loopback."""
    explorer, bigquery = Explorer(), BigQuery()
    app = web.Application()
    app.router.add_post("/", explorer.handle)
    app.router.add_post("/bigquery/v2/projects/{project}/queries", bigquery.query)
    app.router.add_get("/bigquery/v2/projects/{project}/queries/{job}", bigquery.results)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    explorer.address = bigquery.address = _address(site)
    try:
        yield explorer, bigquery
    finally:
        await runner.cleanup()


def _address(site: web.TCPSite) -> str:
    assert site._server is not None
    return f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
