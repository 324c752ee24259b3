"""For edges without state: say one event, or watch topics, from a shell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, time_ns
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.bus.hear import Heard, Hearing
from shared.bus.kafka import answers, client_options
from shared.bus.outgoing import Composer, Outgoing
from shared.bus.received import Cause, Received
from shared.bus.sender import Sender
from shared.bus.topics import topic_of
from shared.contracts.base import Contract
from shared.contracts.topics import BY_NAME
from shared.errors import Transient
from shared.observe import tracing
from shared.settings import BusSettings

ASK_SECONDS, AWAY_SECONDS = 2.0, 8.0  # of silence until the broker is asked whether it is there, and of no answer until it counts as gone


@dataclass(frozen=True, slots=True)
class Said:
    """What was published: the event's id and its trace."""

    id: str
    trace_id: str


class Publisher:
    """Publishes single events with envelope and trace. `source` is what `ce_source` says, such as `cli`."""

    def __init__(self, sender: Sender, source: str) -> None:
        self._sender, self._source = sender, source

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BusSettings, *, source: str = "cli") -> AsyncIterator[Publisher]:
        """Connect for the time of the block. Raises Transient where no broker answers."""
        sender = Sender(settings, f"pursight-{source}")
        try:
            await sender.start()
        except KafkaError as error:
            raise Transient("Kafka does not answer", why=type(error).__name__, remedy="Is it started?", code="kafka_away") from error
        try:
            yield cls(sender, source)
        finally:
            await sender.stop()

    async def publish(self, event: Contract, *, key: str, cause: Cause | None = None) -> Said:
        """Say one event and wait until Kafka has it. Raises Transient where it did not answer.

        The same `cause` gives the same id, so that a repeated command changes nothing twice.
        """
        because = cause or Cause.new(tenant=key.partition("/")[0])
        records: list[Outgoing] = []
        composer = Composer(self._source, datetime.now(UTC), time_ns(), records.append)
        id = composer.say(event, key=key, cause=because.id, parent=because.traceparent, tenant=because.tenant)
        (error,) = await self._sender.send(records)
        if error is not None:
            raise Transient("Kafka did not acknowledge", why=type(error).__name__, code="kafka_away")
        return Said(id, tracing.trace_id(records[0].traceparent))


async def tail(settings: BusSettings, topics: Sequence[str] = (), *, from_start: bool = False) -> AsyncIterator[Received[Any] | Heard]:
    """Every event of these topics (all where none is named) as it comes, until the iterator is closed.

    A record that is no event comes as `Heard`, with `code` and `why`. Nothing is committed: watching changes nothing.
    Raises Transient where no broker answers, or none does any more; one that is restarted is waited for.
    """
    names = list(topics) or list(BY_NAME)
    hearings = {name: Hearing(BY_NAME[topic_of(name)]) for name in names}
    consumer = AIOKafkaConsumer(**client_options(settings, "pursight-tail"), enable_auto_commit=False)
    try:
        await consumer.start()
    except KafkaError as error:
        with suppress(KafkaError):
            await consumer.stop()
        raise Transient("Kafka does not answer", why=type(error).__name__, remedy="Is it started?", code="kafka_away") from error
    try:
        await _assign(consumer, names, from_start)
        answered = monotonic()
        while True:
            for records in (await consumer.getmany(timeout_ms=round(ASK_SECONDS * 1000))).values():
                answered = monotonic()
                for record in records:
                    heard = hearings[record.topic](record)
                    yield heard if heard.code else heard.received
            if monotonic() - answered < ASK_SECONDS:
                continue
            if await answers(consumer._client, ASK_SECONDS):
                answered = monotonic()
            elif monotonic() - answered > AWAY_SECONDS:
                raise Transient("the broker does not answer any more", remedy="Is it started?", code="kafka_away")
    finally:
        await close(consumer)


async def close(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer without a group. aiokafka lets its own task's cancellation out then; that one is not ours."""
    with suppress(asyncio.CancelledError):
        await consumer.stop()
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _assign(consumer: AIOKafkaConsumer, names: Sequence[str], from_start: bool) -> None:
    await consumer._client.force_metadata_update()
    places: list[TopicPartition] = []
    for name in names:
        consumer._client.add_topic(name)
    await consumer._client.force_metadata_update()
    for name in names:
        places += [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
    consumer.assign(places)
    await (consumer.seek_to_beginning() if from_start else consumer.seek_to_end())
