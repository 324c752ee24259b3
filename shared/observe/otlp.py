"""Finished spans as OTLP protobuf, and the bounded queue that exports them.

The SDK's encoder builds a message object per attribute and costs tens of microseconds a span, in the same interpreter that handles
events. Here the bytes are put together directly, with the parts that repeat (keys, topics, groups) kept encoded. A test decodes
them with the official protobuf classes and compares.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from opentelemetry.trace import SpanKind

from shared.observe.names import SPAN_SCOPE, counter

QUEUE_SPANS, EXPORT_SPANS, EXPORT_SECONDS = 65_536, 4_096, 1.0
Value = str | int | float | bool
log = logging.getLogger(__name__)
_KINDS = {SpanKind.INTERNAL: 1, SpanKind.SERVER: 2, SpanKind.CLIENT: 3, SpanKind.PRODUCER: 4, SpanKind.CONSUMER: 5}
_TIMES = struct.Struct("<cQcQ")
_ERROR = 2
_UNIQUE = frozenset(("messaging.message.id", "messaging.kafka.offset"))  # seen once: keeping them would only push others out


class Finished(NamedTuple):
    """A span that is over. Contexts are traceparents; times are nanoseconds since the epoch; attributes are in their wire form."""

    name: str
    own: str
    parent: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    attributes: bytes
    links: Sequence[str]
    error: str


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(tag: int, body: bytes) -> bytes:
    """A length-delimited field; `tag` is its number."""
    size = len(body)
    return bytes((tag << 3 | 2, size)) + body if size < 0x80 else bytes((tag << 3 | 2,)) + _varint(size) + body


def _any(value: Value) -> bytes:
    if isinstance(value, str):
        return _field(1, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value)
    return b"\x21" + struct.pack("<d", value)


def _attribute(key: str, value: Value, tag: int = 9) -> bytes:
    return _field(tag, _field(1, key.encode()) + _field(2, _any(value)))


_frequent = lru_cache(maxsize=16_384, typed=True)(_attribute)


def encoded(attributes: Mapping[str, Value]) -> bytes:
    """The wire form of a span's attributes. What many spans have in common can be encoded once and joined to the rest."""
    return b"".join([(_attribute if key in _UNIQUE else _frequent)(key, value) for key, value in attributes.items()])


@lru_cache(maxsize=1_024)
def _head(name: str, kind: SpanKind) -> bytes:
    return _field(5, name.encode("utf-8", "replace")) + bytes((6 << 3, _KINDS[kind]))


def _link(traceparent: str) -> bytes:
    return _field(13, b"\x0a\x10" + bytes.fromhex(traceparent[3:35]) + b"\x12\x08" + bytes.fromhex(traceparent[36:52]))


def _span(span: Finished) -> bytes:
    own, parent = span.own, span.parent
    parts = [b"\x0a\x10", bytes.fromhex(own[3:35]), b"\x12\x08", bytes.fromhex(own[36:52])]
    if parent:
        parts += (b"\x22\x08", bytes.fromhex(parent[36:52]))
    parts += (_head(span.name, span.kind), _TIMES.pack(b"\x39", span.start_ns, b"\x41", span.end_ns))
    parts.append(span.attributes)
    parts += map(_link, span.links)
    if span.error:
        parts.append(_field(15, _field(2, span.error.encode("utf-8", "replace")) + bytes((3 << 3, _ERROR))))
    return _field(2, b"".join(parts))


def encode(resource: Mapping[str, Value], spans: Iterable[Finished]) -> bytes:
    """An `ExportTraceServiceRequest` with one resource and one scope."""
    return _request(_resource(resource), map(_span, spans))


def _resource(resource: Mapping[str, Value]) -> bytes:
    return _field(1, b"".join(_attribute(key, value, 1) for key, value in resource.items()))


def _request(resource: bytes, spans: Iterable[bytes]) -> bytes:
    return _field(1, resource + _field(2, _field(1, _field(1, SPAN_SCOPE.encode())) + b"".join(spans)))


class SpanQueue:
    """Takes finished spans from any thread and exports them in one of its own. What does not fit is dropped and counted.

    A span is encoded when it is put, while its parts are in the processor's cache: what waits is small.
    """

    def __init__(
        self, resource: Mapping[str, Value], export: Callable[[bytes], bool], *, size: int = QUEUE_SPANS, every: float = EXPORT_SECONDS
    ) -> None:
        self._resource, self._export, self._size, self._every = _resource(resource), export, size, every
        self._spans: deque[bytes] = deque()
        self._wake, self._closed = threading.Event(), False
        self._exporting = threading.Lock()
        self._dropped, self._failed = counter("pursight_spans_lost", "queue_full"), counter("pursight_spans_lost", "export")
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, span: Finished) -> None:
        """Queue a span."""
        if len(self._spans) >= self._size:
            self._dropped.inc()
            return
        self._spans.append(_span(span))
        if len(self._spans) >= EXPORT_SPANS:
            self._wake.set()

    def flush(self) -> None:
        """Export what is queued now."""
        with self._exporting:
            while self._spans:
                batch = [self._spans.popleft() for _ in range(min(EXPORT_SPANS, len(self._spans)))]
                if not self._said(batch):
                    self._failed.inc(len(batch))
                    log.warning("spans.lost", extra={"spans": len(batch)})

    def close(self, seconds: float = 5.0) -> None:
        """Export the rest, at most `seconds`, and end the thread."""
        self._closed = True
        self._wake.set()
        self._thread.join(seconds)

    def _said(self, batch: Sequence[bytes]) -> bool:
        try:
            return self._export(_request(self._resource, batch))
        except Exception:
            return False

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._every)
            self._wake.clear()
            self.flush()
        self.flush()
