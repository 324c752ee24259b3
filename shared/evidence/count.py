"""Values in, counts out: the evidence of columns. No value leaves through the result.

>>> evidence = count_column(["ann@example.org", "bob@example.net", "n/a"], nulls=1)
>>> [(match.detector, match.matched) for match in evidence.matches if match.detector == "email"]
[('email', 2)]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.contracts.asset import ColumnEvidence, Lengths, Match
from shared.evidence import profile
from shared.evidence.automaton import Automaton
from shared.evidence.detector import Detector, Found, Mask
from shared.evidence.detectors import BY_NAME, DETECTORS
from shared.evidence.lines import Column, Lines, lines_of

_LONGEST = 400
_TEXT_WORDS = 3
_TOGETHER = 16_384  # values that are read at once: enough to share the costs of a step, and still near the processor
_KEPT = 4 << 20
_GUARD_BEFORE, _GUARD_AFTER = rb"(?<![A-Za-z0-9])", rb"(?![A-Za-z0-9])"

_JSON = DETECTORS.index(BY_NAME["json_object"])

Integers = NDArray[np.int64]


@dataclass(slots=True)
class Tally:
    """What one detector counted in one column; the meaning is `Match`'s."""

    matched: int = 0
    checked: int = 0
    valid: int = 0


Tallies = list[dict[int, Tally]]
"""For each column, what the detectors counted, by their place in `DETECTORS`."""


class Detection:
    """Detectors of whole values over one automaton; several detectors may share a pattern, which is then judged together."""

    def __init__(self, detectors: Sequence[tuple[int, Detector]]) -> None:
        self.patterns = sorted({pattern for _, detector in detectors for pattern in detector.patterns})
        self.automaton = Automaton(self.patterns)
        self._readers = [[at for at, detector in detectors if pattern in detector.patterns] for pattern in self.patterns]
        self.judges = [
            [(at, detector) for at, detector in detectors if detector.validator and pattern in detector.patterns]
            for pattern in self.patterns
        ]
        self._seen: list[tuple[int, ...]] = []
        self._judged: list[bool] = []

    def readers(self, accepted: int) -> tuple[int, ...]:
        """Places of the detectors that say yes to a value, told by what the automaton said of it."""
        sets = self.automaton.accept_sets
        while len(self._seen) <= accepted:
            numbers = sets[len(self._seen)]
            self._seen.append(tuple(sorted({at for number in numbers for at in self._readers[number]})))
        return self._seen[accepted]

    def judged(self, kinds: int) -> Mask:
        """For each of the first `kinds` things that the automaton can say of a value, whether a validator wants to see it."""
        while len(self._judged) < kinds:
            numbers = self.automaton.accept_sets[len(self._judged)]
            self._judged.append(any(self.judges[number] for number in numbers))
        return np.array(self._judged[:kinds])


@cache
def whole() -> Detection:
    """Detectors of whole values; made ready at first use, once a process."""
    np.empty(
        _KEPT, np.uint8
    )  # freed at once: from then on the C library keeps that much for the next batch, and no page is asked for twice
    return Detection([(at, detector) for at, detector in enumerate(DETECTORS) if not detector.inside])


@cache
def inside() -> tuple[tuple[int, Detector, re.Pattern[bytes]], ...]:
    """Detectors of what stands within text, not within a longer word."""
    return tuple(
        (at, detector, re.compile(_GUARD_BEFORE + b"(?:" + detector.pattern.encode() + b")" + _GUARD_AFTER))
        for at, detector in enumerate(DETECTORS)
        if detector.inside
    )


def tally_whole(lines: Lines) -> Tallies:
    """Each detector's count over whole values."""
    detection, tallies = whole(), [dict[int, Tally]() for _ in lines.columns]
    accepted = detection.automaton.match(lines.buffer, lines.starts, lines.lengths)
    kinds = int(accepted.max()) + 1
    together = np.bincount(lines.owner * kinds + accepted, weights=lines.weights, minlength=kinds * len(lines.columns))
    found = np.flatnonzero(together)
    for place, count in zip(found.tolist(), together[found].tolist(), strict=True):
        column, kind = divmod(place, kinds)
        tally = tallies[column]
        for at in detection.readers(kind):
            if at in tally:
                tally[at].matched += int(count)
            else:
                tally[at] = Tally(int(count))
    for number, places in _to_judge(detection, accepted, kinds):
        _judge(detection.judges[number], lines, places, tallies)
    return tallies


def _to_judge(detection: Detection, accepted: Integers, kinds: int) -> Iterator[tuple[int, Integers]]:
    """Each pattern whose detectors have a validator, with the numbers of the lines that fit it."""
    places = np.flatnonzero(detection.judged(kinds)[accepted])
    found = accepted[places].astype(np.uint16)
    places = places[np.argsort(found, kind="stable")]
    counts = np.bincount(found, minlength=kinds)
    ends = np.cumsum(counts)
    shares: dict[int, list[Integers]] = {}
    for kind in np.flatnonzero(counts).tolist():
        share = places[ends[kind] - counts[kind] : ends[kind]]
        for number in detection.automaton.accept_sets[kind]:
            if detection.judges[number]:
                shares.setdefault(number, []).append(share)
    for number, parts in shares.items():
        yield number, parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))


def _judge(judges: Sequence[tuple[int, Detector]], lines: Lines, places: Integers, tallies: Tallies) -> None:
    """Let the validators judge the lines at `places`, which fit their pattern."""
    by_most: dict[int, tuple[Found, list[int], Integers, Integers]] = {}
    for at, detector in judges:
        assert detector.validator is not None
        if detector.most not in by_most:
            chosen = places[_spread(lines.owner[places], detector.most)] if detector.most else places
            by_most[detector.most] = (lines.found(chosen), *lines.owners(chosen), lines.weights[chosen])
        found, columns, firsts, weights = by_most[detector.most]
        checked = np.add.reduceat(weights, firsts).tolist()
        valid = np.add.reduceat(weights * detector.validator(found), firsts).tolist()
        for column, many, good in zip(columns, checked, valid, strict=True):
            tally = tallies[column][at]
            tally.checked += many
            tally.valid += good


def _spread(owner: Integers, most: int) -> Integers:
    """Places of at most `most` lines of each column, evenly spread; `owner` rises."""
    counts = np.bincount(owner)
    steps = -(-counts // most)
    ranks = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
    return np.flatnonzero(ranks % steps[owner] == 0)


def tally_inside(lines: Lines, column: int) -> dict[int, Tally]:
    """How many values hold, somewhere, what each `inside` detector looks for; valid: at least one hit in the value is."""
    tallies = dict[int, Tally]()
    weights, ends = lines.columns[column].weights, lines.ends_of(column)
    for at, detector, form in inside():
        for place in lines.holding(column, detector.marks, ends):
            start = ends[place - 1] + 1 if place else lines.spans[column][0]
            items = [hit.group() for hit in form.finditer(lines.buffer[start : ends[place]])]
            if items:
                weight = weights[place] if weights else 1
                tally = tallies.setdefault(at, Tally())
                tally.matched += weight
                if detector.validator is not None:
                    tally.checked += weight
                    tally.valid += weight if detector.validator(Found(items)).any() else 0
    return tallies


@lru_cache(maxsize=16_384)
def _match(at: int, matched: int, checked: int, valid: int) -> Match:
    """Frozen, and the same few again and again."""
    return Match(detector=DETECTORS[at].name, matched=matched, checked=checked, valid=valid)


def count_column(values: Sequence[str], *, nulls: int = 0, longest: int = _LONGEST) -> ColumnEvidence:
    """The evidence of one column's sample; many columns at once are much faster: see `count_columns`."""
    return count_columns([values], [nulls], longest=longest)[0]


def count_columns(columns: Sequence[Sequence[str]], nulls: Sequence[int], *, longest: int = _LONGEST) -> list[ColumnEvidence]:
    """The evidence of each column's sample, in their order.

    The values are the non-null ones, in any form: only the first `longest` characters of each are looked at. `nulls` tells how
    many null ones stood beside them. Never raises for any value.
    """
    result: dict[int, ColumnEvidence] = {}
    for batch in _batches(columns):
        lines = lines_of([Column(columns[number]) for number in batch], longest)
        for number, evidence in zip(batch, _evidence(lines, [nulls[number] for number in batch]), strict=True):
            result[number] = evidence
    return [result.get(number) or ColumnEvidence(nulls=count) for number, count in enumerate(nulls)]


def _batches(columns: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    """Numbers of columns that hold values, so many as are read together."""
    batch: list[int] = []
    size = 0
    for number, values in enumerate(columns):
        if batch and size + len(values) > _TOGETHER:
            yield batch
            batch, size = [], 0
        if values:
            batch.append(number)
            size += len(values)
    if batch:
        yield batch


def _evidence(lines: Lines, nulls: Sequence[int]) -> Iterator[ColumnEvidence]:
    tallies, lengths, words, shapes = tally_whole(lines), _lengths(lines), lines.words(), profile.shapes(lines)
    entropy = profile.entropy([column.values for column in lines.columns])
    for number, (column, tally) in enumerate(zip(lines.columns, tallies, strict=True)):
        if (words[number] >= _TEXT_WORDS or _JSON in tally) and lines.is_spelt(number):
            tally |= tally_inside(lines, number)
        sampled, distinct = len(column.values), lines.distinct[number]
        yield ColumnEvidence(
            sampled=sampled,
            nulls=nulls[number],
            distinct=distinct,
            matches=tuple([_match(at, found.matched, found.checked, found.valid) for at, found in sorted(tally.items())]),
            lengths=lengths[number],
            shapes=shapes[number],
            entropy=entropy[number],
            words=words[number],
            free_text=profile.is_free_text(words[number], distinct, sampled),
        )


def _lengths(lines: Lines) -> list[Lengths]:
    """Least, most and mean number of characters of each column's values, as they came."""
    return [
        _lengths_of(column.values) if column.weights else _told(low, high, round(total / len(column.values), 2))
        for column, low, high, total in zip(lines.columns, *lines.characters(), strict=True)
    ]


def _lengths_of(values: Sequence[str]) -> Lengths:
    sizes = list(map(len, values))
    return _told(min(sizes), max(sizes), round(sum(sizes) / len(sizes), 2))


@lru_cache(maxsize=8192)
def _told(least: int, most: int, mean: float) -> Lengths:
    """Frozen, and the same few again and again."""
    return Lengths(min=least, max=most, mean=mean)
