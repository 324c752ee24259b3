"""What becomes of a batch whose handling does not go well.

*Transient* (the world is away): wait with growing delay and jitter, without end. *Poison* (it does not parse): put aside at once.
*Unknown*: the batch is split until the record that fails is alone; that one is tried a few times, then put aside. One bad record
never takes its batch along. Requests of one key wait behind an unknown error of that key, up to a limit; facts never wait.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import asyncpg
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError

from shared.bus import failpoints
from shared.bus.aside import put_aside
from shared.bus.deadletters import DeadLetters, Reject, waiting_keys
from shared.bus.hear import Heard
from shared.bus.received import Received
from shared.bus.seal import Seal
from shared.bus.unit import unit
from shared.contracts.topics import Topic, group_of
from shared.db.pool import away
from shared.errors import Poison, PurSightError, Transient
from shared.observe import tracing
from shared.observe.names import counter, gauge

TRIES = 3  # of a single record whose error is unknown
FIRST_SECONDS, LONGEST_SECONDS = 0.1, 30.0
PARKED_LIMIT = 1_000  # records that may wait behind one key
Handler = Callable[[Sequence[Received[Any]]], Awaitable[None]]
log = logging.getLogger(__name__)


class Waiter(Protocol):
    """What ends a wait early: the partitions were taken away, or the service stops."""

    async def wait(self, seconds: float) -> bool:
        """Wait; False where the batch is to be given up because somebody else will do it."""


class Abandoned(Exception):
    """The batch is given up without a trace; its records come again, here or elsewhere."""


def delay(attempt: int) -> float:
    """Seconds before the next try: full jitter over a ceiling that doubles up to 30 s, never below 50 ms."""
    return random.uniform(0.05, min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(attempt, 20)))


def transient(error: BaseException) -> bool:
    """Whether the world is away: our own class says so, or PostgreSQL, or a Kafka error that its client calls retriable."""
    if isinstance(error, KafkaError):
        return bool(error.retriable) or isinstance(error, (KafkaConnectionError, KafkaTimeoutError, UnknownTopicOrPartitionError))
    return isinstance(error, Transient) or away(error)


def code_of(error: BaseException) -> str:
    """A stable code: our own errors carry one, PostgreSQL's their SQLSTATE, others their type's name."""
    if isinstance(error, PurSightError):
        return error.code
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        return f"sqlstate_{error.sqlstate}"
    return type(error).__name__


class Reliable:
    """Handles batches of one topic for one service."""

    def __init__(self, service: str, topic: Topic, handler: Handler, pool: asyncpg.Pool, seal: Callable[[], Seal]) -> None:
        self._service, self._topic, self._handler, self._pool, self._seal = service, topic, handler, pool, seal
        self._group = group_of(service, topic.name)
        self._letters = DeadLetters(pool, service)
        self.problem = ""

    async def __call__(self, batch: Sequence[Heard], waiter: Waiter) -> None:
        """Handle the batch to its end. Raises Abandoned where it is given up."""
        good, bad = [heard for heard in batch if not heard.code], [heard for heard in batch if heard.code]
        if bad:
            await self._put(waiter, [heard.reject(self._service) for heard in bad])
        if self._topic.request and good:
            good = await self._unparked(good, waiter)
        if good:
            await self._handle(good, waiter, set())
        if done := [heard.letter for heard in good if heard.letter and not heard.code]:
            await self._endlessly(waiter, lambda: self._letters.resolved(done))

    async def _handle(self, batch: Sequence[Heard], waiter: Waiter, parked: set[bytes]) -> None:
        """Try the batch; where an unknown error is in it, each half by itself."""
        if parked:
            batch = await self._without(batch, parked, waiter)
        if len(batch) == 1:
            return await self._alone(batch[0], waiter, parked)
        if not batch:
            return None
        try:
            await self._endlessly(waiter, lambda: self._handler([heard.received for heard in batch]))
        except Exception as error:
            if isinstance(error, Abandoned):
                raise
            log.warning("batch.one_by_one", extra=self._fields(error, records=len(batch)))
            middle = len(batch) // 2
            await self._handle(batch[:middle], waiter, parked)
            await self._handle(batch[middle:], waiter, parked)

    async def _alone(self, heard: Heard, waiter: Waiter, parked: set[bytes]) -> None:
        token = tracing.current.set(heard.received.traceparent)
        fields = tracing.fields.set({"event_id": heard.received.id, "tenant": heard.received.tenant})
        try:
            await self._few_times(heard, waiter, parked)
        finally:
            tracing.current.reset(token)
            tracing.fields.reset(fields)

    async def _few_times(self, heard: Heard, waiter: Waiter, parked: set[bytes]) -> None:
        first = heard.received.attempt
        for attempt in range(TRIES):
            received = heard.received._replace(attempt=first + attempt)
            try:
                return await self._endlessly(waiter, lambda received=received: self._handler([received]))  # type: ignore[misc]
            except Abandoned:
                raise
            except Exception as error:
                last = error
                if isinstance(error, Poison) or attempt == TRIES - 1:
                    break
                counter("pursight_events", self._topic.name, self._group, "retried").inc()
                await self._pause(waiter, delay(attempt))
        await self._give_up(heard, last, first + attempt, waiter, parked)

    async def _give_up(self, heard: Heard, error: Exception, attempts: int, waiter: Waiter, parked: set[bytes]) -> None:
        parks = self._topic.request and not isinstance(error, Poison) and bool(heard.received.key)
        heard.code = code_of(error)
        heard.why = error.line() if isinstance(error, PurSightError) else "the handler failed; see the service's log at this event's id"
        log.error("event.dead_lettered", extra=self._fields(error, partition=heard.record.partition, offset=heard.record.offset))
        reject = heard.reject(self._service, attempts=attempts, parks=parks)
        await self._put(waiter, [reject])
        if parks:
            parked.add(reject.key_mark)

    async def _unparked(self, batch: list[Heard], waiter: Waiter) -> list[Heard]:
        """Put aside what has to wait behind a dead letter of its key; the rest is returned."""
        marks = {id(heard): heard.reject(self._service).key_mark for heard in batch if heard.received.key}
        found: dict[bytes, tuple[int, bool]] = {}

        async def look() -> None:
            found.update(await waiting_keys(self._pool, self._topic.name, list(marks.values())))

        await self._endlessly(waiter, look)
        waits = [heard for heard in batch if self._waits(heard, found.get(marks.get(id(heard), b"")))]
        await self._park(waits, waiter)
        return [heard for heard in batch if not heard.code]

    def _waits(self, heard: Heard, ahead: tuple[int, bool] | None) -> bool:
        if ahead is None:
            return False
        count, first_is_open = ahead
        if heard.letter:
            return first_is_open  # a replay: it waits only where the first of its key failed again
        if count >= PARKED_LIMIT:
            counter("pursight_parked_over_limit", self._topic.name, self._group).inc()
            return False
        return True

    async def _without(self, batch: Sequence[Heard], parked: set[bytes], waiter: Waiter) -> list[Heard]:
        waits = [heard for heard in batch if heard.reject(self._service).key_mark in parked]
        await self._park(waits, waiter)
        return [heard for heard in batch if not heard.code]

    async def _park(self, waits: Sequence[Heard], waiter: Waiter) -> None:
        for heard in waits:
            heard.code, heard.why = "parked", "an earlier request of this key failed and waits for a decision"
        if waits:
            log.warning("event.parked", extra={"topic": self._topic.name, "group": self._group, "records": len(waits)})
            await self._put(waiter, [heard.reject(self._service, parks=True) for heard in waits])

    async def _put(self, waiter: Waiter, rejects: Sequence[Reject]) -> None:
        async def write() -> None:
            async with unit(self._pool, service=self._service) as work:
                await put_aside(work, rejects, service=self._service, seal=self._seal())
            failpoints.hit("deadletter.committed", self._service)

        await self._endlessly(waiter, write)
        counter("pursight_events", self._topic.name, self._group, "dead_lettered").inc(len(rejects))

    async def _endlessly(self, waiter: Waiter, attempt: Callable[[], Awaitable[None]]) -> None:
        """Until it works or fails for another reason than the world being away. Raises Abandoned."""
        for count in range(1 << 62):
            try:
                await attempt()
                break
            except Exception as error:
                if not transient(error):
                    raise
                seconds = delay(count)
                self.problem = f"{self._group} waits: {code_of(error)}"
                gauge("pursight_retry_waiting", self._topic.name, self._group).set(1)
                log.warning("batch.retry", extra=self._fields(error, retry_seconds=round(seconds, 2), attempt=count + 1))
                await self._pause(waiter, seconds)
        if self.problem:
            self.problem = ""
            gauge("pursight_retry_waiting", self._topic.name, self._group).set(0)

    async def _pause(self, waiter: Waiter, seconds: float) -> None:
        if not await waiter.wait(seconds):
            raise Abandoned

    def _fields(self, error: BaseException, **more: object) -> dict[str, object]:
        return {"topic": self._topic.name, "group": self._group, "error_code": code_of(error), **more}


async def wait_or(event: asyncio.Event, seconds: float) -> bool:
    """Sleep, but not longer than until `event`; True where the time passed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return not event.is_set()
