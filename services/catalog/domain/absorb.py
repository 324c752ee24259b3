"""THE table of what the catalog hears: topic to rows. A tombstone makes a key gone; each event becomes a line of the timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from services.catalog.domain import keep
from services.catalog.domain.heard import Heard, by_time, trace_of
from services.catalog.domain.rows import DeadLetter, Fact, Row, ScanEnd, ScanFailure, Told
from services.catalog.domain.told import summary
from shared.contracts.base import Contract
from shared.contracts.names import SourceName
from shared.contracts.scan import EventDeadLettered, ScanCompleted, ScanFailed
from shared.contracts.topics import BY_NAME, TOPICS, Topic

Taker = Callable[[Heard[Any]], Iterable[Row]]


def _document(event: Contract) -> str:
    """An event whole, defaults too, so that who reads it later need not know them."""
    return keep.storable(event.model_dump_json())


def _fact(sequence: Callable[[Heard[Any]], int]) -> Taker:
    def take(heard: Heard[Any]) -> Iterator[Row]:
        doc = _document(heard.event)
        yield Fact(heard.topic, heard.key, sequence(heard), heard.time, trace_of(heard), doc)

    return take


def _completed(heard: Heard[ScanCompleted]) -> Iterator[Row]:
    event = heard.event
    doc = _document(event)
    yield ScanEnd(event.scan_id, event.source, heard.time, heard.time, event.trace_id or trace_of(heard), doc)


def _failed(heard: Heard[ScanFailed]) -> Iterator[Row]:
    event = heard.event
    failure = _document(event.diagnosis)
    yield ScanFailure(event.scan_id, event.source, heard.time, heard.time, event.trace_id or trace_of(heard), failure)


def _dead(heard: Heard[EventDeadLettered]) -> Iterator[Row]:
    event = heard.event
    yield DeadLetter(event.dead_letter, event.service, event.topic, event.error_code, event.asset, event.scan_id, heard.time)


_by_version = _fact(lambda heard: int(heard.event.version))
_by_sequence = _fact(lambda heard: int(heard.event.sequence))
_newest = _fact(by_time)

ID_CHARACTERS = 200
WITNESSED = frozenset({"source.submitted"})  # heard for the timeline, by envelope alone

TAKES: dict[str, Taker] = {
    "source.submitted": lambda heard: (),
    "source.registered": _by_version,
    "source.rejected": _newest,
    "source.removed": _by_version,
    "source.connected": _by_sequence,
    "source.unreachable": _by_sequence,
    "source.failed_over": _by_sequence,
    "source.health": _by_sequence,
    "schema.discovered": keep.discovered,
    "asset.removed": keep.removed,
    "scan.paced": lambda heard: (),
    "scan.completed": _completed,
    "scan.failed": _failed,
    "ruleset.published": _newest,
    "policy.published": _newest,
    "classification.reviewed": _newest,
    "asset.classified": keep.classified,
    "contract.published": _newest,
    "contract.rejected": _newest,
    "contract.compared": _by_sequence,
    "compliance.evaluated": keep.evaluated,
    "violation.opened": keep.opened,
    "violation.resolved": keep.resolved,
    "violation.waived": keep.waived,
    "job.rejected": _newest,
    "tags.derived": keep.derived,
    "tags.applied": _by_sequence,
    "tags.failed": _by_sequence,
    "event.dead_lettered": _dead,
}


def topics_heard() -> tuple[Topic, ...]:
    """The topics whose readers include the catalog, as the table of topics says."""
    return tuple(topic for topic in TOPICS if "catalog" in topic.readers)


def rows_of(batch: Sequence[Heard[Any]]) -> list[Row]:
    """All rows that the events of one topic's batch become, in the order heard."""
    alive = [heard for heard in batch if not heard.tombstone]
    return [row for heard in alive for row in (*TAKES[heard.topic](heard), *_told(heard))]


def gone_of(batch: Sequence[Heard[Any]]) -> list[str]:
    """Keys whose last word in this batch is a tombstone."""
    last = {heard.key: heard.tombstone for heard in batch}
    return [key for key, tombstone in last.items() if tombstone]


def subject_of(event: Contract, key: str) -> str:
    """What an event is about: the asset where it names one, the job where that alone is behind it, else its key."""
    job = "" if getattr(event, "source", "") else getattr(event, "job", "")
    return str(getattr(event, "asset", "") or job or key)


def _told(heard: Heard[Any]) -> Iterator[Told]:
    if heard.topic in WITNESSED:
        yield from _witnessed(heard)
        return
    event = heard.event
    service = event.service if isinstance(event, EventDeadLettered) else BY_NAME[heard.topic].said_by[0]
    subject = subject_of(event, heard.key)
    yield Told(heard.id, heard.topic, subject, heard.time, service, heard.causation_id, trace_of(heard), summary(event))


def _witnessed(heard: Heard[Any]) -> Iterator[Told]:
    """That a request came, where its key names a source. Its sender chose id and causation: they are cut, and null characters replaced."""
    try:
        subject = SourceName.parse(heard.key).key
    except ValueError:
        return
    id, causation = (text[:ID_CHARACTERS].replace("\x00", "\ufffd") for text in (heard.id, heard.causation_id))
    yield Told(id, heard.topic, subject, heard.time, BY_NAME[heard.topic].said_by[0], causation, trace_of(heard), summary(heard.event))
