"""The tree of commands. What one of them needs is imported when it runs: a shell waits for no library that it does not use."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from shared.cli import stack
from shared.errors import UsageError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Data governance that runs on events. Start with `pursight demo`.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
FailOn = Annotated[str, typer.Option("--fail-on", metavar="SEVERITY", help="exit with 3 where an open violation is at least this severe")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"pursight {version('pursight')}")
        raise typer.Exit


@app.callback()
def pursight(
    shown: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    """What stands before a command."""


@app.command("scan")
def scan_(
    url: Annotated[
        str,
        typer.Argument(
            help="postgresql://, mysql://, mariadb:// or mongodb://USER@HOST:PORT/DATABASE (password: PGPASSWORD, ~/.pgpass or MYSQL_PWD), "
            "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://ACCOUNT/CONTAINER/PREFIX or file:///FOLDER; or the name of a registered source"
        ),
    ],
    name: Annotated[str, typer.Option(help="the source's name; made from the URL where not given")] = "",
    tenant: Annotated[str, typer.Option(help="whose source it is")] = "",
    schemas: Annotated[list[str] | None, typer.Option("--schema", help="of a registered source only this schema; may be repeated")] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="TABLE", help="of a registered source only this table, as `show` takes it; may be repeated"),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="say every table of a registered source again, also what did not change")] = False,
    json_output: Json = False,
    fail_on: FailOn = "",
) -> None:
    """Scan a database: start what is not running, register, follow, report."""
    from shared.cli import scan
    from shared.cli.target import parse

    if schemas and tables:
        raise UsageError(
            "a scan is of whole schemas or of single tables", remedy="Give --schema or --table, or scan twice.", code="two_scopes"
        )
    scope = {what: names for what, names in (("schemas", schemas), ("tables", tables)) if names}
    asked = ({"scope": scope} if scope else {}) | ({"mode": "full"} if full else {})
    if url and ":" not in url:
        if name:
            raise UsageError(f"--name names what a URL registers, and {url} is none", remedy="Leave it out.", code="name_of_a_name")
        return scan.run(lambda _: f"{tenant}/{url}" if tenant else url, json_output=json_output, fail_on=fail_on, asked=asked)
    target = parse(url, name=name, tenant=tenant)
    if asked:
        raise UsageError(
            "--schema, --table and --full are for a source that is registered",
            remedy=f"Scan it whole once, then `pursight scan {target.document['name']} …`.",
            code="part_of_a_url",
        )
    return scan.run(lambda _: target, json_output=json_output, fail_on=fail_on)


@app.command()
def demo(json_output: Json = False, fail_on: FailOn = "") -> None:
    """Make a sample company and scan it."""
    from shared.cli import demo as command

    command.run(json_output=json_output, fail_on=fail_on)


@app.command()
def run(
    service: Annotated[str, typer.Argument(help="registry, connector, discovery, classifier, compliance, tagger, catalog or door")] = "",
    config: Annotated[
        str, typer.Option(metavar="FILE", help="a job instead of a service: its configuration, or - for standard input")
    ] = "",
    mode: Annotated[str, typer.Option(help="of a job: validate, plan, apply or outputs")] = "validate",
    asset: Annotated[str, typer.Option(metavar="FILE", help="of a job: the contract of its asset, instead of its asset_path")] = "",
    form: Annotated[str, typer.Option("--variables", help="of a plan: Terraform's variables as json or hcl")] = "json",
    export: Annotated[
        str, typer.Option(help="of a plan, instead of Terraform: cloudformation or pulumi, to --out or standard output")
    ] = "",
    approve: Annotated[str, typer.Option(metavar="DIGEST", help="of an apply: the plan that you looked at")] = "",
    accept: Annotated[list[str] | None, typer.Option(metavar="CODE", help="of an apply: what the rules refuse and you accept")] = None,
    out: Annotated[str, typer.Option(metavar="PATH", help="of a job: the file of an export, the folder of outputs")] = "",
    json_output: Json = False,
) -> None:
    """Run one service in the foreground, with settings from the environment; or with --config, a job."""
    if bool(service) is bool(config):
        raise UsageError("run needs a service or a job", remedy="Write `run SERVICE`, or `run --config FILE`.", code="run_what")
    if config:
        told = {"form": form, "export": export, "approve": approve, "accept": tuple(accept or ()), "out": out}
        next(iter(entry_points(group="pursight.jobs", name="job"))).load()(config, mode, asset=asset, json_output=json_output, **told)
        return
    found = entry_points(group="pursight.services", name=service)
    if not found:
        known = ", ".join(sorted(entry.name for entry in entry_points(group="pursight.services")))
        raise UsageError(f"there is no service {service}", remedy=f"Known are {known}.", code="unknown_service")
    next(iter(found)).load().run()


@app.command("trace")
def trace_(trace_id: Annotated[str, typer.Argument(help="as `scan` prints it")], json_output: Json = False) -> None:
    """Which service said what, when, after which event, in one trace and those linked to it."""
    from shared.cli import trace

    trace.show(trace_id, json_output=json_output)


@app.command("search")
def search_(
    words: Annotated[list[str] | None, typer.Argument(help="parts of names of tables, columns or classes; none finds all")] = None,
    class_: Annotated[str, typer.Option("--class", help="only tables with a column of this class, such as iban")] = "",
    sensitivity: Annotated[str, typer.Option(help="restricted, confidential, internal or public")] = "",
    framework: Annotated[str, typer.Option(help="only tables that fail a control of it, such as GDPR")] = "",
    source: Annotated[str, typer.Option(help="only this one's: NAME or TENANT/NAME; TENANT/ for all of a tenant")] = "",
    review: Annotated[bool, typer.Option("--review", help="only tables with columns that a person should look at")] = False,
    limit: Annotated[int, typer.Option(min=1, help="tables")] = 20,
    json_output: Json = False,
) -> None:
    """Tables by words in their names, columns and classes, the riskiest first."""
    from shared.cli import find

    filters = {"class": class_, "sensitivity": sensitivity, "framework": framework, "review": "1" if review else ""}
    find.search(words or (), json_output=json_output, limit=limit, source=source, **filters)


@app.command("show")
def show_(
    name: Annotated[str, typer.Argument(metavar="TABLE", help="as `search` shows it, or the end of that, such as public.customer")],
    json_output: Json = False,
) -> None:
    """One table: its columns with class and why, what it violates and what helps, its tags."""
    from shared.cli import find

    find.show(name, json_output=json_output)


def _help_of(entry: EntryPoint) -> str:
    """What a group says it is for: `help` of its `typer.Typer(…)`, read from the module's text without running it."""
    found = find_spec(entry.module)
    source = Path(found.origin).read_text("utf-8") if found and found.origin else ""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    told = (word.value for call in calls for word in call.keywords if word.arg == "help")
    return next((str(text.value) for text in told if isinstance(text, ast.Constant)), "")


def _group(entry: EntryPoint) -> typer.Typer:
    """The group itself where it is asked for; for the list of all, only its name and what it is for."""
    asked_for: typer.Typer = entry.load() if sys.argv[1:2] == [entry.name] else typer.Typer(help=_help_of(entry))
    return asked_for


def _names(of: typer.Typer) -> set[str]:
    return {each.name or each.callback.__name__ for each in of.registered_commands if each.callback}


app.add_typer(stack.app)
groups = entry_points(group="pursight.commands")
is_known = bool({"--version", *_names(app), *_names(stack.app), *groups.names}.intersection(sys.argv[1:2]))
for entry in groups:
    if not is_known or sys.argv[1:2] == [entry.name]:  # a list of all, also for who mistyped one and is told the nearest
        app.add_typer(_group(entry), name=entry.name)
