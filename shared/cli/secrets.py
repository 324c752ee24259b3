"""`pursight secrets …`: values go in and never come out."""

from __future__ import annotations

import sys

import typer

from shared.cli.output import stdout
from shared.errors import UsageError
from shared.secrets.vault import LocalVault
from shared.settings import ServiceSettings

secrets = typer.Typer(no_args_is_help=True, help="The local secret store: set, list, remove, rotate.")


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
