"""Values in, counts out: the evidence of one column. No value leaves through the result.

>>> evidence = count_column(["ann@example.org", "bob@example.net", "n/a"], nulls=1)
>>> [(match.detector, match.matched) for match in evidence.matches if match.detector == "email"]
[('email', 2)]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.contracts.asset import ColumnEvidence, Match
from shared.evidence import profile
from shared.evidence.detector import Detector, Found
from shared.evidence.detectors import DETECTORS
from shared.evidence.engine import Engine, within
from shared.evidence.lines import Lines, lengths_of, lines_of

_LONGEST = 400
_TEXT_WORDS = 3

Weights = NDArray[np.int64]


@dataclass(slots=True)
class Tally:
    """What one detector counted; the meaning is `Match`'s."""

    matched: int = 0
    checked: int = 0
    valid: int = 0

    def add(self, detector: Detector, size: int, found: Found | None, weights: Weights | None) -> None:
        """Count `size` values; those `found`, each as often as its weight says, meet the validator."""
        self.matched += size
        if detector.validator is None or found is None:
            return
        if 0 < detector.most < len(found):
            step = -(-len(found) // detector.most)
            found, weights = Found(found.items[::step]), None if weights is None else weights[::step]
        mask = detector.validator(found)
        self.checked += len(found) if weights is None else int(weights.sum())
        self.valid += int(np.count_nonzero(mask)) if weights is None else int(weights[mask].sum())

    def add_text(self, detector: Detector, found: Found, weight: int) -> None:
        """Count one value that holds `found`, `weight` times."""
        self.matched += weight
        if detector.validator is not None:
            self.checked += weight
            self.valid += weight if detector.validator(found).any() else 0


class Detection:
    """Detectors of whole values over one engine; several detectors may share a pattern, which is then looked for once."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        patterns = sorted({pattern for detector in detectors for pattern in detector.patterns})
        self.engine = Engine(patterns)
        self.readers = [tuple(detector for detector in detectors if pattern in detector.patterns) for pattern in patterns]
        self.validates = [any(detector.validator for detector in readers) for readers in self.readers]

    def occurring(self, lines: Lines) -> Iterator[tuple[int, int, list[bytes] | None]]:
        """Number of each pattern that occurs, how many values fit, and which; None: not looked up, since nobody asks."""
        engine, gate = self.engine, self.engine.gate
        plan = gate.by_shape(lines.shape_counts)
        for number, shapes in plan.items() if plan is not None else self._all_shapes(lines):
            sure = shapes is not None and gate.closed[number]
            if sure and shapes and not self.validates[number]:
                yield number, sum(map(lines.totals.__getitem__, shapes)), None
                continue
            values = lines.values if shapes is None else lines.having(shapes)
            items = values if sure else engine.fitting(number, values, lines.starts)
            if items:
                yield number, len(items) if lines.weights is None else sum(map(lines.weight_of.__getitem__, items)), items

    def _all_shapes(self, lines: Lines) -> Iterator[tuple[int, None]]:
        sizes = list(map(len, lines.shape_counts))
        for number in self.engine.gate.by_outline(lines.buffer, min(sizes), max(sizes)):
            yield number, None


@cache
def whole() -> Detection:
    """Detectors of whole values; made ready at first use, once a process."""
    return Detection([detector for detector in DETECTORS if not detector.inside])


@cache
def inside() -> tuple[tuple[Detector, re.Pattern[bytes]], ...]:
    """Detectors of what stands within text."""
    return tuple((detector, within(detector.pattern)) for detector in DETECTORS if detector.inside)


def tally_whole(lines: Lines) -> dict[str, Tally]:
    """Each detector's count over whole values."""
    detection, tallies = whole(), dict[str, Tally]()
    for number, size, items in detection.occurring(lines):
        found = None if items is None or not detection.validates[number] else Found(items)
        weights = None
        if found is not None and lines.weights is not None:
            weights = np.array([lines.weight_of[item] for item in found.items], np.int64)
        for detector in detection.readers[number]:
            tally = tallies.get(detector.name)
            if tally is None:
                tally = tallies[detector.name] = Tally()
            tally.add(detector, size, found, weights)
    return tallies


def tally_inside(lines: Lines) -> dict[str, Tally]:
    """How many values hold, somewhere, what each `inside` detector looks for; valid: at least one hit in the value is."""
    tallies = dict[str, Tally]()
    for detector, form in inside():
        for place in lines.holding(detector.marks):
            items = [hit.group() for hit in form.finditer(lines.values[place])]
            if items:
                weight = 1 if lines.weights is None else lines.weights[place]
                tallies.setdefault(detector.name, Tally()).add_text(detector, Found(items), weight)
    return tallies


@lru_cache(maxsize=16_384)
def _match(detector: str, matched: int, checked: int, valid: int) -> Match:
    """Frozen, and the same few again and again."""
    return Match(detector=detector, matched=matched, checked=checked, valid=valid)


def _matches(tallies: Mapping[str, Tally]) -> tuple[Match, ...]:
    return tuple(_match(name, tally.matched, tally.checked, tally.valid) for name, tally in sorted(tallies.items()))


def count_column(values: Sequence[str], *, nulls: int = 0, distinct: int | None = None, longest: int = _LONGEST) -> ColumnEvidence:
    """The evidence of one column's sample.

    `values` are the non-null ones, in any form: only the first `longest` characters of each are looked at. `distinct` is counted
    here unless the caller, who may have cut the values, knows better. Never raises for any value.
    """
    found = len(set(values))
    known = found if distinct is None else distinct
    if not found:
        return ColumnEvidence(nulls=nulls, distinct=known)
    counts = Counter(values) if found * 2 <= len(values) else None
    lines, untouched = lines_of(values, None, longest) if counts is None else lines_of(counts, list(counts.values()), longest)
    mean_words = profile.words(lines.buffer, lines.size, lines.shape_counts.get(b"", 0))
    tallies = tally_whole(lines)
    if lines.spelt and (mean_words >= _TEXT_WORDS or "json_object" in tallies):
        tallies |= tally_inside(lines)
    return ColumnEvidence(
        sampled=len(values),
        nulls=nulls,
        distinct=known,
        matches=_matches(tallies),
        lengths=lengths_of(values, lines, untouched=untouched),
        shapes=profile.shapes(lines, 0 if lines.weights else len(values) - found),
        entropy=profile.entropy(values),
        words=mean_words,
        free_text=profile.is_free_text(mean_words, known, len(values)),
    )


def count_table(columns: Mapping[str, Sequence[str | None]], *, longest: int = _LONGEST) -> dict[str, ColumnEvidence]:
    """The evidence of each column of a sample, by column name; None stands for null."""
    evidence = {}
    for name, cells in columns.items():
        values = [cell for cell in cells if cell is not None]
        evidence[name] = count_column(values, nulls=len(cells) - len(values), longest=longest)
    return evidence
