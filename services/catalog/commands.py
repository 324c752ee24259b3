"""`pursight catalog rebuild`: what this service adds to the shell command."""

from __future__ import annotations

import asyncio
import logging

import typer
from pydantic import SecretStr

from services.catalog.app import rebuild as hear_everything_again
from services.catalog.settings import CatalogSettings
from shared.cli.parts import audit, bus_settings, database_url
from shared.settings import BusSettings

app = typer.Typer(no_args_is_help=True, help="The read model: rebuild it from the topics.")


@app.callback()
def catalog() -> None:
    """One command today; a callback keeps it a group."""


@app.command()
def rebuild() -> None:
    """Throw the read model away and hear every topic from its first record. Pages fill again within seconds."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a refused commit is expected, and waited out
    settings = CatalogSettings().model_copy(update={"database_url": SecretStr(database_url())})
    asyncio.run(_rebuild(settings, bus_settings()))
    typer.echo("The catalog is being filled from the topics again.")


async def _rebuild(settings: CatalogSettings, bus: BusSettings) -> None:
    await audit(bus, "catalog.rebuild", "catalog", "the read model is thrown away and filled from the topics")
    await hear_everything_again(settings, bus)
