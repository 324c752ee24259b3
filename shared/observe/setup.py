"""Logs as JSON lines on stderr, spans to an OTLP endpoint. Called once, when a process starts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from traceback import extract_tb
from typing import Any

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)

from shared.observe import tracing
from shared.observe.names import SERVICE_ATTRIBUTE
from shared.observe.otlp import QUEUE_SPANS, Finished, SpanQueue

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUIET = {"aiokafka": logging.ERROR, "asyncio": logging.WARNING, "faststream": logging.WARNING, "opentelemetry": logging.CRITICAL}
log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """One JSON object per record: time, level, event, trace and span id, and the record's own fields.

    Of an exception the type's name and the lines of code are written, never its message: messages of drivers may hold values.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        traceparent = tracing.current.get()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "event": record.getMessage(),
            "logger": record.name,
        }
        if traceparent:
            line |= {"trace_id": tracing.trace_id(traceparent), "span_id": tracing.span_id(traceparent)}
        line |= tracing.fields.get()
        line |= {name: value for name, value in vars(record).items() if name not in _PLAIN}
        if record.exc_info and record.exc_info[0]:
            line["error_type"] = record.exc_info[0].__name__
            line["traceback"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(record.exc_info[2])]
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def setup_logging(service: str, level: str = "INFO") -> None:
    """Send every record of this process to stderr as JSON. Libraries that talk much are held to warnings or errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(logging.DEBUG if level == "DEBUG" else least)
    logging.getLogger("aiokafka.consumer.group_coordinator").addFilter(_unusual)


def _unusual(record: logging.LogRecord) -> bool:
    """False for what every first start says: the broker is still making its topic of offsets. Readiness tells where that lasts."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(type(argument).__name__ == "GroupCoordinatorNotAvailableError" for argument in arguments)


def sampler_from_environment() -> Sampler:
    """The sampler that OTEL_TRACES_SAMPLER names; parent-based, always on, where it is unset or unknown."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").lower()
    simple: dict[str, Sampler] = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF, "parentbased_always_off": DEFAULT_OFF}
    if name in simple:
        return simple[name]
    if name.endswith("traceidratio"):
        rate = min(1.0, max(0.0, _ratio(os.environ.get("OTEL_TRACES_SAMPLER_ARG", "1.0"))))
        return ParentBasedTraceIdRatio(rate) if name.startswith("parentbased") else TraceIdRatioBased(rate)
    return DEFAULT_ON


def _ratio(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def setup_tracing(service: str, endpoint: str = "", *, sink: Callable[[Finished], None] | None = None) -> Callable[[], None]:
    """Record spans and export them to `endpoint` (OTLP over HTTP, without the path). Returns what to call at the end: it flushes.

    Without an endpoint the context is carried through every hop but no span is made. `sink` is for tests: it gets every finished span.
    """
    queue = _queue(service, endpoint) if endpoint and sink is None else None
    tracing.install(tracing.Recorder(queue.put if queue else sink, sampler_from_environment()))
    return lambda: _close(queue)


def _queue(service: str, endpoint: str) -> SpanQueue:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    resource = Resource.create({SERVICE_ATTRIBUTE: service, "service.namespace": "pursight"})
    client = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)._client  # its headers, TLS and retries
    attributes = {key: value for key, value in resource.attributes.items() if isinstance(value, (str, int, float, bool))}
    size = max(QUEUE_SPANS, int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or 0))
    return SpanQueue(attributes, lambda body: bool(client.export(body).success), size=size)


def _close(queue: SpanQueue | None) -> None:
    tracing.install(tracing.Recorder())
    if queue:
        queue.close()
