"""Values in, forms out: what a preview may show of a column.

>>> masked(["ann@example.org", "bob@example.net", "eve@example.com", "joe@example.com", "kim@example.com", "n/a"], 6)[4:]
['aaa@aaaaaaa.aaa', '***']
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

HIDDEN = "***"
SHARED_BY = 5  # different values; a form that fewer share could be read back
_LONGEST = 40


def masked(values: Sequence[str], most: int) -> list[str]:
    """The first `most` values, each as its form, where at least five different values of the sample share that; else hidden."""
    shared: dict[str, set[str]] = {}
    for value in values:
        different = shared.setdefault(form(value), set())
        if len(different) < SHARED_BY:
            different.add(value)
    return [shape if len(shared[shape]) == SHARED_BY else HIDDEN for shape in map(form, values[:most])]


def form(value: str) -> str:
    """Letters of every script `a` or `A`, digits `9`, other ASCII kept, the rest dropped; cut."""
    return "".join(map(_shape_of, value[:_LONGEST]))


def _shape_of(char: str) -> str:
    category = unicodedata.category(char)
    if category[0] == "L":
        return "A" if category in ("Lu", "Lt") else "a"
    return "9" if category[0] == "N" else char if " " <= char <= "~" else ""
