"""From a classified asset to the facts that rules read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.compliance.domain.facts import COMBINATION, GROUP_SECTIONS, Facts, Section, Value, known_only
from services.compliance.domain.vocabulary import Vocabulary
from shared.contracts.asset import UNCLASSIFIED, AssetClassified, ColumnVerdict

DECIDED = frozenset({"classified", "confirmed", "inherited"})
EVIDENCE = "evidence:"
UNSEEN, SILENT = "none", "silent"  # evidence that says: no values were there; values were there, and none looks like it
_ABOUT_TEXT = frozenset({"inside", "short"})
_TEXT_TYPE = re.compile(r"text|char|json|string|clob|xml", re.IGNORECASE)
Sensitivity = Literal["public", "internal", "confidential", "restricted"]
SENSITIVITIES: tuple[Sensitivity, ...] = ("public", "internal", "confidential", "restricted")
Names = dict[str, list[str]]


@dataclass(slots=True)
class _Sorted:
    """Columns by group. `decided` have a class that stands, `possible` await a verdict, in `inside` it hides in other text.

    `plain` and `seen` hold one answer per decided column: are its values readable, were there any?
    """

    decided: Names = field(default_factory=dict)
    possible: Names = field(default_factory=dict)
    inside: Names = field(default_factory=dict)
    plain: dict[str, list[bool | None]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)


class FactReader:
    """Reads the facts that the rules need, and no others."""

    def __init__(self, vocabulary: Vocabulary, needed: Iterable[str]) -> None:
        self._vocabulary = vocabulary
        pairs = [name.split(".", 1) for name in sorted(needed)]
        self._groups = {section: tuple(fact for head, fact in pairs if head == section) for section in GROUP_SECTIONS}

    def read(self, event: AssetClassified, shared: Mapping[str, Section]) -> Facts:
        """The facts of `event`; `shared` are those of its source."""
        asset = _asset_facts(event)
        sampled = event.sampling == "sample"
        found = self._sort(event.columns, sampled)
        known: dict[str, Callable[[str], Value | None]] = {
            "holds": lambda g: True if g in found.decided else None if g in found.possible else False,
            "count": lambda g: None if g in found.possible else len(found.decided.get(g, ())),
            "stored": lambda g: _stored(g, found, asset),
            "plain": lambda g: _plain(g, found, asset),
            "embedded": lambda g: True if g in found.inside else None if found.unread or g in found.possible else False,
        }
        sections = {name: known_only({g: known[name](g) for g in groups}) for name, groups in self._groups.items()}
        table = f"{event.schema_name}.{event.table}"
        return Facts({**shared, **sections, "asset": asset}, _columns(found, event), _open(found), table)

    def _sort(self, columns: Iterable[ColumnVerdict], sampled: bool) -> _Sorted:
        found, groups_of = _Sorted(), self._vocabulary.groups_of
        for column in columns:
            decided = column.state in DECIDED
            own = groups_of(column.class_name, column.category) if decided else frozenset()
            if own:
                self._decided(column, own, sampled, found)
            if column.state == "abstained":
                for group in groups_of(column.class_name, column.category) | groups_of(column.runner_up):
                    found.possible.setdefault(group, []).append(column.name)
            for group in {group for other in column.also for group in groups_of(other)} - own:
                (found.possible if column.state == "abstained" else found.inside).setdefault(group, []).append(column.name)
            if not sampled and not own and _TEXT_TYPE.search(column.type):
                found.unread.append(column.name)
        return found

    def _decided(self, column: ColumnVerdict, groups: Iterable[str], sampled: bool, found: _Sorted) -> None:
        signs = {r.rule[len(EVIDENCE) :]: r.weight for r in column.reasons if r.rule.startswith(EVIDENCE)}
        seen = sampled and UNSEEN not in signs
        plain = self._readable(column.class_name, signs, seen)
        for group in groups:
            found.decided.setdefault(group, []).append(column.name)
            found.plain.setdefault(group, []).append(plain)
            if seen:
                found.seen.add(group)

    def _readable(self, class_name: str, signs: Mapping[str, float], seen: bool) -> bool | None:
        """Can the values be read as they are? None where they gave no answer: not looked at, none there, or maybe ciphertext."""
        values = self._vocabulary.values
        if not seen:
            return None
        if values.protected & signs.keys() or SILENT in signs:
            return False
        if any(weight > 0 for name, weight in signs.items() if name not in _ABOUT_TEXT | values.unclear):
            return True
        return True if class_name in values.open_classes else None


def _columns(found: _Sorted, event: AssetClassified) -> dict[str, tuple[str, ...]]:
    columns = {group: tuple(names) for group, names in found.decided.items()}
    for group, names in found.inside.items():
        columns[group] = tuple(dict.fromkeys((*columns.get(group, ()), *names)))
    columns[COMBINATION] = event.identifying_together
    return columns


def _open(found: _Sorted) -> dict[str, tuple[str, ...]]:
    """Columns that would settle what is not known of a group."""
    return {group: tuple(dict.fromkeys(names)) for group, names in found.possible.items()} | {"": tuple(found.unread)}


def _asset_facts(event: AssetClassified) -> Section:
    return known_only(
        {
            "kind": "table" if event.kind == "partitioned_table" else event.kind,
            "owner": event.owner,
            "documented": bool(event.comment),
            "row_security": event.row_security,
            "rows": event.rows_estimated,
            "stores": event.kind not in ("view", "foreign_table"),
            "looked_at": True if event.sampling == "sample" else None,
            "undecided": sum(column.state == "abstained" for column in event.columns),
            "combination": bool(event.identifying_together),
            "sensitivity": worst_sensitivity(event.columns),
        }
    )


def worst_sensitivity(columns: Iterable[ColumnVerdict]) -> Sensitivity:
    """The highest sensitivity of any column; internal where there is none."""
    words = {column.sensitivity for column in columns}
    return max(map(known_sensitivity, words), key=SENSITIVITIES.index, default="internal")


def known_sensitivity(word: str) -> Sensitivity:
    """The word itself; one that we do not know counts as the highest, to be careful."""
    return next((known for known in SENSITIVITIES if known == word), "restricted")


def _stored(group: str, found: _Sorted, asset: Section) -> bool | None:
    if group not in found.decided:
        return None if group in found.possible else False
    if not asset["stores"]:
        return False
    if group in found.seen:
        return True
    return False if asset.get("rows") == 0 else None


def _plain(group: str, found: _Sorted, asset: Section) -> bool | None:
    answers = found.plain.get(group, [])
    if True in answers or group in found.inside:
        return True
    if group in found.possible:
        return None
    if group not in found.decided or asset.get("rows") == 0:
        return False
    return False if all(answer is False for answer in answers) else None


def is_class(column: ColumnVerdict) -> bool:
    """Does the column have a class that stands?"""
    return column.state in DECIDED and column.class_name != UNCLASSIFIED
