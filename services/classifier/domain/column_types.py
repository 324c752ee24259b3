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
