"""What a list is narrowed to: nothing, one source (`tenant/name`), or all sources of one tenant (`tenant/`)."""

from __future__ import annotations


def in_scope(column: str, parameter: str) -> str:
    """SQL: whether a source's key lies in the scope; null and the empty text narrow nothing.

    >>> in_scope("source", "$1").count("$1")
    4
    """
    one, some = f"{column} = {parameter}", f"right({parameter}, 1) = '/' and starts_with({column}, {parameter})"
    return f"(coalesce({parameter}::text, '') = '' or {one} or ({some}))"
