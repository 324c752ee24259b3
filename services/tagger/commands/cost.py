"""`pursight cost …`: what things cost by tag, over the clouds' own reports; and which tags AWS tells costs by."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.cli.output import as_json, plain, stderr, stdout, table
from shared.errors import PurSightError, UsageError

if TYPE_CHECKING:
    from services.tagger.domain.costs import Cost, Period
    from services.tagger.gateway.costs import CostExplorer

app = typer.Typer(no_args_is_help=True, help="Costs by tag: report, activate.")
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
BIGQUERY = "https://bigquery.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform.read-only"


@app.command()
def report(
    by: Annotated[str, typer.Option(help="cost_center, project, tenant, environment, … or a tag's own key")] = "cost_center",
    since: Annotated[str, typer.Option(metavar="DAY", help="first day, as 2026-11-01; else of this month")] = "",
    until: Annotated[str, typer.Option(metavar="DAY", help="the day after the last; else tomorrow")] = "",
    aws: Annotated[bool, typer.Option("--aws/--no-aws", help="ask Cost Explorer, a cent a call")] = True,
    gcp_table: Annotated[str, typer.Option(metavar="PROJECT.DATASET.TABLE", help="ask this export of Google's billing too")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="comma separated")] = False,
    json_output: Json = False,
) -> None:
    """What each value of a tag cost, in one table. An empty value is what carries no such tag."""
    from services.tagger.domain import costs

    if not aws and not gcp_table:
        raise UsageError("there is nobody to ask", remedy="Leave --no-aws away, or give --gcp-table.", code="no_cloud")
    if gcp_table and not costs.is_table(gcp_table):
        raise UsageError("--gcp-table is no table's full name", remedy="Write PROJECT.DATASET.TABLE.", code="bad_name")
    key, period = costs.tag_key(by), _period(since, until)
    rows, notes = asyncio.run(_gathered(key, period, aws=aws, gcp_table=gcp_table))
    if json_output:
        listed = [{**row._asdict(), "amount": str(row.amount)} for row in rows]
        return as_json({"by": key, "since": str(period.since), "until": str(period.until), "costs": listed, "notes": notes})
    for note in notes:
        stderr.print(plain(note))
    if as_csv:
        sys.stdout.write(costs.as_csv(rows, key))
    elif rows:
        table(f"Costs by {key}, {period.since} to before {period.until}", costs.HEAD, costs.cells(rows))
    else:
        stdout.print("Nothing cost anything.")


async def _gathered(key: str, period: Period, *, aws: bool, gcp_table: str) -> tuple[tuple[Cost, ...], list[str]]:
    """The rows of all clouds, and what is to be known about them. A cloud that fails alone is told; where all fail, it is raised."""
    from services.tagger.commands.house import house
    from services.tagger.domain.costs import key_at, summed

    prefix = house().prefix
    at_aws, at_gcp = key_at(key, "aws", prefix), key_at(key, "gcp", prefix)
    asked = [*([_of_aws(at_aws, period)] if aws else []), *([_of_gcp(at_gcp, period, gcp_table)] if gcp_table else [])]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    fatal = [error for error in failed if not isinstance(error, PurSightError) or len(failed) == len(answers)]
    if fatal:
        raise fatal[0]
    told = [answer for answer in answers if not isinstance(answer, BaseException)]
    notes = [note for _, notes in told for note in notes] + [f"One cloud is missing. {error}" for error in failed]
    return summed(row for rows, _ in told for row in rows), notes


async def _of_aws(key: str, period: Period) -> tuple[list[Cost], list[str]]:
    explorer = _explorer()
    state = (await explorer.states([key]))[key]
    return await explorer.by_tag(key, period), [_NOTES[state].format(key)] if state != "Active" else []


_NOTES = {
    "Inactive": "AWS does not tell costs by {0} yet: pursight cost activate. What was before that day stays untold.",
    "": "AWS has not met {0} on any resource; a new tag shows within a day, then: pursight cost activate.",
}


async def _of_gcp(label: str, period: Period, gcp_table: str) -> tuple[list[Cost], list[str]]:
    from services.tagger.gateway.costs import BillingExport
    from services.tagger.gateway.rest import Edge, client, kept
    from shared.cloud.gcp import fetch
    from shared.contracts.cloud import GcpConfig

    async with client() as http:
        bearer = kept(lambda: fetch(GcpConfig(provider="gcp"), SCOPE))
        edge = Edge(http, BIGQUERY, bearer, "bigquery.jobs.create in the project and bigquery.tables.getData on the table")
        return await BillingExport(edge, gcp_table).by_tag(label, period), []


@app.command()
def activate(
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY…", help="tags to activate; else all that a report may be by")] = None,
    json_output: Json = False,
) -> None:
    """Let AWS tell costs by these tags, and say which it does not tell yet. Exit code 3 where there is any."""
    from services.tagger.commands.house import house
    from services.tagger.domain.costs import ALLOCATED, key_at, tag_key

    prefix = house().prefix
    wanted = [key_at(tag_key(key), "aws", prefix) for key in keys or ALLOCATED]
    states, failed = asyncio.run(_activated(wanted))
    told = {key: _spoken(states[key], failed.get(key)) for key in wanted}
    if json_output:
        as_json({"keys": told})
    else:
        table("Cost allocation tags", ("key", "is"), told.items())
    if any(state != "active" for state in told.values()):
        raise typer.Exit(3)


async def _activated(wanted: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    explorer = _explorer()
    states = await explorer.states(wanted)
    failed = await explorer.activate([key for key in wanted if states[key] == "Inactive"])
    return await explorer.states(wanted) if "Inactive" in states.values() else states, failed


def _spoken(state: str, failure: str | None) -> str:
    if failure is not None:
        return f"refused by AWS{f' ({failure})' if failure else ''}"
    return {"Active": "active", "Inactive": "not active yet: it takes up to a day"}.get(state, "not met on any resource yet")


def _explorer() -> CostExplorer:
    from services.tagger.gateway.costs import EXPLORER_REGION, CostExplorer
    from shared.cloud.aws import AwsSessions, AwsSignIn

    return CostExplorer(AwsSessions(), AwsSignIn(EXPLORER_REGION, ours=True))


def _period(since: str, until: str) -> Any:
    from services.tagger.domain.costs import Period

    today = datetime.now(UTC).date()
    found = Period(_day(since) if since else today.replace(day=1), _day(until) if until else today + timedelta(days=1))
    if found.since >= found.until:
        raise UsageError("--since is not before --until", remedy="The last day itself is not counted.", code="bad_period")
    return found


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text[:40]} is no day", remedy="Write it as 2026-11-01.", code="bad_period") from None
