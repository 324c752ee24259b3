"""Rows of the read model as values: one class per table, field order is column order. `doc` fields are JSON text."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class Fact(NamedTuple):
    """The newest fact of a small topic. `kind` is the topic; documents are the event as it came."""

    kind: str
    key: str
    sequence: int
    at: datetime
    trace_id: str
    doc: str


class Asset(NamedTuple):
    """One table as discovery last described it; `removed` keeps the sequence so that a late event cannot bring it back. `place`: what a
    person calls it in its database, folded."""

    asset: str
    source: str
    sequence: int
    removed: bool
    scan_id: str
    schema_name: str
    table_name: str
    kind: str
    owner: str
    rows_estimated: int | None
    column_count: int
    at: datetime
    doc: str
    words: str
    place: str


class Verdict(NamedTuple):
    """What the classifier last said of an asset."""

    asset: str
    source: str
    sequence: int
    sensitivity: str
    classes: str
    class_counts: str
    review_count: int
    at: datetime
    doc: str
    words: str


class Judgement(NamedTuple):
    """What compliance last said of an asset."""

    asset: str
    source: str
    sequence: int
    risk: int
    sensitivity: str
    regulations: str
    frameworks: str
    failing: str
    waived: str
    undeclared: str
    results: str
    at: datetime
    doc: str


class TagSet(NamedTuple):
    """The tags that one asset, resource or job must carry. `job`: the job that calls for them, the first by name."""

    target: str
    source: str
    asset: str
    resource: str
    provider: str
    sequence: int
    scan_id: str
    at: datetime
    tags: str
    job: str = ""


class Edge(NamedTuple):
    """Lineage: `asset` refers to, or reads from, `target`, as its `sequence` said."""

    asset: str
    sequence: int
    target: str
    kind: str
    name: str
    columns: str
    target_columns: str


class Failing(NamedTuple):
    """A control that fails, or is waived, as the judgement of this sequence said it. Title and remedy are the policy's."""

    violation: str
    asset: str
    source: str
    sequence: int
    control: str
    framework: str
    severity: str
    message: str
    facts: str
    columns: str


class Opened(NamedTuple):
    violation: str
    asset: str
    source: str
    control: str
    opened_at: datetime


class Resolved(NamedTuple):
    violation: str
    asset: str
    source: str
    control: str
    resolved_at: datetime


class Waived(NamedTuple):
    violation: str
    asset: str
    source: str
    control: str
    waived_at: datetime
    waiver: str


class ScanSeen(NamedTuple):
    """A scan exists: some event named it."""

    scan_id: str
    source: str
    first_at: datetime


class ScanEnd(NamedTuple):
    """A scan completed. `doc` is its manifest."""

    scan_id: str
    source: str
    first_at: datetime
    completed_at: datetime
    trace_id: str
    doc: str


class ScanFailure(NamedTuple):
    scan_id: str
    source: str
    first_at: datetime
    failed_at: datetime
    trace_id: str
    failure: str


class Discovered(NamedTuple):
    scan_id: str
    asset: str
    sequence: int
    trace_id: str
    discovered_at: datetime


class Classified(NamedTuple):
    scan_id: str
    asset: str
    classified_at: datetime


class Judged(NamedTuple):
    scan_id: str
    asset: str
    judged_at: datetime


class Tagged(NamedTuple):
    scan_id: str
    asset: str
    tagged_at: datetime


class DeadLetter(NamedTuple):
    dead_letter: str
    service: str
    topic: str
    error_code: str
    asset: str
    scan_id: str
    at: datetime


class Told(NamedTuple):
    """One line of the timeline: which service said what, when, after which event, in which trace."""

    event_id: str
    type: str
    subject: str
    at: datetime
    service: str
    causation_id: str
    trace_id: str
    summary: str


Row = (
    Fact
    | Asset
    | Verdict
    | Judgement
    | TagSet
    | Edge
    | Failing
    | Opened
    | Resolved
    | Waived
    | ScanSeen
    | ScanEnd
    | ScanFailure
    | Discovered
    | Classified
    | Judged
    | Tagged
    | DeadLetter
    | Told
)
