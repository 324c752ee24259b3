"""`pursight scan URL`: from a database's address to classes, violations and tags, following the events as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from shared.cli import report
from shared.cli.connect import Edge, address, edge, elsewhere, path_of
from shared.cli.output import as_json, spoken, stderr
from shared.cli.pages import way_in
from shared.cli.stack import interrupted_by_sigterm, say_step
from shared.cli.target import KNOWN, Target
from shared.contracts.engines import ENGINES
from shared.contracts.judging.source import judge
from shared.contracts.names import DEFAULT_TENANT, SourceName
from shared.contracts.source import DataSource
from shared.errors import Failed, UsageError
from shared.local.stack import Running, Stack, silent
from shared.settings import ServiceSettings

STAGES = {"found": "tables found", "classified": "classified", "judged": "judged", "tagged": "tagged"}
POLL_SECONDS, LONGEST_POLL_SECONDS, POLL_SHARE = 0.2, 2.0, 0.03  # a long scan is asked after less often: counting costs the catalog
DIAL_SECONDS = 60.0
FAILED, THRESHOLD_MET = 1, 3
PLACE = ("engine", "host", "port", "database", "path")  # what makes two sources different ones
OF_THE_SHELL = {  # what signs in to a cloud on a laptop
    "aws": "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "azure": "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
    "gcp": "GOOGLE_APPLICATION_CREDENTIALS, or sign in with `gcloud auth application-default login`",
}
REACHED_BY = (*PLACE, "username", "ssl_config", "replica_config", "auth_database", "srv")  # what a URL says; the rest was declared


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
        except KeyboardInterrupt:
            where = "at the next `pursight up`" if running and running.started else "without this command: `pursight scans list` tells"
            stderr.print(f"{spoken(source)}: the scan goes on {where}.", highlight=False, markup=False)
            raise
        found = line.get(f"/export/scan/{quote(source, safe='')}")
    if json_output:
        as_json(report.exactly(found) | {"left_out": (last["manifest"] or {}).get("left_out", [])})
    else:
        at = address()
        again = f"pursight scan {spoken(source)}" if elsewhere() else "pursight status"
        report.show(found, pages=way_in(at.url, at.token, again=again), manifest=last["manifest"])
        if running and running.started:
            stderr.print("The stack stays up for the next scan. Stop it with `pursight down`.", style="dim")
    if last["dead"]:
        stderr.print(f"{last['dead']} table(s) were put aside. See `pursight dlq list`.")
        raise typer.Exit(FAILED)
    if fail_on and report.reaches(found["violations"], fail_on):
        raise typer.Exit(THRESHOLD_MET)


@contextmanager
def _where() -> Iterator[Running | None]:
    """The stack that does the work: the one behind PURSIGHT_URL (None), else the local one, up."""
    if elsewhere():
        yield None
    else:
        with _stopping_what_was_started() as running:
            yield running


@contextmanager
def _stopping_what_was_started() -> Iterator[Running]:
    """The stack, up. Ctrl-C and SIGTERM stop it again if, and only if, this command started it; the scan goes on at the next `up`."""
    stack = Stack(ServiceSettings().home)
    with interrupted_by_sigterm():
        running = stack.up(silent if stack.home.load().supervised() else say_step)
        try:
            yield running
        except Exception:
            stack.require_space()
            raise
        except KeyboardInterrupt:
            if running.started:
                stderr.print("Stopping what this command started …")
                stack.down()
            raise


def known(line: Edge, name: str) -> str:
    """Scan a source that is registered, by NAME or TENANT/NAME. Returns its key. Raises PurSightError."""
    tenant, slash, rest = name.partition("/")
    named = SourceName(tenant, rest) if slash and tenant and rest else SourceName(DEFAULT_TENANT, name)
    if _registered(line, named) is None:
        folder = f"A folder is written file://{quote(str(Path(name).absolute()))}." if Path(name).is_dir() else ""
        raise UsageError(
            f"there is no source {spoken(named.key)}",
            remedy=folder or f"See `pursight source list`. Write {KNOWN} for a new one.",
            code="unknown_source",
        )
    _again(line, named.key)
    return named.key


def _stays(error: Failed, source: str) -> Failed:
    """The same, and what becomes of the source."""
    hint = f"It stays registered: `pursight scan {spoken(source)}` tries again, `pursight source remove {spoken(source)}` forgets it."
    remedy = error.remedy if error.code == "stuck" else f"{error.remedy} {hint}".strip()
    return Failed(error.what, why=error.why, remedy=remedy, code=error.code)


def register(line: Edge, target: Target) -> str:
    """Register the source and its password; one that is known already is dialled and scanned again. Returns the source's key.

    Where no password is given, the one that is stored for this source and user counts. Raises PurSightError. What is new has to open
    first: a document that is refused, a typing error, or a password that does not open the source leave everything as it was.
    """
    named = SourceName(target.document.get("tenant", DEFAULT_TENANT), target.document["name"])
    before = _registered(line, named)
    _same_place(before, named, target)
    document, own = _beside_what_is_known(before, target), f"local:{named.secret}"
    if not before and named.secret in line.get("/secrets")["secrets"]:
        document["password_secret"] = own
    password = _password(target, document, own)
    if password:
        document["password_secret"] = own
    if before is None or password or judge(document).spec != DataSource.model_validate(before["spec"]):
        _try(line, named, document, password, before)
    if password:
        line.send("PUT", f"/secrets/{quote(named.secret, safe='')}", {"value": password})
    answer = line.send("POST", "/sources", document, version=before["version"] if before else None)
    source = str(answer["source"])
    if not answer["changed"]:
        _again(line, source)
    return source


def _registered(line: Edge, named: SourceName) -> dict[str, Any] | None:
    """The source of this name as the registry has it."""
    try:
        return dict(line.get(path_of(named)))
    except UsageError as error:
        if error.code != "unknown_source":
            raise
        return None


def _same_place(before: dict[str, Any] | None, named: SourceName, target: Target) -> None:
    """Raises UsageError where a name that nobody chose is that of a source at another place."""
    if before is None or target.chosen:
        return
    known = DataSource.model_validate(before["spec"])
    if any(getattr(known, field) != target.document[field] for field in PLACE if field in target.document):
        raise UsageError(
            f"{named.name} is the name of another source already",
            why=f"that one is {known.engine} at {known.host or 'this machine'}, {known.path or known.database}",
            remedy="Give this one a name of its own with --name.",
            code="name_taken",
        )


def _beside_what_is_known(before: dict[str, Any] | None, target: Target) -> dict[str, Any]:
    """What was declared on a source of this name stays; the URL changes how it is reached, and no more. Another user's password goes."""
    if before is None:
        return dict(target.document)
    spec, reached = dict(before["spec"]), {field: target.document[field] for field in REACHED_BY if target.document.get(field)}
    if reached.get("username", spec.get("username")) != spec.get("username"):
        spec.pop("password_secret", None)
    return spec | {field: spec.get(field, {}) | value if isinstance(value, dict) else value for field, value in reached.items()}


def _password(target: Target, document: dict[str, Any], own: str) -> str | None:
    """What was given, else what a person says where none is known. One that the source takes from elsewhere is not replaced."""
    known = document.get("password_secret", "")
    if known not in ("", own):
        if target.password:
            stderr.print(f"The password is the one of {known}, as the source says; what was given is not used.", style="dim", markup=False)
        return None
    return target.password or (None if known else ask_password(document))


def _try(line: Edge, named: SourceName, document: dict[str, Any], password: str | None, before: dict[str, Any] | None) -> None:
    """Dial before anything is kept. Raises PurSightError: the document is refused, or, with the diagnosis, the source cannot be reached."""
    found = line.send("POST", "/preflight", {"source": document, **({"password": password} if password else {})})
    if found["reachable"]:
        return
    stored = (before or {"spec": {}})["spec"].get("password_secret")
    if before is None:
        kept = "nothing was registered"
    elif stored and password:
        kept = "the password that was stored before is kept"
    elif stored and stored != document.get("password_secret"):
        kept = f"the password that is stored is of {before['spec'].get('username') or 'no user'}, and no other was given"
    else:
        kept = "the source stays as it was"
    raise _could_not(named.key, _for_a_url(found["diagnosis"], document), kept)


def _for_a_url(diagnosis: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The same, where it is about signing in, in words for who typed a URL and wrote no file."""
    cloud = document.get("cloud_config", {}).get("provider", "")
    if diagnosis["code"] in ("own_identity_denied", "no_credentials") and cloud and not elsewhere():
        remedy = (
            f"Set {OF_THE_SHELL[cloud]}; then `pursight down`, and scan again: the stack signs in with what the shell had that started it."
        )
        return diagnosis | {"cause": f"nothing here says who you are at {cloud}", "remedy": remedy}
    if diagnosis["code"] not in ("wrong_password", "password_missing"):
        return diagnosis
    variable = ENGINES[document.get("engine", "postgresql")].password_variable
    file = " or ~/.pgpass" if variable == "PGPASSWORD" else ""
    return diagnosis | {"remedy": f"Check the user, and the password in {f'{variable}{file}, or in ' if variable else ''}the URL."}


def _again(line: Edge, source: str) -> None:
    """Dial now, because a password or a server may have been mended; then ask for a scan, unless the new connection asks by itself.

    Raises Failed with the diagnosis where the source is still out of reach.
    """
    path = f"/health{path_of(SourceName.parse(source))}"
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
                _raise_where_it_ends(line, now)
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


def _raise_where_it_ends(line: Edge, now: dict[str, Any]) -> None:
    if now["state"] == "unknown" and _registered(line, SourceName.parse(now["source"])) is None:
        raise UsageError(
            f"{spoken(now['source'])} was removed meanwhile",
            why="its scan ended with it",
            remedy="Scan it by its URL to register it again.",
            code="source_removed",
        )
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


def ask_password(document: dict[str, Any]) -> str | None:
    """Ask a person for the password where somebody is there to answer. Raises KeyboardInterrupt where they leave instead."""
    signs_in = "username" in document and not document.get("cloud_config", {}).get("use_iam_auth")
    if not (signs_in and sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    try:
        given = typer.prompt(
            f"Password for {document['username'] or 'the database'} (empty for none)",
            default="",
            hide_input=True,
            show_default=False,
            err=True,
        )
    except typer.Abort:
        raise KeyboardInterrupt from None
    return given or None
