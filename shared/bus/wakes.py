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
    """Wait for the bell, at most `seconds`; says whether it rang, and clears it.

    Not by `asyncio.wait_for`: until Python 3.12 that loses a cancellation which comes together with the bell, and who rings it for
    another's sake would keep its listener from ending.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    rang = event.is_set()
    event.clear()
    return rang
