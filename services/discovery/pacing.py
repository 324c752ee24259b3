"""Holds one scan to the pace that its source bears, and to its budget; says each change with its cause."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic

from services.discovery.domain.pace import LADDER, Budget, Pace, Signals, Step, after, begun
from shared.contracts.scan import PaceChange
from shared.contracts.source import DataSource
from shared.errors import PurSightError
from shared.sources.base import SourceSession, Watched

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
THROTTLED = frozenset({"throttled", "too_many_connections", "server_out_of_memory"})
_LONGEST_REST = 10.0

Hear = Callable[[PaceChange], Awaitable[None]]


async def _unheard(change: PaceChange) -> None:
    """Nobody waits for changes of the pace."""


@dataclass(slots=True)
class Pacer:
    """One scan's pace. `hear` is told each change. `bytes_read`: of values, so far; who reads them counts them."""

    scan_id: str
    budget: Budget
    pace: Pace
    hear: Hear = _unheard
    started: float = field(default_factory=monotonic)
    bytes_read: int = 0
    _looked: float = 0.0
    _worked: float = 0.0  # seconds since the last look in which a line of ours was at work

    @classmethod
    def of(cls, spec: DataSource, scan_id: str = "", hear: Hear = _unheard, connections: int = 0) -> Pacer:
        """`connections`: so many the server allows, 0 where that is not known."""
        limits = spec.scan_budget
        return cls(scan_id, Budget(limits.statements, limits.bytes, limits.seconds), begun(spec.pace, connections), hear)

    @property
    def step(self) -> Step:
        return self.pace.step

    @property
    def most(self) -> int:
        """Lines that may ever read at once."""
        return LADDER[self.pace.manner.highest].concurrency

    def spent(self, statements: int) -> str:
        """The limit that is reached, as the manifest's reason; empty while there is none."""
        return self.budget.spent(statements=statements, bytes_=self.bytes_read, seconds=monotonic() - self.started)

    async def told(self, seen: Signals) -> None:
        """Step down or up where that is a reason to. Raises what `hear` does."""
        self.pace, cause = after(self.pace, seen)
        if cause:
            step, at = self.step._asdict(), round(monotonic() - self.started, 3)
            log.info("scan.pace", extra={"scan_id": self.scan_id, "cause": cause, **step})
            await self.hear(PaceChange(at_seconds=at, cause=cause, **step))

    async def look(self, session: SourceSession) -> None:
        """Ask the server how it is, at most once a second. A server that cannot be asked just now is no failure of the scan."""
        if not isinstance(session, Watched) or monotonic() - self._looked < LOOK_SECONDS:
            return
        since, self._looked = self._looked, monotonic()
        own, self._worked = self._worked / (self._looked - since), 0.0
        try:
            load = await session.load()
        except PurSightError:
            return
        others = None if load.mean_active is None else max(0.0, load.mean_active - own)
        active = max((each for each in (load.active, others) if each is not None), default=None)
        seen = Signals(active, load.statement_seconds, load.lag_seconds, load.throttled, request_seconds=load.request_seconds)
        await self.told(seen)

    async def rest(self, worked: float) -> None:
        """So long that the pace's share of time goes by in which nothing is asked. `worked`: seconds since the last rest."""
        self._worked += worked
        if share := self.pace.rest:
            await asyncio.sleep(min(_LONGEST_REST, worked * share / (1 - share)))
