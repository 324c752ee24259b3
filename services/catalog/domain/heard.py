"""One delivery of an event as the domain sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, Protocol

from shared.contracts.base import E_co


class Heard(Protocol, Generic[E_co]):
    """The event itself and what its envelope said. `time` is when the fact became true."""

    @property
    def event(self) -> E_co: ...
    @property
    def id(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def topic(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    @property
    def causation_id(self) -> str: ...
    @property
    def traceparent(self) -> str: ...
    @property
    def tombstone(self) -> bool: ...


def trace_of(heard: Heard[E_co]) -> str:
    """The trace id, 32 hexadecimal digits, or empty where the sender carried none."""
    parts = heard.traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


def by_time(heard: Heard[E_co]) -> int:
    """A sequence for producers that do not count: microseconds since 1970."""
    return int(heard.time.timestamp() * 1_000_000)
