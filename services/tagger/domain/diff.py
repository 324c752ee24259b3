"""What has to change on a resource so that it carries our tags, and nothing of others is touched."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from services.tagger.domain.vocabulary import MANAGED_BY


@dataclass(frozen=True, slots=True)
class Diff:
    """The smallest change. `conflicts` are keys that others hold with another value, `left_out` those without room.

    `drifted` are keys of ours that somebody changed or took away since; of them `let_be` are not written.
    """

    write: dict[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    kept: int = 0
    conflicts: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    let_be: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.write and not self.remove


def diff(
    current: Mapping[str, str],
    desired: Mapping[str, str],
    *,
    ours: Mapping[str, Collection[str]],
    most: int,
    marks: Mapping[str, str] | None = None,
    under: str = "",
    let_be: Collection[str] = (),
) -> Diff:
    """Compare what is there with what should be.

    `ours` are the keys that we wrote, or meant to write, before, with the values that we gave them: only these may be
    changed or removed. One whose value somebody changed is restored where we still want it and it is not of `let_be`, and left
    alone where not. Where our memory is lost, a resource that carries all `marks` is taken for ours: our keys, and with `under` every
    key that begins so. `desired` is in order of importance; what exceeds `most` tags, those of others counted, is left out from its end.
    """
    adopted = _adopted(current, desired, _marks(desired) if marks is None else marks, under, known=bool(ours))
    mine = {key for key in ours if key in current} | adopted
    drifted = _drifted(current, desired, ours)
    alone = tuple(key for key in drifted if key in let_be)
    conflicts = tuple(key for key, value in desired.items() if key in current and key not in mine and current[key] != value)
    kept = sum(key not in mine for key in current)
    wanted = [key for key in desired if key not in conflicts and key not in alone and (key in mine or key not in current)]
    room = max(0, most - kept - sum(key in current for key in alone))
    fitting, left_out = wanted[:room], wanted[room:]
    write = {key: desired[key] for key in fitting if current.get(key) != desired[key]}
    going = (key for key in mine if key not in fitting and key not in alone)
    remove = tuple(sorted(key for key in going if key in left_out or key in adopted or current[key] in ours.get(key, ())))
    return Diff(write, remove, kept, conflicts, tuple(left_out), drifted, alone)


def _drifted(current: Mapping[str, str], desired: Mapping[str, str], ours: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Keys that we gave a value, still want, and find otherwise than we left them."""
    return tuple(key for key, value in desired.items() if key in ours and current.get(key) != value and current.get(key) not in ours[key])


def _marks(desired: Mapping[str, str]) -> dict[str, str]:
    tenant = {"TenantId": desired["TenantId"]} if "TenantId" in desired else {}
    return {"ManagedBy": MANAGED_BY, **tenant}


def _adopted(current: Mapping[str, str], desired: Mapping[str, str], marks: Mapping[str, str], under: str, *, known: bool) -> set[str]:
    """Keys that we take for ours: the resource says that we manage it, for this tenant."""
    if not marks or any(current.get(key) != value for key, value in marks.items()):
        return set()
    own = {key for key in current if key.startswith(under)} if under else set()
    return own if known else own | {key for key in desired if key in current}
