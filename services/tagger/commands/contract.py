"""`pursight contract …`: check, compare and show data contracts; files need no running stack."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from services.tagger.commands.documents import contract_from
from services.tagger.domain.declared import Where
from services.tagger.domain.odcs import simple_form
from shared.cli.connect import Edge, edge, path_of
from shared.cli.output import as_json, plain, spoken, stdout, table
from shared.contracts.names import DEFAULT_TENANT, SourceName
from shared.errors import Failed, UsageError

app = typer.Typer(no_args_is_help=True, help="Data contracts: lint, diff, show.")
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
File = Annotated[str, typer.Argument(metavar="FILE", help="a contract in ODCS 3.0, 3.1 or the simple form; - for standard input")]
SHOWN = 5  # names of tables that are told
FOUND = 3  # exit code where the data shows more than the contract says


@app.command()
def lint(file: File, json_output: Json = False) -> None:
    """Is it a valid contract? Every problem with its line."""
    normal, where = contract_from(file, json_output=json_output)
    notes = [
        f"{where.of(path)} is no field that is known here: kept as a custom property.{_meant(near)}"
        for path, near in normal.strange.items()
    ]
    if json_output:
        return as_json({"contract": normal.contract, "problems": [], "notes": notes})
    filled = f" Filled in: {', '.join(normal.added)}." if normal.added else ""
    stdout.print(plain(f"This contract is {'valid' if notes else 'fine'}.{filled}"))
    for note in notes:
        stdout.print(plain(f"  note: {note}"))


def _meant(near: str) -> str:
    return f" Did you mean {near}?" if near else ""


@app.command()
def diff(
    file: File,
    source: Annotated[str, typer.Option(help="the source, NAME or TENANT/NAME, where the contract does not name it")] = "",
    json_output: Json = False,
) -> None:
    """What scans found and the contract does not say. Exit code 3 where there is any."""
    normal, where = contract_from(file, json_output=json_output)
    with edge() as line:
        found = line.send(
            "POST", "/contracts/compare", {"contract": simple_form(normal.contract), "source": _named(source).key if source else ""}
        )
        nothing = None if found["assets"] else _nothing(line, normal.contract, source)
    if json_output:
        as_json(found)
    if nothing:
        raise nothing
    if not json_output:
        _beyond(found, where)
    if found["findings"]:
        raise typer.Exit(FOUND)


def _nothing(line: Edge, contract: dict[str, Any], source: str) -> Failed:
    """Why there is nothing to compare with: of a source that was named, what it has and what the contract describes."""
    what, code = "there is nothing to compare with", "no_asset"
    if not source:
        remedy = "Give --source NAME, check servers, the custom property source and the names in schema, or scan the source first."
        return Failed(what, why="no asset that scans found matches this contract", remedy=remedy, code=code)
    try:
        has = _names(line.get(_path(source, "/detected"))["contract"])
    except UsageError as error:
        if error.code != "nothing_detected":
            raise
        remedy = f"Scan it: `pursight scan {source}`; `pursight source list` has the names."
        return Failed(what, why=f"nothing is known of the source {source}", remedy=remedy, code=code)
    why = f"{source} has {has or 'no tables'}, and the contract's schema names {_names(contract) or 'none'}"
    return Failed(what, why=why, remedy="Name tables of the source in schema, or give another --source.", code=code)


def _names(contract: dict[str, Any]) -> str:
    """Some of the objects that a contract describes, as they are called at the source."""
    names = sorted({str(each.get("physicalName") or each.get("name", "")) for each in contract.get("schema", ())})
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _beyond(found: dict[str, Any], where: Where) -> None:
    if not found["findings"]:
        return stdout.print(plain(f"Nothing: {len(found['assets'])} assets were found, and they hold no more than the contract says."))
    rows = [
        (
            spoken(each["asset"]),
            each["column"],
            each["code"],
            each["declared"],
            each["detected"],
            where.of(each["path"]),
            each["remedy"],
        )
        for each in found["findings"]
    ]
    table("Beyond the contract", ("asset", "column", "what", "declared", "detected", "where", "what helps"), rows)


@app.command()
def show(
    which: Annotated[str, typer.Argument(help="a file, TENANT/ID of a published contract, or with --detected a source")],
    detected: Annotated[bool, typer.Option("--detected", help="what scans found in the source, as a contract")] = False,
    simple: Annotated[bool, typer.Option("--simple", help="in the form in which it was written")] = False,
    json_output: Json = False,
) -> None:
    """A contract in valid ODCS."""
    contract = _detected(which) if detected else _contract(which, json_output=json_output)
    found = simple_form(contract) if simple else contract
    if json_output:
        return as_json(found)
    sys.stdout.write(yaml.safe_dump(found, sort_keys=False, allow_unicode=True))


def _contract(which: str, *, json_output: bool) -> dict[str, Any]:
    if which == "-" or Path(which).is_file():
        return contract_from(which, json_output=json_output)[0].contract
    with edge() as line:
        return dict(line.get(_path(which))["contract"])


def _detected(source: str) -> dict[str, Any]:
    with edge() as line:
        return dict(line.get(_path(source, "/detected"))["contract"])


def _path(which: str, end: str = "") -> str:
    return path_of(_named(which), "/contracts") + end


def _named(name: str) -> SourceName:
    """What is called `tenant/name` or just `name`."""
    tenant, slash, rest = name.partition("/")
    if not rest and slash:
        raise UsageError("there is no name behind the tenant", remedy="Write NAME, or TENANT/NAME.", code="bad_name")
    return SourceName(tenant, rest) if slash and tenant else SourceName(DEFAULT_TENANT, rest or name)
