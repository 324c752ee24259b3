"""The catalogue of a database that has none: collections are listed, their fields inferred from a few documents of each.

What a collection declares itself counts besides: its `$jsonSchema` and its indexes. A view is told by its definition, whose literals are
masked; its fields are not looked for, since that would run somebody's pipeline.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from bson import Binary, Code, Decimal128, Int64, ObjectId, Regex, Timestamp

from shared.contracts.source import Scope
from shared.errors import PurSightError
from shared.evidence.scrub import scrub
from shared.sources import mongo_sample
from shared.sources.base import Estimate, Index, Key, TableFacts, TableMark
from shared.sources.documents import EACH, MOST_DEPTH, Field, Outline, bounded, told
from shared.sources.mongo_facts import Grants
from shared.sources.mongo_line import Line

PAGE_BYTES = 8192
_CHUNK = 100
_DOCUMENTS = 128  # looked at for the fields of one collection
_SYSTEM = ("system.",)
_BSON = {
    Int64: "long",
    Decimal128: "decimal",
    ObjectId: "objectId",
    Binary: "binData",
    Regex: "regex",
    Timestamp: "timestamp",
    Code: "javascript",
}
_BSON_TYPES = frozenset(
    {"double", "string", "object", "array", "binData", "objectId", "bool", "date", "null", "regex", "javascript", "int", "timestamp"}
    | {"long", "decimal", "minKey", "maxKey", "number", "integer", "boolean"}
)
_TYPE_WORDS = frozenset({"bsonType", "type"})  # of a schema: their values name types
_LITERAL = frozenset({"$literal", "description", "title"})
_FIELD = re.compile(r"\$\$?[^\W\d][\w.]{0,200}")
_DEEP, _DEFINITION_CHARACTERS = 20, 20_000
_ID, _ID_INDEX = "_id", "_id_"


class MongoSnapshot:
    """One look at a database. Not of one instant: no server of this kind has one for its catalogue."""

    def __init__(self, line: Line, grants: Grants) -> None:
        self._line, self._grants = line, grants
        self._options: dict[tuple[str, str], dict[str, Any]] = {}
        self._facts: dict[tuple[str, str], TableFacts] = {}  # inferred to compare, and needed to describe
        self._known: dict[tuple[str, str], int] = {}

    async def marks(self, scope: Scope, *, compare: bool) -> list[TableMark]:
        """Every collection and view in scope. Comparing looks into each collection once in the life of a snapshot."""
        found: list[TableMark] = []
        for schema in scope.schemas:
            wanted = [] if schema in scope.exclude_schemas else sorted(await self._listed(schema), key=lambda one: str(one["name"]))
            wanted = [each for each in wanted if not scope.tables or f"{schema}.{each['name']}" in scope.tables]
            found += [await self._mark(schema, number, each) for number, each in enumerate(wanted, len(found))]
        if not compare:
            return found
        return [replace(mark, mark=await self._structure(mark)) for mark in found]

    async def describe(self, tables: Sequence[TableMark]) -> AsyncIterator[list[TableFacts]]:
        """The facts of these collections in chunks."""
        for at in range(0, len(tables), _CHUNK):
            yield [facts for mark in tables[at : at + _CHUNK] if (facts := await self._described(mark))]

    async def _described(self, mark: TableMark) -> TableFacts | None:
        place = (mark.schema, mark.table)
        facts = self._facts.pop(place, None) or await self._looked(mark)
        if facts is not None:
            facts.mark = mark
            self._known[place] = _digest(facts)
        return facts

    async def _listed(self, schema: str) -> list[dict[str, Any]]:
        """Collections with their options; by name alone where the user may not see more."""
        try:
            found = await self._line.rows(schema, {"listCollections": 1})
        except PurSightError as error:
            if error.code != "no_privilege":
                raise
            found = await self._line.rows(schema, {"listCollections": 1, "nameOnly": True, "authorizedCollections": True})
        mine = [each for each in found if not str(each["name"]).startswith(_SYSTEM)]
        self._options |= {(schema, str(each["name"])): dict(each.get("options") or {}) for each in mine}
        return mine

    async def _mark(self, schema: str, number: int, each: Mapping[str, Any]) -> TableMark:
        name = str(each["name"])
        if each.get("type") == "view":
            return TableMark(number, schema, name, "view", None, 0, 0, 0, False, 0)
        readable = self._grants.may("find", schema, name)
        size, rows = 0, None
        try:
            told_ = await self._line.run(schema, {"collStats": name})
            size, rows = int(told_.get("size") or 0), int(told_.get("count") or 0)
        except PurSightError as error:
            if error.code not in ("no_privilege", "gone"):
                raise
        return TableMark(number, schema, name, "collection", rows, -(-size // PAGE_BYTES), size, 0, readable, 0)

    async def _structure(self, mark: TableMark) -> int:
        place = (mark.schema, mark.table)
        if place not in self._known:
            facts = await self._looked(mark)
            if facts is None:
                return 0
            self._facts[place] = facts
            self._known[place] = _digest(facts)
        return self._known[place]

    async def _looked(self, mark: TableMark) -> TableFacts | None:
        """None where the collection went away meanwhile."""
        options = self._options.get((mark.schema, mark.table), {})
        if mark.kind == "view":
            return _view(mark, options)
        outline, indexes = Outline(_BSON), []
        if mark.readable:
            seed = int.from_bytes(sha256(mark.table.encode("utf-8", "replace")).digest()[:4], "big")
            try:
                for each in await mongo_sample.documents(
                    self._line, mark.schema, mark.table, most=_DOCUMENTS, seed=seed, bytes_=mark.bytes
                ):
                    outline.add(each)
                indexes = await self._line.rows(mark.schema, {"listIndexes": mark.table})
            except PurSightError as error:
                if error.code not in ("gone", "no_privilege"):
                    raise
                if error.code == "gone":
                    return None
        return _facts(mark, outline, options, indexes)


class _Declared(NamedTuple):
    """A field that a collection's schema declares."""

    field: Field
    comment: str


def _facts(mark: TableMark, outline: Outline, options: Mapping[str, Any], indexes: Sequence[Mapping[str, Any]]) -> TableFacts:
    declared = {each.field.path: each for each in _declared(_schema(options), "", always=True)}
    seen, comment = bounded(outline.fields())
    fields = _both(seen, declared)
    names = [each.path for each in fields]
    at = {name.replace(EACH, ""): place for place, name in enumerate(names, 1)}
    keys = list(_keys(indexes, at, names))
    comments = {place: declared[name].comment for place, name in enumerate(names, 1) if name in declared and declared[name].comment}
    return TableFacts(
        mark=mark,
        owner="",
        comment=comment,
        row_security=False,
        positions=range(1, len(fields) + 1),
        names=names,
        types=[each.type for each in fields],
        nullable=[not each.always for each in fields],
        generated=[False] * len(fields),
        sampled=[mark.readable] * len(fields),
        textual=[each.textual for each in fields],
        defaults={},
        comments=comments,
        primary_key=frozenset({names.index(_ID) + 1} if _ID in names else ()),
        unique=frozenset(names.index(key.columns[0]) + 1 for key in keys if len(key.columns) == 1),
        indexed=frozenset(at[path] for each in indexes for path in _paths(each) if path in at),
        keys=[*keys, *_check(options)],
        indexes=list(_indexes(indexes, {key.name for key in keys})),
        estimates={each.path: Estimate(each.null_share) for each in fields if each.null_share is not None},
    )


def _both(seen: Sequence[Field], declared: Mapping[str, _Declared]) -> list[Field]:
    """What was seen, with what is declared: it adds fields that no document of the sample has, and says which are always there."""
    found = [_as_declared(each, declared[each.path].field) if each.path in declared else each for each in seen]
    paths = [each.path for each in seen]
    return found + [each.field for path, each in declared.items() if not any(_is_or_below(one, path) for one in paths)]


def _as_declared(seen: Field, declared: Field) -> Field:
    return declared if seen.type == "null" else replace(seen, always=seen.always or declared.always)


def _is_or_below(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}{EACH}"))


def _schema(options: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (options.get("validator") or {}).get("$jsonSchema")
    return found if isinstance(found, Mapping) else {}


def _declared(schema: Mapping[str, Any], path: str, *, always: bool) -> Iterator[_Declared]:
    """The leaves of a JSON schema."""
    properties, items = schema.get("properties"), schema.get("items")
    if isinstance(properties, Mapping) and properties and path.count(".") < MOST_DEPTH:
        required = schema.get("required") or ()
        for name, inner in properties.items():
            if isinstance(inner, Mapping):
                yield from _declared(inner, f"{path}.{told(name)}" if path else told(name), always=always and name in required)
    elif isinstance(items, Mapping):
        yield from _declared(items, f"{path}{EACH}", always=False)
    elif path:
        types = schema.get("bsonType") or schema.get("type") or "any"
        known = sorted({str(each) for each in (types if isinstance(types, list) else [types])} - {"null"}) or ["null"]
        may_be_null = isinstance(types, list) and "null" in types
        field = Field(path, " | ".join(known), always and not may_be_null, known == ["string"])
        yield _Declared(field, scrub(str(schema.get("description") or schema.get("title") or "")))


def _keys(indexes: Sequence[Mapping[str, Any]], at: Mapping[str, int], names: Sequence[str]) -> Iterator[Key]:
    """The index of `_id`, which is the key, and unique ones."""
    for each in indexes:
        paths = list(each["key"])
        if (each["name"] == _ID_INDEX or each.get("unique")) and all(path in at for path in paths):
            kind: Literal["primary_key", "unique"] = "primary_key" if each["name"] == _ID_INDEX else "unique"
            yield Key(scrub(str(each["name"])), kind, tuple(names[at[path] - 1] for path in paths), None, (), "")


def _indexes(found: Sequence[Mapping[str, Any]], keys: Container[str]) -> Iterator[Index]:
    """Those that are no keys. A path that no document of the sample has stands as it may be told."""
    for each in found:
        if (name := scrub(str(each["name"]))) in keys:
            continue
        columns = tuple(".".join(map(told, str(path).split("."))) for path in _paths(each))
        method = next((way for way in each["key"].values() if isinstance(way, str)), "")
        partial = each.get("partialFilterExpression")
        yield Index(name, columns, bool(each.get("unique")), method, "", _json(partial, query=True) if partial else "")


def _paths(index: Mapping[str, Any]) -> list[str]:
    """The fields of an index. One of texts names its own behind two of the server's."""
    return [path for path in index["key"] if path not in ("_fts", "_ftsx")] + sorted(index.get("weights", ()))


def _check(options: Mapping[str, Any]) -> Iterator[Key]:
    if validator := options.get("validator"):
        yield Key("validator", "check", (), None, (), _json(validator, query=True))


def _view(mark: TableMark, options: Mapping[str, Any]) -> TableFacts:
    below = str(options.get("viewOn") or "")
    return TableFacts(
        mark=mark,
        owner="",
        comment="",
        row_security=False,
        positions=(),
        names=(),
        types=(),
        nullable=(),
        generated=(),
        sampled=(),
        textual=(),
        defaults={},
        comments={},
        primary_key=frozenset(),
        unique=frozenset(),
        indexed=frozenset(),
        keys=(),
        view_definition=_json(options.get("pipeline") or [], query=False) if below else "",
        depends_on=((mark.schema, below),) if below else (),
    )


def _json(value: Any, *, query: bool) -> str:
    """A pipeline or validator with `?` for each literal, as far as it is worth telling."""
    return json.dumps(_masked(value, 0, query=query), ensure_ascii=False)[:_DEFINITION_CHARACTERS]


def _masked(value: Any, depth: int, *, query: bool, types: bool = False) -> Any:
    """Operators, names of fields and of types stay; whatever is compared with or put in becomes `?`. In a `query` no text names a field,
    with a `$` or without."""
    if depth > _DEEP:
        return "?"
    if isinstance(value, Mapping):
        return {told(key): _member(key, inner, depth + 1, query) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(each, depth + 1, query=query, types=types) for each in value]
    if isinstance(value, str) and types:
        return value if value in _BSON_TYPES else "?"
    return scrub(value) if isinstance(value, str) and not query and _FIELD.fullmatch(value) else "?"


def _member(key: str, value: Any, depth: int, query: bool) -> Any:
    if key in _LITERAL:
        return "?"
    if key == "required":
        return _named(value)
    return _masked(value, depth, query=key == "$match" or (query and key != "$expr"), types=key in _TYPE_WORDS)


def _named(value: Any) -> Any:
    return [told(each) for each in value] if isinstance(value, list | tuple) else "?"


def _digest(facts: TableFacts) -> int:
    """64 bits of the structure. Whether a field may be missing is no part of it: one more document may tell."""
    place = (facts.mark.schema, facts.mark.table, facts.mark.kind)
    told_ = (
        list(facts.names),
        list(facts.types),
        sorted(facts.comments.items()),
        list(facts.keys),
        list(facts.indexes),
        facts.view_definition,
        facts.depends_on,
    )
    return int.from_bytes(sha256(repr((place, told_)).encode("utf-8", "replace")).digest()[:8], "big") >> 1
