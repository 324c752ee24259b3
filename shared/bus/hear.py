"""From a raw record to an event or to the reason why it can never be one. Nothing in here raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import unquote
from uuid import uuid5

from aiokafka import ConsumerRecord
from pydantic import ValidationError

from shared.access.actor import Actor
from shared.bus.deadletters import ATTEMPT_HEADER, ID_HEADER, LINK_HEADER, Raw, Reject
from shared.bus.received import Received
from shared.contracts.envelope import NAMESPACE
from shared.contracts.names import DEFAULT_TENANT
from shared.contracts.topics import MAX_EVENT_BYTES, Topic, group_of
from shared.observe import tracing

Believe = Callable[[str, bytes | None, dict[str, bytes | None], bytes | None], Actor]  # from a request's record to who asks
_RECEIVED = tuple.__new__  # what Received(...) ends in, at half its cost


@dataclass(slots=True)
class Heard:
    """One record with what became of it so far: an event, or a code and our words for why not."""

    record: Any
    parent: str
    link: str
    letter: str
    received: Received[Any]
    code: str = ""
    why: str = ""

    def reject(self, service: str, *, code: str = "", why: str = "", attempts: int = 0, parks: bool = False) -> Reject:
        """What to put aside for this record."""
        received, record = self.received, self.record
        group = group_of(service, received.topic)
        return Reject(
            id=self.letter or f"{group}/{record.topic}/{record.partition}/{record.offset}",
            topic=received.topic,
            partition=record.partition,
            offset=record.offset,
            raw=Raw(record.key, tuple(record.headers), record.value),
            event_id=received.id,
            tenant=received.tenant,
            traceparent=received.traceparent,
            code=code or self.code,
            why=why or self.why,
            attempts=attempts or received.attempt,
            parks=parks and bool(received.key),
            scan_id=str(getattr(received.event, "scan_id", "")),
        )


def text(value: bytes | None) -> str:
    """Bytes as text; null becomes empty, what is not UTF-8 is escaped."""
    return value.decode("utf-8", "backslashreplace") if value else ""


def moment(stamp: bytes | None, milliseconds: int) -> datetime:
    """`ce_time` where it parses and has a zone, else the record's own time stamp."""
    return (_parsed(stamp) if stamp else None) or datetime.fromtimestamp(max(milliseconds, 0) / 1000, UTC)


@lru_cache(maxsize=64)
def _parsed(stamp: bytes) -> datetime | None:
    """A time with its zone. Kept, because all events of one transaction carry the same one."""
    try:
        parsed = datetime.fromisoformat(stamp.decode())
    except ValueError:
        return None
    return parsed if parsed.tzinfo else None


@lru_cache(maxsize=4_096)
def tenant_of(head: str, header: bytes | None) -> str:
    """The key's first part, because keys are what access is given by; the header where there is no key."""
    return unquote(head) or text(header) or DEFAULT_TENANT


class Hearing:
    """Reads the records of one topic for one service. A `witness` looks at the envelope alone: whatever the body is, the event is blank.

    `believe` tells who asks, of requests.
    """

    def __init__(self, topic: Topic, *, witness: bool = False, believe: Believe | None = None) -> None:
        self._topic, self._believe = topic, believe if topic.request else None
        self._blank = topic.event.model_construct() if witness else None
        self._name = topic.name.encode()
        self._read: Callable[[bytes], Any] = topic.event.__pydantic_validator__.validate_json

    def __call__(self, record: ConsumerRecord) -> Heard:
        """The envelope always, the event where there is one."""
        headers: dict[str, bytes | None] = dict(record.headers)
        parent = text(headers.get("traceparent"))
        received, code, why = self.read(record, headers, parent)
        if ID_HEADER in headers:
            return Heard(record, parent, text(headers.get(LINK_HEADER)), text(headers[ID_HEADER]), received, code, why)
        return Heard(record, parent, "", "", received, code, why)

    def read(self, record: ConsumerRecord, headers: dict[str, bytes | None], parent: str) -> tuple[Received[Any], str, str]:
        """The same without the record: what was received, and a code and our words where that is no event."""
        get = headers.get
        key, id, after = record.key, get("ce_id"), get("ce_causationid")
        key = key.decode("utf-8", "backslashreplace") if key else ""
        head = key.partition("/")[0]
        event, code, why = self._event(record, headers)
        received: Received[Any] = _RECEIVED(
            Received,
            (
                event,
                id.decode("utf-8", "backslashreplace")
                if id
                else str(uuid5(NAMESPACE, f"{record.topic}/{record.partition}/{record.offset}")),
                key,
                self._topic.name,
                record.partition,
                record.offset,
                moment(get("ce_time"), record.timestamp),
                tenant_of(head, None if head else get("ce_tenant")),
                after.decode("utf-8", "backslashreplace") if after else "",
                tracing.child(parent),
                _count(get(ATTEMPT_HEADER)) if ID_HEADER in headers else 1,
                event is None and not code,
                self._believe and self._believe(self._topic.name, record.key, headers, record.value),
            ),
        )
        return received, code, why

    def _event(self, record: ConsumerRecord, headers: dict[str, bytes | None]) -> tuple[Any, str, str]:
        if self._blank is not None:
            return self._blank, "", ""
        body = record.value
        kind = headers.get("ce_type")
        if kind and kind != self._name:
            return None, "wrong_type", f"ce_type is not {self._topic.name}"
        if body is None:
            if self._topic.compacted and record.key:
                return None, "", ""
            return (
                None,
                "null_body",
                "a null body without a key" if self._topic.compacted else "a null body on a topic that is not compacted",
            )
        if len(body) > MAX_EVENT_BYTES:
            return None, "too_large", f"{len(body)} bytes, at most {MAX_EVENT_BYTES} are allowed"
        try:
            return self._read(body), "", ""
        except ValidationError as error:
            return None, *self._explain(error)
        except Exception as error:
            return None, "unreadable", type(error).__name__

    def _explain(self, error: ValidationError) -> tuple[str, str]:
        """Which top-level fields are wrong and how, in pydantic's stable codes: never the value, never a key of the value's own."""
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        kinds = {problem["type"] for problem in problems}
        if "json_invalid" in kinds:
            return "bad_json", "the body is not JSON in UTF-8"
        if any(not problem["loc"] for problem in problems) and kinds & {"model_type", "model_attributes_type"}:
            return "not_an_object", "the body is JSON but not an object"
        fields = self._topic.event.model_fields
        listed = [
            f"{problem['loc'][0] if problem['loc'] and problem['loc'][0] in fields else '?'}: {problem['type']}" for problem in problems
        ]
        return "bad_event", "; ".join(listed[:10])


def _count(value: bytes | None) -> int:
    digits = text(value)
    return int(digits) if digits.isdecimal() and len(digits) < 6 else 1
