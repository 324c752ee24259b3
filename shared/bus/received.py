"""What a handler is given: an event with its envelope, and the causes that new events are derived from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple
from uuid import uuid4

from shared.access.actor import Actor
from shared.contracts.base import E
from shared.contracts.names import DEFAULT_TENANT
from shared.observe import tracing


class Received(NamedTuple, Generic[E]):
    """One event as heard. A named tuple, because one is made for each event and a frozen dataclass takes five times as long.

    `key` is empty where the record had none. `time` is when the fact became true. `traceparent` is this event's own consumer span:
    the parent of what is said because of it.
    `attempt` counts from 1 and grows with retries and replays. A `tombstone` says that the key's fact is gone: there is no `event`
    then (it is None, though its type does not say so, because only readers of compacted topics meet one).
    `topic` is the contract's topic, also where the record came by the group's retry topic. `actor` is who asks, of a request; None
    where nobody looked.
    """

    event: E
    id: str
    key: str
    topic: str
    partition: int
    offset: int
    time: datetime
    tenant: str
    causation_id: str
    traceparent: str
    attempt: int = 1
    tombstone: bool = False
    actor: Actor | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is said when no event was the reason: an HTTP request, a job, a schedule.

    The ids of what is said derive from `id`: the same cause says the same events, so an `id` that survives a retry (a job's, a
    request's idempotency key) makes the retry harmless. `after` is the event that all began with, where there was one: it is what
    the envelope names as the cause.
    """

    id: str
    traceparent: str = ""
    tenant: str = DEFAULT_TENANT
    after: str = ""

    @classmethod
    def new(cls, id: str = "", *, traceparent: str = "", tenant: str = DEFAULT_TENANT) -> Cause:
        """A cause with a context of its own: below `traceparent` where there is one, else a new trace."""
        return cls(id or str(uuid4()), tracing.child(traceparent), tenant)

    @property
    def trace_id(self) -> str:
        """The trace that everything said because of this belongs to."""
        return self.traceparent[3:35]


AnyCause = Received | Cause  # type: ignore[type-arg]
