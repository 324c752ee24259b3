"""`pursight audit …`: who did what; whether the ledger is whole; all of it for an auditor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from services.registry.domain.ledger import Entry, Verdict
from shared.cli.connect import edge
from shared.cli.output import as_json, aside, plain, stdout, table
from shared.contracts.names import DEFAULT_TENANT
from shared.errors import Failed, UsageError

app = typer.Typer(no_args_is_help=True, help="The audit ledger: show, verify, export.")
Tenant = Annotated[str, typer.Option(help="whose ledger")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Time = Annotated[str, typer.Option(metavar="TIME", help="ISO 8601, such as 2026-01-31")]


def _path(tenant: str, what: str = "") -> str:
    return f"/audit/{quote(tenant or DEFAULT_TENANT, safe='')}{what}"


@app.command()
def show(
    tenant: Tenant = DEFAULT_TENANT,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="how many entries")] = 50,
    json_output: Json = False,
) -> None:
    """The newest entries, the newest first."""
    with edge() as line:
        entries = line.get(_path(tenant), limit=limit)["entries"]
    if json_output:
        as_json({"entries": entries})
    elif entries:
        head = ("number", "at", "actor", "action", "object", "result")
        table(f"Ledger of {tenant}", head, ([_shown(name, entry[name]) for name in head] for entry in entries))
    else:
        stdout.print(plain(f"The ledger of {tenant} is empty: nobody did anything there. A source's tenant stands before its name."))
    if entries and (older := entries[-1]["number"] - 1):
        aside(f"… and {older:,} older: `pursight audit export` gives all.")


def _shown(name: str, value: Any) -> Any:
    """A time to the second, in UTC."""
    return f"{str(value)[:19].replace('T', ' ')} UTC" if name == "at" else value


@app.command()
def verify(
    tenant: Tenant = DEFAULT_TENANT,
    file: Annotated[Path | None, typer.Option(help="an export of a whole ledger as JSON lines, instead of the stack's own")] = None,
    json_output: Json = False,
) -> None:
    """Is every entry as it was written, in its place, and none missing? Exit code 1 where not."""
    told = _of_file(file) if file else _of_stack(tenant)
    if json_output:
        as_json(told)
    if not told["whole"]:
        raise Failed(
            f"the ledger is not whole from entry {told['first_fault']} on",
            why=f"it {told['why']}",
            remedy="Compare with an earlier export and with the topic audit.recorded.",
            code="ledger_broken",
        )
    if not json_output:
        stdout.print(plain(f"{told['entries']} entries are whole, {told['anchored'] or 'none'} of them anchored on the broker."))


def _of_stack(tenant: str) -> dict[str, Any]:
    with edge() as line:
        return dict(line.get(_path(tenant, "/verify")))


def _of_file(file: Path) -> dict[str, Any]:
    verdict = Verdict()
    try:
        with file.open(encoding="utf-8") as lines:
            verdict.look(Entry.read(json.loads(line)) for line in lines)
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{file} is no export of a ledger", remedy="Make one with `pursight audit export`.", code="unreadable") from None
    return {
        "entries": verdict.entries,
        "anchored": 0,
        "whole": verdict.fault is None,
        "first_fault": verdict.fault,
        "why": verdict.why,
    }


@app.command()
def export(
    tenant: Tenant = DEFAULT_TENANT,
    since: Time = "",
    until: Time = "",
    actor: Annotated[str, typer.Option(help="only whose name holds this")] = "",
    object_: Annotated[str, typer.Option("--object", help="only what begins with this, such as default/crm")] = "",
    csv: Annotated[bool, typer.Option("--csv", help="a table instead of JSON lines")] = False,
) -> None:
    """Entries on standard output, the oldest first, as JSON lines or as a table."""
    wanted = {"since": since, "until": until, "actor": actor, "object": object_, "format": "csv" if csv else ""}
    with edge() as line:
        for part in line.stream(_path(tenant, "/export"), **wanted):
            stdout.file.write(part)
