"""Somebody changed a tag of ours: put it back, or leave it and say so? And is there a second writer who will not stop?

A key that was put back twice and each time came to the same other value has two writers. A third time would be a quarrel without
end (Terraform and we, each undoing the other), so it is left alone and told, until the other value is gone or a person asks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

DriftPolicy = Literal["restore", "raise"]
RESTORED = 2  # times before we stop


class Other(NamedTuple):
    """What somebody else set one of our keys to, None for taken away, and how often we found it so."""

    value: str | None
    times: int


def to_let_be(
    current: Mapping[str, str],
    ours: Mapping[str, Collection[str]],
    seen: Mapping[str, Other],
    *,
    policy: DriftPolicy,
) -> frozenset[str]:
    """Keys of ours that are not to be put back where they drifted.

    >>> to_let_be({"a": "x"}, {"a": ["1"]}, {"a": Other("x", 2)}, policy="restore")
    frozenset({'a'})
    """
    if policy == "raise":
        return frozenset(ours)
    return frozenset(contested(current, seen))


def contested(current: Mapping[str, str], seen: Mapping[str, Other]) -> list[str]:
    """Keys that have a second writer, who has been there again."""
    return sorted(key for key, other in seen.items() if other.times >= RESTORED and current.get(key) == other.value)


def remembered(current: Mapping[str, str], drifted: Collection[str], seen: Mapping[str, Other], ours: Collection[str]) -> dict[str, Other]:
    """What is to be known the next time. What is as we left it now may still be changed again, so it stays.

    >>> remembered({"a": "x"}, ["a"], {"a": Other("x", 1)}, ["a"])
    {'a': Other(value='x', times=2)}
    """
    kept = {key: other for key, other in seen.items() if key in ours}
    for key in drifted:
        before = kept.get(key)
        value = current.get(key)
        again = before is not None and before.value == value
        kept[key] = Other(value, min(before.times + 1, RESTORED) if before and again else 1)
    return kept
