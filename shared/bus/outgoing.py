"""Records on their way out: deterministic id, headers in a fixed order, the partition that Kafka's own clients would choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha1

import orjson
from aiokafka.partitioner import murmur2

from shared.contracts.base import Contract
from shared.contracts.envelope import NAMESPACE
from shared.contracts.topics import BY_EVENT
from shared.observe import tracing

HeaderList = list[tuple[str, bytes]]  # a list, because that is what the client takes
PARTS = 8  # relays that can share one service's outbox


@dataclass(slots=True)
class Outgoing:
    """One record ready for Kafka. `parent` is the span that said it, empty where no producer span is to be made."""

    topic: str
    key: bytes | None
    body: bytes | None
    headers: HeaderList
    parent: str = ""
    said_ns: int = 0

    @property
    def traceparent(self) -> str:
        for name, value in reversed(self.headers):
            if name == "traceparent":
                return value.decode()
        return ""


_SPACE = NAMESPACE.bytes
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def fast_event_id(service: str, cause: str, topic: str, key: str, ordinal: int) -> str:
    """`contracts.envelope.event_id`, several times faster (uuid5 without the UUID object). A test holds both together."""
    name = f"{service}\x1f{cause}\x1f{topic}\x1f{key}\x1f{ordinal}"
    hexed = sha1(_SPACE + name.encode(), usedforsecurity=False).hexdigest()
    return f"{hexed[:8]}-{hexed[8:12]}-5{hexed[13:16]}-{_VARIANT[hexed[16]]}{hexed[17:20]}-{hexed[20:32]}"


_VERSION, _JSON = ("ce_specversion", b"1.0"), ("content-type", b"application/json")


@lru_cache(maxsize=4_096)
def _first(service: str, topic: str) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    return ("ce_type", topic.encode()), ("ce_source", service.encode())


@lru_cache(maxsize=4_096)
def _tenant(tenant: str) -> tuple[str, bytes]:
    return "ce_tenant", tenant.encode()


def headers_of(service: str, topic: str, id: str, time: bytes, tenant: str, causation: str, traceparent: str) -> HeaderList:
    """`Envelope.headers()` without the object: the same pairs in the same order. A test holds both together."""
    ce_type, ce_source = _first(service, topic)
    headers: HeaderList = [_VERSION, ("ce_id", id.encode()), ce_type, ce_source, ("ce_time", time)]
    if tenant:
        headers.append(_tenant(tenant))
    if causation:
        headers.append(("ce_causationid", causation.encode()))
    headers.append(_JSON)
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


@lru_cache(maxsize=65_536)
def key_hash(key: bytes) -> int:
    """Kafka's murmur2 of a key, positive. Cached, because the same assets pass again and again."""
    return int(murmur2(key)) & 0x7FFFFFFF


def part_of(key: bytes | None) -> int:
    """The outbox part of a key. Keyless records share part 0."""
    return key_hash(key) % PARTS if key else 0


def pack_headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Headers as one flat JSON list of names and values; any byte comes back unchanged (they are read as Latin-1)."""
    return orjson.dumps([part for name, value in headers for part in (name, None if value is None else value.decode("latin-1"))])


def unpack_headers(packed: bytes) -> HeaderList:
    """The inverse of `pack_headers`; null becomes empty."""
    parts = iter(orjson.loads(packed))
    return [(name, value.encode("latin-1") if value else b"") for name, value in zip(parts, parts, strict=True)]


class Composer:
    """Makes events into records and gives each to `put`. One per transaction: it counts ordinals per (cause, topic, key)."""

    def __init__(self, service: str, now: datetime, now_ns: int, put: Callable[[Outgoing], None]) -> None:
        self._service, self._time, self._now_ns, self._put = service, now.isoformat().encode(), now_ns, put
        self._ordinals: dict[tuple[str, str, str], int] = {}

    def begin(self) -> None:
        """What follows is said because of another event, which may be an earlier one that comes again: ordinals count anew."""
        self._ordinals.clear()

    def say(self, event: Contract, *, key: str, cause: str, parent: str, tenant: str, after: str = "") -> str:
        """Add an event; returns its id. `after`: the event that the envelope names as the cause, where it is not `cause`."""
        return self._add(BY_EVENT[type(event)].name, event.to_json(), key, cause, parent, tenant, after)

    def say_body(self, event: type[Contract], body: bytes, *, key: str, cause: str, parent: str, tenant: str, after: str = "") -> str:
        """Add an event of this class whose wire form is already at hand; returns its id."""
        return self._add(BY_EVENT[event].name, body, key, cause, parent, tenant, after)

    def clear(self, event: type[Contract], *, key: str, cause: str, parent: str, tenant: str, after: str = "") -> str:
        """Add a tombstone to the topic of `event`. Raises ValueError where the topic is not compacted."""
        topic = BY_EVENT[event]
        if not topic.compacted:
            raise ValueError(f"{topic.name} is not compacted: a null body there is poison")
        return self._add(topic.name, None, key, cause, parent, tenant, after)

    def _add(self, topic: str, body: bytes | None, key: str, cause: str, parent: str, tenant: str, after: str) -> str:
        place = (cause, topic, key)
        ordinal = self._ordinals.get(place, 0)
        self._ordinals[place] = ordinal + 1
        id = fast_event_id(self._service, cause, topic, key, ordinal)
        trace = tracing.below(parent)
        headers = headers_of(self._service, topic, id, self._time, tenant, after or cause, trace)
        span = parent if trace != parent and tracing.recording() else ""
        self._put(Outgoing(topic, key.encode(), body, headers, span, self._now_ns))
        return id
