"""Server type names put down to a handful of families, so that a rule need not know a dialect."""

from __future__ import annotations

import re
from functools import lru_cache

OTHER = "other"
_FAMILIES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (family, re.compile(pattern))
    for family, pattern in (
        ("boolean", r"^(bool|boolean|bit\(1\)|tinyint\(1\))"),
        ("uuid", r"^(uuid|uniqueidentifier)"),
        ("inet", r"^(inet|cidr)"),
        ("macaddr", r"^macaddr"),
        ("json", r"^(json|hstore|xml|document|object|struct|map)"),
        ("binary", r"^(bytea|blob|tinyblob|mediumblob|longblob|binary|varbinary|image|bindata|bit)"),
        ("geo", r"^(geography|geometry|point|st_point)"),
        ("interval", r"^(interval|time\b|time without|time with|timetz|year|tsvector|tsquery|oid|regclass|xid|.*range)"),
        ("date", r"^(date|timestamp|datetime|smalldatetime|isodate)"),
        ("integer", r"^(int|integer|bigint|smallint|tinyint|mediumint|serial|bigserial|smallserial|long$|int2|int4|int8)"),
        ("number", r"^(numeric|decimal|real|double|float|money|number|dec)"),
        (
            "text",
            r"^(text|char|character|varchar|nvarchar|nchar|bpchar|citext|name$|clob|tinytext|mediumtext|longtext|string|enum|set\(|array)",
        ),
    )
)


@lru_cache(maxsize=4096)
def family_of(server_type: str) -> str:
    """The family of a type as the server spells it; an array belongs to the family of its elements, an unknown one to `other`.

    >>> family_of("character varying(255)[]"), family_of("timestamp with time zone"), family_of("public.mood")
    ('text', 'date', 'other')
    """
    spelled = server_type.lower().strip()
    return next((family for family, pattern in _FAMILIES if pattern.match(spelled)), OTHER)


_ROOM = re.compile(r"^(?:n?(?:var)?char\w*|character(?: varying)?|bpchar)\s*\((\d+)")


@lru_cache(maxsize=4096)
def room_of(server_type: str) -> int | None:
    """How many characters a type of text declares that it holds; None where it declares nothing.

    >>> room_of("char(3)"), room_of("character varying(255)[]"), room_of("NVARCHAR2(40 CHAR)"), room_of("text"), room_of("numeric(3)")
    (3, 255, 40, None, None)
    """
    declared = _ROOM.match(server_type.lower().strip())
    return int(declared[1]) if declared else None
