"""Stages that work at the same time on different chunks, with a bounded number of chunks between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")
Stage = Callable[[list[T]], Awaitable[None]]
_BETWEEN = 2  # chunks waiting before a stage


async def flow(source: AsyncIterator[list[T]], stages: Sequence[tuple[str, Stage[T]]], seconds: dict[str, float]) -> None:
    """Pass each chunk through all stages, in order. `seconds` gets each stage's busy time. The first error is raised as it is."""
    queues: list[asyncio.Queue[list[T] | None]] = [asyncio.Queue(_BETWEEN) for _ in stages]
    try:
        async with asyncio.TaskGroup() as group:
            for at, (name, stage) in enumerate(stages):
                following = queues[at + 1] if at + 1 < len(queues) else None
                group.create_task(_stage(name, stage, queues[at], following, seconds))
            async for chunk in source:
                await queues[0].put(chunk)
            await queues[0].put(None)
    except BaseExceptionGroup as several:
        raise _first(several) from None


async def _stage(
    name: str,
    stage: Stage[T],
    waiting: asyncio.Queue[list[T] | None],
    following: asyncio.Queue[list[T] | None] | None,
    seconds: dict[str, float],
) -> None:
    while (chunk := await waiting.get()) is not None:
        started = perf_counter()
        await stage(chunk)
        seconds[name] = seconds.get(name, 0.0) + perf_counter() - started
        if following is not None:
            await following.put(chunk)
    if following is not None:
        await following.put(None)


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    found = several.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
