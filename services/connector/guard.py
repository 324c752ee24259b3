"""Watches both endpoints of every hybrid source, and moves to the other where the active one fails. A source has one watcher at a time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import uuid4

from services.connector import endpoints
from services.connector.domain.failover import CAUSES, Look, Move, Role, Rules, moved, ordered, step
from services.connector.domain.health import worth_saying
from services.connector.domain.plan import plan, secondary, where
from services.connector.endpoints import Endpoints, Watched
from services.connector.gateway import Dialler
from services.connector.lines import WarmLine
from services.connector.store import Store
from shared.bus.received import Cause
from shared.contracts.connection import ConnectionPlan, Diagnosis, SourceFailedOver
from shared.db.pool import away
from shared.errors import PurSightError
from shared.observe import tracing
from shared.observe.names import counter
from shared.sources.base import Probe
from shared.sources.failures import BY_CODE

log = logging.getLogger(__name__)
LEASE_SECONDS = 10.0
_RENEW_SECONDS = 3.0
_SECONDARY_EVERY = 5  # looks at the primary for each one at a secondary that is not needed
_KEEP_EVERY = 10.0  # seconds between two notes of what was seen, where nothing changed


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two looks at the active endpoint, seconds after which a look has failed, and how many such in a row count."""

    seconds: float
    patience: float
    failures: int


class Guard:
    """The watches of one process."""

    def __init__(self, store: Store, table: Endpoints, dialler: Dialler, pace: Pace) -> None:
        self._store, self._table, self._dialler, self._pace = store, table, dialler, pace
        self._me = uuid4().hex
        self._watches: dict[str, tuple[Watched, asyncio.Task[None], _Watch]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled; then no line is left open, and others may watch."""
        renewed = -_RENEW_SECONDS
        try:
            while True:
                try:
                    found = await self._table.ours(self._me) if monotonic() - renewed < _RENEW_SECONDS else None
                    if found is None:
                        renewed, found = monotonic(), await self._table.claim(self._me, LEASE_SECONDS)
                    self._follow({each.key: each for each in found})
                except Exception as error:
                    if not away(error):
                        raise
                await asyncio.sleep(self._pace.seconds)
        finally:
            self._follow({})
            await asyncio.gather(*self._ending, return_exceptions=True)
            with suppress(Exception):  # where the database is away, the lease runs out by itself
                await self._table.release(self._me)

    def _follow(self, wanted: dict[str, Watched]) -> None:
        """Begin what is new, begin anew what changed, end what is gone; nobody waits for lines that close slowly."""
        for key, (known, task, watch) in list(self._watches.items()):
            now = wanted.get(key)
            if now and now.version == known.version and not task.done():
                watch.wanted = watch.wanted or now.wanted
                continue
            del self._watches[key]
            self._ending.add(task)
            task.add_done_callback(self._ended)
            task.cancel()
        for key, each in wanted.items():
            if key not in self._watches:
                watch = _Watch(self, each)
                self._watches[key] = (each, asyncio.create_task(watch.run()), watch)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("watch.broken", extra={"error_type": type(error).__name__}, exc_info=error)


class _Watch:
    """Of one source, as it was registered with one version."""

    def __init__(self, guard: Guard, source: Watched) -> None:
        self._store, self._table, self._me, self._pace = guard._store, guard._table, guard._me, guard._pace
        self._source, self.wanted = source, source.wanted
        self._rules = Rules.of(source.spec.replica_config, guard._pace.failures)
        second = secondary(source.spec)
        plans: dict[Role, ConnectionPlan] = {"primary": plan(source.spec), "secondary": plan(source.spec, second)}
        self._lines = {role: WarmLine(guard._dialler, source.spec, each, guard._pace.patience) for role, each in plans.items()}
        self._position = moved("secondary" if source.active else "primary")
        self._seen: dict[Role, Look] = {}
        self._kept: tuple[str, float] = ("", 0.0)
        self._number = 0

    async def run(self) -> None:
        """Look, decide, move, again and again."""
        try:
            while True:
                started = monotonic()
                try:
                    await self._beat()
                except Exception as error:
                    if not away(error):  # our own state is away: what was seen is decided on again
                        raise
                await asyncio.sleep(max(0.0, self._pace.seconds - (monotonic() - started)))
        finally:
            await asyncio.gather(*(line.close() for line in self._lines.values()))

    async def _beat(self) -> None:
        await self._look()
        primary, second = self._seen.get("primary"), self._seen.get("secondary")
        if primary is None or second is None:
            return  # dialled for the first time just now
        position, move = step(self._position, self._rules, primary, second, monotonic())
        if self.wanted:
            move = await self._ordered() or move
        if move is None:
            self._position = position
        elif await self._move(move):
            self._position = moved(move.to)
        await self._keep()

    async def _look(self) -> None:
        """Both at once, the secondary less often while nobody needs it."""
        self._number += 1
        calm = self._position.active == "primary" and self._position.state == "primary" and not self.wanted
        roles: list[Role] = ["primary"]
        if not calm or "secondary" not in self._seen or self._seen["secondary"].code or self._number % _SECONDARY_EVERY == 0:
            roles.append("secondary")
        looks = await asyncio.gather(*(self._lines[role].look() for role in roles))
        self._seen |= {role: look for role, look in zip(roles, looks, strict=True) if look is not None}

    async def _ordered(self) -> Move | None:
        to: Role = "primary" if self.wanted == "primary" else "secondary"
        self.wanted = ""
        move = ordered(to, self._seen[to]) if to != self._position.active else None
        if move is None:
            async with self._store.unit(keys=[self._source.key]) as unit:
                await endpoints.unwant(unit.bus.connection, self._source.key)
        return move

    async def _move(self, move: Move) -> bool:
        """False where the other endpoint fails at that very moment, or the source is not ours any more; then all stays as it was."""
        line = self._lines[move.to]
        with tracing.span("fail over", self._source.traceparent) as trace:
            try:
                async with asyncio.timeout(2 * self._pace.patience):
                    probe = await line.probe()
            except (PurSightError, TimeoutError):
                return False
            if not await self._say(move, line.plan, probe, trace):
                return False
        counter("pursight_failovers", move.to, move.code).inc()
        log.warning("source.failed_over", extra={"source": self._source.key, "active": move.to, "cause": move.code})
        return True

    async def _say(self, move: Move, to: ConnectionPlan, probe: Probe, trace: str) -> bool:
        """The move, the new plan, and the choice itself in one transaction."""
        key, active = self._source.key, where(to)
        async with self._store.unit(keys=[key]) as unit:
            row = await unit.held(key)
            if row is None or row.version != self._source.version:
                return False
            sql = unit.bus.connection
            if not await endpoints.move(
                sql, key, self._me, active=active if move.to == "secondary" else "", state=move.to, cause=move.code
            ):
                return False
            said = SourceFailedOver(source=key, sequence=row.sequence + 1, active=move.to, cause=_cause_of(move.code), endpoint=active)
            now = row.connected(row.sequence + 2, to, probe)
            for event in (said, now):
                unit.bus.emit(event, key=key, cause=Cause(f"{row.cause}/{event.sequence}", trace, row.tenant))
            await endpoints.connected(sql, now, worth_saying(now))
        return True

    async def _keep(self) -> None:
        """What people see: at once where it changed, else now and then."""
        marks = (f"{look.code} {look.is_replica} {look.lag_seconds is None}" for look in self._seen.values())
        mark = f"{self._position.state} {' '.join(marks)}"
        if mark == self._kept[0] and monotonic() - self._kept[1] < _KEEP_EVERY:
            return
        looks = [_shown(role, self._lines[role].plan, look) for role, look in self._seen.items()]
        await self._table.seen(self._source.key, self._me, state=self._position.state, looks=looks)
        self._kept = (mark, monotonic())


def _shown(role: Role, endpoint: ConnectionPlan, look: Look) -> dict[str, Any]:
    """An endpoint as people see it."""
    stands = None if look.code else "replica" if look.is_replica else "takes writes"
    return {"role": role, "endpoint": where(endpoint), "code": look.code, "stands": stands, "lag_seconds": look.lag_seconds}


def _cause_of(code: str) -> Diagnosis:
    if code in CAUSES:
        return CAUSES[code]
    return BY_CODE[code].diagnosis() if code in BY_CODE else Diagnosis(code=code, cause="the active endpoint did not answer")
