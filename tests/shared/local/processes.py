"""Processes of a stack, and waiting for what they do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import psutil

from shared.local.stack import Stack

# The bar is 15 s on an idle machine and belongs to the benchmarks; this only tells a start from a hang.
PATIENCE_SECONDS = 180


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for it; fail with `what` where it does not come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.02)


def family(stack: Stack) -> list[psutil.Process]:
    """The supervisor and everything it started."""
    supervisor = stack.home.load().supervised()
    return [supervisor, *supervisor.children(recursive=True)] if supervisor else []


def living(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that ended and is not yet buried does not."""
    return [process for process in processes if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
