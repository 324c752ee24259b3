"""A load for a server, as a program of its own: `load.py URL`. Sessions call a function in turns, each when it is due, and late where its
last call was late. Each call is a line: when it was due (seconds of the machine's monotonic clock), and how long it took from then.
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic

import asyncpg

SESSIONS, EVERY = 4, 0.05  # seconds between the calls of one session
SHORT, LONG, LONG_EACH = 0.003, 0.012, 5  # seconds of work; so many calls of a session from a long one to the next


async def session(url: str, number: int, first: float) -> None:
    connection = await asyncpg.connect(url, timeout=30)
    due, calls = first + number * EVERY / SESSIONS, number
    while True:
        await asyncio.sleep(max(0.0, due - monotonic()))
        await connection.fetchval("select work.read_disk($1)", SHORT if calls % LONG_EACH else LONG)
        print(due, monotonic() - due, flush=True)
        due, calls = due + EVERY, calls + 1


async def main(url: str) -> None:
    first = monotonic() + 0.3
    await asyncio.gather(*(session(url, number, first) for number in range(SESSIONS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
