"""What a scan was told of a source, written down so that a bug can be looked into elsewhere, without the data and, unless somebody asks
for them, without the names.

A recording is gzip over JSON lines: a head, the facts of each table, an end that says how it ended. No value was read for it. Names become
pseudonyms, the same one wherever a name stands; made with the same `key`, so do those of another recording, and both can be compared.
`python -m services.discovery.replay` says what discovery makes of one, or of the change from one to the next.
"""

from __future__ import annotations

import gzip
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import orjson
from pydantic import TypeAdapter

from shared.errors import Failed
from shared.sources.base import Index, Key, TableFacts

FORMAT = 1
MOST_BYTES = 64 << 20  # packed
HIDDEN = "?"
_FACTS = TypeAdapter(TableFacts)
_WORDS = re.compile(r"[^\W\d]\w*")
# Words that types are spelled with; any other one is somebody's own.
_TYPE_WORDS = (
    "any array bigint binary bindata bit blob bool boolean box bpchar bytea bytes char character cidr circle citext date date32 "
    "daterange datetime day decimal decimal128 double enum fixed float float4 float8 geography geometry halfvec hour hstore inet inet4 "
    "inet6 int int16 int2 int32 int4 int4range int64 int8 int8range integer interval javascript json jsonb jsonpath large line list "
    "long longblob longtext lseg ltree macaddr mediumblob mediumint mediumtext minute money month ms name ns null number numeric "
    "numrange object objectid oid partition path point polygon precision raster real regex s second serial set smallint string struct "
    "text time timestamp timestamptz timetz tinyblob tinyint tinytext to tsquery tsrange tstzrange tsvector tz uint16 uint32 uint64 "
    "uint8 unsigned us utc uuid varbinary varchar varying vector with without xml year zerofill zone "
)
_TYPES = frozenset(_TYPE_WORDS.split())


class Names:
    """Pseudonyms for names. Without a key, nobody else's recording has the same ones."""

    def __init__(self, key: str = "") -> None:
        self._key = blake2b(key.encode() if key else secrets.token_bytes(32), digest_size=32).digest()

    def __call__(self, name: str) -> str:
        """The pseudonym; of a path in a document, each step has its own.

        >>> names = Names("k")
        >>> names("to.city").split(".")[0] == names("to"), len(names("mail")), names("")
        (True, 13, '')
        """
        return "".join(part if part in ("", ".", "[]", "*") else self._one(part) for part in re.split(r"(\.|\[\]|\*)", name))

    def type(self, spelled: str) -> str:
        """Types that somebody made have names as well.

        >>> Names().type("character varying(255)[]")
        'character varying(255)[]'
        """
        return _WORDS.sub(lambda found: found[0] if found[0].lower() in _TYPES else self._one(found[0]), spelled)

    def _one(self, name: str) -> str:
        return f"n{blake2b(name.encode('utf-8', 'surrogatepass'), key=self._key, digest_size=6).hexdigest()}"


def hidden(facts: TableFacts, names: Names) -> TableFacts:
    """The same structure under other names; what is text of any kind becomes `?`."""
    mark, place = facts.mark, facts.sample_from
    return replace(
        facts,
        mark=replace(mark, schema=names(mark.schema), table=names(mark.table)),
        owner=names(facts.owner),
        comment=_text(facts.comment),
        names=[names(each) for each in facts.names],
        types=[names.type(each) for each in facts.types],
        defaults=dict.fromkeys(facts.defaults, HIDDEN),
        comments=dict.fromkeys(facts.comments, HIDDEN),
        keys=[_key(each, names) for each in facts.keys],
        indexes=[_index(each, names) for each in facts.indexes],
        view_definition=_text(facts.view_definition),
        depends_on=[(names(schema), names(table)) for schema, table in facts.depends_on],
        sample_from=place._replace(schema=names(place.schema), table=names(place.table), part=names(place.part)) if place else None,
        estimates={names(column): each for column, each in facts.estimates.items()},
    )


def _key(key: Key, names: Names) -> Key:
    return Key(
        names(key.name),
        key.kind,
        tuple(map(names, key.columns)),
        (names(key.target[0]), names(key.target[1])) if key.target else None,
        tuple(map(names, key.target_columns)),
        _text(key.expression),
    )


def _index(index: Index, names: Names) -> Index:
    return index._replace(
        name=names(index.name),
        columns=tuple(map(names, index.columns)),
        expression=_text(index.expression),
        predicate=_text(index.predicate),
    )


def _text(text: str) -> str:
    return HIDDEN if text else ""


class Writer:
    """Packs a recording as it grows. Raises Failed `too_large` where it gets out of hand."""

    def __init__(self, head: dict[str, Any], names: Names | None) -> None:
        """`names` None keeps them as they are."""
        self._names, self._parts, self._size = names, list[bytes](), 0
        self._add([orjson.dumps({"recording": FORMAT, "names": "hidden" if names else "kept"} | head)])

    def add(self, chunk: Sequence[TableFacts]) -> None:
        """The facts of some tables."""
        self._add([_FACTS.dump_json(hidden(each, self._names) if self._names else each) for each in chunk])

    def end(self, how: dict[str, Any]) -> bytes:
        """All of it. `how` it ended is its last line."""
        self._add([orjson.dumps({"end": how})])
        return b"".join(self._parts)

    def _add(self, lines: Sequence[bytes]) -> None:
        packed = gzip.compress(b"\n".join(lines) + b"\n", 5)  # members one after the other are one file
        self._size += len(packed)
        if self._size > MOST_BYTES:
            raise Failed("this source is too large for one recording", remedy="Record some of its schemas.", code="too_large")
        self._parts.append(packed)


def read(packed: bytes) -> tuple[dict[str, Any], list[TableFacts]]:
    """A recording's head, joined with its end, and the facts. Raises Failed `no_recording` for anything else."""
    try:
        head, *lines = gzip.decompress(packed).splitlines()
        told = orjson.loads(head)
        if told.get("recording") != FORMAT:
            raise ValueError
        *tables, end = lines
        return told | orjson.loads(end), [_FACTS.validate_json(each) for each in tables]
    except (OSError, EOFError, ValueError, AttributeError):
        raise Failed("this is no recording of a scan", remedy="`pursight scans record SOURCE` makes one.", code="no_recording") from None
