"""A YAML text as plain values, with the line on which each of them stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from shared.errors import UsageError

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a rule file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class InvalidPack(UsageError):
    """A rule file cannot be used; `faults` names every reason, with file and line."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(
            "; ".join(map(str, faults)),
            remedy="Correct the file; `POST /policies/test` checks it without keeping it.",
            code="policy_invalid",
        )
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Document:
    """The values of one file and where they stand."""

    file: str
    value: dict[str, Any]
    lines: dict[Place, int]

    def fault(self, place: Place, message: str) -> Fault:
        """A fault at the nearest line we know: of the value itself, else of what holds it."""
        while place and place not in self.lines:
            place = place[:-1]
        return Fault(self.file, self.lines.get(place, 1), message)


def read(text: str, file: str) -> Document:
    """Parse one YAML mapping. Raises InvalidPack where the text is no YAML, no mapping, or uses anchors."""
    try:
        if any(isinstance(token, yaml.AnchorToken | yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise InvalidPack([Fault(file, 1, "anchors are not allowed: a small text could stand for a huge one")])
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None or not isinstance(root, yaml.MappingNode):
            raise InvalidPack([Fault(file, 1, "the file is not a mapping")])
        lines = dict(_lines(root, ()))
        return Document(file, yaml.safe_load(text), lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InvalidPack([Fault(file, mark.line + 1 if mark else 1, "not valid YAML")]) from None


def _lines(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    yield place, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _lines(value, (*place, number))
