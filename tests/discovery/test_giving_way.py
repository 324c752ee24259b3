"""What a scan does to the work that a server has already: the loop itself against a server of two processors, in simulated time.

The server is a model, processors shared by all that is at work, so that the figure is the same on every machine; `bench.discovery.beside`
measures a real one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from services.discovery.domain import pace
from services.discovery.domain.pace import Pace, Signals

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
    monkeypatch.setitem(pace.MANNERS, "greedy", pace.Manner(5, 5, 1e9, 1e9, 1e9, 1e9, 1))
    beside, ended = p95(manner)
    alone, _ = p95("", ended)
    assert ended < LONGEST
    assert beside <= alone * most
    assert (beside > alone * 1.1) is (manner == "greedy")
