"""What has to change on a resource so that it carries our tags, and nothing of others is touched."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from services.tagger.domain.vocabulary import MANAGED_BY


@dataclass(frozen=True, slots=True)
class Diff:
    """The smallest change. `conflicts` are keys that others hold with another value, `left_out` those without room."""

    write: dict[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    kept: int = 0
    conflicts: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.write and not self.remove


def diff(current: Mapping[str, str], desired: Mapping[str, str], *, ours: Mapping[str, Collection[str]], most: int) -> Diff:
    """Compare what is there with what should be.

    `ours` are the keys that we wrote, or meant to write, before, with the values that we gave them: only these may be
    changed or removed. One whose value somebody changed is restored where we still want it, and left alone where not.
    `desired` is in order of importance; what exceeds `most` tags, those of others counted, is left out from its end.
    """
    mine = {key for key in ours if key in current} | (set() if ours else _adopted(current, desired))
    conflicts = tuple(key for key, value in desired.items() if key in current and key not in mine and current[key] != value)
    kept = sum(key not in mine for key in current)
    wanted = [key for key in desired if key not in conflicts and (key in mine or key not in current)]
    room = max(0, most - kept)
    fitting, left_out = wanted[:room], wanted[room:]
    write = {key: desired[key] for key in fitting if current.get(key) != desired[key]}
    remove = tuple(sorted(key for key in mine if key not in fitting and _may_remove(key, current, ours, left_out)))
    return Diff(write, remove, kept, conflicts, tuple(left_out))


def _may_remove(key: str, current: Mapping[str, str], ours: Mapping[str, Collection[str]], left_out: list[str]) -> bool:
    return key in left_out or current[key] in ours.get(key, ())


def _adopted(current: Mapping[str, str], desired: Mapping[str, str]) -> set[str]:
    """Keys that we take for ours although our memory of them is lost: the resource says that we manage it, for this tenant."""
    if current.get("ManagedBy") != MANAGED_BY or current.get("TenantId") != desired.get("TenantId"):
        return set()
    return {key for key in desired if key in current}
