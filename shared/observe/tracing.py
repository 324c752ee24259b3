"""Trace context as plain text, and spans made when they are over.

Between services context travels as a W3C `traceparent`. The bus knows when an event's handling began and ended, so it makes a
finished span in one step (a few microseconds) instead of opening and closing one. Where the sender did not sample, nothing is made
and the sender's context is passed on as it came.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import time_ns
from types import MappingProxyType

from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, Sampler
from opentelemetry.trace import SpanKind

from shared.observe.otlp import Finished, encoded

_W3C = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_ODD = frozenset("13579bdf")  # the last bit of the flags
current: ContextVar[str] = ContextVar("traceparent", default="")
"""The traceparent that log lines show."""
fields: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default=MappingProxyType({}))
"""What else log lines show: tenant and event id, where one event is handled by itself."""
Attributes = Mapping[str, str | int | float | bool]


@dataclass(slots=True)
class Recorder:
    """Where finished spans go. `sink` None: context is carried, nothing is recorded."""

    sink: Callable[[Finished], None] | None = None
    sampler: Sampler = ParentBased(ALWAYS_ON)  # noqa: RUF009 - immutable


_recorder = Recorder()


def install(recorder: Recorder) -> None:
    """Make `recorder` the process's own."""
    global _recorder
    _recorder = recorder


def recording() -> bool:
    """False: making spans would be for nothing."""
    return _recorder.sink is not None


def valid(traceparent: str) -> bool:
    """Whether this is a W3C traceparent (any version but ff)."""
    return _W3C.fullmatch(traceparent) is not None


def sampled(traceparent: str) -> bool:
    """Whether the sampled flag is set. Expects a valid traceparent or an empty string."""
    return traceparent[54:55] in _ODD


def trace_id(traceparent: str) -> str:
    """The 32 hexadecimal digits, empty where there is no context."""
    return traceparent[3:35]


def span_id(traceparent: str) -> str:
    """The 16 hexadecimal digits, empty where there is no context."""
    return traceparent[36:52]


def root(name: str = "", trace: str = "") -> str:
    """A new context without a parent. The sampler decides; `trace` fixes the trace id (32 hexadecimal digits)."""
    number = int(trace, 16) if trace else random.getrandbits(128) or 1
    decision = _recorder.sampler.should_sample(None, number, name).decision
    return f"00-{number:032x}-{random.getrandbits(64) or 1:016x}-{'01' if decision is Decision.RECORD_AND_SAMPLE else '00'}"


def child(parent: str) -> str:
    """The context of a new span below `parent`: unchanged where `parent` is not sampled or nothing is recorded, new where there is none."""
    return below(parent) if parent and _W3C.fullmatch(parent) else root()


def below(parent: str) -> str:
    """`child` of a context that is known to be valid, as that of everything received is."""
    if not parent:
        return root()
    if _recorder.sink is None or not sampled(parent):
        return parent
    return f"{parent[:36]}{random.getrandbits(64) or 1:016x}{parent[52:]}"


def record(
    name: str,
    own: str,
    *,
    parent: str = "",
    kind: SpanKind = SpanKind.INTERNAL,
    start_ns: int,
    end_ns: int,
    attributes: bytes = b"",
    links: Sequence[str] = (),
    error: str = "",
) -> None:
    """Record a finished span with context `own`. Nothing happens where it is not sampled or nothing is recorded.

    `attributes` come from `otlp.encoded`, `error` is a code, never a message. Times are nanoseconds since the epoch.
    """
    sink = _recorder.sink
    if sink is None or not sampled(own) or own == parent:
        return
    above = parent if parent and valid(parent) else ""
    linked = [link for link in links if valid(link)] if links else ()
    sink(Finished(name, own, above, kind, start_ns, end_ns, attributes, linked, error))


@contextmanager
def span(name: str, parent: str, *, attributes: Attributes | None = None, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[str]:
    """A span around a piece of work below `parent`; yields its traceparent, which is also what log lines show meanwhile."""
    own, start, error = child(parent), time_ns(), ""
    token = current.set(own)
    try:
        yield own
    except BaseException as problem:
        error = str(getattr(problem, "code", "") or type(problem).__name__)
        raise
    finally:
        current.reset(token)
        record(
            name,
            own,
            parent=parent if valid(parent) else "",
            kind=kind,
            start_ns=start,
            end_ns=time_ns(),
            attributes=encoded(attributes) if attributes else b"",
            error=error,
        )
