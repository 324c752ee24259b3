"""Which part of a source a scan looks at: what was asked for, within what the source allows."""

from __future__ import annotations

from shared.contracts.source import Scope

NOTHING = Scope(schemas=("\x01",))  # no schema has this name, so it matches none


def covers_all(asked: Scope) -> bool:
    """Only a look at everything that the source allows can tell what went away."""
    return not (asked.schemas or asked.exclude_schemas or asked.tables)


def effective(allowed: Scope, asked: Scope) -> Scope:
    """The part of `allowed` that was asked for.

    >>> effective(Scope(schemas=("a", "b")), Scope(schemas=("b", "c"))).schemas
    ('b',)
    """
    schemas, tables = _both(allowed.schemas, asked.schemas), _both(allowed.tables, asked.tables)
    if schemas is None or tables is None:
        return NOTHING
    return Scope(schemas=schemas, exclude_schemas=tuple(sorted({*allowed.exclude_schemas, *asked.exclude_schemas})), tables=tables)


def _both(allowed: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...] | None:
    if not allowed or not asked:
        return allowed or asked
    return tuple(name for name in asked if name in allowed) or None


def contains(scope: Scope, schema: str, table: str) -> bool:
    """Whether a table of this name would be looked at."""
    return (
        (not scope.schemas or schema in scope.schemas)
        and schema not in scope.exclude_schemas
        and (not scope.tables or f"{schema}.{table}" in scope.tables)
    )
