"""What each event says, in a line for people: names and counts, never a value, never a secret."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from shared.contracts.asset import AssetClassified, AssetRemoved, ClassificationReviewed, SchemaDiscovered
from shared.contracts.base import Contract
from shared.contracts.compliance import ComplianceEvaluated, ViolationOpened, ViolationResolved, ViolationWaived
from shared.contracts.connection import SourceConnected, SourceFailedOver, SourceHealth, SourceUnreachable
from shared.contracts.rules import ContractCompared, ContractPublished, ContractRejected, PolicyPublished, RulesetPublished
from shared.contracts.scan import EventDeadLettered, ScanCompleted, ScanFailed, ScanPaced
from shared.contracts.source import SourceRegistered, SourceRejected, SourceRemoved, SourceSubmitted
from shared.contracts.tags import JobRejected, TagsApplied, TagsDerived, TagsFailed

SUMMARY_CHARACTERS = 300


def counted(number: int, noun: str, many: str = "") -> str:
    """A number with its noun: `counted(1, "table")` is "1 table"; thousands get commas."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def _listed(names: list[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _registered(event: SourceRegistered) -> str:
    fields = f" ({_listed(sorted(event.changed_fields))})" if event.changed_fields and event.change == "updated" else ""
    return f"Source {event.change}, version {event.version}{fields}"


def _rejected(event: SourceRejected) -> str:
    fields = _listed([problem.field for problem in event.problems])
    return f"Request refused: {counted(len(event.problems), 'problem')}, in {fields}"


def _refused(what: str, event: ContractRejected | JobRejected) -> str:
    fields = _listed([problem.field for problem in event.problems])
    return f"{what} refused: {counted(len(event.problems), 'problem')}, in {fields}"


def _compared(event: ContractCompared) -> str:
    if not event.findings:
        return "The data shows no more than its contract says"
    columns = list(dict.fromkeys(finding.column for finding in event.findings if finding.column))
    return f"The data shows more than its contract says: {counted(len(event.findings), 'finding')}" + (
        f", in {_listed(columns)}" if columns else ""
    )


def _connected(event: SourceConnected) -> str:
    line = f"encrypted ({event.server.tls_version})" if event.server.tls_version else "not encrypted"
    warnings = f", {counted(len(event.warnings), 'warning')}" if event.warnings else ""
    return f"Connected to {event.spec.engine} {event.server.version}, line {line}{warnings}"


def _health(event: SourceHealth) -> str:
    return f"Source is {event.status}" + (f": {event.advice[0]}" if event.advice else "")


def _discovered(event: SchemaDiscovered) -> str:
    kinds = Counter(change.kind.replace("_", " ") for change in event.change)
    changes = ": " + ", ".join(kind if count == 1 else f"{count} × {kind}" for kind, count in kinds.items()) if kinds else ""
    return f"{event.kind.replace('_', ' ').capitalize()} with {counted(len(event.columns), 'column')}{changes}"


def _removed(event: AssetRemoved) -> str:
    why = {"dropped": "no longer in the database", "out_of_scope": "out of the scan's scope", "source_removed": "its source was removed"}
    return f"Removed: {why.get(event.reason, event.reason)}"


def _classified(event: AssetClassified) -> str:
    classes = Counter([column.class_name for column in event.columns if column.class_name != "none"])
    open_ = len([column for column in event.columns if column.state == "abstained"])
    found = ", ".join(f"{name} × {count}" if count > 1 else name for name, count in classes.most_common(6)) or "nothing sensitive"
    return f"Found {found}" + (f"; {counted(open_, 'column')} for a person to look at" if open_ else "")


def _evaluated(event: ComplianceEvaluated) -> str:
    results: Counter[str] = Counter([control.result for control in event.controls])
    told = ", ".join(f"{results[kind]} {word}" for kind, word in _RESULT_WORDS if results[kind])
    return f"{counted(len(event.controls), 'control')}: {told or 'none applies'}; risk {event.risk} of 100"


_RESULT_WORDS = (("fail", "failed"), ("unknown", "unknown"), ("waived", "waived"), ("pass", "passed"))


def _opened(event: ViolationOpened) -> str:
    return f"{event.severity.capitalize()}: {event.title} ({event.control})"


def _resolved(event: ViolationResolved) -> str:
    return f"Resolved: {event.control}, {event.reason.replace('_', ' ')}"


def _derived(event: TagsDerived) -> str:
    removed = f", {counted(len(event.removed_keys), 'key')} no longer wanted" if event.removed_keys else ""
    return f"{counted(len(event.tags), 'tag')}: {_listed([tag.key for tag in event.tags], 6)}{removed}"


def _applied(event: TagsApplied) -> str:
    if event.outcome == "skipped":
        return f"No tags on {event.resource}: {event.cause}"
    if event.outcome == "unchanged":
        return "The resource already carries the tags"
    drifted = f", {_listed(list(event.drifted))} put back" if event.drifted else ""
    return f"{counted(len(event.written), 'tag')} written and read back, {event.kept} of others kept{drifted}"


def _completed(event: ScanCompleted) -> str:
    whole = "" if event.complete else "; not complete: what was not looked at stands"
    seen = f"{counted(event.tables, 'table')} and {counted(event.columns, 'column')} seen"
    return f"Scan done in {event.seconds:.1f} s: {seen}, {event.changed:,} changed, {event.removed:,} removed{whole}"


def _paced(event: ScanPaced) -> str:
    rest = f", {event.rest:.0%} rest" if event.rest else ""
    lines = f"{counted(event.concurrency, 'line')}, {counted(event.batch, 'table')} at once{rest}"
    return f"The scan goes on with {lines}, because of {event.cause.replace('_', ' ')}"


def _dead(event: EventDeadLettered) -> str:
    return f"{event.service} put a {event.topic} aside after {counted(event.attempts, 'attempt')}: {event.error_code}"


_WORDS: dict[type[Contract], Callable[[Any], str]] = {
    SourceSubmitted: lambda event: "Asked to register this source",
    SourceRegistered: _registered,
    SourceRejected: _rejected,
    SourceRemoved: lambda event: "Source removed",
    SourceConnected: _connected,
    SourceUnreachable: lambda event: f"Cannot be reached: {event.diagnosis.cause}",
    SourceFailedOver: lambda event: f"Now reads from the {event.active}: {event.cause.cause}",
    SourceHealth: _health,
    SchemaDiscovered: _discovered,
    AssetRemoved: _removed,
    ScanPaced: _paced,
    ScanCompleted: _completed,
    ScanFailed: lambda event: f"Scan ended early: {event.diagnosis.cause}",
    RulesetPublished: lambda event: (
        f"Ruleset {event.version}: {counted(event.rules, 'rule')}, {counted(len(event.classes), 'class', 'classes')}"
    ),
    PolicyPublished: lambda event: f"Policy {event.version} for {event.framework}: {counted(len(event.controls), 'control')}",
    ContractPublished: lambda event: "Data contract published",
    ContractRejected: lambda event: _refused("Data contract", event),
    ContractCompared: _compared,
    JobRejected: lambda event: _refused("Job", event),
    ClassificationReviewed: lambda event: f"A person decided: {event.decision} {event.class_name} on column {event.column}",
    AssetClassified: _classified,
    ComplianceEvaluated: _evaluated,
    ViolationOpened: _opened,
    ViolationResolved: _resolved,
    ViolationWaived: lambda event: f"Waived until {event.expires:%Y-%m-%d %H:%M} UTC: {event.control}",
    TagsDerived: _derived,
    TagsApplied: _applied,
    TagsFailed: lambda event: f"Tags not applied: {event.cause}",
    EventDeadLettered: _dead,
}


def summary(event: Contract) -> str:
    """The line for `event`. Raises KeyError for an event that the catalog does not hear."""
    return _WORDS[type(event)](event)[:SUMMARY_CHARACTERS]
