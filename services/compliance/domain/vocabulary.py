"""What the rules call the classes of data: groups such as `personal` or `pan`, made of the classifier's categories and classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, ValidationError

from services.compliance.domain.document import Document, InvalidPack
from shared.contracts.asset import UNCLASSIFIED


class Group(BaseModel):
    """A set of classes. `says` is how a message names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    says: str
    categories: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()

    def has(self, class_name: str, category: str) -> bool:
        return class_name not in self.without and (class_name in self.classes or category in self.categories)


class Values(BaseModel):
    """What detectors tell about readability: `protected` fit values that are masked or hashed, `unclear` ones that may be ciphertext.
    Values of `open_classes` are readable unless they are protected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protected: frozenset[str] = frozenset()
    unclear: frozenset[str] = frozenset()
    open_classes: frozenset[str] = frozenset()


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    values: Values

    categories: dict[str, list[str]]
    groups: dict[str, Group]


@dataclass(frozen=True)
class Vocabulary:
    """`groups` by name, `category_of` by class, and what detectors tell about `values`."""

    groups: Mapping[str, Group]
    category_of: Mapping[str, str]
    values: Values
    _known: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict, repr=False, compare=False)

    def groups_of(self, class_name: str, category: str = "") -> frozenset[str]:
        """The groups a class belongs to; one that we do not know belongs to those of its category."""
        key = (class_name, category)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._find(class_name, category)
        return found

    def _find(self, class_name: str, category: str) -> frozenset[str]:
        if class_name in ("", UNCLASSIFIED):
            return frozenset()
        category = category or self.category_of.get(class_name, "")
        return frozenset(name for name, group in self.groups.items() if group.has(class_name, category))


def vocabulary_from(document: Document) -> Vocabulary:
    """Raises InvalidPack where a group names a category or class that is not listed."""
    try:
        file = _File.model_validate(document.value)
    except ValidationError as error:
        raise InvalidPack([document.fault(tuple(item["loc"]), item["msg"]) for item in error.errors()]) from None
    category_of = {name: category for category, names in file.categories.items() for name in names}
    faults = [
        document.fault(("groups", group, part), f"{word!r} is not a known {part[:-2]}")
        for group, parts in file.groups.items()
        for part, known in (("categories", file.categories), ("classes", category_of), ("without", category_of))
        for word in sorted(getattr(parts, part))
        if word not in known
    ]
    if faults:
        raise InvalidPack(faults)
    return Vocabulary(file.groups, category_of, file.values)
