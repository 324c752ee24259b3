"""Documents as people and tools get to see them: columns with their verdicts, the object that `pursight scan --json` prints."""

from __future__ import annotations

from typing import Any

from services.catalog.domain.words import prefixes, words_of

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
_EXPORTED = ("class", "category", "sensitivity", "confidence", "tier", "state", "reasons")
_RANKS = {"restricted": 0, "confidential": 1, "internal": 2, "public": 3}


def columns(described: Record, verdict: Record | None) -> list[Record]:
    """The columns of a table in its own order, each with its verdict; without one it is unclassified."""
    verdicts = {one["name"]: one for one in (verdict or {}).get("columns", ())}
    return [{**column, **UNJUDGED, **verdicts.get(column["name"], {}), "type": column["type"]} for column in described["columns"]]


def exported_asset(asset: str, schema: str, table: str, kind: str, described: Record, verdict: Record | None) -> Record:
    """One entry of `assets` in the exported object."""
    told = [
        {"name": column["name"], "type": column["type"], **{name: column[name] for name in _EXPORTED}}
        for column in columns(described, verdict)
    ]
    return {"schema": schema, "table": table, "kind": kind, "asset": asset, "columns": told}


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


def matching(shown: list[Record], text: str, class_name: str, *, most: int = 6) -> list[Record]:
    """The columns that explain why a table was found: those of the class, those whose names or classes match, else the sensitive ones."""
    typed = [word.removesuffix(":*") for word in prefixes(text)]

    def matches(column: Record) -> bool:
        known = words_of(column["name"]) | words_of(column.get("class", ""))
        return any(start in word if len(start) >= 3 else word.startswith(start) for start in typed for word in known)

    if class_name:
        return [column for column in shown if column.get("class") == class_name][:most]
    judged = [{**UNJUDGED, **column} for column in shown]
    return ([column for column in judged if matches(column)] or sensitive_first(judged))[:most]
