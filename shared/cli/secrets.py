"""`pursight secrets …`: values go in and never come out."""

from __future__ import annotations

import sys
from typing import Annotated
from urllib.parse import quote

import typer

from shared.cli.connect import DOOR, edge, elsewhere
from shared.cli.output import as_json, plain, stdout
from shared.errors import UsageError
from shared.secrets.vault import LocalVault
from shared.settings import ServiceSettings

secrets = typer.Typer(no_args_is_help=True, help="The local secret store: set, list, remove, import, rotate.")


def vault() -> LocalVault:
    """The local stack's secret store. Raises UsageError where the shell is pointed at a stack elsewhere."""
    if elsewhere():
        raise UsageError(
            f"{DOOR} names another stack", why="this works on the store of this machine", remedy=f"Unset {DOOR}.", code="not_here"
        )
    return LocalVault(ServiceSettings().home / "secrets")


@secrets.command("set")
def set_(name: str) -> None:
    """Store a secret; it is asked for, or read from standard input."""
    value = typer.prompt("Value", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not value:
        raise UsageError("the secret is empty", code="secret_empty")
    if elsewhere():
        with edge() as line:
            line.send("PUT", _path(name), {"value": value})
    else:
        vault().put(name, value)
    stdout.print(plain(f"Stored. Refer to it as local:{name}"), soft_wrap=True)


@secrets.command("list")
def names(json_output: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False) -> None:
    """Names only."""
    found = _names()
    if json_output:
        return as_json({"secrets": found})
    for name in found:
        stdout.print(plain(name), soft_wrap=True)
    return None


@secrets.command("remove")
def forget(name: str) -> None:
    """Forget a secret."""
    if name not in _names():
        raise UsageError(f"there is no secret {name}", remedy="See `pursight secrets list`.", code="secret_missing")
    if elsewhere():
        with edge() as line:
            line.send("DELETE", _path(name))
    else:
        vault().remove(name)
    stdout.print(plain(f"{name} is forgotten."))


def _names() -> list[str]:
    if not elsewhere():
        return vault().names()
    with edge() as line:
        return list(line.get("/secrets")["secrets"])


def _path(name: str) -> str:
    return f"/secrets/{quote(name, safe='')}"


@secrets.command("import")
def adopt(file: Annotated[str, typer.Argument(metavar="FILE")]) -> None:
    """Take over a JSON object of names and Fernet tokens; PURSIGHT_FERNET_KEYS opens them, `rotate` encrypts them anew."""
    from shared.cli.files import read_file

    given = read_file(file)
    if wrong := next((name for name, token in given.document.items() if not isinstance(token, str) or not token), None):
        raise UsageError(
            f"{given.name} holds more than names and Fernet tokens",
            why=f"line {given.line_of(wrong)} has no token",
            remedy='Write {"NAME": "TOKEN", …}.',
            code="secret_file_wrong",
        )
    tokens = given.document
    stdout.print(f"{vault().adopt(tokens)} secret(s) were taken over. Encrypt them anew with `pursight secrets rotate`.")


@secrets.command()
def rotate() -> None:
    """Encrypt everything with a new key and drop the older ones."""
    stdout.print(f"{vault().rotate()} secret(s) are encrypted with a new key.")
