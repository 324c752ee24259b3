"""The facts of one table as the event's own bytes.

A database has hundreds of thousands of columns, so no object is made per column: each column becomes a piece of JSON text,
and an event is these pieces, joined. A test holds the result to the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import orjson

from shared.contracts.names import SourceName, encode

_NO_EVIDENCE: Mapping[int, bytes] = {}
_NOT_NULL, _GENERATED = ',"nullable":false', ',"generated":true'


class KeyFacts(Protocol):
    """A key, unique rule or check, as a driver tells it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def target(self) -> tuple[str, str] | None: ...
    @property
    def target_columns(self) -> tuple[str, ...]: ...
    @property
    def expression(self) -> str: ...


class IndexFacts(Protocol):
    """An index that no key has, as a driver tells it."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def unique(self) -> bool: ...
    @property
    def method(self) -> str: ...
    @property
    def expression(self) -> str: ...
    @property
    def predicate(self) -> str: ...


class Facts(Protocol):
    """The structure of one table, as a driver tells it: column facts are parallel sequences."""

    owner: str
    comment: str
    row_security: bool
    positions: Sequence[int]
    names: Sequence[str]
    types: Sequence[str]
    nullable: Sequence[bool]
    generated: Sequence[bool]
    defaults: Mapping[int, str]
    comments: Mapping[int, str]
    primary_key: frozenset[int]
    unique: frozenset[int]
    indexed: frozenset[int]
    view_definition: str
    depends_on: Sequence[tuple[str, str]]
    numbered: bool

    @property
    def keys(self) -> Sequence[KeyFacts]: ...
    @property
    def indexes(self) -> Sequence[IndexFacts]: ...


@dataclass(frozen=True)
class Place:
    """The database that a scan looks at: what is the same for all of its tables."""

    tenant: str
    source: str
    database: str
    openlineage: str  # what stands before schema.table, e.g. postgres://db.example.org:5432/shop.
    joint: str = "."  # what stands between the two; / for files

    def alias(self, schema: str, table: str) -> str:
        """The name that OpenLineage gives to a table, or to files.

        >>> Place("acme", "lake", "lake", "s3://lake/", "/").alias("sales", "orders")
        's3://lake/sales/orders'
        """
        return f"{self.openlineage}{schema}{self.joint}{table}" if schema != self.joint else f"{self.openlineage}{table}"

    def key(self, schema: str, table: str) -> str:
        """`AssetName.key`, with the parts that repeat encoded once. A test holds both together."""
        return f"{self._prefix}.{_encoded(schema)}.{_encoded(table)}"

    @cached_property
    def _prefix(self) -> str:
        return f"{SourceName(self.tenant, self.source).key}/{encode(self.database)}"


_encoded = lru_cache(maxsize=65_536)(encode)


OutlineColumn = tuple[int, str, str, bool, str]
"""Position, name, type, nullable, and the comment's digest."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a later scan compares with: enough to name each difference, and no more."""

    kind: str
    comment: str
    view: str
    keys: str
    columns: tuple[OutlineColumn, ...]

    def to_json(self) -> str:
        return orjson.dumps([self.kind, self.comment, self.view, self.keys, self.columns]).decode()

    @classmethod
    def from_json(cls, text: str) -> Outline:
        kind, comment, view, keys, columns = orjson.loads(text)
        return cls(kind, comment, view, keys, tuple((at, name, type_, null, rest) for at, name, type_, null, rest in columns))


class Document(NamedTuple):
    """A table's structure in the event's form. `pieces` are the columns, each without its closing brace."""

    key: str
    schema: str
    table: str
    kind: str
    fixed: Mapping[str, Any]
    pieces: Sequence[str]
    constraints: bytes
    fingerprint: str


def document(place: Place, schema: str, table: str, kind: str, facts: Facts) -> Document:
    """The structure and its digest. Statistics and evidence are no part of the digest, nor is anything that a restore changes."""
    fixed, pieces = _fixed(place, facts), _pieces(facts, _references(place, facts))
    constraints = orjson.dumps([_constraint(place, key) for key in facts.keys])
    whole = "\x1f".join((kind, orjson.dumps(fixed).decode(), *pieces, constraints.decode()))
    digest = sha256(whole.encode()).hexdigest()[:32]
    return Document(place.key(schema, table), schema, table, kind, fixed, pieces, constraints, digest)


def _fixed(place: Place, facts: Facts) -> dict[str, Any]:
    values = {
        "comment": facts.comment,
        "owner": facts.owner,
        "view_definition": facts.view_definition,
        "depends_on": [place.key(*each) for each in facts.depends_on],
        "row_security": facts.row_security,
        "indexes": [_index(each) for each in facts.indexes],
    }
    return {name: value for name, value in values.items() if value}


def _references(place: Place, facts: Facts) -> dict[str, str]:
    """By column: where a foreign key of that one column points, as the last member of its piece."""
    return {
        key.columns[0]: f',"references":{_quoted(f"{place.key(*key.target)}#{_encoded(key.target_columns[0])}")}'
        for key in facts.keys
        if key.kind == "foreign_key" and key.target and len(key.columns) == 1 and key.target_columns
    }


@lru_cache(maxsize=65_536)
def _quoted(text: str) -> str:
    """JSON text. Names and types of columns repeat a great deal."""
    return orjson.dumps(text).decode()


def _pieces(facts: Facts, references: Mapping[str, str]) -> list[str]:
    """Most columns have little to say, so what only some have is put together apart."""
    more = {at: _more(facts, at) for at in {*facts.indexed, *facts.defaults, *facts.comments}}
    columns = zip(facts.positions, facts.names, facts.types, facts.nullable, facts.generated, strict=True)
    return [
        f'{{"name":{_quoted(name)},"position":{at},"type":{_quoted(type_)}'
        f"{'' if nullable else _NOT_NULL}{_GENERATED if generated else ''}{more.get(at, '')}{references.get(name, '')}"
        for at, name, type_, nullable, generated in columns
    ]


def _more(facts: Facts, at: int) -> str:
    """What only some columns have."""
    more = ""
    if default := facts.defaults.get(at):
        more = f',"default":{_quoted(default)}'
    if comment := facts.comments.get(at):
        more += f',"comment":{_quoted(comment)}'
    if at in facts.primary_key:
        more += ',"primary_key":true'
    if at in facts.unique:
        more += ',"unique":true'
    if at in facts.indexed:
        more += ',"indexed":true'
    return more


def _constraint(place: Place, key: KeyFacts) -> dict[str, Any]:
    values = {
        "name": key.name,
        "kind": key.kind,
        "columns": key.columns,
        "target": place.key(*key.target) if key.target else "",
        "target_columns": key.target_columns,
        "expression": key.expression,
    }
    return {name: value for name, value in values.items() if value}


def _index(index: IndexFacts) -> dict[str, Any]:
    values = {
        "name": index.name,
        "columns": index.columns,
        "unique": index.unique,
        "method": index.method,
        "expression": index.expression,
        "predicate": index.predicate,
    }
    return {name: value for name, value in values.items() if value}


def outline(kind: str, facts: Facts) -> Outline:
    """For comparing later. Texts are kept as digests: only whether they changed is asked."""
    columns = zip(facts.positions, facts.names, facts.types, facts.nullable, strict=True)
    keys: list[tuple[Any, ...]] = [(key.name, key.kind, key.columns, key.target, key.target_columns, key.expression) for key in facts.keys]
    keys += [(one.name, "index", one.columns, one.unique, one.method, one.expression, one.predicate) for one in facts.indexes]
    return Outline(
        kind=kind,
        comment=_short(facts.comment),
        view=_short(facts.view_definition),
        keys=_short(orjson.dumps(sorted(keys, key=lambda key: key[:2])).decode() if keys else ""),
        columns=tuple((at, name, type_, null, _short(facts.comments.get(at, ""))) for at, name, type_, null in columns),
    )


@lru_cache(maxsize=8192)
def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12] if text else ""


def columns_json(pieces: Sequence[str], evidence: Mapping[int, bytes] = _NO_EVIDENCE) -> bytes:
    """The columns as a JSON array; `evidence` is the wire form by index."""
    parts = list(pieces)
    for at, counted in evidence.items():
        parts[at] += f',"evidence":{counted.decode()}'
    return f"[{'},'.join(parts)}}}]".encode() if parts else b"[]"
