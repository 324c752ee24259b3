"""What changed between two looks at one table, as typed differences.

>>> before = Outline("table", "", "", "", ((1, "mail", "text", True, ""),))
>>> after = Outline("table", "", "", "", ((1, "email", "text", True, ""), (2, "age", "integer", False, "")))
>>> [(change.kind, change.column, change.compatibility) for change in changes(before, after, numbered=True)]
[('column_renamed', 'email', 'none'), ('column_added', 'age', 'readers')]
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from typing import Literal

from services.discovery.domain import grade
from services.discovery.domain.document import Facts, Outline, OutlineColumn
from shared.contracts.asset import SchemaChange

CREATED = (SchemaChange(kind="created"),)
RESTORED = (SchemaChange(kind="restored"),)
RESCANNED = (SchemaChange(kind="rescanned"),)
EVIDENCE_CHANGED = (SchemaChange(kind="evidence_changed"),)
STATISTICS_CHANGED = (SchemaChange(kind="statistics_changed"),)


def changes(before: Outline, after: Outline, *, numbered: bool, filled: frozenset[int] = frozenset()) -> tuple[SchemaChange, ...]:
    """Every difference, columns by position first; empty where nothing differs.

    `numbered`: the server never gives one column's position to another, which proves a rename; elsewhere a rename is a drop and an
    addition. `filled`: positions of the columns that the server fills by itself.
    """
    return (*_columns(before, after, numbered, filled), *_whole(before, after))


def between(before: Outline, after: Outline, facts: Facts) -> tuple[SchemaChange, ...]:
    """The same, with what these facts of `after` tell: whether columns are numbered, and which ones the server fills."""
    filled = frozenset({*facts.defaults, *compress(facts.positions, facts.generated)})
    return changes(before, after, numbered=facts.numbered, filled=filled)


def _columns(before: Outline, after: Outline, numbered: bool, filled: frozenset[int]) -> Iterator[SchemaChange]:
    """A column is the same where its name is, or, of those whose names came and went, where its number is."""
    old, new = {column[1]: column for column in before.columns}, {column[1] for column in after.columns}
    left = {column[0]: column for column in before.columns if column[1] not in new}
    pairs: list[tuple[int, OutlineColumn | None, OutlineColumn | None]] = []
    for column in after.columns:
        was = old.get(column[1]) or (left.pop(column[0], None) if numbered else None)
        pairs.append((column[0], was, column))
    for _, was, now in sorted([*pairs, *((at, column, None) for at, column in left.items())], key=lambda pair: pair[0]):
        if was and now:
            yield from _column(was, now)
        elif now:
            compatibility = grade.of_addition(nullable=now[3], filled=now[0] in filled)
            yield SchemaChange(kind="column_added", column=now[1], after=now[2], compatibility=compatibility)
        elif was:
            yield SchemaChange(kind="column_dropped", column=was[1], before=was[2], compatible=False, compatibility="none")


def _column(old: OutlineColumn, new: OutlineColumn) -> Iterator[SchemaChange]:
    _, name, type_, nullable, comment = new
    if old[1] != name:
        yield SchemaChange(kind="column_renamed", column=name, before=old[1], after=name, compatible=False, compatibility="none")
    if old[2] != type_:
        yield _graded("type_changed", name, old[2], type_, grade.of_type(old[2], type_))
    if old[3] != nullable:
        yield _graded("nullability_changed", name, _null(old[3]), _null(nullable), grade.of_null(nullable=nullable))
    if old[4] != comment:
        yield SchemaChange(kind="comment_changed", column=name)


def _graded(
    kind: Literal["type_changed", "nullability_changed"], column: str, before: str, after: str, graded: grade.Grade
) -> SchemaChange:
    compatible = graded in ("full", "readers")
    return SchemaChange(kind=kind, column=column, before=before, after=after, compatible=compatible, compatibility=graded)


def _whole(before: Outline, after: Outline) -> Iterator[SchemaChange]:
    if before.comment != after.comment:
        yield SchemaChange(kind="comment_changed")
    if before.keys != after.keys:
        yield SchemaChange(kind="key_changed")
    if before.view != after.view or before.kind != after.kind:
        yield SchemaChange(kind="view_changed", before=before.kind, after=after.kind, compatible=False, compatibility="none")


def _null(nullable: bool) -> str:
    return "nullable" if nullable else "not null"
