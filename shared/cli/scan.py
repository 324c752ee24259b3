"""`pursight scan URL`: from a database's address to classes, violations and tags, following the events as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from shared.cli import report
from shared.cli.connect import Edge, address, as_read, edge, elsewhere, scan_path
from shared.cli.find import table_in
from shared.cli.output import plain, spelled, spoken, stderr, text_as_json
from shared.cli.pages import way_in
from shared.cli.registering import NOTHING_MORE, could_not, known, register, registered
from shared.cli.stack import interrupted_by_sigterm, news_of
from shared.cli.target import Target
from shared.contracts.names import SourceName
from shared.errors import Failed, UsageError, did_you_mean
from shared.local.stack import Running, Stack
from shared.settings import ServiceSettings

STAGES = {"found": "tables found", "classified": "classified", "judged": "judged", "tagged": "tagged"}
POLL_SECONDS, LONGEST_POLL_SECONDS, POLL_SHARE = 0.2, 2.0, 0.03  # a long scan is asked after less often: counting costs the catalog
LATEST = 10  # scans among which one that was not over when this command began is looked for
FAILED, THRESHOLD_MET = 1, 3


def run(
    target_of: Callable[[Running | None], Target | str], *, json_output: bool, fail_on: str, asked: Mapping[str, Any] = NOTHING_MORE
) -> None:
    """Start what is not running, register, follow, report. Exits 1 where the scan failed or something is stuck, 3 on `fail_on`.

    `target_of` gives what to register, or the name of a source that is registered, of which `asked` may name a part. With PURSIGHT_URL
    the stack behind that door does the work, nothing is started here, and `target_of` is given None.
    """
    if fail_on and fail_on not in report.SEVERITIES:
        raise UsageError(f"--fail-on {fail_on} is no severity", remedy=f"Use one of {', '.join(report.SEVERITIES)}.", code="bad_severity")
    with _where() as running, edge() as line:
        with _not_asked_for_yet():
            target = target_of(running)
            if isinstance(target, str) and (tables := asked.get("scope", {}).get("tables")):
                asked = {**asked, "scope": {"tables": [table_in(line, target, name) for name in tables]}}
            since = datetime.now(UTC)
            source = known(line, target, asked) if isinstance(target, str) else register(line, target)
        try:
            last = follow(line, source, since, shown=not json_output, alone="scope" in asked)
        except Failed as error:
            raise _stays(error, source) from None
        except KeyboardInterrupt:
            where = "at the next `pursight up`" if running and running.started else "without this command: `pursight scans list` tells"
            stderr.print(f"{spoken(source)}: the scan goes on {where}.", highlight=False, markup=False)
            raise
        text = line.text(f"/export/scan/{quote(source, safe='')}", printed=json_output or None)
    scope = asked.get("scope", {})
    found = as_read(text) if scope or fail_on or not json_output else {}
    if scope:
        _look_at_what_was_asked_for(source, scope, last["manifest"]["tables"], found["assets"])
    if json_output:
        text_as_json(f'{text[:-1]}, "left_out": {spelled(last["manifest"].get("left_out", []))}}}')
    if not json_output:
        if scope:
            told = f"Looked at: {last['manifest']['tables']:,} of {len(found['assets']):,} tables; what is told is of all of them."
            stderr.print(told, highlight=False)
        at = address()
        again = f"pursight scan {spoken(source)}" if elsewhere() else "pursight status"
        report.show(found, pages=way_in(at.url, at.token, again=again), manifest=last["manifest"])
        if running and running.started:
            stderr.print("The stack stays up for the next scan. Stop it with `pursight down`.", style="dim")
    if last["dead"]:
        stderr.print(f"{last['dead']} table(s) were put aside. See `pursight dlq list`.")
        raise typer.Exit(FAILED)
    if fail_on and (count := report.reaching(found["violations"], fail_on)):
        stderr.print(f"Open violations of {fail_on} or worse: {count:,}.", highlight=False)
        raise typer.Exit(THRESHOLD_MET)


def _look_at_what_was_asked_for(source: str, scope: Mapping[str, Sequence[str]], seen: int, known: Sequence[dict[str, Any]]) -> None:
    """Say which of the schemas or tables that were named are not there, and what is called alike. Raises UsageError where none is."""
    there = {"schemas": {each["schema"] for each in known}, "tables": {f"{each['schema']}.{each['table']}" for each in known}}
    asked = [(name, there[what]) for what, names in scope.items() for name in names]
    missing = {name: did_you_mean(name, sorted(among - {name})) for name, among in asked if not seen or name not in among}
    told, near = f"nothing there is called {' or '.join(missing)}", " ".join(filter(None, missing.values()))
    if not seen:
        remedy = near or "Write the names as the database does: --schema SCHEMA, --table SCHEMA.TABLE."
        raise UsageError(f"{spoken(source)} has no such table", why=told, remedy=remedy, code="nothing_there")
    if missing:
        stderr.print(plain(f"In {spoken(source)} {told}. {near}".rstrip()))


@contextmanager
def _not_asked_for_yet() -> Iterator[None]:
    """Ctrl-C in here is told to have left nothing behind."""
    try:
        yield
    except KeyboardInterrupt:
        stderr.print("Interrupted before the scan was asked for: nothing was begun.", highlight=False)
        raise


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
        with _not_asked_for_yet():
            running = stack.up(news_of(stack))
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


def _stays(error: Failed, source: str) -> Failed:
    """The same, and what becomes of the source."""
    if error.code == "stopped":
        remedy = "The scan goes on after `pursight up` (after `pursight reset` it does not)."
        return Failed(error.what, remedy=remedy, code=error.code)
    hint = f"It stays registered: `pursight scan {spoken(source)}` tries again, `pursight source remove {spoken(source)}` forgets it."
    remedy = error.remedy if error.code in ("stuck", "source_removed") else f"{error.remedy} {hint}".strip()
    return Failed(error.what, why=error.why, remedy=remedy, code=error.code)


def follow(line: Edge, source: str, since: datetime, *, shown: bool, alone: bool = False) -> dict[str, Any]:
    """Poll until the scan is done, and unless it goes `alone` each one before it that was not over; bars on a terminal. The manifest counts
    what all of them told.

    Raises Failed with the diagnosis where it failed or is stuck.
    """
    began = time.monotonic()
    earlier = [] if alone else _not_over(line.get("/scan-jobs", source=source, limit=LATEST)["scans"], since)
    if any(each["state"] == "running" for each in earlier):
        stderr.print(f"An earlier scan of {spoken(source)} is not over: what it finds counts, too.", highlight=False, markup=False)
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
            before = [line.get(f"/progress/{quote(each['scan_id'], safe='')}") for each in earlier]
            for stage, task in tasks.items():
                done, total = _together([*before, now], stage)
                bars.update(task, completed=done, total=total, count=f"{done:,}" + (f" of {total:,}" if total is not None else ""))
            open_ones = (each for each, job in zip(before, earlier, strict=True) if not each["done"] and _goes_on(line, job["scan_id"]))
            waits_for = next(open_ones, None) if now["done"] else now
            if waits_for is None:
                return dict(now) | {
                    "manifest": _counted_together(now["manifest"], before, [_job(line, each["scan_id"]) for each in earlier])
                }
            if not _discovery_is_at_it(line, waits_for):
                _raise_where_it_ends(line, waits_for)
            line.rest(_pause(time.monotonic() - began, *_together([*before, now], "tagged")))


def _pause(seconds: float, tagged: int, total: int | None) -> float:
    """Until it is asked again, of a scan that is `seconds` old: not longer than what is left will take, if it goes on like that."""
    left = 1 - tagged / total if total else 1.0
    return min(LONGEST_POLL_SECONDS, max(POLL_SECONDS, min(POLL_SHARE, left) * seconds))


def _not_over(scans: Sequence[dict[str, Any]], since: datetime) -> list[dict[str, Any]]:
    """Scans that were asked for before `since`, and were at work then: one that was interrupted, say."""

    def was_at_work(scan: dict[str, Any]) -> bool:
        over_since = scan["ended_at"] and datetime.fromisoformat(scan["ended_at"]) > since
        return datetime.fromisoformat(scan["asked_at"]) < since and bool(scan["state"] == "running" or over_since)

    return [each for each in scans if was_at_work(each)]


def _goes_on(line: Edge, scan_id: str) -> bool:
    """Will this scan come to its end by itself? Who paused, cancelled or lost it is not waited for."""
    return _job(line, scan_id)["state"] in ("waiting", "running", "completed")


def _job(line: Edge, scan_id: str) -> dict[str, Any]:
    return dict(line.get(scan_path(scan_id)))


def _together(scans: Sequence[dict[str, Any]], stage: str) -> tuple[int, int | None]:
    """How many assets have passed the stage, of how many; None while a scan is still counting."""
    totals = [each["total"] for each in scans]
    return sum(each[stage] for each in scans), None if None in totals else sum(totals)


def _counted_together(manifest: dict[str, Any], earlier: Sequence[dict[str, Any]], jobs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The manifest of the last scan, with what those before it told: to who asked, all of it is new.

    How much that was, their jobs know: the manifest of one that was overtaken leaves out what was looked at again since.
    """
    removed = sum((each["manifest"] or {}).get("removed", 0) for each in earlier)
    changed = sum(each["changed"] for each in jobs)
    return manifest | {"changed": manifest["changed"] + changed, "removed": manifest["removed"] + removed}


def _discovery_is_at_it(line: Edge, now: dict[str, Any]) -> bool:
    """A long look at a large or slow database is quiet, and not stuck, as long as nobody behind it has something to do."""
    if not now["stuck"] or any(each["service"] != "discovery" for each in now["waiting"]):
        return False
    scans = [_job(line, now["scan_id"])] if now["scan_id"] else line.get("/scan-jobs", source=now["source"], limit=1)["scans"]
    return bool(scans) and scans[0]["state"] in ("waiting", "running")


def _raise_where_it_ends(line: Edge, now: dict[str, Any]) -> None:
    if now["state"] == "unknown" and registered(line, SourceName.parse(now["source"])) is None:
        raise UsageError(
            f"{spoken(now['source'])} was removed meanwhile",
            why="its scan ended with it",
            remedy="Scan it by its URL to register it again.",
            code="source_removed",
        )
    if now["failed"]:
        raise could_not(now["source"], now["diagnosis"])
    if now["stuck"]:
        first = (now["waiting"] or [{"service": "?", "asset": now["source"], "stage": "?"}])[0]
        raise Failed(
            f"nothing has moved for {now['quiet_seconds']:.0f} s",
            why=f"{first['service']} has not {first['stage']} {spoken(first['asset'])}",
            remedy="See `pursight status` and `pursight dlq list`; the scan goes on by itself when that is mended.",
            code="stuck",
        )
