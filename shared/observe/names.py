"""Every metric, span and log event by name, with what it means: the one place where they are spelled.

The dashboards, the alerts and the reference page are generated from or checked against these tables.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as TallyOf
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)  # seconds; a discovery takes long
AGE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. Counters are exposed with `_total`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = BUCKETS


METRICS: tuple[Metric, ...] = (
    Metric(
        "pursight_events",
        "counter",
        "events heard, by what became of them (ok, retried, dead_lettered, duplicate)",
        ("topic", "group", "outcome"),
    ),
    Metric("pursight_event_duration_seconds", "histogram", "time from poll to commit of the batch an event was in", ("topic", "group")),
    Metric("pursight_event_age_seconds", "histogram", "time from the fact to the end of its handling", ("topic", "group"), AGE_BUCKETS),
    Metric("pursight_consumer_lag", "gauge", "records of a partition not handled yet", ("topic", "partition", "group")),
    Metric("pursight_outbox_rows", "gauge", "events said but not acknowledged by Kafka yet (an estimate above 10,000)", ("service",)),
    Metric("pursight_outbox_age_seconds", "gauge", "age of the oldest event in the outbox", ("service",)),
    Metric("pursight_relay_published", "counter", "events that the relay got acknowledged", ("service", "topic")),
    Metric("pursight_relay_failed", "counter", "sends that Kafka did not acknowledge, to be tried again", ("service", "topic")),
    Metric("pursight_dead_letters", "counter", "records put aside, by error code", ("topic", "group", "code")),
    Metric("pursight_dead_letters_open", "gauge", "records put aside and not dealt with", ("service",)),
    Metric("pursight_parked_over_limit", "counter", "records let past a parked key because too many wait behind it", ("topic", "group")),
    Metric("pursight_retry_waiting", "gauge", "1 while a group waits to try again because the world is away", ("topic", "group")),
    Metric("pursight_rebalances", "counter", "times that partitions were taken away", ("group",)),
    Metric("pursight_spans_lost", "counter", "spans not recorded: queue full or export failed", ("reason",)),
    Metric("pursight_jobs", "counter", "jobs ended, by result (done, retried, failed, lost_lease)", ("service", "kind", "result")),
    Metric("pursight_job_duration_seconds", "histogram", "time from claim to end of a job", ("service", "kind")),
    Metric("pursight_jobs_waiting", "gauge", "jobs due or running", ("service", "kind")),
    Metric(
        "pursight_token_fetches",
        "counter",
        "tokens asked of a cloud, by whose identity and what came of it (ok, or the code of the failure)",
        ("provider", "identity", "outcome"),
    ),
    Metric(
        "pursight_token_age_seconds",
        "histogram",
        "age of a token when it signed in a new connection",
        ("provider", "identity"),
        AGE_BUCKETS,
    ),
    Metric(
        "pursight_source_sessions",
        "gauge",
        "sessions at a source, by what they do (in_use, idle, waiting for a seat)",
        ("service", "source", "state"),
    ),
    Metric(
        "pursight_source_wait_seconds", "histogram", "time that a session waited for a seat in its source's pool", ("service", "source")
    ),
    Metric("pursight_tokens_refused", "counter", "bearer tokens of requests that let nobody in, and why", ("code",)),
    Metric("pursight_failovers", "counter", "moves of a hybrid source to its other endpoint, and why", ("to", "cause")),
    Metric("pursight_inbox_removed", "counter", "inbox rows cleaned up after their topic's retention", ("service",)),
    Metric("pursight_infrastructure_tags_applied", "counter", "tags and labels written to cloud resources", ("provider",)),
    Metric(
        "pursight_infrastructure_validation_duration_seconds", "gauge", "time that the last look at a job's infrastructure took", ("job",)
    ),
    Metric("pursight_infrastructure_terraform_apply_duration_seconds", "gauge", "time that a job's last apply took", ("job", "outcome")),
)
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}

# What goes to the clouds' own monitoring: the name in CloudWatch, and the type in Cloud Monitoring behind `custom.googleapis.com/`.
IN_CLOUDS: dict[str, tuple[str, str]] = {
    "pursight_infrastructure_tags_applied": ("pursight.infrastructure.tags_applied", "pursight/infrastructure/labels_applied"),
    "pursight_infrastructure_validation_duration_seconds": (
        "pursight.infrastructure.validation_duration",
        "pursight/infrastructure/validation_duration",
    ),
    "pursight_infrastructure_terraform_apply_duration_seconds": (
        "pursight.infrastructure.terraform_apply_duration",
        "pursight/infrastructure/terraform_apply_duration",
    ),
}

SPANS: dict[str, str] = {
    "send <topic>": "producer: from the transaction's emit to Kafka's acknowledgement",
    "process <topic>": "consumer: one per event and service, from poll to commit; child of the sender's span, a link after a replay",
    "job <kind>": "one claim of one job, from claim to end",
    "scan": "one attempt at a scan; parent of what it says",
    "discover asset": "first span of an asset's own trace in a scan of many, linked to the scan's",
    "fail over": "the move of a hybrid source to its other endpoint; parent of what the connector says of it",
    "dial": "one dial of a data source; parent of what the connector says of it",
}
LOG_EVENTS: dict[str, str] = {
    "bus.started": "all groups joined",
    "bus.connect_failed": "the broker is away at the start; tried again",
    "bus.stopped": "groups left, producer closed",
    "bus.left_late": "a group in a rebalance did not let us go in time; its session runs out by itself",
    "batch.retry": "a transient error; the batch waits and is tried again",
    "batch.one_by_one": "an unknown error; the batch's records are tried one by one",
    "batch.abandoned": "partitions were taken away while the batch waited; their new owner does it",
    "event.dead_lettered": "a record was put aside",
    "event.parked": "a request waits behind a dead letter of its key",
    "offsets.commit_failed": "the group changed before the offsets were committed; the records come again and are dropped as seen",
    "relay.failed": "Kafka or the database did not answer; the rows stay and are tried again",
    "job.failed": "a job ended with an error",
    "job.lease_lost": "another worker took the job over; this one's writes are refused",
    "chore.failed": "measuring or cleaning up failed; tried again at its next turn",
    "topics.differ": "a topic's settings at the broker differ from ours without breaking a promise",
    "scan.completed": "a scan's manifest was said: tables, changed, seconds",
    "source.failed_over": "a hybrid source is read from its other endpoint now, and why",
    "watch.broken": "the watch over a hybrid source met an error of ours and begins anew",
    "scan.goes_on": "a scan's line broke; another member of its source is read",
    "scan.broken": "a scan met an error of ours too often and was answered with scan.failed",
    "spans.lost": "spans were lost",
    "http.token_refused": "a token let nobody in: why, from where, and how many there were since the last such line",
    "service.started": "wired, migrated, listening",
    "service.stopped": "stopped gracefully",
    "database.away": "PostgreSQL does not answer; tried again",
}
SPAN_SCOPE = "pursight.bus"
SERVICE_ATTRIBUTE = "service.name"


@cache
def _made(name: str) -> MetricWrapperBase:
    metric = BY_NAME[name]
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets)
    return (Counter if metric.kind == "counter" else Gauge)(metric.name, metric.help, metric.labels)


def counter(name: str, *labels: str) -> Counter:
    """The counter of this name with these label values; KeyError where the table does not have it."""
    return _child(name, labels)  # type: ignore[return-value]


def gauge(name: str, *labels: str) -> Gauge:
    """The gauge of this name with these label values; KeyError where the table does not have it."""
    return _child(name, labels)  # type: ignore[return-value]


def histogram(name: str, *labels: str) -> Histogram:
    """The histogram of this name with these label values; KeyError where the table does not have it."""
    return _child(name, labels)  # type: ignore[return-value]


@cache
def _child(name: str, labels: tuple[str, ...]) -> MetricWrapperBase:
    made = _made(name)
    return made.labels(*labels) if labels else made


def forget(name: str, *labels: str) -> None:
    """Take a label set away, for example the lag of a partition that is no longer ours."""
    with_labels = _made(name)
    try:
        with_labels.remove(*labels)
    except KeyError:
        return


def observe_many(name: str, labels: Sequence[str], values: Mapping[float, int], exemplar: str = "") -> None:
    """Observe values, each as often as is said: one lock per bucket instead of per value. `exemplar` is the trace id of the last one."""
    child = histogram(name, *labels)
    bounds: Sequence[float] = child._upper_bounds
    tally: TallyOf[int] = TallyOf()
    for value, times in values.items():
        tally[bisect_left(bounds, value)] += times
    total = sum(value * times for value, times in values.items())
    if exemplar:
        child.observe(value, {"trace_id": exemplar})
        tally[bisect_left(bounds, value)] -= 1
        total -= value
    for index, count in tally.items():
        child._buckets[index].inc(count)
    child._sum.inc(total)
