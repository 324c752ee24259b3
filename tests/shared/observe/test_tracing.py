"""Trace context, spans and logs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanKind
from prometheus_client import REGISTRY

from shared.observe import tracing
from shared.observe.names import BY_NAME, METRICS, counter, forget, gauge, observe_many
from shared.observe.otlp import Finished, SpanQueue, encode, encoded
from shared.observe.setup import JsonLines, sampler_from_environment, setup_tracing

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-2] + "00"


@pytest.fixture
def spans() -> Iterator[list[Finished]]:
    found: list[Finished] = []
    close = setup_tracing("test", sink=found.append)
    yield found
    close()


def test_an_unsampled_context_is_passed_on_as_it_came(spans: list[Finished]) -> None:
    """Nothing is made for a trace that its sender did not sample."""
    assert tracing.child(UNSAMPLED) == UNSAMPLED
    tracing.record("x", UNSAMPLED, start_ns=1, end_ns=2)
    assert spans == []


def test_a_sampled_context_gets_a_child_in_the_same_trace(spans: list[Finished]) -> None:
    """The child keeps the trace and the flags and has an id of its own."""
    own = tracing.child(SAMPLED)
    assert own != SAMPLED
    assert (own[:36], own[52:]) == (SAMPLED[:36], SAMPLED[52:])
    tracing.record("process x", own, parent=SAMPLED, kind=SpanKind.CONSUMER, start_ns=1, end_ns=2, attributes=encoded({"a": 1}))
    assert (spans[0].own, spans[0].parent) == (own, SAMPLED)


@pytest.mark.parametrize("broken", ["", "x", "00-" + "0" * 32 + "-b7ad6b7169203331-01", SAMPLED.replace("00-", "ff-", 1), SAMPLED.upper()])
def test_a_broken_context_begins_a_new_trace(broken: str) -> None:
    """What is not a W3C traceparent is not continued and never raises."""
    own = tracing.child(broken)
    assert tracing.valid(own)
    assert tracing.trace_id(own) not in broken.lower()


def test_without_an_endpoint_context_is_carried_and_nothing_recorded() -> None:
    """A laptop without a collector still gets one trace id per event."""
    setup_tracing("test")()
    assert not tracing.recording()
    assert tracing.child(SAMPLED) == SAMPLED


def test_the_encoder_says_what_the_official_classes_read(spans: list[Finished]) -> None:
    """Our bytes are OTLP: read back with the official classes, every field is there."""
    own = tracing.child(SAMPLED)
    attributes = {"text": "ä" * 100, "number": -5, "big": 1 << 40, "yes": True, "ratio": 0.5}
    tracing.record(
        "process x",
        own,
        parent=SAMPLED,
        kind=SpanKind.CONSUMER,
        start_ns=5,
        end_ns=1 << 60,
        attributes=encoded(attributes),
        links=(SAMPLED, "x"),
        error="bad",
    )
    request = ExportTraceServiceRequest.FromString(encode({"service.name": "test"}, spans * 3))
    (resource,) = request.resource_spans
    assert resource.resource.attributes[0].value.string_value == "test"
    (scope,) = resource.scope_spans
    assert len(scope.spans) == 3
    span = scope.spans[0]
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()) == (own[3:35], own[36:52], SAMPLED[36:52])
    assert (span.name, span.kind, span.start_time_unix_nano, span.end_time_unix_nano) == ("process x", 5, 5, 1 << 60)
    values = {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}
    assert values == attributes
    assert [link.span_id.hex() for link in span.links] == [SAMPLED[36:52]]
    assert (span.status.code, span.status.message) == (2, "bad")


def lost(reason: str) -> float:
    return REGISTRY.get_sample_value("pursight_spans_lost_total", {"reason": reason}) or 0.0


def test_lost_spans_are_counted_and_the_rest_is_flushed_at_the_end(spans: list[Finished]) -> None:
    """The queue is bounded; what does not fit, or is not taken, is a metric. Closing exports what is left."""
    tracing.record("x", SAMPLED, start_ns=1, end_ns=2)
    sent: list[bytes] = []
    full, failed = lost("queue_full"), lost("export")
    queue = SpanQueue({}, lambda body: bool(sent.append(body)) or True, size=10, every=60)
    for _ in range(15):
        queue.put(spans[0])
    queue.close()
    assert lost("queue_full") - full == 5
    assert len(ExportTraceServiceRequest.FromString(sent[0]).resource_spans[0].scope_spans[0].spans) == 10
    broken = SpanQueue({}, lambda _: False, every=60)
    broken.put(spans[0])
    broken.close()
    assert lost("export") - failed == 1


def test_a_span_around_work_is_a_child_and_tells_of_an_error_by_code(spans: list[Finished]) -> None:
    """The message of an error never gets into a span."""

    def work() -> None:
        with tracing.span("read", SAMPLED) as own:
            assert tracing.current.get() == own
            raise ValueError("secret 4111")

    with pytest.raises(ValueError, match="secret"):
        work()
    assert (spans[0].parent, spans[0].error) == (SAMPLED, "ValueError")


def test_logs_are_json_lines_with_trace_and_without_messages_of_errors() -> None:
    """Each record is one JSON object with the trace of what is being done; a driver's words are not written."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonLines("test"))
    logger = logging.getLogger("test.json")
    logger.addHandler(handler)
    token = tracing.current.set(SAMPLED)
    try:
        raise ValueError("value 4111")
    except ValueError:
        logger.warning("thing.happened", extra={"topic": "x"}, exc_info=True)
    finally:
        tracing.current.reset(token)
        logger.removeHandler(handler)
    line = json.loads(out.getvalue())
    assert (line["event"], line["topic"], line["trace_id"], line["error_type"]) == ("thing.happened", "x", SAMPLED[3:35], "ValueError")
    assert "4111" not in out.getvalue()


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [("", "", True), ("parentbased_always_off", "", False), ("parentbased_traceidratio", "0", False), ("traceidratio", "nonsense", True)],
)
def test_the_sampler_is_the_environments(monkeypatch: pytest.MonkeyPatch, name: str, argument: str, expected: bool) -> None:
    """OTEL_TRACES_SAMPLER decides about new traces; a wrong argument means: all."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    tracing.install(tracing.Recorder(None, sampler_from_environment()))
    assert tracing.sampled(tracing.root()) is expected
    tracing.install(tracing.Recorder())


def test_observing_a_batch_equals_observing_each() -> None:
    """The short cut over the buckets counts what single observations would."""
    observe_many("pursight_event_duration_seconds", ("t", "g"), {0.001: 1, 0.3: 2, 1000.0: 1}, exemplar="ab")
    labels = {"topic": "t", "group": "g"}
    assert REGISTRY.get_sample_value("pursight_event_duration_seconds_count", labels) == 4
    assert REGISTRY.get_sample_value("pursight_event_duration_seconds_sum", labels) == pytest.approx(1000.601)
    assert REGISTRY.get_sample_value("pursight_event_duration_seconds_bucket", labels | {"le": "0.5"}) == 3


def test_names_are_unique_and_an_unknown_one_is_an_error() -> None:
    """One table, each name once."""
    assert len(BY_NAME) == len(METRICS)
    with pytest.raises(KeyError):
        counter("pursight_nonsense")
    gauge("pursight_consumer_lag", "t", "0", "g").set(1)
    forget("pursight_consumer_lag", "t", "0", "g")
    forget("pursight_consumer_lag", "t", "0", "g")
    assert REGISTRY.get_sample_value("pursight_consumer_lag", {"topic": "t", "partition": "0", "group": "g"}) is None
