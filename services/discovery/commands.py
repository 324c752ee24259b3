"""`pursight scans …`: which scans wait, run or are over; pause, resume and cancel one; record what they were told."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from shared.cli.connect import Edge, edge, named_as, path_of, scan_path, scope_of
from shared.cli.find import require_source
from shared.cli.output import as_json, aside, plain, spoken, stdout, table
from shared.errors import Failed, PurSightError, UsageError

app = typer.Typer(no_args_is_help=True, help="Scans: list, show, pause, resume, cancel, record.")
Id = Annotated[str, typer.Argument(help="a scan's id or the beginning of it, as `list` shows it")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
SHORT, MOST = 8, 500  # characters of an id that are shown; scans in one answer
OPEN = ("waiting", "running", "paused")
RECORD_SECONDS = 130.0  # a little longer than discovery tries
FROM = {"pause": ("waiting", "running"), "resume": ("paused",), "cancel": OPEN}
DECIDED = {
    "pause": "{source}: scan {id} is paused. Let it go on with `pursight scans resume {id}`.",
    "resume": "{source}: scan {id} goes on where it was.",
    "cancel": "{source}: scan {id} is cancelled. What it said so far stands, and nothing is removed.",
}


@app.command("list")
def list_(
    source: Annotated[str, typer.Option(help="only this one's: NAME or TENANT/NAME; TENANT/ for all of a tenant")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MOST)] = 20,
    json_output: Json = False,
) -> None:
    """The newest scans."""
    with edge() as line:
        scans = line.get("/scan-jobs", source=scope_of(source), limit=limit)["scans"]
        if not scans:
            require_source(line, source)
    if json_output:
        as_json({"scans": scans})
    elif scans:
        table("Scans", ("scan", "source", "state", "asked, UTC", "took", "tables"), map(_row, scans))
    else:
        whose = f"No scans of {source}: `pursight source list` shows what is registered, and" if source else "No scans yet:"
        stdout.print(plain(f"{whose} `pursight scan {'NAME' if source else 'URL'}` begins one."), soft_wrap=True)
    if len(scans) == limit:
        more = f": --limit, up to {MOST}, shows older ones" if limit < MOST else ""
        aside(f"… the newest {limit}{more}.")


def _row(scan: dict[str, Any]) -> tuple[str, ...]:
    state = scan["state"] + (f", {scan['code']}" if scan["code"] else "")
    return scan["scan_id"][:SHORT], spoken(scan["source"]), state, _minute(scan["asked_at"]), _took(scan), _progress(scan)


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _asked(scan: dict[str, Any]) -> str:
    """When it was asked for, and by whom or because of what."""
    when, why = f"{_minute(scan['asked_at'])} UTC", scan["reason"].replace("_", " ")
    return f"asked {when} {why.removeprefix('asked ')}" if why.startswith("asked by ") else f"asked {when}: {why}".removesuffix(": ")


def _took(scan: dict[str, Any]) -> str:
    if not scan["started_at"] or not scan["ended_at"]:
        return ""
    return f"{(datetime.fromisoformat(scan['ended_at']) - datetime.fromisoformat(scan['started_at'])).total_seconds():.1f} s"


@app.command()
def show(id: Id, json_output: Json = False) -> None:
    """One scan: how far it is, at which pace, and what it left out."""
    with edge() as line:
        scan = _scan(line, id)
    if json_output:
        return as_json(scan)
    stdout.print(plain(f"{spoken(scan['source'])}: {scan['state']}, tables: {_progress(scan)}"))
    stdout.print(plain(f"  {_asked(scan)}" + (f"; took {took}" if (took := _took(scan)) else "")))
    stdout.print(plain(f"  scan {scan['scan_id']}, pursight trace {scan['trace_id']}"), soft_wrap=True)
    report = scan["report"] or {}
    for each in scan["pace"]:
        lines = f"{each['concurrency']} line(s), {each['batch']:,} tables at once"
        stdout.print(plain(f"  at {each['at_seconds']:.1f} s: {lines}, {each.get('rest', 0):.0%} rest, because of {each['cause']}"))
    for each in report.get("left_out", ()):
        named = ": " + ", ".join(map(spoken, each["names"])) if each.get("names") else ""
        stdout.print(plain(f"  left out: {each.get('count', 1):,} {each['what']} ({each['why']}){named}"), soft_wrap=True)


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


@app.command()
def record(
    source: Annotated[str, typer.Argument(help="NAME, or TENANT/NAME")],
    file: Annotated[Path, typer.Argument(help="where to write it")],
    keep_names: Annotated[bool, typer.Option("--keep-names", help="names as they are, not pseudonyms")] = False,
    key: Annotated[str, typer.Option(help="recordings of the same key have the same pseudonyms, and can be compared")] = "",
    json_output: Json = False,
) -> None:
    """The structure of a source as a file, for whoever looks into a bug of its scans: no values, no texts."""
    with edge() as line:
        packed = line.made(path_of(named_as(source), "/recordings"), key, seconds=RECORD_SECONDS, names="keep" if keep_names else "")
    file.write_bytes(packed)
    if json_output:
        return as_json({"file": str(file), "bytes": len(packed)})
    return stdout.print(plain(f"{file}: {len(packed):,} bytes. Look into it before you send it: `zcat {file}`."), soft_wrap=True)


def _decide(id: str, what: str, *, json_output: bool) -> None:
    with edge() as line:
        scan = _scan(line, id)
        if scan["state"] not in FROM[what]:
            raise Failed(
                f"scan {scan['scan_id'][:SHORT]} of {spoken(scan['source'])} is {scan['state']}",
                why=f"only one that is {' or '.join(FROM[what])} can be told to {what}",
                remedy="See `pursight scans list`.",
                code="scan_not_open",
            )
        found = line.send("POST", f"{scan_path(scan['scan_id'])}/{what}")
    if json_output:
        as_json(found)
    else:
        stdout.print(plain(DECIDED[what].format(source=spoken(scan["source"]), id=scan["scan_id"][:SHORT])), soft_wrap=True)


def _scan(line: Edge, id: str) -> dict[str, Any]:
    """The scan with this id, or the only one whose id begins so. Raises UsageError where several do, or none."""
    try:
        return dict(line.get(scan_path(id)))
    except PurSightError as error:
        if id and error.code != "unknown_scan":
            raise
        found = [scan["scan_id"] for scan in line.get("/scan-jobs", limit=MOST)["scans"] if scan["scan_id"].startswith(id)]
        if not found:
            raise
    if len(found) > 1:
        raise UsageError(f"{len(found)} scans begin with {plain(id or 'nothing')}", remedy="Give more of its id.", code="ambiguous_scan")
    return dict(line.get(scan_path(found[0])))


def _progress(scan: dict[str, Any]) -> str:
    """How far an open one is; of one that is over, what came of it."""
    if scan["state"] == "completed":
        if not scan["tables"]:
            return "none there"
        return f"{scan['tables']:,}, {scan['changed']:,} changed" if scan["changed"] else f"{scan['tables']:,} unchanged"
    return f"{scan['looked']:,} of " + ("?" if scan["tables"] is None else f"{scan['tables']:,}")
