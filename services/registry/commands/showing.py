"""A registered source as a person reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from shared.cli.output import plain, spoken, stdout, table

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_ELSEWHERE = ("source", "sequence", "version", "endpoints", "advice", "diagnosis", "health")  # told in places of their own


def tell(found: dict[str, Any], health: dict[str, Any] | None, ends: dict[str, Any] | None) -> None:
    """What is written, how it does, which of its endpoints is read, and how it changed."""
    stdout.print(plain(f"{spoken(found['source'])}, version {found['version']}, changed {_moment(found['updated_at'])}"), style="bold")
    for note in found["notes"]:
        stdout.print(plain(f"  note: {note}"))
    table("\nWhat is written", ("field", "value"), _flat(found["spec"]))
    if health is None:
        stdout.print("\nNothing is known of how it does: it was not dialled yet, or the connector is away.")
    else:
        line = {"tls": health["tls"]["version"] or "none", "certificate_by": health["tls"]["issuer"]}
        table("\nHow it does", ("", ""), _flat({name: value for name, value in (health | line).items() if name not in _ELSEWHERE}))
        for advice in health["advice"]:
            stdout.print(plain(f"  {advice}"), style="yellow")
    if ends:
        told = {name: value for name, value in ends.items() if name not in _ELSEWHERE}
        table("\nWhere it is read", ("", ""), _flat(told))
        for end in ends.get("endpoints", ()):
            stdout.print(plain("  " + ", ".join(f"{name} {value}" for name, value in _flat(end))))
    if len(found["versions"]) > 1:
        table(
            "\nVersions", ("what", ""), ((each.get("version"), ", ".join(f"{n} {v}" for n, v in _flat(each))) for each in found["versions"])
        )


def _flat(block: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each thing that is known, by its path."""
    for name, value in block.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value not in (None, "", []):
            yield f"{prefix}{name}", _moment(value) if _TIME.match(str(value)) else _said(value)


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _moment(text: Any) -> str:
    """A time to the second, in UTC."""
    return f"{str(text)[:19].replace('T', ' ')} UTC"
