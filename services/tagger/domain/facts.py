"""What an evaluated asset proves, as plain facts that add up: of one asset, or of all assets behind a resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from services.tagger.domain.vocabulary import category_label
from shared.contracts.compliance import ClassCount, ComplianceEvaluated
from shared.contracts.names import encode


class Fact(NamedTuple):
    """One thing that is so, and what showed it. `assets` counts how many say the same."""

    kind: str  # category, sensitivity, regulation, obligation
    value: str
    origin: str
    assets: int = 1


def facts_of(event: ComplianceEvaluated) -> tuple[Fact, ...]:
    """The facts of one asset, each value once, in the order of the event."""
    says = f"compliance.evaluated:{event.asset}"
    return (
        *_categories(event.classes, says),
        Fact("sensitivity", event.sensitivity, _sensitivity_origin(event, says)),
        *(Fact("regulation", name, _regulation_origin(event, name, says)) for name in dict.fromkeys(event.regulations)),
        *(Fact("obligation", name, f"{says} obligation {name}") for name in dict.fromkeys(event.obligations)),
    )


def _categories(classes: Iterable[ClassCount], says: str) -> Iterator[Fact]:
    found: dict[str, list[str]] = {}
    for count in classes:
        if label := category_label(count.category):
            found.setdefault(label, []).extend(f"#{encode(column)} class {count.class_name}" for column in count.columns)
    for label, columns in found.items():
        yield Fact("category", label, says + _some(columns))


def _some(columns: list[str]) -> str:
    if not columns:
        return ""
    return columns[0] + (f" and {len(columns) - 1} more" if len(columns) > 1 else "")


def _sensitivity_origin(event: ComplianceEvaluated, says: str) -> str:
    for count in event.classes:
        if count.sensitivity == event.sensitivity and count.columns:
            return f"{says}#{encode(count.columns[0])} class {count.class_name}"
    return says


def _regulation_origin(event: ComplianceEvaluated, regulation: str, says: str) -> str:
    """Name the pack that judged, where one carries the regulation's name."""
    pack = next((policy for policy in event.policies if _plain(policy).startswith(_plain(regulation))), "")
    return f"{says} rule {pack}" if pack else says


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
