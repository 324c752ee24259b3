"""A registered source as a person reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from shared.cli.output import plain, spoken, stdout, table
from shared.contracts.source import DataSource

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_KINDS = ("B", "kB", "MB", "GB", "TB")


def _percent(value: float) -> str:
    return f"{value * 100:.4g} %"


def _span(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:,.0f} minutes"


def _size(count: float) -> str:
    """Bytes, in the unit in which the number is short."""
    rank = 0
    while abs(count) >= 1000 and rank < len(_KINDS) - 1:
        count, rank = count / 1000, rank + 1
    return f"{count:.3g} {_KINDS[rank]}"


_FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {  # what a figure is called, and how it is written
    "latency_p50_seconds": ("half of the answers within", _span),
    "latency_p95_seconds": ("95 % of the answers within", _span),
    "error_rate": ("checks that failed lately", _percent),
    "uptime": ("checks answered in 30 days", _percent),
    "slo": ("checks that should be answered", _percent),
    "error_budget_left": ("failures that are still allowed", _percent),
    "database_bytes": ("size", _size),
    "growth_bytes_per_day": ("growth a day", _size),
    "connections_used": ("connections of the server in use", _percent),
    "pool_used": ("sessions of its pool in use", _percent),
    "certificate_days": ("certificate ends in", lambda days: f"{days:,.0f} days"),
    "token_age_seconds": ("age of the cloud's token", _span),
    "retries_left": ("retries left", "{:.0f}".format),
    "pool.most": ("sessions at most", str),
    "pool.taken": ("sessions in use", str),
}
_ELSEWHERE = ("source", "sequence", "version", "endpoints", "advice", "diagnosis", "health")  # told in places of their own


def tell(found: dict[str, Any], health: dict[str, Any] | None, ends: dict[str, Any] | None) -> None:
    """What is written, how it does, which of its endpoints is read, and how it changed."""
    engine = found["spec"].get("engine", DataSource.model_fields["engine"].default)
    stdout.print(
        plain(f"{spoken(found['source'])}: {engine}, version {found['version']}, changed {_moment(found['updated_at'])}"), style="bold"
    )
    for note in found["notes"]:
        stdout.print(plain(f"  note: {note}"))
    served = engine != "folder"  # there nobody answers, and nothing is signed in to
    off = () if served else ("host", "port")
    table("\nWhat is written", ("field", "value"), _flat({name: value for name, value in found["spec"].items() if name not in off}))
    if health is None:
        stdout.print("\nNothing is known of how it does: it was not dialled yet, or the connector is away.")
    else:
        line = {"tls": health["tls"]["version"] or "none", "certificate_by": health["tls"]["issuer"]}
        off = () if health.get("database_bytes") else ("database_bytes", "growth_bytes_per_day")
        off = off if served else (*off, "pool_used")
        known = health | line if served else health | {"tls": ""}
        table("\nHow it does", ("", ""), _in_words({name: value for name, value in known.items() if name not in (*_ELSEWHERE, *off)}))
        for advice in health["advice"]:
            stdout.print(plain(f"  {advice}"), style="yellow")
    if ends and served:
        alone = len(ends.get("endpoints", ())) < 2  # then there is nothing to choose from
        told = {name: value for name, value in ends.items() if name not in (*_ELSEWHERE, *(("active", "state", "says") if alone else ()))}
        table("\nWhere it is read", ("", ""), _in_words(told))
        for end in (each for each in ends.get("endpoints", ()) if not str(each.get("endpoint", "")).startswith(":")):
            stdout.print(plain("  " + ", ".join(f"{name} {value}" for name, value in _in_words(end))))
    if len(found["versions"]) > 1:
        table(
            "\nVersions", ("what", ""), ((each.get("version"), ", ".join(f"{n} {v}" for n, v in _flat(each))) for each in found["versions"])
        )


def _in_words(block: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Figures with their names and units; other things by their paths."""
    for name, value in block.items():
        if isinstance(value, dict):
            yield from _in_words({f"{name}.{inner}": each for inner, each in value.items()})
        elif name in _FIGURES and isinstance(value, int | float):
            called, written = _FIGURES[name]
            yield called, written(value)
        else:
            yield from ((path.replace("_", " "), said) for path, said in _flat({name: value}))


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
