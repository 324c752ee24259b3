"""A service in a process of its own, for tests that kill it: discovery hears scan.requested, counts, and says scan.completed.

Arguments: database URL, broker, number of distinct events to wait for. `BROKEN=inbox|outbox` takes a part of the promise out, to
prove that the test would notice.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from itertools import compress
from typing import Any

import asyncpg

from shared.bus import failpoints
from shared.bus import unit as unit_module
from shared.bus.consume import Timing
from shared.bus.ear import Hop
from shared.bus.migrations import FOLDER
from shared.bus.received import Received
from shared.bus.runtime import Bus
from shared.contracts.scan import ScanCompleted, ScanRequested
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.settings import BusSettings

BROKEN = os.environ.get("BROKEN", "")
FAST = Timing(session=6.0, heartbeat=0.5, rebalance=2.0, revoke_wait=1.5)


async def _all_are_new(_: Any, batch: Sequence[Received[Any]]) -> list[bool]:
    return [True] * len(batch)


class Program:
    def __init__(self, pool: asyncpg.Pool, bus: Bus) -> None:
        self._pool, self._bus = pool, bus

    async def handle(self, batch: Sequence[Received[ScanRequested]]) -> None:
        async with unit_module.unit(self._pool, service="discovery", batch=batch) as work:
            fresh = list(compress(batch, work.is_new))
            for received in fresh:
                await work.connection.execute(
                    "insert into tally (id, times) values ($1, 1) on conflict (id) do update set times = tally.times + 1", received.id
                )
                if BROKEN != "outbox":
                    work.emit(answer(received), key=received.key, cause=received)
        if BROKEN == "outbox":  # the dual write: state first, then straight to the broker
            await Hop("discovery", lambda received: [(received.key, answer(received))], self._bus._sender)(fresh)

    async def done(self, wanted: int) -> bool:
        count = await self._pool.fetchval("select count(*) from tally")
        left = await self._pool.fetchval("select count(*) from outbox")
        return bool(count >= wanted and not left)


def answer(received: Received[ScanRequested]) -> ScanCompleted:
    return ScanCompleted(source=received.event.source, scan_id=received.id, complete=True, tables=1, columns=1, changed=1, digest="d")


async def main(url: str, bootstrap: str, wanted: int) -> None:
    pool = await open_pool(url, schema="discovery", application_name="crash")
    await migrate(pool, schema="discovery", folders=[FOLDER])
    await pool.execute("create table if not exists tally (id text primary key, times integer not null)")
    bus = Bus("discovery", settings=BusSettings(bootstrap_servers=bootstrap), pool=pool, schema="discovery", timing=FAST)
    program = Program(pool, bus)
    bus.on(ScanRequested, program.handle, batch=50)
    await bus.start()
    quiet = 0
    while quiet < 4:
        await asyncio.sleep(0.25)
        quiet = quiet + 1 if await program.done(wanted) else 0
    await bus.stop()
    await pool.close()


if __name__ == "__main__":
    if BROKEN == "inbox":
        unit_module._claim = _all_are_new
    assert failpoints.NAMES
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
