"""What a column can hold: class, category, sensitivity, and the shape of data that can carry it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Sensitivity = Literal["public", "internal", "confidential", "restricted"]
RANK: Mapping[str, int] = {"public": 0, "internal": 1, "confidential": 2, "restricted": 3}


@dataclass(frozen=True, slots=True)
class DataClass:
    """One class. `lengths`: characters a value of it has on average, both ends included; None where anything goes.

    `diverse`: many different values are normal. `expects`: silence of its detectors speaks against it.
    `organisation`: the class it turns into where the column speaks of an organisation.
    """

    name: str
    category: str
    sensitivity: Sensitivity
    families: frozenset[str]
    group: str
    regulations: tuple[str, ...] = ()
    lengths: tuple[float, float] | None = None
    diverse: bool = True
    expects: bool = False
    organisation: str = ""


Taxonomy = Mapping[str, DataClass]


@dataclass(frozen=True, slots=True)
class Combination:
    """Classes that identify a person only together: one of each of `parts`. `unless` another combination was found."""

    name: str
    parts: tuple[frozenset[str], ...]
    text: str
    unless: str = ""


def combinations_from(document: Mapping[str, Any], taxonomy: Taxonomy) -> tuple[Combination, ...]:
    """The combinations of a `taxonomy.yaml`, in its order. Raises ValueError where one names a class that does not exist."""
    found = []
    for name, fields in document.get("combinations", {}).items():
        parts = tuple(frozenset(part) for part in fields["parts"])
        if unknown := sorted(frozenset().union(*parts) - taxonomy.keys()):
            raise ValueError(f"combination {name}: unknown class {unknown[0]}")
        found.append(Combination(name, parts, fields["text"], fields.get("unless", "")))
    return tuple(found)


def taxonomy_from(document: Mapping[str, Any]) -> Taxonomy:
    """The classes of a `taxonomy.yaml`. Raises ValueError, with the class, where it does not hold together."""
    shapes = {name: frozenset(families) for name, families in document["shapes"].items()}
    classes = {name: _class(name, fields, shapes) for name, fields in document["classes"].items()}
    for entry in classes.values():
        if entry.organisation and entry.organisation not in classes:
            raise ValueError(f"class {entry.name}: its organisation class {entry.organisation} does not exist")
    return classes


Elsewhere = Mapping[str, Mapping[str, tuple[str, ...]]]
"""System to class to the names that it has there, the usual one first."""


def names_from(document: Mapping[str, Any], taxonomy: Taxonomy) -> Elsewhere:
    """What other systems call our classes. Raises ValueError where a class does not exist."""
    found = {system: {name: tuple(theirs) for name, theirs in classes.items()} for system, classes in document.get("names", {}).items()}
    for system, classes in found.items():
        if unknown := sorted(classes.keys() - taxonomy.keys()):
            raise ValueError(f"names of {system}: unknown class {unknown[0]}")
    return found


def _class(name: str, fields: Mapping[str, Any], shapes: Mapping[str, frozenset[str]]) -> DataClass:
    if fields["sensitivity"] not in RANK or fields["shape"] not in shapes:
        raise ValueError(f"class {name}: unknown sensitivity or shape")
    low, high = fields.get("length", (None, None))
    return DataClass(
        name=name,
        category=fields["category"],
        sensitivity=fields["sensitivity"],
        families=shapes[fields["shape"]],
        group=fields["group"],
        regulations=tuple(fields.get("regulations", ())),
        lengths=None if low is None else (float(low), float(high)),
        diverse=fields.get("diverse", True),
        expects=fields.get("expects", False),
        organisation=fields.get("organisation", ""),
    )
