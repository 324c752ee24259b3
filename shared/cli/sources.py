"""`pursight source …` and `pursight secrets …`: register, look, remove; values of secrets go in and never come out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
import yaml

from shared.cli.connect import edge
from shared.cli.output import as_json, plain, spoken, stdout, table
from shared.cli.target import parse
from shared.contracts.names import DEFAULT_TENANT, SourceName
from shared.errors import UsageError
from shared.secrets.vault import LocalVault
from shared.settings import ServiceSettings

source = typer.Typer(no_args_is_help=True, help="Data sources: add, check, list, show, remove.")
secrets = typer.Typer(no_args_is_help=True, help="The local secret store: set, list, remove, rotate.")
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Which = Annotated[str, typer.Argument(help="a YAML or JSON file, - for standard input, or a database URL")]


def read(which: str) -> dict[str, Any]:
    """The document in a file, or made from a URL without its password. Raises UsageError."""
    if "://" in which:
        return parse(which).document
    try:
        document = yaml.safe_load(sys.stdin if which == "-" else Path(which).read_text())
    except OSError as error:
        raise UsageError(f"{which} cannot be read", why=error.strerror or "", code="unreadable") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UsageError(f"{which} is neither YAML nor JSON", why=f"line {mark.line + 1}" if mark else "", code="unreadable") from None
    if not isinstance(document, dict):
        raise UsageError(f"{which} holds no object", remedy="Write fields such as name, host and database.", code="not_an_object")
    return json.loads(json.dumps(document, default=str))  # type: ignore[no-any-return]


def key(name: str) -> str:
    """`tenant/name` or just `name` as a source key."""
    tenant, slash, rest = name.partition("/")
    return SourceName(tenant, rest).key if slash and tenant else SourceName(DEFAULT_TENANT, rest or name).key


def path_of(name: str) -> str:
    """The source's path at the registry; the key's own escapes are escaped for the URL."""
    found = SourceName.parse(key(name))
    return f"/sources/{quote(found.tenant, safe='')}/{quote(found.name, safe='')}"


@source.command()
def add(which: Which, json_output: Json = False) -> None:
    """Register a source, or change it: idempotent by name."""
    with edge() as line:
        answer = line.send("POST", "/sources", read(which))
    if json_output:
        return as_json(answer)
    stdout.print(
        plain(f"{spoken(answer['source'])} is registered as version {answer['version']}{'' if answer['changed'] else ', unchanged'}")
    )
    for note in answer["notes"]:
        stdout.print(plain(f"  note: {note}"))


@source.command()
def check(which: Which, json_output: Json = False) -> None:
    """Validate only; nothing is kept."""
    with edge() as line:
        answer = line.send("POST", "/sources/check", read(which))
    as_json(answer) if json_output else stdout.print("This source is fine.")


@source.command("list")
def list_(json_output: Json = False) -> None:
    """All sources."""
    with edge() as line:
        found = line.get("/sources")
    if json_output:
        return as_json(found)
    rows = [
        (
            spoken(s["source"]),
            s["spec"].get("engine", "postgresql"),
            s["spec"].get("host", "localhost"),
            s["spec"]["database"],
            s["version"],
        )
        for s in found["sources"]
    ]
    table("Sources", ("source", "engine", "host", "database", "version"), rows)


@source.command()
def show(name: str) -> None:
    """One source with its history."""
    with edge() as line:
        as_json(line.get(path_of(name)))


@source.command()
def remove(name: str, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Forget a source: its state, its assets, its topics' entries."""
    if not yes:
        typer.confirm(f"Forget {name} and all that is known of it?", abort=True)
    with edge() as line:
        line.send("DELETE", path_of(name))
    stdout.print(f"{name} is being removed.")


def vault() -> LocalVault:
    """The local stack's secret store."""
    return LocalVault(ServiceSettings().home / "secrets")


@secrets.command("set")
def set_(name: str) -> None:
    """Store a secret; it is asked for, or read from standard input."""
    value = typer.prompt("Value", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not value:
        raise UsageError("the secret is empty", code="secret_empty")
    vault().put(name, value)
    stdout.print(f"Stored. Refer to it as local:{name}")


@secrets.command("list")
def names() -> None:
    """Names only."""
    for name in vault().names():
        stdout.print(name)


@secrets.command("remove")
def forget(name: str) -> None:
    """Forget a secret."""
    if not vault().remove(name):
        raise UsageError(f"there is no secret {name}", remedy="See `pursight secrets list`.", code="secret_missing")


@secrets.command()
def rotate() -> None:
    """Encrypt everything with a new key and drop the older ones."""
    stdout.print(f"{vault().rotate()} secret(s) are encrypted with a new key.")
