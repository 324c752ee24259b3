"""Finds the driver of an engine by entry point, so that further engines come as packages of their own."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from shared.contracts.engines import ENGINES, engine_of
from shared.errors import UsageError
from shared.sources.base import SourceDriver

GROUP = "pursight.sources"


@cache
def driver_for(engine: str) -> SourceDriver:
    """Raises UsageError where no installed package knows `engine`, or one lacks what it needs."""
    for entry in entry_points(group=GROUP, name=engine):
        try:
            driver: SourceDriver = entry.load()()
        except ModuleNotFoundError as error:
            extra = engine_of(engine).extra if engine in ENGINES else ""
            raise UsageError(
                f"the driver for {engine} lacks the package {error.name}",
                why=f"the extra '{extra}' is not installed" if extra else "",
                remedy=f"Install it: pip install 'pursight[{extra}]'." if extra else "Install what the package that brings it asks for.",
                code="missing_extra",
            ) from error
        return driver
    known = ", ".join(sorted({entry.name for entry in entry_points(group=GROUP)})) or "none"
    raise UsageError(
        "no driver for this engine", why=f"installed: {known}", remedy="Install the package that brings it.", code="unknown_engine"
    )
