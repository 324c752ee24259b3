"""Nested documents as columns: `address.city`, `items[].sku`, and `rates.*` where keys are data rather than names.

Documents of MongoDB, JSON and Parquet are walked in the same way. A key that looks like a private value, or is one of very many, is never
told: it becomes `*`.

>>> outline = Outline()
>>> for each in ({"_id": 1, "to": {"city": "Kiel"}}, {"_id": 2, "tags": ["a", "b"]}): outline.add(each)
>>> [(field.path, field.type, field.always) for field in outline.fields()]
[('_id', 'int', True), ('to.city', 'string', False), ('tags[]', 'string', False)]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, NamedTuple

from shared.evidence.scrub import scrub
from shared.sources.binary import BYTES, text_in

MOST_DEPTH = 8  # what lies deeper is told as one column
MOST_COLUMNS = 1_000
MOST_ELEMENTS = 20  # of one list
MOST_KEYS = 60  # of one place, over all documents: beyond that, keys are data
VALUE_CHARACTERS = 200
_COMMON = 0.3  # a key in fewer of the documents, on average, is no name of a field
_KEY_CHARACTERS = 120
ANY, EACH = "*", "[]"
_DATA = re.compile(r"[\d\W_]+|[0-9a-f]{24}|[0-9a-f]{32,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)  # numbers, dates, ids

# Names of types, as MongoDB says them; what is not here goes by its own class.
_TYPES: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    bytes: "binData",
    type(None): "null",
    datetime: "date",
}


@lru_cache(maxsize=65_536)
def told(key: object) -> str:
    """A key as it may be told: itself, or `*`."""
    text = str(key).encode("utf-8", "replace").decode()
    return ANY if not text or len(text) > _KEY_CHARACTERS or _DATA.fullmatch(text) or scrub(text) != text else text


@lru_cache(maxsize=256)
def type_of(kind: Hashable) -> str:
    """The name of a value's type."""
    assert isinstance(kind, type)
    name = kind.__name__
    return next((_TYPES[base] for base in kind.__mro__ if base in _TYPES), name[:1].lower() + name[1:])


@dataclass(frozen=True, slots=True)
class Field:
    """One column. `type` names every type that was seen, in alphabetical order; `always`: each document has it, and never null.

    `null_share`: documents in which it is missing or null, None where no document was looked at.
    """

    path: str
    type: str
    always: bool
    textual: bool
    null_share: float | None = None


@dataclass(slots=True)
class _Place:
    """One place in the tree of all documents seen. `documents`: how many have it; `filled`: how many of these have more than null there."""

    types: set[str] = field(default_factory=set)
    below: dict[str, _Place] = field(default_factory=dict)
    documents: int = 0
    last: int = -1
    filled: int = 0
    last_filled: int = -1

    def has(self, document: int, value: object) -> None:
        if self.last != document:
            self.last = document
            self.documents += 1
        if value is not None and self.last_filled != document:
            self.last_filled = document
            self.filled += 1

    def join(self, other: _Place) -> None:
        """Take in what was seen at another place."""
        self.types |= other.types
        self.documents, self.filled = max(self.documents, other.documents), max(self.filled, other.filled)
        for key, place in other.below.items():
            self.below.setdefault(key, _Place()).join(place)

    @property
    def keys_are_data(self) -> bool:
        """Very many keys, most of them in few documents or all alike: ids, dates or names of people, not names of fields."""
        inner = [place for key, place in self.below.items() if key != EACH]
        if len(inner) <= MOST_KEYS:
            return False
        alike = len({(frozenset(place.types), frozenset(place.below)) for place in inner}) == 1
        return alike or sum(place.documents for place in inner) < _COMMON * len(inner) * self.documents


def bounded(found: Sequence[Field]) -> tuple[Sequence[Field], str]:
    """As many columns as are told of one table, and a comment on how many are not."""
    left = len(found) - MOST_COLUMNS
    return found[:MOST_COLUMNS], f"{left} further fields are not told" if left > 0 else ""


class Outline:
    """What many documents have in common. Nothing of their values is kept. `names`: what types are called, by class."""

    def __init__(self, names: Mapping[type, str] | None = None) -> None:
        self._root, self._names = _Place(), dict(names or {})
        self.documents = 0

    def add(self, document: Mapping[Any, Any]) -> None:
        """One more document."""
        self._look(document, self._root, 0)
        self.documents += 1

    def fields(self) -> list[Field]:
        """The columns, in the order in which they were met."""
        return list(self._fields(self._root, "", always=True))

    def _look(self, value: Any, place: _Place, depth: int) -> None:
        place.has(self.documents, value)
        if isinstance(value, Mapping) and value and depth < MOST_DEPTH:
            for key, each in value.items():
                self._look(each, place.below.setdefault(told(key), _Place()), depth + 1)
        elif isinstance(value, list | tuple) and value and depth < MOST_DEPTH:
            inner = place.below.setdefault(EACH, _Place())
            for each in value[:MOST_ELEMENTS]:
                self._look(each, inner, depth + 1)
        else:
            place.types.add(self._type(value))

    def _type(self, value: Any) -> str:
        if isinstance(value, Mapping):
            return "object"
        if isinstance(value, list | tuple):
            return "array"
        return self._names.get(type(value)) or type_of(value.__class__)

    def _fields(self, place: _Place, path: str, *, always: bool) -> Iterator[Field]:
        below = place.below
        if path and place.keys_are_data:
            one = _Place()
            for each in below.values():
                one.join(each)
            below = {ANY: one}
        types = place.types - ({"object", "array"} if below else set())
        if types - {"null"} or (types and not below):
            null_share = 1 - place.filled / self.documents
            yield _field(path, types, always=always and "null" not in types and not below, null_share=null_share)
        for key, inner in below.items():
            whole = always and key not in (ANY, EACH) and inner.documents == place.documents and not types
            yield from self._fields(inner, _joined(path, key), always=whole)


def _field(path: str, types: set[str], *, always: bool, null_share: float) -> Field:
    known = sorted(types - {"null"}) or ["null"]
    return Field(path, " | ".join(known), always, known == ["string"], null_share)


def _joined(path: str, key: str) -> str:
    if key == EACH:
        return f"{path}{EACH}"
    return f"{path}.{key}" if path else key


class Rows(NamedTuple):
    """How many were read, and by column the values that are not null, as text and cut. `binary`: places of columns that hold no text."""

    read: int
    columns: list[list[str]]
    binary: frozenset[int] = frozenset()


class Picker:
    """Takes the values of some columns out of documents, in the spelling of `Outline`."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = {path: at for at, path in enumerate(paths)}
        self._roots = _prefixes(paths)

    def rows(self, documents: Iterable[Mapping[Any, Any]]) -> Rows:
        """The values of these documents."""
        columns: list[list[str]] = [[] for _ in self._paths]
        no_text = Counter[int]()
        count = 0
        for document in documents:
            count += 1
            for path, value in self._values(document, "", 0):
                text = text_of(value)
                if text is None:
                    no_text[self._paths[path]] += 1
                columns[self._paths[path]].append(text or "")
        binary = frozenset(at for at, many in no_text.items() if 2 * many > len(columns[at]))
        return Rows(count, [[] if at in binary else values for at, values in enumerate(columns)], binary)

    def _values(self, value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Mapping) and value and depth < MOST_DEPTH:
            for key, each in value.items():
                if (inner := self._known(path, told(key))) is not None:
                    yield from self._values(each, inner, depth + 1)
        elif isinstance(value, list | tuple) and value and depth < MOST_DEPTH:
            if (inner := self._known(path, EACH)) is not None:
                for each in value[:MOST_ELEMENTS]:
                    yield from self._values(each, inner, depth + 1)
        elif value is not None and path in self._paths:
            yield path, value

    def _known(self, path: str, key: str) -> str | None:
        inner = _joined(path, key)
        if inner in self._roots:
            return inner
        return any_ if key != EACH and (any_ := _joined(path, ANY)) in self._roots else None


def _prefixes(paths: Sequence[str]) -> frozenset[str]:
    """Every path and all that lie above it."""
    found = set()
    for path in paths:
        found.add(path)
        at = len(path)
        while (at := max(path.rfind(".", 0, at), path.rfind(EACH, 0, at))) > 0:
            found.add(path[:at])
    return frozenset(found)


def text_of(value: Any) -> str | None:
    """A value as text, cut: what can be looked at, whatever its type; None where bytes are none."""
    if isinstance(value, str):
        return value[:VALUE_CHARACTERS]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray | memoryview):
        return text_in(bytes(value[:BYTES]))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)[:VALUE_CHARACTERS]
