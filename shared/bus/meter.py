"""Metrics and consumer spans of a batch that was handled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from opentelemetry.trace import SpanKind

from shared.bus.hear import Heard
from shared.bus.received import Received
from shared.observe import tracing
from shared.observe.names import counter, observe_many
from shared.observe.otlp import encoded


def meter(topic: str, group: str, batch: Sequence[Heard], seen: set[str], start_ns: int, end_ns: int) -> None:
    """Count outcomes, observe duration and age, and record one consumer span per event."""
    good = [heard for heard in batch if not heard.code]
    repeated = sum(heard.received.id in seen for heard in good) if seen else 0
    if fresh := len(good) - repeated:
        counter("pursight_events", topic, group, "ok").inc(fresh)
    if repeated:
        counter("pursight_events", topic, group, "duplicate").inc(repeated)
    sampled = [heard for heard in batch if tracing.sampled(heard.received.traceparent)] if tracing.recording() else ()
    traced = [traced_of(heard.received, heard.parent, heard.link, heard.code) for heard in sampled]
    observe(topic, group, [heard.received.time for heard in batch], traced, start_ns, end_ns)


class Traced(NamedTuple):
    """What is kept of a traced event until its span is over. Its own attributes are in their wire form: the event itself can go."""

    own: str
    parent: str
    link: str
    error: str
    attributes: bytes


def traced_of(received: Received[Any], parent: str, link: str = "", error: str = "") -> Traced:
    """What the event's span will be made of."""
    attributes = encoded(
        {
            "messaging.destination.partition.id": str(received.partition),
            "messaging.kafka.offset": received.offset,
            "messaging.message.id": received.id,
            "pursight.key": received.key,
            "pursight.tenant": received.tenant,
        }
    )
    return Traced(received.traceparent, parent, link, error, attributes)


def observe(topic: str, group: str, times: Sequence[datetime], traced: Sequence[Traced], start_ns: int, end_ns: int) -> None:
    """Durations and ages of events that were true at `times`, and a consumer span of each that is traced."""
    now, labels = end_ns / 1e9, (topic, group)
    exemplar = tracing.trace_id(traced[-1].own) if traced else ""
    observe_many("pursight_event_duration_seconds", labels, {(end_ns - start_ns) / 1e9: len(times)}, exemplar)
    ages = {max(0.0, now - time.timestamp()): count for time, count in Counter(times).items()}
    observe_many("pursight_event_age_seconds", labels, ages, exemplar)
    if not traced:
        return
    common = encoded(
        {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.consumer.group.name": group,
            "pursight.batch.size": len(times),
        }
    )
    for one in traced:
        tracing.record(
            f"process {topic}",
            one.own,
            parent=one.parent,
            kind=SpanKind.CONSUMER,
            start_ns=start_ns,
            end_ns=end_ns,
            attributes=common + one.attributes,
            links=(one.link,) if one.link else (),
            error=one.error,
        )
