"""Who waits for a bell can be ended at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from shared.bus.reliable import wait_or
from shared.bus.wakes import rung


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("wait", [rung, wait_or])
async def test_a_bell_hides_no_end(wait: Callable[[asyncio.Event, float], Awaitable[Any]], turns: int) -> None:
    """Another instance's commit rings just when a service stops: it ends all the same."""
    bell = asyncio.Event()

    async def listen() -> None:
        while True:
            await wait(bell, 60.0)
            bell.clear()

    listening = asyncio.create_task(listen())
    while not bell._waiters:  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    bell.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    listening.cancel()
    done, _ = await asyncio.wait({listening}, timeout=5)
    listening.cancel()
    assert done


async def test_a_chore_that_lost_its_end_is_ended_again(rig: Any) -> None:
    """As a library does that waits by `wait_for` itself."""
    bus = await rig.bus("discovery", await rig.pool("discovery"))

    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    chore = asyncio.create_task(deaf())
    bus._tasks.append(chore)
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await bus.stop()
    assert chore.cancelled()
