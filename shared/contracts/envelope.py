"""CloudEvents 1.0 in Kafka binary mode: attributes as `ce_*` headers, the JSON body as the record's value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

NAMESPACE: UUID = uuid5(NAMESPACE_URL, "https://pursight.dev/events")
Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the headers say about an event. `time` is when the fact became true, with zone."""

    id: str
    type: str
    source: str
    time: datetime
    tenant: str
    causation_id: str = ""
    traceparent: str = ""

    def headers(self) -> Headers:
        """The record's headers, in a fixed order, empty ones left out."""
        pairs = (
            ("ce_specversion", "1.0"),
            ("ce_id", self.id),
            ("ce_type", self.type),
            ("ce_source", self.source),
            ("ce_time", self.time.isoformat()),
            ("ce_tenant", self.tenant),
            ("ce_causationid", self.causation_id),
            ("content-type", "application/json"),
            ("traceparent", self.traceparent),
        )
        return tuple((name, value.encode()) for name, value in pairs if value)


def event_id(service: str, cause: str, topic: str, key: str, ordinal: int) -> str:
    """The deterministic id: uuid5 of service, cause, topic, key and ordinal. Equal inputs, equal id."""
    return str(uuid5(NAMESPACE, "\x1f".join((service, cause, topic, key, str(ordinal)))))


def read_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Headers as text. Never raises: null becomes empty, bytes that are not UTF-8 are escaped; the last of equal names wins."""
    return {name: (value or b"").decode("utf-8", "backslashreplace") for name, value in headers}


def envelope_from(headers: dict[str, str], *, topic: str, partition: int, offset: int, key: str, at: datetime) -> Envelope:
    """The envelope of a record, synthesised where an upstream sent bare JSON: type from the topic, id from its place.

    `at` is the record's own time stamp. A `ce_time` that does not parse falls back to it.
    """
    stamp = at
    if text := headers.get("ce_time"):
        try:
            parsed = datetime.fromisoformat(text)
            stamp = parsed if parsed.tzinfo else at
        except ValueError:
            stamp = at
    return Envelope(
        id=headers.get("ce_id") or str(uuid5(NAMESPACE, f"{topic}/{partition}/{offset}")),
        type=headers.get("ce_type") or topic,
        source=headers.get("ce_source") or "upstream",
        time=stamp,
        tenant=headers.get("ce_tenant") or key.partition("/")[0],
        causation_id=headers.get("ce_causationid", ""),
        traceparent=headers.get("traceparent", ""),
    )
