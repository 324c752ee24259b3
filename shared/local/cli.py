"""`pursight up | down | status | doctor | reset`. Exit codes: 0 done, 1 it failed, 2 wrong use, 130 interrupted."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from shared.errors import PurSightError
from shared.local.stack import Running, Stack, Step
from shared.local.status import PartStatus, Status, status_of

if TYPE_CHECKING:  # they are imported where they are used: most commands need neither
    from rich.table import Table

    from shared.local.doctor import Finding

Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
PageLink = Callable[[Running], str]
INTERRUPTED = 130
MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "wrong": "[red]wrong[/]"}


def register(app: typer.Typer, *, page_link: PageLink) -> None:
    """Add the commands. `page_link` makes the address that opens the pages in a browser, once."""

    @app.command()
    def up(
        json: Json = False,
        new_ports: Annotated[bool, typer.Option("--new-ports", help="Choose other ports than last time.")] = False,
    ) -> None:
        """Start the local stack and wait until it is ready. It stays up when this command has ended."""
        with told():
            stack = Stack()
            with interrupted_by_sigterm():
                running = stack.up(_show_step, new_ports=new_ports)
            _show_status(status_of(stack), json=json, first=_headline(running), link=page_link(running))

    @app.command()
    def down() -> None:
        """Stop everything cleanly. Data and ports are kept."""
        with told():
            say("Stopped." if Stack().down() else "Nothing was running.")

    @app.command()
    def status(json: Json = False) -> None:
        """Where everything is, and how it is. Exit code 1 where something is not ready."""
        with told():
            stack = Stack()
            found = status_of(stack)
            link = page_link(stack.running()) if found.running and not json else ""
            _show_status(
                found, json=json, first="" if found.running else "The stack is not running. Start it with `pursight up`.", link=link
            )
            raise typer.Exit(0 if found.ready else 1)

    @app.command()
    def doctor(json: Json = False) -> None:
        """Look for what is wrong and say what to do. Exit code 1 where something is."""
        from shared.local.doctor import examine

        with told():
            found = examine(Stack())
            _show_findings(found, json=json)
            raise typer.Exit(1 if any(finding.level == "wrong" for finding in found) else 0)

    @app.command()
    def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
        """Stop everything and delete the data directory: sources, results, secrets, logs."""
        with told():
            stack = Stack()
            if not yes and not sys.stdin.isatty():
                say("Nobody can be asked here. Run `pursight reset --yes`.")
                raise typer.Exit(2)
            if not yes and not typer.confirm(f"Delete everything that PurSight keeps in {stack.home.path}?", err=True):
                say("Nothing was deleted.")
                raise typer.Exit(1)
            say(f"Deleted {stack.home.path}." if stack.reset() else "There was nothing to delete.")


@contextmanager
def told() -> Iterator[None]:
    """Errors of ours become one line and their exit code; Ctrl-C becomes 130."""
    try:
        yield
    except PurSightError as error:
        say(error.line())
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError:  # who read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains when it flushes at the end
        raise typer.Exit(0) from None
    except OSError as error:
        say(f"{error.filename or 'The data directory'} cannot be used: {error.strerror or type(error).__name__}. Run `pursight doctor`.")
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        say("Interrupted. What this command started is stopped again.")
        raise typer.Exit(INTERRUPTED) from error


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


def _show_step(step: Step) -> None:
    say(f"{step.seconds:6.1f} s  {step.part}: {step.what}")


def _headline(running: Running) -> str:
    return "Up." if running.started else "Already up."


def _show_status(found: Status, *, json: bool, first: str, link: str) -> None:
    if json:
        print(found.model_dump_json(indent=2))
        return
    if first:
        say(first)
    if found.running:
        from rich.console import Console

        console = Console(highlight=False, soft_wrap=True)
        console.print(_table(found.parts))
        for line in _summary(found, link):
            console.print(line, markup=False)


def _table(parts: list[PartStatus]) -> Table:
    from rich.table import Table

    table = Table("part", "address", "state", "pid", "restarts", "memory", box=None)
    for part in parts:
        state = "[green]ready[/]" if part.ready else f"[red]{part.problem}[/]"
        table.add_row(part.name, part.address, state, str(part.pid or "-"), str(part.restarts), f"{part.memory_bytes >> 20} MiB")
    return table


def _summary(found: Status, link: str) -> Iterator[str]:
    if link:
        yield f"pages     {link}"
    yield f"broker    {found.broker}"
    yield f"database  {found.database}"
    yield f"data      {found.data_directory}"
    yield f"memory    {found.memory_bytes >> 20} MiB"


def _show_findings(found: list[Finding], *, json: bool) -> None:
    from rich.console import Console

    if json:
        Console().print_json(data={"findings": [vars(finding) for finding in found]})
        return
    console = Console(highlight=False, soft_wrap=True)
    for finding in found:
        console.print(f"{MARKS[finding.level]:>4}  {finding.what}:", end=" ")
        console.print(f"{finding.says}. {finding.remedy}".rstrip(), markup=False)
        for line in finding.log:
            console.print(f"        {line}", markup=False)
