"""What the clouds' own reports say of costs: AWS Cost Explorer, and the export of Google's billing in BigQuery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from services.tagger.domain.costs import Cost, Period, billing_parameters, billing_query, of_explorer, of_export
from services.tagger.gateway.place import Stale
from services.tagger.gateway.rest import Edge
from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.errors import Failed, PurSightError, Transient

METRIC = "UnblendedCost"
EXPLORER_REGION = "us-east-1"  # Cost Explorer is nowhere else
MOST_KEYS = 20  # of one call that activates
MOST_BYTES = 200 * 1024**3  # of the export that one report may read: about a dollar
WAIT_MILLISECONDS = 10_000
MOST_LOOKS = 30
_NO_DATA = "cost_data_unavailable"
_OWN = {
    "DataUnavailableException": ("AWS has no cost data of this time yet", "Cost Explorer fills within a day of being enabled."),
    "BillExpirationException": ("the bills of this time are gone", "Ask for a later time."),
}


class CostExplorer:
    """AWS's report. Each call of it costs a cent."""

    def __init__(self, sessions: AwsSessions, sign_in: AwsSignIn) -> None:
        self._sessions, self._sign_in = sessions, sign_in

    async def by_tag(self, key: str, period: Period) -> list[Cost]:
        """Costs by the values of this tag; raises as `shared/cloud/failures` says, and Failed `cost_data_unavailable`."""
        asked = {
            "TimePeriod": {"Start": period.since.isoformat(), "End": period.until.isoformat()},
            "Granularity": "MONTHLY",
            "Metrics": [METRIC],
            "GroupBy": [{"Type": "TAG", "Key": key}],
        }
        async with self._client() as explorer:
            pages = [await _asked(explorer.get_cost_and_usage, asked)]
            while token := pages[-1].get("NextPageToken"):
                pages.append(await _asked(explorer.get_cost_and_usage, {**asked, "NextPageToken": token}))
        return list(of_explorer(pages, METRIC))

    async def states(self, keys: Sequence[str]) -> dict[str, str]:
        """Of each key: Active, Inactive, or empty where AWS has not met it on any resource yet."""
        found = dict.fromkeys(keys, "")
        async with self._client() as explorer:
            token: dict[str, str] = {}
            while True:
                asked = {"TagKeys": list(keys), "Type": "UserDefined", "MaxResults": 100, **token}
                answer = await _asked(explorer.list_cost_allocation_tags, asked)
                found |= {each["TagKey"]: each["Status"] for each in answer["CostAllocationTags"]}
                if not answer.get("NextToken"):
                    return found
                token = {"NextToken": answer["NextToken"]}

    async def activate(self, keys: Sequence[str]) -> dict[str, str]:
        """Make these keys ones that costs are told by; returns those that AWS refused, which a 200 may hide, with its code."""
        failed: dict[str, str] = {}
        async with self._client() as explorer:
            for start in range(0, len(keys), MOST_KEYS):
                status = [{"TagKey": key, "Status": "Active"} for key in keys[start : start + MOST_KEYS]]
                answer = await _asked(explorer.update_cost_allocation_tags_status, {"CostAllocationTagsStatus": status})
                failed |= {each["TagKey"]: each.get("Code", "") for each in answer.get("Errors") or ()}
        return failed

    def _client(self) -> Any:
        return self._sessions.client(self._sign_in, "ce", region=EXPLORER_REGION)


async def _asked(call: Any, arguments: dict[str, Any]) -> Any:
    """One call; the library is patient with throttling. What only Cost Explorer refuses is told here, the rest as of any service."""
    try:
        return await call(**arguments)
    except Exception as error:
        found = _OWN.get(str(getattr(error, "response", {}).get("Error", {}).get("Code", "")))
        if found is None:
            raise
        raise Failed("costs could not be read", why=found[0], remedy=found[1], code=_NO_DATA) from None


class BillingExport:
    """Google's report: the table that billing is exported to. `edge` is BigQuery's."""

    def __init__(self, edge: Edge, table: str) -> None:
        self._edge, self._table = edge, table
        self._path = f"/bigquery/v2/projects/{table.partition('.')[0]}/queries"

    async def by_tag(self, label: str, period: Period) -> list[Cost]:
        """Costs by the values of this label, net of credits. Raises as CostExplorer does, and `query_failed`, `query_runs`."""
        parameters = [
            {"name": name, "parameterType": {"type": "STRING"}, "parameterValue": {"value": value}}
            for name, value in billing_parameters(label, period).items()
        ]
        asked = {
            "query": billing_query(self._table),
            "useLegacySql": False,
            "parameterMode": "NAMED",
            "queryParameters": parameters,
            "timeoutMs": WAIT_MILLISECONDS,
            "maximumBytesBilled": str(MOST_BYTES),
        }
        with _in_words():
            answer = dict((await self._edge.call("POST", self._path, body=asked)).body)
            rows = await self._rows(answer)
        return list(of_export(rows))

    async def _rows(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """All of them, once the query has ended."""
        job = answer.get("jobReference") or {}
        where = {"location": job["location"]} if job.get("location") else {}
        path = f"{self._path}/{job.get('jobId', '')}"
        for _ in range(MOST_LOOKS):
            if answer.get("jobComplete"):
                break
            query = {"timeoutMs": str(WAIT_MILLISECONDS), **where}
            answer = dict((await self._edge.call("GET", path, query=query)).body)
        else:
            raise Transient("costs could not be read", why="the query takes long", remedy="Ask for a shorter time.", code="query_runs")
        if answer.get("errors"):
            raise Failed("costs could not be read", why="BigQuery ended the query", remedy="Ask for a shorter time.", code="query_failed")
        rows = list(answer.get("rows") or ())
        while token := answer.get("pageToken"):
            answer = dict((await self._edge.call("GET", path, query={"pageToken": token, **where})).body)
            rows += answer.get("rows") or ()
        return rows


_REMEDIES = {
    "tags_refused": ("query_failed", "BigQuery refuses the query", "Is it a billing export, and small enough for one report?"),
    "not_found": ("table_missing", "there is no such table", "Give --gcp-table PROJECT.DATASET.TABLE as the billing export names it."),
}


@contextmanager
def _in_words() -> Iterator[None]:
    """The edge speaks of tags; here it is costs."""
    try:
        yield
    except Stale:
        raise Transient("costs could not be read", why="the query met another", remedy="Try again.", code="throttled") from None
    except PurSightError as error:
        if error.what == "costs could not be read":
            raise
        code, why, remedy = _REMEDIES.get(error.code, (error.code, error.why, error.remedy))
        raise type(error)("costs could not be read", why=why, remedy=remedy, code=code) from None
