"""One group's consumer: FastStream's batch subscriber with the costly and the dangerous parts bypassed.

Records come raw (no header is decoded, no body parsed before we do it ourselves), offsets are committed explicitly after the
handler's transaction, the batch in flight is awaited when partitions are taken away, and while a handler works long the partitions
are paused and polled, so that the group does not think us dead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage
from faststream.kafka.subscriber.usecase import BatchSubscriber

from shared.bus import failpoints
from shared.bus.reliable import Abandoned, wait_or
from shared.observe.names import counter, forget, gauge

log = logging.getLogger(__name__)
Work = Callable[[Sequence[ConsumerRecord], "Turn"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. The keep-alive must be well below `max_poll`, the wait at a revocation below `rebalance`."""

    session: float = 6.0
    heartbeat: float = 2.0
    max_poll: float = 60.0
    rebalance: float = 60.0
    revoke_wait: float = 20.0
    keep_alive: float = 5.0
    poll: float = 1.0
    silent: float = 60.0  # no poll for this long: not ready


class Turn(ConsumerRebalanceListener):  # type: ignore[misc]
    """The state of one group: which batch is in flight, and whether it still is ours."""

    def __init__(self, group: str, service: str, timing: Timing) -> None:
        self.group, self.service, self.timing = group, service, timing
        self.consumer: AIOKafkaConsumer | None = None
        self.last_poll = monotonic()
        self.stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._taken = asyncio.Event()
        self._lost = False
        self._lag: set[TopicPartition] = set()

    async def wait(self, seconds: float) -> bool:
        """Sleep before another try; False where the partitions are being taken away or the service stops."""
        return not self._taken.is_set() and await wait_or(self._taken, seconds)

    def stop(self) -> None:
        """Give up waiting; the batch in flight may still end."""
        self.stopping = True
        self._taken.set()

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Wait, bounded, for the batch in flight; heartbeats go on meanwhile. Whatever is not done by then belongs to the next owner."""
        if not revoked:
            return
        counter("pursight_rebalances", self.group).inc()
        self._taken.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self.timing.revoke_wait)
        self._lost = not self._idle.is_set()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """A new assignment. What an unfinished batch was about is not ours any more, even if the partition came back."""
        for gone in self._lag - set(assigned):
            forget("pursight_consumer_lag", gone.topic, str(gone.partition), self.group)
        self._lag = set(assigned)

    async def take(self, records: Sequence[ConsumerRecord], work: Work) -> None:
        """Do the batch and commit its offsets, keeping the membership alive however long it takes. Never raises but when cancelled."""
        if not self.stopping:
            self._taken.clear()
        self._lost = False
        self._idle.clear()
        task = asyncio.create_task(self._do(records, work))
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=self.timing.keep_alive)
                if not task.done():
                    await self._keep_alive()
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        finally:
            self._resume()

    async def _do(self, records: Sequence[ConsumerRecord], work: Work) -> None:
        try:
            await work(records, self)
            await self._commit(records)
        except Abandoned:
            log.info("batch.abandoned", extra={"group": self.group, "records": len(records)})
            self._rewind(records)
        except Exception as error:  # a fault of the runtime itself: FastStream would go on with the next batch and lose this one
            log.error("batch.retry", extra={"group": self.group, "error_type": type(error).__name__}, exc_info=True)
            self._rewind(records)
            await wait_or(self._taken, 1.0)
        finally:
            self._idle.set()

    async def _commit(self, records: Sequence[ConsumerRecord]) -> None:
        if self._lost or self.consumer is None:
            return
        offsets = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
        failpoints.hit("offsets.before_commit", self.service)
        try:
            await self.consumer.commit(offsets)
        except (KafkaError, IllegalStateError) as error:
            log.warning("offsets.commit_failed", extra={"group": self.group, "error_type": type(error).__name__})
        failpoints.hit("offsets.committed", self.service)

    def _rewind(self, records: Sequence[ConsumerRecord]) -> None:
        """Given up without losing the partitions: read the same records again."""
        if self._lost or self.stopping or self.consumer is None:
            return
        first: dict[TopicPartition, int] = {}
        for record in records:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        for place, offset in first.items():
            with suppress(IllegalStateError):
                self.consumer.seek(place, offset)

    async def _keep_alive(self) -> None:
        """Poll without taking anything. A partition that came in just now may hand out records: they are put back."""
        consumer = self.consumer
        if consumer is None:
            return
        with suppress(IllegalStateError):
            consumer.pause(*consumer.assignment())
        with suppress(KafkaError, TimeoutError):
            found = await asyncio.wait_for(consumer.getmany(timeout_ms=0), self.timing.keep_alive)
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
                    position = await asyncio.wait_for(consumer.position(place), 1.0)
                    gauge("pursight_consumer_lag", place.topic, str(place.partition), self.group).set(max(0, end - position))

    def problem(self) -> str:
        """Why this group does not work, empty while it does."""
        silent = monotonic() - self.last_poll
        return f"{self.group} has not polled for {silent:.0f} s" if silent > self.timing.silent else ""


class Poller(BatchSubscriber):
    """FastStream's batch subscriber without its second sleep after an empty poll, which costs latency."""

    __slots__ = ()

    async def get_msg(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord, ...]:
        turn = _turn_of(self)
        turn.consumer = consumer
        found = await consumer.getmany(timeout_ms=int(turn.timing.poll * 1000), max_records=self.max_records)
        turn.last_poll = monotonic()
        return tuple(chain.from_iterable(found.values()))


def _turn_of(subscriber: BatchSubscriber) -> Turn:
    turn = subscriber._listener
    assert isinstance(turn, Turn)
    return turn


async def _as_it_is(raw: tuple[ConsumerRecord, ...]) -> KafkaMessage:
    """The parser that cannot raise: it looks at nothing."""
    return KafkaMessage(raw_message=raw, body=b"", headers={}, message_id="", consumer=None)  # type: ignore[arg-type]


async def _records(message: KafkaMessage) -> Any:
    return message.raw_message


def subscribe(broker: KafkaBroker, topics: Sequence[str], turn: Turn, work: Work, *, batch: int) -> Poller:
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
        fetch_max_wait_ms=1000,  # data ends the wait; a longer one costs idle services less
        fetch_max_bytes=16 * 1024 * 1024,
        max_partition_fetch_bytes=1024 * 1024,
        session_timeout_ms=int(timing.session * 1000),
        heartbeat_interval_ms=int(timing.heartbeat * 1000),
        max_poll_interval_ms=int(timing.max_poll * 1000),
        rebalance_timeout_ms=int(timing.rebalance * 1000),
    )

    async def handle(records: tuple[ConsumerRecord, ...]) -> None:
        await turn.take(records, work)

    subscriber(handle)
    subscriber.__class__ = Poller  # the same object with another `get_msg`; FastStream has no hook for it
    return subscriber  # type: ignore[return-value]
