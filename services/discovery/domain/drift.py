"""What changed between two looks at one table, as typed differences.

>>> before = Outline("table", "", "", "", ((1, "mail", "text", True, ""),))
>>> after = Outline("table", "", "", "", ((1, "email", "text", True, ""), (2, "age", "integer", False, "")))
>>> [(change.kind, change.column, change.before) for change in changes(before, after)]
[('column_renamed', 'email', 'mail'), ('column_added', 'age', '')]
"""

from __future__ import annotations

from collections.abc import Iterator

from services.discovery.domain.document import Outline
from shared.contracts.asset import SchemaChange

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
    ("float", "double"),
    ("varchar", "text"),
}

CREATED = (SchemaChange(kind="created"),)
RESCANNED = (SchemaChange(kind="rescanned"),)
EVIDENCE_CHANGED = (SchemaChange(kind="evidence_changed"),)


def changes(before: Outline, after: Outline) -> tuple[SchemaChange, ...]:
    """Every difference, columns by position first; empty where nothing differs."""
    return (*_columns(before, after), *_whole(before, after))


def _columns(before: Outline, after: Outline) -> Iterator[SchemaChange]:
    """A column is the same where its name is; a new one that stands where another went was renamed. Some engines renumber after a drop."""
    old, new = {column[1]: column for column in before.columns}, {column[1] for column in after.columns}
    left = {column[0]: column for column in before.columns if column[1] not in new}
    pairs = [(column[0], old.get(column[1]) or left.pop(column[0], None), column) for column in after.columns]
    for _, was, now in sorted([*pairs, *((at, column, None) for at, column in left.items())], key=lambda pair: pair[0]):
        if was and now:
            yield from _column(was, now)
        elif now:
            yield SchemaChange(kind="column_added", column=now[1], after=now[2])
        elif was:
            yield SchemaChange(kind="column_dropped", column=was[1], before=was[2], compatible=False)


def _column(old: tuple[int, str, str, bool, str], new: tuple[int, str, str, bool, str]) -> Iterator[SchemaChange]:
    _, name, type_, nullable, comment = new
    if old[1] != name:
        yield SchemaChange(kind="column_renamed", column=name, before=old[1], after=name, compatible=False)
    if old[2] != type_:
        yield SchemaChange(kind="type_changed", column=name, before=old[2], after=type_, compatible=_wider(old[2], type_))
    if old[3] != nullable:
        yield SchemaChange(kind="nullability_changed", column=name, before=_null(old[3]), after=_null(nullable), compatible=not nullable)
    if old[4] != comment:
        yield SchemaChange(kind="comment_changed", column=name)


def _whole(before: Outline, after: Outline) -> Iterator[SchemaChange]:
    if before.comment != after.comment:
        yield SchemaChange(kind="comment_changed")
    if before.keys != after.keys:
        yield SchemaChange(kind="key_changed")
    if before.view != after.view or before.kind != after.kind:
        yield SchemaChange(kind="view_changed", before=before.kind, after=after.kind, compatible=False)


def _wider(before: str, after: str) -> bool:
    return (before.partition("(")[0], after.partition("(")[0]) in _WIDER


def _null(nullable: bool) -> str:
    return "nullable" if nullable else "not null"
