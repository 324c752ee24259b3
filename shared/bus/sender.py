"""Sends records to Kafka in one batch per partition and waits until all replicas in sync have them.

The partition is computed here with Kafka's own murmur2, because a client's batch call takes the partition from the caller, and a
whole batch in one random partition would lose the order per key.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from time import monotonic, time_ns
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError
from opentelemetry.trace import SpanKind

from shared.bus.kafka import answers, producer_options
from shared.bus.outgoing import Outgoing, key_hash
from shared.observe import tracing
from shared.observe.otlp import encoded
from shared.settings import BusSettings

ACK_SECONDS = 30.0  # longer than the producer's own request timeout: what is still unknown then will never be sent late
UNKNOWN_SECONDS = 5.0
_UNKNOWN = (0, 0.0)
Place = tuple[str, int]


class Said(NamedTuple):
    """What is kept of a traced record until its span is over: not the record."""

    place: int
    name: str
    own: str
    parent: str
    said_ns: int
    attributes: bytes

    @classmethod
    def of(cls, place: int, record: Outgoing) -> Said:
        """The span that will say that `record`, the one at `place`, was sent."""
        key = encoded({"messaging.kafka.message.key": (record.key or b"").decode("utf-8", "replace")})
        return cls(place, f"send {record.topic}", record.traceparent, record.parent, record.said_ns, _common(record.topic) + key)


class Load:
    """Records packed into one batch per partition as they come, so that nothing but their bytes is kept of them.

    `counts` says how many partitions a topic has and until when that holds; what is of other topics waits for its place.
    """

    __slots__ = ("_counts", "_now_ms", "_open", "places", "producer", "size", "traced", "unplaced")

    def __init__(self, counts: Mapping[str, tuple[int, float]], producer: Any) -> None:
        self.size = 0
        self.places: dict[Place, list[tuple[Any, list[int]]]] = {}
        self.unplaced: dict[str, list[tuple[int, Outgoing]]] = {}
        self.traced: list[Said] = []
        self.producer, self._counts, self._now_ms = producer, counts, time_ns() // 1_000_000
        self._open: dict[str, list[tuple[Any, Any] | None]] = {}  # of each topic, by partition: how to append to its last batch

    def put(self, record: Outgoing) -> None:
        """Add a record behind the others of its partition."""
        index = self.size
        self.size = index + 1
        if record.topic in self._open or self._known(record.topic):
            self._append(index, record, self._open[record.topic])
        else:
            self.unplaced.setdefault(record.topic, []).append((index, record))
        if record.parent:
            self.traced.append(Said.of(index, record))

    def _known(self, topic: str) -> bool:
        count = self._counts.get(topic, _UNKNOWN)[0]
        if count and self.producer and topic not in self.unplaced:
            self._open[topic] = [None] * count
        return topic in self._open

    def place(self, topic: str, count: int) -> None:
        """The topic turned out to have `count` partitions: pack what waited for that."""
        self._open[topic] = [None] * count
        for index, record in self.unplaced.pop(topic):
            self._append(index, record, self._open[topic])

    def _append(self, index: int, record: Outgoing, by_partition: list[tuple[Any, Any] | None]) -> None:
        key, body, headers, now = record.key, record.body, record.headers, self._now_ms
        partition = (key_hash(key) if key else random.getrandbits(31)) % len(by_partition)
        last = by_partition[partition]
        if last is None or last[0](timestamp=now, key=key, value=body, headers=headers) is None:
            last = by_partition[partition] = self._batch(record.topic, partition)
            last[0](timestamp=now, key=key, value=body, headers=headers)
        last[1](index)

    def _batch(self, topic: str, partition: int) -> tuple[Any, Any]:
        builder, indices = self.producer.create_batch(), list[int]()
        self.places.setdefault((topic, partition), []).append((builder, indices))
        return builder.append, indices.append


class Sender:
    """One idempotent producer. Several tasks may use it at once; the order holds within one call and between calls awaited in turn."""

    def __init__(self, settings: BusSettings, client_id: str) -> None:
        self._options = producer_options(settings, client_id)
        self._producer: AIOKafkaProducer | None = None
        self._counts: dict[str, tuple[int, float]] = {}

    async def start(self) -> None:
        """Connect. Raises aiokafka's KafkaConnectionError where no broker answers."""
        producer = AIOKafkaProducer(**self._options)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self, seconds: float = 10.0) -> None:
        """Flush and close, at most `seconds`."""
        producer, self._producer = self._producer, None
        if producer:
            with suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(seconds):
                    await producer.stop()

    async def answers(self, seconds: float = 5.0) -> bool:
        """Whether a broker answers now."""
        return self._producer is not None and await answers(self._producer.client, seconds)

    def load(self) -> Load:
        """An empty load for this sender."""
        return Load(self._counts, self._producer)

    async def send(self, records: Sequence[Outgoing]) -> list[Exception | None]:
        """Send all, in order per partition; one entry per record: None where Kafka acknowledged it, else why not.

        Where a record of a partition failed, the later ones of that partition are not sent. A failed one may still have arrived.
        """
        load = self.load()
        for record in records:
            load.put(record)
        return await self.ship(load)

    async def ship(self, load: Load) -> list[Exception | None]:
        """`send` for records that were put into a load one by one."""
        results: list[Exception | None] = [None] * load.size
        if self._producer is None:
            return [KafkaTimeoutError()] * load.size
        load.producer = self._producer
        await self._place(self._producer, load, results)
        while load.places:
            await self._wave(self._producer, load.places, results)
        _trace(load.traced, results)
        return results

    async def _place(self, producer: AIOKafkaProducer, load: Load, results: list[Exception | None]) -> None:
        """Find the places of those whose topic was not known, and see that it is known still when the next load comes."""
        for topic in {topic for topic, _ in load.places} | load.unplaced.keys():
            count = await self._partitions(producer, topic)
            if count and topic in load.unplaced:
                load.place(topic, count)
            for index, _ in load.unplaced.pop(topic, ()):
                results[index] = UnknownTopicOrPartitionError(topic)

    async def _wave(
        self, producer: AIOKafkaProducer, places: dict[Place, list[tuple[Any, list[int]]]], results: list[Exception | None]
    ) -> None:
        """Send the first waiting batch of each partition and wait for all of them."""
        sent: dict[Place, asyncio.Future[Any]] = {}
        errors: dict[Place, Exception] = {}
        for (topic, partition), queue in places.items():
            try:
                sent[topic, partition] = await producer.send_batch(queue[0][0], topic, partition=partition)
            except (KafkaError, AssertionError) as error:
                errors[topic, partition] = error if isinstance(error, KafkaError) else KafkaError(repr(error))
        if sent:
            await asyncio.wait(sent.values(), timeout=ACK_SECONDS)
        for place, future in sent.items():
            if not future.done():
                errors[place] = KafkaTimeoutError()
            elif future.exception():
                errors[place] = _as_error(future)
        for place in list(places):
            _, indices = places[place].pop(0)
            if place in errors:
                left = [index for _, more in places.pop(place) for index in more]
                for index in (*indices, *left):
                    results[index] = errors[place]
            elif not places[place]:
                del places[place]
        if any(isinstance(error, KafkaTimeoutError) for error in errors.values()):
            await self._renew()

    async def _renew(self) -> None:
        """A new producer, so that nothing of the old one can arrive after what is sent again."""
        await self.stop()
        with suppress(KafkaError, OSError):
            await self.start()

    async def _partitions(self, producer: AIOKafkaProducer, topic: str) -> int:
        """How many partitions `topic` has; 0 where the broker does not know it (remembered for some seconds)."""
        count, until = self._counts.get(topic, _UNKNOWN)
        if monotonic() < until:
            return count
        try:
            async with asyncio.timeout(UNKNOWN_SECONDS):
                found = await producer.partitions_for(topic)
        except (KafkaError, TimeoutError):
            found = set()
        self._counts[topic] = (len(found), monotonic() + (60.0 if found else UNKNOWN_SECONDS))
        return len(found)


def _as_error(future: asyncio.Future[Any]) -> Exception:
    error = future.exception()
    return error if isinstance(error, Exception) else KafkaError(repr(error))


def _trace(said: Sequence[Said], results: Sequence[Exception | None]) -> None:
    """One producer span per acknowledged event: from when it was said to now."""
    end = time_ns()
    for one in said:
        if results[one.place] is None:
            start = one.said_ns or end
            tracing.record(
                one.name, one.own, parent=one.parent, kind=SpanKind.PRODUCER, start_ns=start, end_ns=end, attributes=one.attributes
            )


@lru_cache(maxsize=256)
def _common(topic: str) -> bytes:
    """What all spans of sending to `topic` have in common."""
    return encoded(
        {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": topic,
        }
    )
