"""`pursight scan URL`: from a database's address to classes, violations and tags, following the events as they come."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from shared.cli import report
from shared.cli.connect import DOOR, Edge, address, edge
from shared.cli.output import as_json, spoken, stderr
from shared.cli.target import KNOWN, Target
from shared.contracts.names import DEFAULT_TENANT, SourceName
from shared.contracts.source import DataSource
from shared.errors import Failed, UsageError
from shared.local.stack import Running, Stack, Step, silent
from shared.settings import ServiceSettings
from shared.web.seals import login_link

STAGES = {"found": "tables found", "classified": "classified", "judged": "judged", "tagged": "tagged"}
POLL_SECONDS, LONGEST_POLL_SECONDS, POLL_SHARE = 0.2, 2.0, 0.03  # a long scan is asked after less often: counting costs the catalog
DIAL_SECONDS = 60.0
FAILED, THRESHOLD_MET = 1, 3
PLACE = ("engine", "host", "port", "database", "path")  # what makes two sources different ones
REGISTERED = ("location", "cloud_config")  # of a URL a guess, of a source what was declared


def run(target_of: Callable[[Running | None], Target | str], *, json_output: bool, fail_on: str) -> None:
    """Start what is not running, register, follow, report. Exits 1 where the scan failed or something is stuck, 3 on `fail_on`.

    `target_of` gives what to register, or the name of a source that is registered. With PURSIGHT_URL the stack behind that door does the
    work, nothing is started here, and `target_of` is given None.
    """
    if fail_on and fail_on not in report.SEVERITIES:
        raise UsageError(f"--fail-on {fail_on} is no severity", remedy=f"Use one of {', '.join(report.SEVERITIES)}.", code="bad_severity")
    with _where() as running, edge() as line:
        target = target_of(running)
        since = datetime.now(UTC)
        source = known(line, target) if isinstance(target, str) else register(line, target)
        try:
            last = follow(line, source, since, shown=not json_output)
        except Failed as error:
            raise _stays(error, source) from None
        found = line.get(f"/export/scan/{quote(source, safe='')}")
    if json_output:
        as_json(report.exactly(found) | {"left_out": (last["manifest"] or {}).get("left_out", [])})
    else:
        report.show(found, pages=pages(), manifest=last["manifest"])
        if running and running.started:
            stderr.print("The stack stays up for the next scan. Stop it with `pursight down`.", style="dim")
    if last["dead"]:
        stderr.print(f"{last['dead']} table(s) were put aside. See `pursight dlq list`.")
        raise typer.Exit(FAILED)
    if fail_on and report.reaches(found["violations"], fail_on):
        raise typer.Exit(THRESHOLD_MET)


def pages() -> str:
    """The address that opens the pages once, in a browser, at the door that this shell talks to."""
    at = address()
    ours = at.token and "." not in at.token  # an issuer's token seals no link; there, the page asks the person to sign in
    return login_link(at.url, at.token) if ours else at.url


@contextmanager
def _where() -> Iterator[Running | None]:
    """The stack that does the work: the one behind PURSIGHT_URL (None), else the local one, up."""
    if os.environ.get(DOOR):
        yield None
    else:
        with _stopping_what_was_started() as running:
            yield running


@contextmanager
def _stopping_what_was_started() -> Iterator[Running]:
    """The stack, up. Ctrl-C and SIGTERM stop it again if, and only if, this command started it; the scan goes on at the next `up`."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack = Stack(ServiceSettings().home)
    running = stack.up(silent if stack.home.load().supervised() else _say_step)
    try:
        yield running
    except Exception:
        stack.require_space()
        raise
    except KeyboardInterrupt:
        if running.started:
            stderr.print("Stopping what this command started; the scan goes on at the next `pursight up`.")
            stack.down()
        else:
            stderr.print("The stack was up before and stays; the scan goes on there.")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_step(step: Step) -> None:
    stderr.print(f"{step.seconds:6.1f} s  {step.part}: {step.what}", style="dim", highlight=False, markup=False)


def known(line: Edge, name: str) -> str:
    """Scan a source that is registered, by NAME or TENANT/NAME. Returns its key. Raises PurSightError."""
    tenant, slash, rest = name.partition("/")
    named = SourceName(tenant, rest) if slash and tenant and rest else SourceName(DEFAULT_TENANT, name)
    try:
        line.get(f"/sources/{quote(named.tenant, safe='')}/{quote(named.name, safe='')}")
    except UsageError as error:
        if error.code != "unknown_source":
            raise
        raise UsageError(
            f"there is no source {spoken(named.key)}",
            remedy=f"See `pursight source list`. Write {KNOWN} for a new one.",
            code="unknown_source",
        ) from None
    _again(line, named.key)
    return named.key


def _stays(error: Failed, source: str) -> Failed:
    """The same, and what becomes of the source."""
    hint = f"It stays registered: `pursight scan {spoken(source)}` tries again, `pursight source remove {spoken(source)}` forgets it."
    remedy = error.remedy if error.code == "stuck" else f"{error.remedy} {hint}".strip()
    return Failed(error.what, why=error.why, remedy=remedy, code=error.code)


def register(line: Edge, target: Target) -> str:
    """Register the source and its password; one that is known already is dialled and scanned again. Returns the source's key.

    Where no password is given, the one that is stored for this source counts. Raises PurSightError. A document that is refused, or
    a new password that does not open the source, leaves everything as it was.
    """
    named = SourceName(target.document.get("tenant", DEFAULT_TENANT), target.document["name"])
    document = _beside_what_is_known(line, named, target)
    stored = named.secret in line.get("/secrets")["secrets"]
    if target.password or stored:
        document["password_secret"] = f"local:{named.secret}"
    if target.password:
        line.send("POST", "/sources/check", document)
        if stored:
            _try(line, named, document, target.password)
        line.send("PUT", f"/secrets/{quote(named.secret, safe='')}", {"value": target.password})
    answer = line.send("POST", "/sources", document)
    source = str(answer["source"])
    if not answer["changed"]:
        _again(line, source)
    return source


def _beside_what_is_known(line: Edge, named: SourceName, target: Target) -> dict[str, Any]:
    """What was declared on a source of this name stays; the URL changes how it is reached, and no more.

    Raises UsageError where a name that nobody chose is that of a source at another place.
    """
    try:
        spec = line.get(f"/sources/{quote(named.tenant, safe='')}/{quote(named.name, safe='')}")["spec"]
    except UsageError as error:
        if error.code != "unknown_source":
            raise
        return dict(target.document)
    known = DataSource.model_validate(spec)
    if not target.chosen and any(getattr(known, field) != target.document[field] for field in PLACE if field in target.document):
        raise UsageError(
            f"{named.name} is the name of another source already",
            why=f"that one is {known.engine} at {known.host or 'this machine'}, {known.path or known.database}",
            remedy="Give this one a name of its own with --name.",
            code="name_taken",
        )
    return dict(spec) | {field: value for field, value in target.document.items() if field not in REGISTERED and value != ""}


def _try(line: Edge, named: SourceName, document: dict[str, Any], password: str) -> None:
    """Dial with a password that would replace another. Raises Failed with the diagnosis where the source cannot be reached with it."""
    found = line.send("POST", "/preflight", {"source": document, "password": password})
    if not found["reachable"]:
        raise _could_not(named.key, found["diagnosis"], "the password that was stored before is kept")


def _again(line: Edge, source: str) -> None:
    """Dial now, because a password or a server may have been mended; then ask for a scan, unless the new connection asks by itself.

    Raises Failed with the diagnosis where the source is still out of reach.
    """
    name = SourceName.parse(source)
    path = f"/health/sources/{quote(name.tenant, safe='')}/{quote(name.name, safe='')}"
    try:
        before = line.send("POST", f"{path}/check")
    except UsageError:
        return  # registered this very moment: the first dial is still to come
    now, deadline = before, time.monotonic() + DIAL_SECONDS
    while now["checked_at"] == before["checked_at"]:
        if time.monotonic() > deadline:
            raise Failed(
                f"{spoken(source)} was not dialled", why="the connector is busy or away", remedy="See `pursight status`.", code="stuck"
            )
        time.sleep(POLL_SECONDS)
        now = line.get(path)
    if now["state"] == "unreachable":
        raise _could_not(source, now["diagnosis"] or line.get(f"/progress/{quote(source, safe='')}")["diagnosis"])
    if before["state"] == "connected":
        line.send("POST", "/scans", {"source": source})


def follow(line: Edge, source: str, since: datetime, *, shown: bool) -> dict[str, Any]:
    """Poll until the scan is done; bars on a terminal. Raises Failed with the diagnosis where it failed or is stuck."""
    began = time.monotonic()
    with Progress(
        TextColumn("{task.description:>14}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        console=stderr,
        disable=not (shown and stderr.is_terminal),
        transient=True,
    ) as bars:
        tasks = {stage: bars.add_task(words, total=None, count="") for stage, words in STAGES.items()}
        while True:
            now = line.get(f"/progress/{quote(source, safe='')}", since=since.isoformat())
            for stage, task in tasks.items():
                total = now["total"]
                bars.update(task, completed=now[stage], total=total, count=f"{now[stage]}" + (f" of {total}" if total is not None else ""))
            if now["done"]:
                return dict(now)
            if not _discovery_is_at_it(line, now):
                _raise_where_it_ends(now)
            time.sleep(min(LONGEST_POLL_SECONDS, max(POLL_SECONDS, POLL_SHARE * (time.monotonic() - began))))


def _discovery_is_at_it(line: Edge, now: dict[str, Any]) -> bool:
    """A long look at a large or slow database is quiet, and not stuck."""
    if not now["stuck"] or "discovery" not in [each["service"] for each in now["waiting"]]:
        return False
    scans = line.get("/scan-jobs", source=now["source"], limit=1)["scans"]
    return bool(scans) and scans[0]["state"] in ("waiting", "running")


def _could_not(source: str, diagnosis: dict[str, Any] | None, besides: str = "") -> Failed:
    told = diagnosis or {}
    return Failed(
        f"{spoken(source)} could not be scanned",
        why="; ".join(part for part in (told.get("cause", ""), besides) if part),
        remedy=told.get("remedy", ""),
        code=told.get("code", "scan_failed"),
    )


def _raise_where_it_ends(now: dict[str, Any]) -> None:
    if now["failed"]:
        raise _could_not(now["source"], now["diagnosis"])
    if now["stuck"]:
        first = (now["waiting"] or [{"service": "?", "asset": now["source"], "stage": "?"}])[0]
        raise Failed(
            f"nothing has moved for {now['quiet_seconds']:.0f} s",
            why=f"{first['service']} has not {first['stage']} {spoken(first['asset'])}",
            remedy="See `pursight status` and `pursight dlq list`; the scan goes on by itself when that is mended.",
            code="stuck",
        )


def ask_password(target: Target) -> Target:
    """Ask a person for the password where none was found and somebody is there to answer."""
    if target.password is None and "username" in target.document and sys.stdin.isatty() and sys.stderr.isatty():
        given = typer.prompt(
            f"Password for {target.document['username'] or 'the database'} (empty for none)",
            default="",
            hide_input=True,
            show_default=False,
            err=True,
        )
        return Target(target.document, given or None)
    return target
