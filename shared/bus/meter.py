"""Metrics and consumer spans of a batch that was handled."""

from __future__ import annotations

from collections.abc import Sequence

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
    now, labels = end_ns / 1e9, (topic, group)
    last = batch[-1].received.traceparent
    exemplar = tracing.trace_id(last) if tracing.recording() and tracing.sampled(last) else ""
    observe_many("pursight_event_duration_seconds", labels, [(end_ns - start_ns) / 1e9] * len(batch), exemplar)
    observe_many("pursight_event_age_seconds", labels, [max(0.0, now - heard.received.time.timestamp()) for heard in batch], exemplar)
    if tracing.recording():
        _spans(topic, group, batch, start_ns, end_ns)


def _spans(topic: str, group: str, batch: Sequence[Heard], start_ns: int, end_ns: int) -> None:
    name = f"process {topic}"
    for heard in batch:
        received = heard.received
        if not tracing.sampled(received.traceparent):
            continue
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
                "pursight.batch.size": len(batch),
            },
            links=(heard.link,) if heard.link else (),
            error=heard.code,
        )
