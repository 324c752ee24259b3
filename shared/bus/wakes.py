"""A bell per service inside one process: a commit rings it, the relay and the job workers listen.

What another process committed, or a crashed one left, is found by their slow polls.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from weakref import WeakSet

_listeners: defaultdict[str, WeakSet[asyncio.Event]] = defaultdict(WeakSet)


def listener(service: str) -> asyncio.Event:
    """An event that is set whenever `service` commits; the listener clears it. It is forgotten when dropped."""
    event = asyncio.Event()
    _listeners[service].add(event)
    return event


def ring(service: str) -> None:
    """Something was committed."""
    for event in _listeners.get(service, ()):
        event.set()


async def rung(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the bell, at most `seconds`; says whether it rang, and clears it."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    rang = event.is_set()
    event.clear()
    return rang
