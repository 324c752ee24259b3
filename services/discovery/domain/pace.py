"""How fast a source is read: a closed loop from what the server shows to how many lines read, how much at once, and their rest.

A step down halves the rung, a step up adds one, so a scan gets out of the way at once and comes back slowly. On a rung that rests, the
rest grows besides with the time that the server takes for a statement that is always the same: twice as long, half as much of us.

>>> pace = begun("balanced")
>>> pace, cause = after(pace, Signals(active=9))
>>> pace.step, cause
(Step(concurrency=1, batch=16, rest=0.5), 'active_sessions')
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple


class Step(NamedTuple):
    """`concurrency` lines read samples, `batch` tables at a time; `rest` is the share of time in which nothing is asked."""

    concurrency: int
    batch: int
    rest: float


# On the first, less of the others' work meets ours than would show in the slowest twentieth of it.
LADDER = (Step(1, 2, 0.97), Step(1, 8, 0.75), Step(1, 16, 0.5), Step(1, 50, 0.0), Step(2, 100, 0.0), Step(4, 100, 0.0))


class Manner(NamedTuple):
    """What a source's `pace` means: where it begins and ends on the ladder, what it takes as a sign to step down, and how many looks
    without one it waits for before it steps up. `active` is of a large server."""

    begins: int
    highest: int
    active: float
    slower: float
    lag_seconds: float
    wait_seconds: float
    quiet: int


MANNERS = {
    "conservative": Manner(begins=0, highest=1, active=0.1, slower=2.0, lag_seconds=5.0, wait_seconds=0.5, quiet=5),
    "balanced": Manner(begins=4, highest=4, active=6, slower=4.0, lag_seconds=15.0, wait_seconds=2.0, quiet=3),
    "aggressive": Manner(begins=4, highest=5, active=32, slower=10.0, lag_seconds=60.0, wait_seconds=10.0, quiet=1),
}
_LARGE_CONNECTIONS = 200  # a server that allows fewer is taken as so much smaller: no other figure of its size is told everywhere
_LEAST_ACTIVE = 3.0  # one more than lines of ours that a server may count among the others
_SLOW_FLOOR = 0.01  # seconds: a statement that takes less is no sign of anything
_SLOW_REQUEST_FLOOR = 0.05  # as we see it: our own counting delays an answer, too
_SLOW_LOOKS = 2  # one alone may have met a moment
_LEAST_EASE = 0.25


class Signals(NamedTuple):
    """What was seen at one look; None where the server does not tell.

    `active`: sessions of others that run a statement, at the moment or on average. `statement_seconds`: how long the server took for one
    that is the same each time; `request_seconds`: how long, as we saw it, for alike requests of ours, where the server does not tell.
    `lag_seconds`: of the replica that is read from, or the worst of its own. `throttled`: the server refused us for going too fast.
    `wait_seconds`: how long we waited for a seat in the source's pool.
    """

    active: float | None = None
    statement_seconds: float | None = None
    lag_seconds: float | None = None
    throttled: bool = False
    wait_seconds: float = 0.0
    request_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """Where a scan stands on the ladder. `quiet` and `slow` count the last looks of that kind; `best`: the quickest statement so far.

    `ease`: the quickest over the present ones, smoothed; 1.0 while the server is as quick as it was without us.
    """

    manner: Manner
    rung: int
    quiet: int = 0
    slow: int = 0
    best: float | None = None
    ease: float = 1.0

    @property
    def step(self) -> Step:
        return LADDER[self.rung]

    @property
    def rest(self) -> float:
        """The share of time in which nothing is asked: the step's, or more where the server has become slower."""
        rest = self.step.rest
        return 1 - (1 - rest) * max(self.ease, _LEAST_EASE) if rest else 0.0


def begun(manner: str, connections: int = 0) -> Pace:
    """A manner that is not known is taken as balanced. `connections`: so many the server allows; 0 where it does not tell.

    >>> [begun("balanced", connections).manner.active for connections in (0, 20, 150, 1_000)]
    [6, 3.0, 4.5, 6]
    """
    found = MANNERS.get(manner, MANNERS["balanced"])
    share = connections / _LARGE_CONNECTIONS if connections else 1.0
    active = min(found.active, max(_LEAST_ACTIVE, found.active * share))
    return Pace(found._replace(active=active), found.begins)


def after(pace: Pace, seen: Signals) -> tuple[Pace, str]:
    """The pace from now on, and why it is another one than before; empty where it is the same."""
    told, best = seen.statement_seconds, pace.best
    took, floor = (seen.request_seconds, _SLOW_REQUEST_FLOOR) if told is None else (told, _SLOW_FLOOR)
    slow = took is not None and best is not None and took > max(floor, best * pace.manner.slower)
    pace = replace(pace, slow=pace.slow + 1 if slow else 0)
    if took is not None:
        best = min(took, best or took)
        pace = replace(pace, best=best, ease=(pace.ease + (best / took if took > 0 else 1.0)) / 2)
    if cause := _distress(pace, seen):
        rung = 0 if seen.throttled else pace.rung // 2
        return replace(pace, rung=rung, quiet=0), cause if rung != pace.rung else ""
    if slow or pace.quiet + 1 < pace.manner.quiet or pace.rung >= pace.manner.highest:
        return replace(pace, quiet=pace.quiet + (not slow)), ""
    return replace(pace, rung=pace.rung + 1, quiet=0), "quiet"


def _distress(pace: Pace, seen: Signals) -> str:
    """The most telling sign that the server has enough to do."""
    manner = pace.manner
    if seen.throttled:
        return "throttled"
    if seen.lag_seconds is not None and seen.lag_seconds > manner.lag_seconds:
        return "replication_lag"
    if seen.active is not None and seen.active >= manner.active:
        return "active_sessions"
    if seen.wait_seconds > manner.wait_seconds:
        return "pool_wait"
    return "slow_statements" if pace.slow >= _SLOW_LOOKS else ""


class Budget(NamedTuple):
    """What one scan may cost; 0 is no limit. `bytes` are those of the values that it reads."""

    statements: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def spent(self, *, statements: int, bytes_: int, seconds: float) -> str:
        """Which limit is reached, as the manifest's reason; empty where none is.

        >>> Budget(seconds=10.0).spent(statements=9, bytes_=9, seconds=10.0)
        'seconds_budget'
        """
        used = {"statements": (self.statements, statements), "bytes": (self.bytes, bytes_), "seconds": (self.seconds, seconds)}
        return next((f"{name}_budget" for name, (limit, cost) in used.items() if limit and cost >= limit), "")
