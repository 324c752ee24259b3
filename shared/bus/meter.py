"""Metrics and consumer spans of a batch that was handled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from opentelemetry.trace import SpanKind

from shared.bus.hear import Heard
from shared.observe import tracing
from shared.observe.names import counter, observe_many


def meter(topic: str, group: str, batch: Sequence[Heard], seen: set[str], start_ns: int, end_ns: int) -> None:
    """Count outcomes, observe duration and age, and record one consumer span per event."""
    good = [heard for heard in batch if not heard.code]
    repeated = sum(heard.received.id in seen for heard in good) if seen else 0
    if fresh := len(good) - repeated:
        counter("pursight_events", topic, group, "ok").inc(fresh)
    if repeated:
        counter("pursight_events", topic, group, "duplicate").inc(repeated)
    traced = [heard for heard in batch if tracing.sampled(heard.received.traceparent)] if tracing.recording() else ()
    observe(topic, group, [heard.received.time for heard in batch], traced, start_ns, end_ns)


def observe(topic: str, group: str, times: Sequence[datetime], traced: Sequence[Heard], start_ns: int, end_ns: int) -> None:
    """Durations and ages of events that were true at `times`, and a consumer span of each that is traced."""
    now, labels = end_ns / 1e9, (topic, group)
    exemplar = tracing.trace_id(traced[-1].received.traceparent) if traced else ""
    observe_many("pursight_event_duration_seconds", labels, [(end_ns - start_ns) / 1e9] * len(times), exemplar)
    observe_many("pursight_event_age_seconds", labels, [max(0.0, now - time.timestamp()) for time in times], exemplar)
    _spans(topic, group, traced, len(times), start_ns, end_ns)


def _spans(topic: str, group: str, traced: Sequence[Heard], size: int, start_ns: int, end_ns: int) -> None:
    name = f"process {topic}"
    for heard in traced:
        received = heard.received
        tracing.record(
            name,
            received.traceparent,
            parent=heard.parent,
            kind=SpanKind.CONSUMER,
            start_ns=start_ns,
            end_ns=end_ns,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": topic,
                "messaging.destination.partition.id": str(received.partition),
                "messaging.kafka.offset": received.offset,
                "messaging.consumer.group.name": group,
                "messaging.message.id": received.id,
                "pursight.key": received.key,
                "pursight.tenant": received.tenant,
                "pursight.batch.size": size,
            },
            links=(heard.link,) if heard.link else (),
            error=heard.code,
        )
