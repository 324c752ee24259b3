"""The tree of commands."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from shared.cli import scan, trace
from shared.cli.target import parse
from shared.errors import UsageError
from shared.local import cli as stack_commands

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Data governance that runs on events. Start with `pursight demo`.",
)
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
FailOn = Annotated[str, typer.Option("--fail-on", metavar="SEVERITY", help="exit with 3 where a violation is at least this severe")]


@app.command("scan")
def scan_(
    url: Annotated[str, typer.Argument(help="postgresql://USER@HOST:PORT/DATABASE; the password may come from PGPASSWORD or ~/.pgpass")],
    name: Annotated[str, typer.Option(help="the source's name; made from the URL where not given")] = "",
    tenant: Annotated[str, typer.Option(help="whose source it is")] = "",
    json_output: Json = False,
    fail_on: FailOn = "",
) -> None:
    """Scan a database: start what is not running, register, follow, report."""
    target = scan.ask_password(parse(url, name=name, tenant=tenant))
    scan.run(lambda _: target, json_output=json_output, fail_on=fail_on)


@app.command()
def demo(json_output: Json = False, fail_on: FailOn = "") -> None:
    """Make a sample company and scan it."""
    from shared.cli import demo as command  # brings a database driver and the company, which no other command needs

    command.run(json_output=json_output, fail_on=fail_on)


@app.command()
def run(
    service: Annotated[str, typer.Argument(help="registry, connector, discovery, classifier, compliance, tagger, catalog or door")],
) -> None:
    """Run one service in the foreground, with settings from the environment."""
    found = entry_points(group="pursight.services", name=service)
    if not found:
        known = ", ".join(sorted(entry.name for entry in entry_points(group="pursight.services")))
        raise UsageError(f"there is no service {service}", remedy=f"Known are {known}.", code="unknown_service")
    next(iter(found)).load().run()


@app.command("trace")
def trace_(trace_id: Annotated[str, typer.Argument(help="as `scan` prints it")], json_output: Json = False) -> None:
    """Which service said what, when, after which event, in one trace and those linked to it."""
    trace.show(trace_id, json_output=json_output)


stack_commands.register(app, page_link=scan.page_link)
for entry in entry_points(group="pursight.commands"):
    if sys.argv[1:2] in ([], ["--help"], [entry.name]):
        app.add_typer(entry.load(), name=entry.name)
