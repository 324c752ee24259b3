"""Who of a table's readers and writers can go on after a change, as they were before it.

>>> of_type("character varying(40)", "character varying(80)"), of_type("bigint", "integer"), of_type("text", "date")
('full', 'readers', 'none')
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Grade = Literal["full", "readers", "writers", "none"]
_TYPE = re.compile(r"(?P<base>[^(]*)(?:\((?P<size>\d+)(?:,\s*(?P<scale>-?\d+))?\)(?P<rest>[^(]*))?", re.DOTALL)
_UNION = " | "  # between the types of a document's field

# A server widens these without touching data, so a reader of the old type can go on.
_WIDER = {
    ("smallint", "integer"),
    ("smallint", "bigint"),
    ("integer", "bigint"),
    ("real", "double precision"),
    ("character varying", "text"),
    ("int", "bigint"),
    ("smallint", "int"),
    ("tinyint", "smallint"),
    ("tinyint", "int"),
    ("tinyint", "bigint"),
    ("smallint", "mediumint"),
    ("mediumint", "int"),
    ("float", "double"),
    ("varchar", "text"),
}
_SIZED = frozenset({"character varying", "varchar", "varbinary", "bit varying", "timestamp", "datetime", "time", "interval"})
_WHOLE_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})  # what stands in brackets is only how they are shown
_DECIMALS = frozenset({"numeric", "decimal"})


def meet(grades: Iterable[str]) -> Grade:
    """What holds of several changes together.

    >>> meet(["full", "readers"]), meet(["readers", "writers"]), meet([])
    ('readers', 'none', 'full')
    """
    found = set(grades) - {"full"}
    for only in ("readers", "writers"):
        if found == {only}:
            return only
    return "none" if found else "full"


def of_type(before: str, after: str) -> Grade:
    """A wider type suits both; a narrower one suits who reads; of a field of documents, fewer types suit who reads, more who writes."""
    if _UNION in before or _UNION in after:
        old, new = set(before.split(_UNION)), set(after.split(_UNION))
        return "writers" if old < new else "readers" if new < old else "none"
    if _holds(after, before):
        return "full"
    return "readers" if _holds(before, after) else "none"


def of_null(*, nullable: bool) -> Grade:
    """Who reads may now meet a null, or who writes may no longer leave one."""
    return "writers" if nullable else "readers"


def of_addition(*, nullable: bool, filled: bool) -> Grade:
    """Who writes without naming the new column can go on where the server fills it."""
    return "full" if nullable or filled else "readers"


def _holds(wide: str, narrow: str) -> bool:
    """Whether each value of the narrow type is one of the wide type."""
    one, other = _TYPE.fullmatch(wide), _TYPE.fullmatch(narrow)
    if not one or not other:
        return False
    (base, *wider), (old, *before) = _parts(one), _parts(other)
    if base != old:
        return (old, base) in _WIDER and wider == [None, None]
    if base in _WHOLE_NUMBERS or wider == before:
        return True
    if base in _SIZED or base in _DECIMALS:
        return _sizes_hold(wider, before)
    return False


def _parts(found: re.Match[str]) -> tuple[str, int | None, int | None]:
    base = f"{found['base'].rstrip()}{found['rest'] or ''}"
    if base.partition(" ")[0] in _WHOLE_NUMBERS:
        return base, None, None
    return base.removesuffix(" without time zone"), _number(found["size"]), _number(found["scale"])


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _sizes_hold(wide: list[int | None], narrow: list[int | None]) -> bool:
    if wide[0] is None:
        return True
    if narrow[0] is None:
        return False
    scale, old = wide[1] or 0, narrow[1] or 0
    return scale >= old and wide[0] - scale >= narrow[0] - old
