"""One group's consumer: FastStream's batch subscriber with the costly and the dangerous parts bypassed.

Records come raw (no header is decoded, no body parsed before we do it ourselves), offsets are committed explicitly after the
handler's transaction, the batch in flight is awaited when partitions are taken away, and while a handler works long the partitions
are paused and polled, so that the group does not think us dead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from time import monotonic
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage
from faststream.kafka.subscriber.usecase import BatchSubscriber

from shared.bus import failpoints
from shared.bus.reliable import Abandoned, wait_or
from shared.observe.names import counter, forget, gauge

log = logging.getLogger(__name__)
COMMIT_SECONDS = 0.02
BUSY_WAIT_MS, IDLE_WAIT_MS = 50, 3_000  # for how long a broker may hold a request back that it has no records for
HEAD_START_SECONDS = 0.001  # for the batch in flight to reach its first wait, before the next one is heard


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. The keep-alive must be well below `max_poll`, the wait at a revocation below `rebalance`."""

    session: float = 6.0
    heartbeat: float = 2.0
    max_poll: float = 60.0
    rebalance: float = 60.0
    revoke_wait: float = 20.0
    keep_alive: float = 5.0
    poll: float = 3.0
    silent: float = 60.0  # no poll for this long: not ready


class Work(Protocol):
    """What is done with the records of one poll."""

    def hear(self, records: Sequence[ConsumerRecord]) -> Any:
        """Read them, without waiting for anything. Must not raise."""

    async def handle(self, heard: Any, turn: Turn) -> None:
        """Do them to their end. Raises Abandoned where they are given up."""


class Turn(ConsumerRebalanceListener):  # type: ignore[misc]
    """The state of one group: which batch is in flight, which one is heard and waits behind it, and whether they still are ours.

    While a batch in flight waits for Kafka or the database, the next one is polled and heard; it is handled only when the one before
    is done. Offsets are committed in the same order, beside the next batch's handling.
    """

    def __init__(self, group: str, service: str, timing: Timing) -> None:
        self.group, self.service, self.timing = group, service, timing
        self.consumer: AIOKafkaConsumer | None = None
        self.last_poll = monotonic()
        self.stopping = False
        self._task: asyncio.Task[None] | None = None
        self._committer: asyncio.Task[None] | None = None
        self._offsets: dict[TopicPartition, int] = {}
        self._taken = asyncio.Event()
        self._assignment = 0  # grows with each assignment; what an older one's batch was about is not ours any more
        self._reading = self._polled = 0  # grows when positions were moved; a batch that was polled before is stale
        self._rewound: set[TopicPartition] = set()
        self._lag: set[TopicPartition] = set()

    async def wait(self, seconds: float) -> bool:
        """Sleep before another try; False where the partitions are being taken away or the service stops."""
        return not self._taken.is_set() and await wait_or(self._taken, seconds)

    async def leave(self) -> None:
        """Begin nothing more and give up waiting; end the batch in flight and commit it, or cut it off after `revoke_wait`."""
        self._taken.set()
        await self._settled(self.timing.revoke_wait)
        if late := self._running():
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=1.0)

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Wait, bounded, for the batch in flight; heartbeats go on meanwhile. Whatever is not done by then belongs to the next owner."""
        if not revoked:
            return
        counter("pursight_rebalances", self.group).inc()
        self._taken.set()
        await self._settled(self.timing.revoke_wait)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """A new assignment. What an unfinished batch was about is not ours any more, even if the partition came back."""
        self._assignment += 1
        self._reading += 1
        self._offsets.clear()
        self._rewound.clear()
        if not self.stopping:
            self._taken.clear()
        for gone in self._lag - set(assigned):
            forget("pursight_consumer_lag", gone.topic, str(gone.partition), self.group)
        self._lag = set(assigned)

    def polled(self) -> None:
        """Records were just taken from the consumer; they are good for its positions of this moment."""
        self.last_poll, self._polled = monotonic(), self._reading

    async def take(self, records: Sequence[ConsumerRecord], work: Work) -> None:
        """Hear the records, wait for the batch in flight, begin this one, which still is in flight when this returns.

        Keeps the membership alive however long that takes.
        """
        read = self._polled
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=HEAD_START_SECONDS)
        if not self._fresh(records, read):
            return
        heard = work.hear(records)
        await self._before()
        if self._fresh(records, read):
            self._rewound.clear()
            self._task = asyncio.create_task(self._do(records, heard, work, self._assignment))

    def _fresh(self, records: Sequence[ConsumerRecord], read: int) -> bool:
        """Whether these records are still to be done; if not, they are put back, unless they come again by themselves."""
        if self._taken.is_set():
            return False
        if read != self._reading and self._rewound:
            self._seek(records, self._rewound)
        return read == self._reading

    async def _before(self) -> None:
        """Wait for the batch in flight, polling meanwhile."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=self.timing.keep_alive)
            if not self._task.done():
                await self._keep_alive()
        self._resume()

    async def _settled(self, seconds: float) -> None:
        """Wait until nothing is in flight and all is committed, at most `seconds`."""
        end = monotonic() + seconds
        while (running := self._running()) and monotonic() < end:
            await asyncio.wait(running, timeout=max(0.0, end - monotonic()))

    def _running(self) -> set[asyncio.Task[None]]:
        return {task for task in (self._task, self._committer) if task is not None and not task.done()}

    async def _do(self, records: Sequence[ConsumerRecord], heard: Any, work: Work, assignment: int) -> None:
        try:
            await work.handle(heard, self)
            if assignment == self._assignment:
                self._offsets |= _ends(records)
                if self._committer is None or self._committer.done():
                    self._committer = asyncio.create_task(self._commit())
        except Abandoned:
            log.info("batch.abandoned", extra={"group": self.group, "records": len(records)})
            self._rewind(records, assignment)
        except Exception as error:  # a fault of the runtime itself: going on with the next batch would lose this one
            log.error("batch.retry", extra={"group": self.group, "error_type": type(error).__name__}, exc_info=True)
            self._rewind(records, assignment)
            await wait_or(self._taken, 1.0)

    async def _commit(self) -> None:
        """Commit what is done until nothing new was done meanwhile. A short wait makes one commit of several small batches."""
        while self._offsets and self.consumer is not None:
            await wait_or(self._taken, COMMIT_SECONDS)
            offsets, self._offsets = self._offsets, {}
            failpoints.hit("offsets.before_commit", self.service)
            try:
                await self.consumer.commit(offsets)
            except (KafkaError, IllegalStateError) as error:
                log.warning("offsets.commit_failed", extra={"group": self.group, "error_type": type(error).__name__})
            failpoints.hit("offsets.committed", self.service)

    def _rewind(self, records: Sequence[ConsumerRecord], assignment: int) -> None:
        """Given up without losing the partitions: read the same records again, and drop what was polled after them."""
        if assignment == self._assignment and not self._taken.is_set():
            self._seek(records, set())
            self._reading += 1

    def _seek(self, records: Sequence[ConsumerRecord], but: set[TopicPartition]) -> None:
        first = {place: end - 1 for place, end in _ends(reversed(records)).items()}
        for place in first.keys() - but:
            with suppress(IllegalStateError):
                self.consumer.seek(place, first[place])  # type: ignore[union-attr]
        self._rewound |= first.keys()

    async def _keep_alive(self) -> None:
        """Poll without taking anything. A partition that came in just now may hand out records: they are put back."""
        consumer = self.consumer
        if consumer is None:
            return
        with suppress(IllegalStateError):
            consumer.pause(*consumer.assignment())
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(self.timing.keep_alive):
                found = await consumer.getmany(timeout_ms=0)
            for place, records in found.items():
                consumer.seek(place, records[0].offset)
        self.last_poll = monotonic()

    def _resume(self) -> None:
        if self.consumer is not None and (paused := self.consumer.paused()):
            self.consumer.resume(*(paused & self.consumer.assignment()))

    async def measure_lag(self) -> None:
        """Set the lag of each partition that is ours: its end as of the last fetch, less our position."""
        consumer = self.consumer
        if consumer is None:
            return
        for place in consumer.assignment():
            end = consumer.highwater(place)
            if end is not None:
                with suppress(KafkaError, IllegalStateError, TimeoutError):
                    async with asyncio.timeout(1.0):
                        position = await consumer.position(place)
                    gauge("pursight_consumer_lag", place.topic, str(place.partition), self.group).set(max(0, end - position))

    def problem(self) -> str:
        """Why this group does not work, empty while it does."""
        silent = monotonic() - self.last_poll
        return f"{self.group} has not polled for {silent:.0f} s" if silent > self.timing.silent else ""


def _ends(records: Iterable[ConsumerRecord]) -> dict[TopicPartition, int]:
    """Of each partition the offset behind its last record."""
    last = {(record.topic, record.partition): record.offset for record in records}
    return {TopicPartition(*place): offset + 1 for place, offset in last.items()}


class Patient(Fetcher):  # type: ignore[misc]
    """aiokafka's fetcher, whose requests wait long where nothing is at hand, and hardly where something is.

    It asks a broker one thing at a time, and only for partitions of which nothing is buffered. With one wait for all, a request for
    partitions that are at their end keeps those from being asked for that are behind; a short one wakes idle services all the time.
    """

    @property
    def _fetch_max_wait_ms(self) -> int:
        return BUSY_WAIT_MS if self._records else IDLE_WAIT_MS

    @_fetch_max_wait_ms.setter
    def _fetch_max_wait_ms(self, _: int) -> None:
        """Its constructor's word does not count."""


class Poller(BatchSubscriber):
    """FastStream's batch subscriber without its second sleep after an empty poll, which costs latency."""

    __slots__ = ()

    async def get_msg(self, consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:  # type: ignore[override]
        consumer._fetcher.__class__ = Patient  # the same object; aiokafka has no hook for it
        turn = _turn_of(self)
        turn.consumer = consumer
        found = await consumer.getmany(timeout_ms=int(turn.timing.poll * 1000), max_records=self.max_records)
        turn.polled()
        return list(chain.from_iterable(found.values()))


def _turn_of(subscriber: BatchSubscriber) -> Turn:
    turn = subscriber._listener
    assert isinstance(turn, Turn)
    return turn


async def _as_it_is(raw: list[ConsumerRecord]) -> KafkaMessage:
    """The parser that cannot raise: it looks at nothing."""
    return KafkaMessage(raw_message=raw, body=b"", headers={}, message_id="", consumer=None)  # type: ignore[arg-type]


async def _records(message: KafkaMessage) -> Any:
    return message.raw_message


def subscribe(broker: KafkaBroker, topics: Sequence[str], turn: Turn, work: Work, *, batch: int) -> None:
    """Let `broker` hear `topics` as group `turn.group`, at most `batch` records at a time, one batch after another."""
    timing = turn.timing
    subscriber = broker.subscriber(
        *topics,
        batch=True,
        max_records=batch,
        group_id=turn.group,
        listener=turn,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",
        parser=_as_it_is,
        decoder=_records,
        no_reply=True,
        fetch_max_wait_ms=BUSY_WAIT_MS,  # of the first request
        fetch_max_bytes=16 * 1024 * 1024,
        max_partition_fetch_bytes=1024 * 1024,
        session_timeout_ms=int(timing.session * 1000),
        heartbeat_interval_ms=int(timing.heartbeat * 1000),
        max_poll_interval_ms=int(timing.max_poll * 1000),
        rebalance_timeout_ms=int(timing.rebalance * 1000),
    )

    async def handle(polled: list[ConsumerRecord]) -> None:
        records = tuple(polled)
        polled.clear()  # FastStream's message is in the context of every timer set here, which lives for seconds after its end
        await turn.take(records, work)

    subscriber(handle)
    subscriber.__class__ = Poller  # the same object with another `get_msg`; FastStream has no hook for it
