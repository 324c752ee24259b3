"""What is done with the records of one topic, poll by poll: by a handler that keeps state, or by a step that keeps none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time_ns
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord

from shared.bus.consume import Turn
from shared.bus.deadletters import ID_HEADER
from shared.bus.hear import Hearing, text
from shared.bus.meter import Traced, meter, observe, traced_of
from shared.bus.outgoing import Composer
from shared.bus.received import Received
from shared.bus.reliable import Abandoned, Reliable
from shared.bus.sender import Load, Sender
from shared.bus.unit import duplicates
from shared.contracts.base import Contract
from shared.contracts.topics import Topic
from shared.errors import Transient
from shared.observe import tracing
from shared.observe.names import counter

Step = Callable[[Received[Any]], Iterable[tuple[str, Contract]]]


@dataclass(slots=True)
class Ear:
    """One topic that this service hears: its batches from raw records to spans and metrics."""

    topic: Topic
    reliable: Reliable
    hearing: Hearing
    batch: int
    turn: Turn

    def hear(self, records: Sequence[ConsumerRecord]) -> Any:
        """When the batch began, and its records as events."""
        return time_ns(), [self.hearing(record) for record in records]

    async def handle(self, heard: Any, turn: Turn) -> None:
        """Handle, then count. Raises Abandoned."""
        start, batch = heard
        seen: set[str] = set()
        token = duplicates.set(seen)
        try:
            await self.reliable(batch, turn)
        except Abandoned:
            counter("pursight_events", self.topic.name, turn.group, "retried").inc(len(batch))
            raise
        finally:
            duplicates.reset(token)
        meter(self.topic.name, turn.group, batch, seen, start, time_ns())


@dataclass(frozen=True, slots=True)
class Hop:
    """A step as a handler: what each event of a batch is answered with is sent, all of it acknowledged when the call returns."""

    service: str
    step: Step
    sender: Sender

    async def __call__(self, batch: Sequence[Received[Any]]) -> None:
        """Raises Transient where Kafka does not acknowledge, and what the step raises."""
        load = self.sender.load()
        composer = self.composer(load)
        for received in batch:
            self.say(received, composer)
        if errors := [error for error in await self.sender.ship(load) if error is not None]:
            raise Transient("Kafka did not acknowledge", why=type(errors[0]).__name__, code="kafka_away")

    def composer(self, load: Load) -> Composer:
        """Puts what is said into `load`."""
        return Composer(self.service, datetime.now(UTC), time_ns(), load.put)

    def say(self, received: Received[Any], composer: Composer) -> None:
        """Answer one event. Raises what the step raises."""
        composer.begin()
        for key, event in self.step(received):
            composer.say(event, key=key, cause=received.id, parent=received.traceparent, tenant=received.tenant)


class Packed(NamedTuple):
    """A poll of which each event was answered: when they were true, which of them are traced. No `load`: something was wrong."""

    records: Sequence[ConsumerRecord]
    start_ns: int
    load: Load | None
    times: list[datetime]
    traced: list[Traced]


@dataclass(slots=True)
class HopEar(Ear):
    """A topic whose events are answered one by one, each gone before the next one is looked at.

    So they live in the processor's cache; held side by side, as a handler with state needs them, they cost twice the time. A poll in
    which anything is wrong, or that Kafka does not acknowledge, is done again the careful way; ids make the repetition harmless.
    """

    hop: Hop

    def hear(self, records: Sequence[ConsumerRecord]) -> Packed:
        load, times, traced, recording = self.hop.sender.load(), [], [], tracing.recording()
        composer, read, say, start = self.hop.composer(load), self.hearing.read, self.hop.say, time_ns()
        with suppress(Exception):  # whatever it was: `times` tells that not all is done
            for record in () if self.topic.request else records:  # a request may have to wait behind another one
                headers = dict(record.headers)
                parent = text(headers.get("traceparent"))
                received, code, _ = read(record, headers, parent)
                if code or ID_HEADER in headers:
                    break
                say(received, composer)
                times.append(received.time)
                if recording and tracing.sampled(received.traceparent):
                    traced.append(traced_of(received, parent))
        return Packed(records, start, load if len(times) == len(records) else None, times, traced)

    async def handle(self, heard: Packed, turn: Turn) -> None:
        """Send what was packed and count it, or begin anew with care. Raises Abandoned."""
        if heard.load is None or any(await self.hop.sender.ship(heard.load)):
            return await Ear.handle(self, Ear.hear(self, heard.records), turn)
        counter("pursight_events", self.topic.name, turn.group, "ok").inc(len(heard.times))
        observe(self.topic.name, turn.group, heard.times, heard.traced, heard.start_ns, time_ns())
        return None
