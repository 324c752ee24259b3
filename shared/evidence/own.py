"""Patterns that people wrote for values of their own kind: the same automaton as ours, so linear in time whatever they wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from shared.contracts.asset import Match
from shared.evidence.automaton import Automaton
from shared.evidence.lines import Lines

MOST, LONGEST, MOST_REPEATED = 50, 200, 1_000
_ANCHOR = re.compile(r"(?<![\\\[])[\^$]")
_COUNT = re.compile(r"\{(?:\d*,)?(\d+)\}")


@dataclass(frozen=True, slots=True)
class Patterns:
    """Names and patterns, ready to be looked for."""

    told: tuple[tuple[str, str], ...]
    automaton: Automaton

    def matches(self, lines: Lines) -> list[list[Match]]:
        """For each column, which patterns fit how many of its values."""
        found: list[list[Match]] = [[] for _ in lines.columns]
        accepted = self.automaton.match(lines.buffer, lines.starts, lines.lengths)
        kinds = int(accepted.max()) + 1
        together = np.bincount(lines.owner * kinds + accepted, weights=lines.weights).astype(np.int64)
        counts: dict[tuple[int, int], int] = {}
        for place in np.flatnonzero(together).tolist():
            column, kind = divmod(place, kinds)
            for number in self.automaton.accept_sets[kind]:
                counts[column, number] = counts.get((column, number), 0) + int(together[place])
        for (column, number), count in sorted(counts.items()):
            found[column].append(Match(detector=self.told[number][0], matched=count))
        return found


_in_use: Patterns | None = None


def patterns_of(told: Mapping[str, str]) -> Patterns | None:
    """These patterns (name to pattern); None where there is none. Raises ValueError, with the name, for one that cannot be taken."""
    if len(told) > MOST:
        raise ValueError(f"there are {len(told)} patterns, at most {MOST} are looked for")
    for name, pattern in told.items():
        _check(name, pattern)
    return Patterns(tuple(told.items()), Automaton(list(told.values()))) if told else None


def _check(name: str, pattern: str) -> None:
    if len(pattern) > LONGEST or prod(map(int, _COUNT.findall(pattern))) > MOST_REPEATED:
        raise ValueError(f"pattern {name}: it is longer than {LONGEST} characters, or its counts come to more than {MOST_REPEATED}")
    if _ANCHOR.search(pattern):
        raise ValueError(f"pattern {name}: it is matched against whole values, so leave ^ and $ out")
    try:
        re.compile(pattern)
        Automaton([pattern])
    except (ValueError, re.error, IndexError, RecursionError) as error:
        raise ValueError(f"pattern {name}: {error}") from error


def use(told: Mapping[str, str]) -> None:
    """From now on this process looks for these, too. Raises ValueError as `patterns_of`; then what was in use stays."""
    global _in_use
    if tuple(told.items()) != (_in_use.told if _in_use else ()):
        _in_use = patterns_of(told)


def matches(lines: Lines) -> Sequence[Sequence[Match]]:
    """What the patterns in use say of each column."""
    return _in_use.matches(lines) if _in_use else ()
