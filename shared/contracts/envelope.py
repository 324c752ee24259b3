"""CloudEvents 1.0 in Kafka binary mode: attributes as `ce_*` headers, the JSON body as the record's value."""

from __future__ import annotations

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
