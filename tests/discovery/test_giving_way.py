"""What a scan does to the work that a server has already: the loop itself against a server of two processors, in simulated time.

There the server is a model, processors shared by all that is at work, so that the figure is the same on every machine. Then a real server,
of which the scan and a load want the same disk; `bench.discovery.beside` measures one whose processors are what both want.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median, quantiles
from time import monotonic
from typing import Any

import pytest

from services.discovery.domain import pace
from services.discovery.domain.pace import Pace, Signals
from services.discovery.pacing import Pacer
from shared.contracts.connection import SourceConnected
from shared.contracts.source import Scope
from tests.discovery import load

PROCESSORS, TICK = 2, 0.001
RATE, WORK = 50.0, 0.012  # the load: transactions a second, and processor seconds of each
TABLES, TABLE_WORK = 200, 0.004
LONGEST = 300.0


@dataclass
class Job:
    """So much is left of it; `begun` is when it came."""

    begun: float
    left: float


@dataclass
class Server:
    """Shares its processors among the load's jobs and a scan's, and sees how many of the load's are at work."""

    now: float = 0.0
    load: list[Job] = field(default_factory=list)
    scan: list[Job] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    busy: float = 0.0

    def tick(self) -> None:
        at_work = self.load + self.scan
        share = TICK * min(1.0, PROCESSORS / len(at_work)) if at_work else 0.0
        self.now += TICK
        self.busy += len(self.load) * TICK
        for job in at_work:
            job.left -= share
        self.latencies += [self.now - job.begun for job in self.load if job.left <= 0]
        self.load, self.scan = [job for job in self.load if job.left > 0], [job for job in self.scan if job.left > 0]


def arrivals() -> Iterator[tuple[float, float]]:
    """When each transaction comes, and its work; the same each time."""
    dice, at = random.Random(11), 0.0
    while True:
        at += dice.expovariate(RATE)
        yield at, dice.expovariate(1 / WORK)


class Line:
    """Reads tables as discovery does: a batch, a rest, and every second a look."""

    def __init__(self, manner: str) -> None:
        self.pace: Pace = pace.begun(manner)
        self.tables, self._asked, self._wakes = TABLES, 0.0, 0.0
        self._looked, self._busy, self._at_work = -1.0, 0.0, False

    @property
    def done(self) -> bool:
        return not self.tables and not self._at_work

    def step(self, server: Server) -> None:
        """Called each tick; one line is enough, for the manners that give way have no more of them beside a load."""
        if self._at_work and not server.scan:
            worked, rest = server.now - self._asked, self.pace.rest
            self._at_work, self._wakes = False, server.now + worked * rest / (1 - rest)
        if self._at_work or server.now < self._wakes or not self.tables:
            return
        if server.now - self._looked >= 1.0:
            since, self._looked = max(TICK, server.now - self._looked), server.now
            mean, self._busy = (server.busy - self._busy) / since, server.busy
            took = 0.001 * max(1.0, (len(server.load) + 1) / PROCESSORS)
            self.pace, _ = pace.after(self.pace, Signals(active=max(float(len(server.load)), mean), statement_seconds=took))
        batch = min(self.pace.step.batch, self.tables)
        self.tables -= batch
        self._asked, self._at_work = server.now, True
        server.scan += [Job(server.now, batch * TABLE_WORK / self.pace.step.concurrency) for _ in range(self.pace.step.concurrency)]


def p95(manner: str, seconds: float = LONGEST) -> tuple[float, float]:
    """Of the load beside a scan, in seconds, and when the scan ended; without a manner, of so many seconds of the load alone."""
    server, line, coming = Server(), Line(manner) if manner else None, arrivals()
    at, work = next(coming)
    while server.now < seconds and not (line and line.done):
        while at <= server.now:
            server.load.append(Job(at, work))
            at, work = next(coming)
        if line:
            line.step(server)
        server.tick()
    return sorted(server.latencies)[int(len(server.latencies) * 0.95)], server.now


@pytest.mark.parametrize(("manner", "most"), [("conservative", 1.1), ("greedy", 99.0)])
def test_a_load_hardly_notices_a_conservative_scan(manner: str, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The p95 of the same transactions rises by a tenth at most, and the scan ends; it would rise by far more beside one that takes all."""
    monkeypatch.setitem(pace.MANNERS, "greedy", GREEDY)
    beside, ended = p95(manner)
    alone, _ = p95("", ended)
    assert ended < LONGEST
    assert beside <= alone * most
    assert (beside > alone * 1.1) is (manner == "greedy")


# A server's one disk: who reads it keeps all others from it for so long.
DISK = """create schema work; create schema shop; grant usage on schema work, shop to public;
create function work.read_disk(seconds float8) returns boolean language plpgsql as $$ begin
  perform pg_advisory_lock(7); perform pg_sleep(seconds); return pg_advisory_unlock(7); end $$;
create role {role} login password '{password}'"""
# Whoever reads a row of it has read the disk before, for 4 ms.
STORED = """create table shop.t{0} as select 'x' a; grant select on shop.t{0} to public;
alter table shop.t{0} enable row level security; create policy stored on shop.t{0} using ((select work.read_disk(0.004)))"""
STORED_TABLES = 16
WINDOW, LEAST_PAIRS, MOST_PAIRS = 0.4, 5, 25
LONGEST_SECONDS = 60
AT_WORK = "select count(*) from pg_stat_activity where application_name ~ '^pursight-discovery' and state = 'active'"
GREEDY = pace.Manner(5, 5, 1e9, 1e9, 1e9, 1e9, 1)


class Beside:
    """A load on a server, and scans of it that are halted and let go on in turns, between two of their looks at the server."""

    def __init__(self, house: Any, program: asyncio.subprocess.Process, monkeypatch: pytest.MonkeyPatch) -> None:
        self._house, self._program = house, program
        self._go, self._reads, self._loaded = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._latencies: list[tuple[float, float]] = []
        self.ended: list[str] = []
        look = Pacer.look

        async def halted(pacer: Pacer, session: Any) -> None:
            self._reads.set()
            await self._go.wait()
            await look(pacer, session)

        monkeypatch.setattr(Pacer, "look", halted)

    async def listen(self) -> None:
        """To the load, until cancelled."""
        assert self._program.stdout is not None
        async for line in self._program.stdout:
            due, took = map(float, line.split())
            self._latencies.append((due, took))
            self._loaded.set()

    async def scan(self) -> None:
        """One scan after another, until cancelled."""
        while True:
            said = await self._house.scan(mode="full")
            self.ended.append(said[-1][0])

    async def ratios(self, most: int) -> list[float]:
        """The load's p95 beside the scan over that of the moment after it, pair by pair; no more pairs where their median is good."""
        await self._loaded.wait()
        await self._reads.wait()
        found: list[float] = []
        while len(found) < LEAST_PAIRS or (median(found) > 1.1 and len(found) < most):
            self._go.set()
            beside = await self._window()
            self._go.clear()
            while await self._house.pool.fetchval(AT_WORK):
                await asyncio.sleep(0.005)
            found.append(beside / await self._window())
        self._go.set()
        return found

    async def _window(self) -> float:
        """The p95 of what is due within it, which may be late."""
        start, end = monotonic(), monotonic() + WINDOW
        await asyncio.sleep(WINDOW)
        while self._latencies[-1][0] < end:
            await asyncio.sleep(0.005)
        return quantiles([took for due, took in self._latencies if start <= due < end], n=20)[-1]


@pytest.mark.parametrize("gives_way", [True, False])
def test_a_load_on_a_real_server_hardly_notices_a_conservative_scan(
    gives_way: bool, in_house: Any, connected: Callable[..., SourceConnected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load's p95 beside the scan over that without it, window by window, has a median of at most 1.1, and the scan ends. Beside a scan
    that sees no sign and begins at the top of the ladder it is more. A machine with other work may take more windows to show it.

    What both want is not the processor, which belongs to whoever else is on this machine, but a disk, which is a lock that is held for
    as long as a read takes. The server is real, and so are its sessions, the load's and the scan's, what it tells of them, and the loop.
    """
    if not gives_way:
        monkeypatch.setitem(pace.MANNERS, "conservative", GREEDY)
    role, password = f"role_{secrets.token_hex(4)}", secrets.token_hex(8)

    async def work(house: Any, url: str) -> None:
        await house.pool.execute(DISK.format(role=role, password=password))
        await house.pool.execute(";".join(STORED.format(number) for number in range(STORED_TABLES)))
        monkeypatch.setenv("TEST_SOURCE_PASSWORD", password)
        await house.connect(connected(url, scope=Scope(schemas=("shop",)), pace="conservative", username=role))
        program = await asyncio.create_subprocess_exec(sys.executable, load.__file__, url, stdout=asyncio.subprocess.PIPE)
        beside = Beside(house, program, monkeypatch)
        try:
            async with asyncio.timeout(LONGEST_SECONDS), asyncio.TaskGroup() as group:
                tasks = [group.create_task(beside.listen()), group.create_task(beside.scan())]
                found = await beside.ratios(MOST_PAIRS if gives_way else LEAST_PAIRS)
                while not beside.ended:
                    await asyncio.sleep(0.05)
                for task in tasks:
                    task.cancel()
        finally:
            program.kill()
            await program.wait()
            await house.pool.execute(f"drop role {role}")
        assert set(beside.ended) == {"scan.completed"}
        assert (median(found) <= 1.1) is gives_way, found

    in_house(work)
