"""One way for every provider: look, compare, write only what differs, look again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from services.tagger.domain.diff import Diff
from services.tagger.domain.wish import Applied, Wish
from shared.errors import Transient

ATTEMPTS = 6
FIRST_WAIT, LONGEST_WAIT = 0.25, 8.0  # seconds
SETTLE_SECONDS = 1.0  # after that nobody writes what he read before our change


class Stale(Exception):
    """Somebody else changed the resource between our look and our write: nothing was written."""


class Place(Protocol):
    """The tags of one resource. What goes wrong is raised as PurSightError with a remedy.

    `blind`: the last change replaced all tags, and so does anybody else's; neither is refused for the other's sake.
    """

    blind: bool

    async def read(self) -> dict[str, str]:
        """All tags that are there, but those that belong to the provider itself."""

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        """Make this change to what was read last, and touch nothing else. Raises Stale."""


async def bring(place: Place, wish: Wish) -> Applied:
    """Bring the place to the wish. Doing it again changes nothing.

    A change that somebody overwrote with what he had read before it is made again.
    Raises Transient `contended` where somebody else is faster each time, `read_back_differs` where the change does not show.
    """
    done: Applied | None = None
    for wait in waits():
        current = await place.read()
        change = wish.diff(current)
        if change.empty:
            return done or wish.applied(current, change)
        try:
            await place.change(change.write, change.remove)
        except Stale:
            await asyncio.sleep(wait)
            continue
        done = wish.applied(current, change)
        if not place.blind:
            await _read_back(place, change)
            return done
        await asyncio.sleep(SETTLE_SECONDS)
        if _stands(change, await place.read()):
            return done
        await asyncio.sleep(wait)
    raise Transient(
        "the tags could not be written",
        why="somebody else changes this resource all the time",
        remedy="Nothing to do: it is tried again.",
        code="contended",
    )


async def _read_back(place: Place, change: Diff) -> None:
    for wait in waits():
        if _stands(change, await place.read()):
            return
        await asyncio.sleep(wait)
    raise Transient(
        "the resource does not show the tags that were written",
        why="it may not exist, or the provider is slow to show them",
        remedy="Check the resource's name in the source or job; it is tried again.",
        code="read_back_differs",
    )


def _stands(change: Diff, now: Mapping[str, str]) -> bool:
    return change.write.items() <= now.items() and not set(change.remove) & now.keys()


def waits() -> Iterator[float]:
    """Growing delays with full jitter, in seconds."""
    for attempt in range(ATTEMPTS):
        yield random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt))
