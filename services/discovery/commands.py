"""`pursight scans …`: which scans wait, run or are over; pause, resume and cancel one."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from shared.cli.connect import edge
from shared.cli.output import as_json, plain, spoken, stdout, table

app = typer.Typer(no_args_is_help=True, help="Scans: list, show, pause, resume, cancel.")
Id = Annotated[str, typer.Argument(help="a scan's id, as `list` shows it")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]


@app.command("list")
def list_(
    source: Annotated[str, typer.Option(help="only this one's: TENANT/NAME")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    json_output: Json = False,
) -> None:
    """The newest scans."""
    with edge() as line:
        scans = line.get("/scan-jobs", source=source, limit=limit)["scans"]
    if json_output:
        return as_json({"scans": scans})
    rows = [(each["scan_id"], spoken(each["source"]), each["state"], each["priority"], _progress(each), each["code"]) for each in scans]
    table("Scans", ("scan", "source", "state", "priority", "tables", "code"), rows)


@app.command()
def show(id: Id, json_output: Json = False) -> None:
    """One scan: how far it is, at which pace, and what it left out."""
    with edge() as line:
        scan = line.get(f"/scan-jobs/{quote(id, safe='')}")
    if json_output:
        return as_json(scan)
    stdout.print(plain(f"{spoken(scan['source'])}: {scan['state']}, {_progress(scan)} tables, {scan['changed']} said"))
    report = scan["report"] or {}
    for each in report.get("pace", ()):
        lines = f"{each['concurrency']} line(s), {each['batch']} tables at once"
        stdout.print(plain(f"  at {each['at_seconds']:.1f} s: {lines}, {each.get('rest', 0):.0%} rest, because of {each['cause']}"))
    for each in report.get("left_out", ()):
        stdout.print(plain(f"  left out: {each.get('count', 1)} {each['what']} ({each['why']})"))


@app.command()
def pause(id: Id, json_output: Json = False) -> None:
    """Stop a scan where it is, until it is resumed."""
    _decide(id, "pause", json_output=json_output)


@app.command()
def resume(id: Id, json_output: Json = False) -> None:
    """Let a paused scan go on where it was."""
    _decide(id, "resume", json_output=json_output)


@app.command()
def cancel(id: Id, json_output: Json = False) -> None:
    """End a scan; what it said so far stands, and nothing is removed."""
    _decide(id, "cancel", json_output=json_output)


def _decide(id: str, what: str, *, json_output: bool) -> None:
    with edge() as line:
        found = line.send("POST", f"/scan-jobs/{quote(id, safe='')}/{what}")
    if json_output:
        as_json(found)
    else:
        stdout.print(plain(f"{found['scan_id']} is {found['state']}"))


def _progress(scan: dict[str, Any]) -> str:
    return f"{scan['looked']} of {scan['tables'] if scan['tables'] is not None else '?'}"
