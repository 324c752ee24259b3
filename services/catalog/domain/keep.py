"""What the catalog keeps of the events about one asset: which rows each becomes. The newest sequence wins, in the store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from operator import attrgetter

import orjson

from services.catalog.domain.heard import Heard, trace_of
from services.catalog.domain.rows import (
    Asset,
    Classified,
    Discovered,
    Edge,
    Failing,
    Judged,
    Judgement,
    Opened,
    Resolved,
    Row,
    ScanSeen,
    Tagged,
    TagSet,
    Verdict,
    Waived,
)
from services.catalog.domain.words import folded, vector
from shared.contracts.asset import UNCLASSIFIED, AssetClassified, AssetRemoved, SchemaDiscovered
from shared.contracts.compliance import ComplianceEvaluated, ControlResult, ViolationOpened, ViolationResolved, ViolationWaived
from shared.contracts.names import source_of
from shared.contracts.tags import TagsDerived

SENSITIVITIES = ("public", "internal", "confidential", "restricted")
_STANDS = frozenset({"fail", "waived"})


def array(items: Sequence[str]) -> str:
    """A PostgreSQL array literal, so that whole columns of arrays travel as plain text.

    >>> array(["a", 'b"c', "d\\\\e"])
    '{"a","b\\\\"c","d\\\\\\\\e"}'
    """
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return "{" + ",".join(f'"{item}"' for item in quoted) + "}"


def _json(document: object) -> str:
    return storable(orjson.dumps(document).decode())


def storable(text: str) -> str:
    """JSON that PostgreSQL can keep: the one character it has no room for becomes the replacement character."""
    return text.replace("\\u0000", "\\ufffd") if "\\u0000" in text else text


def worst(sensitivities: Sequence[str]) -> str:
    """The most sensitive of them; an unknown one, and nothing at all, counts as internal."""
    ranks = [SENSITIVITIES.index(name) if name in SENSITIVITIES else 1 for name in sensitivities]
    return SENSITIVITIES[max(ranks, default=1)]


def discovered(heard: Heard[SchemaDiscovered]) -> Iterator[Row]:
    """The asset, its edges, and the first step of its scan."""
    event = heard.event
    texts = [event.schema_name, event.table, event.comment, event.owner]
    texts += [text for column in event.columns for text in (column.name, column.comment) if text]
    yield Asset(
        event.asset,
        event.source,
        event.sequence,
        False,
        event.scan_id,
        event.schema_name,
        event.table,
        event.kind,
        event.owner,
        event.rows_estimated,
        len(event.columns),
        heard.time,
        _json(_asset_document(event)),
        vector(texts),
        folded(event.table if event.schema_name == "/" else f"{event.schema_name}.{event.table}"),
    )
    yield from _edges(event)
    yield Discovered(event.scan_id, event.asset, event.sequence, trace_of(heard), heard.time)
    yield ScanSeen(event.scan_id, event.source, heard.time)


def _asset_document(event: SchemaDiscovered) -> dict[str, object]:
    """What pages and exports show of a table. Written out by hand: the model's own serializer takes twice as long for a part."""
    indexed = {column.name: "unique" if column.unique else "indexed" for column in event.columns if column.indexed}
    return {
        "database": event.database,
        "comment": event.comment,
        "bytes_total": event.bytes_total,
        "partitions": event.partitions,
        "row_security": event.row_security,
        "sampling": event.sampling,
        "truncated": event.truncated,
        "aliases": event.aliases,
        "indexed": indexed,
        "indexes": [index.model_dump() for index in event.indexes],
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "nullable": column.nullable,
                "default": column.default,
                "comment": column.comment,
                "primary_key": column.primary_key,
                "references": column.references,
                "sampled": column.evidence.sampled if column.evidence else 0,
                "nulls": column.evidence.nulls if column.evidence else 0,
                "distinct": column.evidence.distinct if column.evidence else 0,
            }
            for column in event.columns
        ],
    }


def _edges(event: SchemaDiscovered) -> Iterator[Edge]:
    for key in event.constraints:
        if key.kind == "foreign_key" and key.target:
            yield Edge(event.asset, event.sequence, key.target, "references", key.name, array(key.columns), array(key.target_columns))
    for target in dict.fromkeys(event.depends_on):
        yield Edge(event.asset, event.sequence, target, "reads", "", "{}", "{}")


def removed(heard: Heard[AssetRemoved]) -> Iterator[Row]:
    """A stub that remembers the sequence."""
    event = heard.event
    yield Asset(event.asset, event.source, event.sequence, True, event.scan_id, "", "", "", "", None, 0, heard.time, "{}", "", "")


def classified(heard: Heard[AssetClassified]) -> Iterator[Row]:
    """The verdict, and the second step of its scan."""
    event = heard.event
    found = [column for column in event.columns if column.class_name != UNCLASSIFIED]
    counts = Counter([column.class_name for column in found])
    yield Verdict(
        event.asset,
        event.source,
        event.sequence,
        worst([column.sensitivity for column in event.columns]),
        array(sorted(counts)),
        _json(counts),
        len([column for column in event.columns if column.state == "abstained"]),
        heard.time,
        _json(_verdict_document(event)),
        vector({*counts, *[column.category for column in found]}),
    )
    if event.scan_id:
        yield Classified(event.scan_id, event.asset, heard.time)


def _verdict_document(event: AssetClassified) -> dict[str, object]:
    return {
        "ruleset": event.ruleset,
        "identifying_together": event.identifying_together,
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "class": column.class_name,
                "category": column.category,
                "sensitivity": column.sensitivity,
                "confidence": column.confidence,
                "tier": column.tier,
                "state": column.state,
                "also": column.also,
                "before": column.before,
                "reasons": [{"rule": reason.rule, "text": reason.text, "weight": reason.weight} for reason in column.reasons],
            }
            for column in event.columns
        ],
    }


def evaluated(heard: Heard[ComplianceEvaluated]) -> Iterator[Row]:
    """The judgement, what fails of it, and the third step of its scan."""
    event = heard.event
    controls = sorted(event.controls, key=attrgetter("control"))
    failing = [control for control in controls if control.result == "fail"]
    yield Judgement(
        event.asset,
        event.source,
        event.sequence,
        event.risk,
        event.sensitivity,
        array(event.regulations),
        array(sorted({control.framework for control in failing})),
        array([control.control for control in failing]),
        array([control.control for control in controls if control.result == "waived"]),
        array(sorted({fact.declare for fact in event.missing if fact.declare})),
        _json(_results(controls)),
        heard.time,
        _json(_judgement_document(event, controls)),
    )
    for control in controls:
        if control.result in _STANDS and control.violation:
            facts = _json([{"name": name, "value": event.facts.get(name, "")} for name in control.reads])
            told = (control.control, control.framework, control.severity, control.message, facts, array(control.columns))
            yield Failing(control.violation, event.asset, event.source, event.sequence, *told)
    if event.scan_id:
        yield Judged(event.scan_id, event.asset, heard.time)


def _results(controls: Sequence[ControlResult]) -> dict[str, dict[str, int]]:
    results: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (framework, result), count in Counter([(control.framework, control.result) for control in controls]).items():
        results[framework][result] = count
    return results


def _judgement_document(event: ComplianceEvaluated, controls: Sequence[ControlResult]) -> dict[str, object]:
    """What pages and exports show of a judgement. What a failing control says stands with its violation."""
    return {
        "obligations": event.obligations,
        "controls": [
            {
                "control": control.control,
                "framework": control.framework,
                "result": control.result,
                "severity": control.severity,
                "missing": control.missing,
            }
            for control in controls
        ],
        "facts": event.facts,
        "missing": [{"name": fact.name, "says": fact.says, "remedy": fact.remedy, "declare": fact.declare} for fact in event.missing],
    }


def opened(heard: Heard[ViolationOpened]) -> Iterator[Row]:
    """Since when. What it says comes with each judgement, so that it is never older than that."""
    event = heard.event
    yield Opened(event.violation, event.asset, event.source, event.control, heard.time)


def resolved(heard: Heard[ViolationResolved]) -> Iterator[Row]:
    event = heard.event
    yield Resolved(event.violation, event.asset, event.source, event.control, heard.time)


def waived(heard: Heard[ViolationWaived]) -> Iterator[Row]:
    event = heard.event
    waiver = {"actor": event.actor, "reason": event.reason, "expires": event.expires}
    text = _json(waiver)
    yield Waived(event.violation, event.asset, source_of(event.asset), event.control, heard.time, text)


def derived(heard: Heard[TagsDerived]) -> Iterator[Row]:
    event = heard.event
    tags = _json([{"key": tag.key, "value": tag.value, "origin": tag.origin} for tag in event.tags])
    identity = (event.target, event.source, event.asset, event.resource, event.provider)
    yield TagSet(*identity, event.sequence, event.scan_id, heard.time, tags, event.job)
    if event.asset and event.scan_id:
        yield Tagged(event.scan_id, event.asset, heard.time)
