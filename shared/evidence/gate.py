"""A cheap first gate: which patterns can match a value at all, told by its shape, and remembered.

A shape maps each letter to `a` or `A` and each digit to `9`, byte by byte: most columns have a few shapes only. Where there are
many, coarser maps leave small letters out, then all letters and digits, then all but rare signs, so that names, addresses and
sentences are of few shapes too. Whatever the map, a value that fits a pattern has a shape that fits the pattern's image: the gate
never loses a match.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from shared.evidence.language import Facts, Mapping, facts

_MOST_SHAPES = 100
_FEW_SHAPES = 12
_MANY_NEW = 48
_LEARNT_AT_ONCE = 8
_REMEMBERED = 20_000

SHAPE_OF = bytes(
    ord("9") if chr(code).isdigit() else ord("a") if chr(code).islower() else ord("A") if chr(code).isupper() else code
    for code in range(128)
) + bytes(range(128, 256))
_BEYOND_ASCII = bytes(range(128, 256))
_SMALL = bytes(range(ord("a"), ord("z") + 1)) + _BEYOND_ASCII
_WORDS = bytes(code for code in range(128) if chr(code).isalnum()) + _BEYOND_ASCII
_COMMON = _WORDS + b" .,;'\"!?\t"

Numbers = tuple[int, ...]


class Level:
    """The images of all patterns under one map; remembers, for each image of a value, the patterns that it lets through."""

    def __init__(self, patterns: Sequence[str], dropped: bytes = b"") -> None:
        self.map = Mapping(SHAPE_OF, dropped)
        self.facts: list[Facts] = [facts(pattern.encode(), self.map) for pattern in patterns]
        self._forms: dict[int, re.Pattern[bytes]] = {}
        self._known: dict[bytes, Numbers] = {}
        self._spelt: dict[frozenset[int], Numbers] = {}

    def lets(self, shape: bytes) -> Numbers:
        """Numbers of the patterns that a value of this shape can match."""
        numbers = self._known.get(shape)
        return self._learn(shape) if numbers is None else numbers

    def new(self, shapes: Collection[bytes]) -> list[bytes]:
        """Those not met before."""
        known = self._known
        return [shape for shape in shapes if shape not in known]

    def _learn(self, shape: bytes) -> Numbers:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
            self._spelt.clear()
        numbers = tuple(number for number in self._of(frozenset(shape)) if self._fits(number, shape))
        self._known[shape] = numbers
        return numbers

    def _of(self, letters: frozenset[int]) -> Numbers:
        numbers = self._spelt.get(letters)
        if numbers is None:
            numbers = self._spelt[letters] = tuple(number for number, fact in enumerate(self.facts) if letters <= fact.alphabet)
        return numbers

    def _fits(self, number: int, shape: bytes) -> bool:
        fact = self.facts[number]
        if not fact.least <= len(shape) <= fact.most:
            return False
        form = self._forms.get(number)
        if form is None:
            form = self._forms[number] = re.compile(fact.expression)
        return form.fullmatch(shape) is not None


class Gate:
    """All levels over one set of patterns. Safe to use from several threads: what is remembered is never wrong, at most missing."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.exact = Level(patterns)
        self._patterns = patterns
        self._coarse: dict[bytes, Level] = {}
        self.closed = [fact.closed for fact in self.exact.facts]
        self._plans: dict[frozenset[bytes], dict[int, list[bytes]]] = {}

    def by_shape(self, shapes: Collection[bytes]) -> dict[int, list[bytes]] | None:
        """Every pattern that can match a value of one of `shapes`, with those shapes. For a `closed` pattern all such values do match.

        None where there are many, or many new ones, of which a few are learnt each time.
        """
        if len(shapes) > _MOST_SHAPES:
            return None
        if len(shapes) <= _FEW_SHAPES:
            return self._remembered(shapes)
        new = self.exact.new(shapes)
        for shape in new[:_LEARNT_AT_ONCE]:
            self.exact.lets(shape)
        return None if len(new) > _LEARNT_AT_ONCE else self._plan(shapes)

    def _remembered(self, shapes: Collection[bytes]) -> dict[int, list[bytes]]:
        key = frozenset(shapes)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _REMEMBERED:
                self._plans.clear()
            plan = self._plans[key] = self._plan(shapes)
        return plan

    def _level(self, dropped: bytes) -> Level:
        level = self._coarse.get(dropped)
        if level is None:
            level = self._coarse[dropped] = Level(self._patterns, dropped)
        return level

    def _plan(self, shapes: Collection[bytes]) -> dict[int, list[bytes]]:
        through: dict[int, list[bytes]] = {}
        for shape in shapes:
            for number in self.exact.lets(shape):
                through.setdefault(number, []).append(shape)
        return through

    def by_outline(self, buffer: bytes, shortest: int, longest: int) -> Numbers:
        """Every pattern that can match one of the lines, which have `shortest` to `longest` bytes.

        Where many outlines were not met before, a coarser map is taken, but a few are learnt; one only where nearly all are new, as
        of random keys, of which none will come again.
        """
        outlines, level = set[bytes](), self._level(_SMALL)
        for dropped in (_SMALL, _WORDS, _COMMON):
            level = self._level(dropped)
            outlines = set(level.map.of(buffer).split(b"\n"))
            new = level.new(outlines)
            for outline in new[: _LEARNT_AT_ONCE if len(new) <= _MANY_NEW else 1]:
                level.lets(outline)
            if len(new) <= _LEARNT_AT_ONCE:
                break
        numbers = set[int]().union(*map(level.lets, outlines))
        facts = self.exact.facts
        return tuple(sorted(number for number in numbers if facts[number].least <= longest and shortest <= facts[number].most))
