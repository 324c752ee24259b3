"""What a scan has to look at: new and changed tables, those whose data moved, and those that went away."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, Protocol, get_args

Consent = Literal["none", "statistics", "sample"]
_CONSENTS: tuple[str, ...] = get_args(Consent)  # from the narrowest to the widest
NO_STATISTICS = "no_statistics"
FEW_PARTITIONS = 32  # planning a read over more of them costs more than the read
_SAMPLED_KINDS = frozenset({"table", "partitioned_table", "materialized_view", "collection", "prefix"})
_DRIFT = 0.2  # a table's size moved by more than this, or so many of its rows were written: its sample is taken again
_DRIFT_FLOOR_PAGES = 8
_HALF_LIFE_DAYS = 7.0
_HOT = 0.5  # a change within the last week
_MASS_REMOVAL_TABLES = 10
_MASS_REMOVAL_SHARE = 0.5


class Mark(Protocol):
    """One table at a glance, as a driver tells it."""

    @property
    def schema(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def rows(self) -> int | None: ...
    @property
    def pages(self) -> int: ...
    @property
    def written(self) -> int: ...
    @property
    def readable(self) -> bool: ...
    @property
    def mark(self) -> int: ...
    @property
    def unread(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Known:
    """What the last scan left about one asset. `looked`: how far into its values, by its owner's consent of then; `left_out`: what kept it
    from that.

    `missed_by`: the complete scan that first did not see it. `warmth`: how often it changed, `days` ago.
    """

    key: str
    mark: int
    pages: int
    scan_id: str
    looked: str
    left_out: str = ""
    missed_by: str = ""
    warmth: float = 0.0
    days: float = 0.0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Removals:
    """Of the assets that a complete scan did not see: those to be said gone `now`, and those `kept` until that is confirmed."""

    now: list[str]
    kept: list[str]


@dataclass(frozen=True, slots=True)
class Work:
    """The scan's work as indexes into the marks: `look` at these, of them count the values of those in `count`, as far as is agreed.
    `gone` are keys of assets not seen.

    `unread` are known ones whose structure could not be read: what was said of them stands. The first `hot` of `look` have changed or are
    likely to have; they come before the others.
    """

    look: list[int] = field(default_factory=list)
    count: set[int] = field(default_factory=set)
    unchanged: int = 0
    done: int = 0
    gone: list[str] = field(default_factory=list)
    hot: int = 0
    unread: list[int] = field(default_factory=list)


def consent_of(sampling: str) -> Consent:
    """What a source's spec agrees to; a word that is not known agrees to nothing."""
    return next((each for each in get_args(Consent) if each == sampling), "none")


def plan(
    marks: Sequence[Mark],
    known: Mapping[tuple[str, str], Known],
    *,
    scan_id: str,
    mode: Literal["incremental", "full"],
    consent: Consent,
    hidden: Callable[[str, str], bool] = lambda schema, table: False,
) -> Work:
    """Decide. What this very scan did before a crash is not done again, and what may be `hidden` (schema, table) is not gone."""
    look, count, heat, unread = list[int](), set[int](), dict[int, float](), list[int]()
    unchanged = done = 0
    for at, mark in enumerate(marks):
        before = known.get((mark.schema, mark.table))
        if before and before.scan_id == scan_id:
            done += 1
            continue
        if before and mark.unread:
            unread.append(at)
            continue
        if mode == "full" or before is None or before.mark != mark.mark or _count_again(mark, before, consent):
            look.append(at)
            heat[at] = _heat(mark, before)
            if consent != "none" and may_sample(mark):
                count.add(at)
        else:
            unchanged += 1
    look.sort(key=lambda at: -heat[at])
    gone = sorted(known[name].key for name in known.keys() - {(mark.schema, mark.table) for mark in marks} if not hidden(*name))
    return Work(look, count, unchanged, done, gone, sum(heat[at] >= _HOT for at in look), unread)


def _heat(mark: Mark, before: Known | None) -> float:
    """What is known to have changed comes first, then what changed most and latest."""
    return float("inf") if before is None or before.mark != mark.mark else cooled(before.warmth, before.days)


def cooled(warmth: float, days: float) -> float:
    """A count of changes of which each weighs half as much every week."""
    return warmth * math.pow(0.5, days / _HALF_LIFE_DAYS)


def may_sample(mark: Mark) -> bool:
    """Views would run someone's query and foreign tables someone else's server; neither is asked."""
    return mark.readable and mark.kind in _SAMPLED_KINDS


def why_not_sampled(mark: Mark) -> str:
    """For the manifest; empty where it may be sampled."""
    if mark.kind not in _SAMPLED_KINDS:
        return f"not_sampled_{mark.kind}"
    return "" if mark.readable else "no_privilege"


def _count_again(mark: Mark, before: Known, consent: Consent) -> bool:
    """What was counted under a consent that is no longer given is taken back, even where nothing can be counted anew."""
    if _CONSENTS.index(before.looked) > _CONSENTS.index(consent):
        return True
    if consent == "none" or not may_sample(mark):
        return False
    if before.looked != consent or before.left_out not in ("", NO_STATISTICS):
        return True
    return _moved(mark, before, counted_by_us=consent == "sample")


def _moved(mark: Mark, before: Known, *, counted_by_us: bool) -> bool:
    """By the rows that were written, where the server tells; else by the size, which its own tidying up changes, too. What it has counted
    itself it may have counted anew without a write."""
    if (before.pages == 0) != (mark.pages == 0):
        return True
    writes = abs(mark.written - before.written) if mark.written else 0
    if writes > _DRIFT * (mark.rows or 0):
        return True
    if counted_by_us and mark.written and not writes:
        return False
    return abs(mark.pages - before.pages) > max(_DRIFT_FLOOR_PAGES, _DRIFT * before.pages)


def removals(gone: Sequence[str], known: Mapping[tuple[str, str], Known], *, scan_id: str, asked_by_person: bool) -> Removals:
    """Where so much went away that a privilege was rather lost, a second complete scan, or one that a person asked for, confirms it.

    That is judged for the whole source and for each schema.
    """
    if asked_by_person:
        return Removals(list(gone), [])
    of, missing = {asset.key: (schema, asset.missed_by) for (schema, _), asset in known.items()}, Counter[str]()
    there = Counter(schema for schema, _ in known)
    missing.update(of[key][0] for key in gone)
    everywhere = _is_mass(len(gone), len(known))
    doubted = {schema for schema, count in missing.items() if everywhere or _is_mass(count, there[schema])}
    kept = {key for key in gone if of[key][0] in doubted and of[key][1] in ("", scan_id)}
    return Removals([key for key in gone if key not in kept], [key for key in gone if key in kept])


def _is_mass(gone: int, known: int) -> bool:
    return known > _MASS_REMOVAL_TABLES and gone > known * _MASS_REMOVAL_SHARE


def seed(key: str) -> int:
    """A table's own seed, the same on every machine: 31 bits of its name's digest."""
    return int.from_bytes(sha256(key.encode()).digest()[:4], "big") >> 1


def digest(facts: Sequence[tuple[str, str]]) -> str:
    """sha256 over the sorted keys and fingerprints of all assets seen."""
    return sha256("\n".join(f"{key} {fingerprint}" for key, fingerprint in sorted(facts)).encode()).hexdigest()
