"""Documents as people and tools get to see them: columns with their verdicts, the object that `pursight scan --json` prints."""

from __future__ import annotations

import json
from typing import Any

from services.catalog.domain.words import typed, words_of

Record = dict[str, Any]

UNJUDGED: Record = {
    "class": "none",
    "category": "",
    "sensitivity": "internal",
    "confidence": 0.0,
    "tier": "none",
    "state": "unclassified",
    "also": [],
    "before": "",
    "reasons": [],
}
_as_printed = json.JSONEncoder(ensure_ascii=False).encode
_RANKS = {"restricted": 0, "confidential": 1, "internal": 2, "public": 3}


def columns(described: Record, verdict: Record | None) -> list[Record]:
    """The columns of a table in its own order, each with its verdict; without one it is unclassified."""
    verdicts = {one["name"]: one for one in (verdict or {}).get("columns", ())}
    return [{**column, **UNJUDGED, **verdicts.get(column["name"], {}), "type": column["type"]} for column in described["columns"]]


def exported_asset(schema: str, table: str, kind: str, described: Record, verdict: Record | None) -> Record:
    """One entry of `assets` in the exported object, without its key."""
    verdicts = {one["name"]: one for one in (verdict or {}).get("columns", ())}
    told = [_exported_column(column, verdicts.get(column["name"], UNJUDGED)) for column in described["columns"]]
    return {"schema": schema, "table": table, "kind": kind, "columns": told}


def _exported_column(column: Record, judged: Record) -> Record:
    """Written out: there are hundreds of thousands of them."""
    return {
        "name": column["name"],
        "type": column["type"],
        "class": judged["class"],
        "category": judged["category"],
        "sensitivity": judged["sensitivity"],
        "confidence": judged["confidence"],
        "tier": judged["tier"],
        "state": judged["state"],
        "reasons": judged["reasons"],
    }


def printed(document: object) -> bytes:
    """JSON as the shell prints it where no person reads it."""
    return _as_printed(document).encode()


def exported_tags(tag_set: Record) -> list[Record]:
    """One entry per tag: its target, key, value, origin."""
    return [{"target": tag_set["target"], **tag} for tag in tag_set["tags"]]


def sensitive_first(shown: list[Record]) -> list[Record]:
    """Classified columns, most sensitive first, the surest before the others."""
    found = [column for column in shown if column["class"] != "none"]
    return sorted(found, key=lambda column: (_RANKS.get(column["sensitivity"], 2), -column["confidence"], column["name"]))


def with_causes(events: list[Record]) -> list[Record]:
    """Timeline lines, each with `after`: type and service of the event that caused it, where that is among them."""
    by_id = {event["event_id"]: event for event in events}

    def after(event: Record) -> Record | None:
        named = event["causation_id"]
        cause = by_id.get(named) or by_id.get(named.rpartition("/")[0])  # who speaks several times after one event numbers its words
        return {"type": cause["type"], "service": cause["service"], "event_id": cause["event_id"]} if cause else None

    return [{**event, "after": after(event)} for event in events]


def matching(shown: list[Record], text: str, class_name: str, *, review: bool = False) -> list[Record]:
    """The columns that explain why a table was found: those of the class, those that wait for a person, those whose names or classes
    match, else the sensitive ones."""
    starts = frozenset[str]().union(*typed(text))

    def matches(column: Record) -> bool:
        known = words_of(column["name"]) | words_of(column.get("class", ""))
        return any(start in word if len(start) >= 3 else word.startswith(start) for start in starts for word in known)

    if class_name:
        return [column for column in shown if column.get("class") == class_name]
    if review:
        return [column for column in shown if column.get("state") == "abstained"]
    judged = [{**UNJUDGED, **column} for column in shown]
    return [column for column in judged if matches(column)] or sensitive_first(judged)
