"""`pursight up | down | status | doctor | reset`: the local stack."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from shared.errors import Failed
from shared.local.stack import Progress, Stack, Step
from shared.local.status import PartStatus, Status, status_of

if TYPE_CHECKING:  # they are imported where they are used: most commands need neither
    from rich.text import Text

    from shared.local.doctor import Finding

app = typer.Typer()
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
SETTLE_SECONDS = 10.0  # a part that was ready a moment ago, and is busy now
STYLES = {"ok": "green", "note": "yellow", "wrong": "red"}


@app.command()
def up(
    json: Json = False,
    new_ports: Annotated[bool, typer.Option("--new-ports", help="Choose other ports than last time.")] = False,
) -> None:
    """Start the local stack and wait until it is ready. It stays up when this command has ended."""
    stack = Stack()
    with interrupted_by_sigterm():
        running = stack.up(news_of(stack), new_ports=new_ports)
    found = _settled(stack)
    kept = "Already up" + (", on the ports that it has: `pursight down` comes before others." if new_ports else ".")
    _show_status(stack, found, json=json, first="Up." if running.started else kept)
    if away := ", ".join(f"{part.name} {part.problem}" for part in found.parts if not part.ready):
        raise Failed(
            "the stack is up, and not all of it is ready",
            why=away,
            remedy="`pursight doctor` says more; `pursight down` and `pursight up` start it anew.",
            code="part_away",
        )


@app.command()
def down() -> None:
    """Stop everything cleanly. Data and ports are kept."""
    stack = Stack()
    if sys.stderr.isatty() and stack.home.supervisors():
        say("Stopping …")  # servers write down what they have, which can take a while
    say("Stopped." if stack.down(say_step) else "Nothing was running.")


@app.command()
def status(json: Json = False) -> None:
    """Where everything is, and how it is. Exit code 1 where something is not ready."""
    stack = Stack()
    found = status_of(stack)
    _show_status(stack, found, json=json, first="" if found.running else "The stack is not running. Start it with `pursight up`.")
    raise typer.Exit(0 if found.ready else 1)


@app.command()
def doctor(json: Json = False) -> None:
    """Look for what is wrong and say what to do. Exit code 1 where something is."""
    from shared.local.doctor import examine

    found = examine(Stack())
    _show_findings(found, json=json)
    raise typer.Exit(1 if any(finding.level == "wrong" for finding in found) else 0)


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop everything and delete the data directory: sources, results, secrets, logs."""
    from shared.cli.output import sure

    stack = Stack()
    sure(f"Delete everything that PurSight keeps in {stack.home.path}?", yes=yes)
    say(f"Deleted {stack.home.path}." if stack.reset() else "There was nothing to delete.")


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Within, SIGTERM is as good as Ctrl-C: what was started is stopped."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(line: str) -> None:
    """To people, beside the output proper."""
    print(line, file=sys.stderr, flush=True)


def say_step(step: Step) -> None:
    say(f"{step.seconds:6.1f} s  {step.part}: {step.what}")


def news_of(stack: Stack) -> Progress:
    """How its start is told; of a stack that is up nothing but what it waits for."""
    return _only_waits if stack.home.load().supervised() else say_step


def _only_waits(step: Step) -> None:
    if step.part == "stack":
        say_step(step)


def _settled(stack: Stack) -> Status:
    """How everything is, as soon as it is well; or after a while."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not (found := status_of(stack)).ready and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _show_status(stack: Stack, found: Status, *, json: bool, first: str) -> None:
    if json:
        print(found.model_dump_json(indent=2))
        return
    if first:
        say(first)
    if found.running:
        from shared.cli.output import stdout, table

        table("", ("part", "address", "state", "pid", "restarts", "memory"), map(_row, found.parts))
        for line in _summary(stack, found):
            stdout.print(line, markup=False, highlight=False, soft_wrap=True)


def _row(part: PartStatus) -> tuple[object, ...]:
    from rich.text import Text

    state = Text("ready", style="green") if part.ready else Text(part.problem, style="red")
    return part.name, part.address, state, part.pid or "-", part.restarts, f"{part.memory_bytes >> 20} MiB"


def _summary(stack: Stack, found: Status) -> Iterator[str]:
    from shared.cli.pages import way_in

    if found.door:
        yield f"pages     {way_in(found.door, stack.home.token())}"
    yield f"broker    {found.broker}"
    yield f"database  {found.database}"
    yield f"data      {found.data_directory}"
    yield f"memory    {found.memory_bytes >> 20} MiB"


def _show_findings(found: list[Finding], *, json: bool) -> None:
    from shared.cli.output import as_json, stdout

    if json:
        return as_json({"findings": [vars(finding) for finding in found]})
    for finding in found:
        stdout.print(_told(finding), highlight=False, soft_wrap=True)
    return None


def _told(finding: Finding) -> Text:
    from rich.text import Text

    words = f"  {finding.what}: {finding.says}. {finding.remedy}".rstrip()
    log = "".join(f"\n        {line}" for line in finding.log)
    return Text.assemble((f"{finding.level:>5}", STYLES[finding.level]), words, log)
