"""`pursight topics diff | apply`: the broker's topics against the contracts."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from shared.bus import topics as broker
from shared.cli.output import as_json, stdout, table
from shared.cli.parts import audit, bus_settings
from shared.settings import BusSettings

app = typer.Typer(no_args_is_help=True, help="Topics at the broker: diff, apply.")


def prepare() -> None:
    """Make every topic; the local stack calls this before its first service."""
    asyncio.run(broker.apply(BusSettings()))


@app.command()
def diff(json_output: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False) -> None:
    """What is not as the contracts want it. Exit code 1 where a promise would not hold."""
    found = asyncio.run(broker.diff(bus_settings()))
    if json_output:
        told = [{"topic": d.topic, "setting": d.setting, "wanted": d.wanted, "found": d.found, "breaks": d.breaks} for d in found]
        as_json({"differences": told})
    elif not found:
        stdout.print("Every topic is as it should be.")
    else:
        rows = ((d.topic, d.setting, d.wanted, d.found or "missing", "yes" if d.breaks else "no") for d in found)
        table("Differences", ("topic", "setting", "wanted", "found", "breaks a promise"), rows)
    raise typer.Exit(1 if any(d.breaks for d in found) else 0)


@app.command()
def apply() -> None:
    """Make missing topics and set what differs; partitions of existing topics are left alone."""
    touched = asyncio.run(applied(bus_settings()))
    stdout.print(f"{len(touched)} topic(s) made or changed." if touched else "Every topic was as it should be.")


async def applied(settings: BusSettings) -> list[str]:
    """As `broker.apply`, and what was changed is told to the ledger."""
    if touched := await broker.apply(settings):
        few = ", ".join(touched[:5]) + (f" and {len(touched) - 5} more" if len(touched) > 5 else "")
        await audit(settings, "topics.apply", "topics", few)
    return touched
