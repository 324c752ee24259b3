"""Values in, counts out: the evidence of columns. No value leaves through the result.

>>> evidence = count_column(["ann@example.org", "bob@example.net", "n/a"], nulls=1)
>>> [(match.detector, match.matched) for match in evidence.matches if match.detector == "email"]
[('email', 2)]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from shared.contracts.asset import ColumnEvidence, Lengths, Match
from shared.evidence import own, profile
from shared.evidence.automaton import Automaton
from shared.evidence.detector import Detector, Found, Mask
from shared.evidence.detectors import BY_NAME, DETECTORS
from shared.evidence.lines import Column, Lines, lines_of

_LONGEST = 400
_TEXT_WORDS = 3
_TOGETHER = 65_536  # values that are read at once: enough to share the costs of a step; more gains nothing and takes memory
_KEPT = 4 << 20
_GUARD_BEFORE, _GUARD_AFTER = rb"(?<![A-Za-z0-9])", rb"(?![A-Za-z0-9])"

_JSON = DETECTORS.index(BY_NAME["json_object"])
_DEMANDING = np.array([at for at, detector in enumerate(DETECTORS) if detector.least], np.int64)
_LEAST = np.array([DETECTORS[at].least for at in _DEMANDING])

Integers = NDArray[np.int64]


Tallies = NDArray[np.int64]
"""What was matched, checked and valid (first axis), in each column (second), by each detector (third: its place in `DETECTORS`)."""


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


def tally(lines: Lines) -> Tallies:
    """Each detector's count."""
    tallies: Tallies = np.zeros((3, len(lines.columns), len(DETECTORS)), np.int64)
    _tally_whole(lines, tallies)
    words = np.array(lines.words)
    for column in np.flatnonzero((words >= _TEXT_WORDS) | (tallies[0, :, _JSON] > 0)).tolist():
        if lines.is_spelt(column):
            _tally_inside(lines, column, tallies[:, column])
    return tallies


def _tally_whole(lines: Lines, tallies: Tallies) -> None:
    detection = whole()
    accepted = detection.automaton.match(lines.buffer, lines.starts, lines.lengths)
    kinds = int(accepted.max()) + 1
    together = np.bincount(lines.owner * kinds + accepted, weights=lines.weights)
    found = np.flatnonzero(together)
    columns, said = np.divmod(found, kinds)
    readers = [detection.readers(kind) for kind in said.tolist()]
    sizes = list(map(len, readers))
    places = np.repeat(columns * len(DETECTORS), sizes) + np.fromiter(chain.from_iterable(readers), np.int64)
    tallies[0] = np.bincount(places, np.repeat(together[found], sizes), tallies[0].size).reshape(tallies[0].shape)
    for number, chosen in _to_judge(detection, accepted, kinds):
        _judge(detection.judges[number], lines, chosen, tallies)
    few = tallies[2][:, _DEMANDING] < _LEAST * tallies[1][:, _DEMANDING]
    columns, places = np.nonzero(few)
    tallies[:, columns, _DEMANDING[places]] = 0


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
    by_most: dict[int, tuple[Found, Integers, Integers, Integers, Integers]] = {}
    for at, detector in judges:
        assert detector.validator is not None
        if detector.most not in by_most:
            chosen = places[_spread(lines.owner[places], detector.most)] if detector.most else places
            (columns, firsts), weights = lines.owners(chosen), lines.weights[chosen]
            by_most[detector.most] = (lines.found(chosen), columns, firsts, weights, np.add.reduceat(weights, firsts))
        found, columns, firsts, weights, checked = by_most[detector.most]
        tallies[1, columns, at] += checked
        tallies[2, columns, at] += np.add.reduceat(weights * detector.validator(found), firsts)


def _spread(owner: Integers, most: int) -> Integers:
    """Places of at most `most` lines of each column, evenly spread; `owner` rises."""
    counts = np.bincount(owner)
    steps = -(-counts // most)
    ranks = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
    return np.flatnonzero(ranks % steps[owner] == 0)


def _tally_inside(lines: Lines, column: int, tallies: Tallies) -> None:
    """How many values hold, somewhere, what each `inside` detector looks for; valid: at least one hit in the value is."""
    weights, ends = lines.columns[column].weights, lines.ends_of(column)
    for at, detector, form in inside():
        for place in lines.holding(column, detector.marks, ends):
            start = ends[place - 1] + 1 if place else lines.spans[column][0]
            items = [hit.group() for hit in form.finditer(lines.buffer[start : ends[place]])]
            if items:
                weight = weights[place] if weights else 1
                tallies[0, at] += weight
                if detector.validator is not None:
                    tallies[1, at] += weight
                    tallies[2, at] += weight if detector.validator(Found(items)).any() else 0


@lru_cache(maxsize=16_384)
def _match(at: int, matched: int, checked: int, valid: int) -> Match:
    """Frozen, and the same few again and again."""
    return Match(detector=DETECTORS[at].name, matched=matched, checked=checked, valid=valid)


def count_column(values: Sequence[str], *, nulls: int = 0, longest: int = _LONGEST) -> ColumnEvidence:
    """The evidence of one column's sample; many columns at once are much faster: see `count_columns`."""
    return next(count_columns([values], [nulls], longest=longest))


def count_columns(columns: Sequence[Sequence[str]], nulls: Sequence[int], *, longest: int = _LONGEST) -> Iterator[ColumnEvidence]:
    """The evidence of each column's sample, in their order; some thousand values are read at once.

    The values are the non-null ones, in any form: only the first `longest` characters of each are looked at. `nulls` tells how
    many null ones stood beside them. Never raises for any value.
    """
    told = 0
    for batch in _batches(columns):
        lines = lines_of([Column(columns[number]) for number in batch], longest)
        for number, evidence in zip(batch, _evidence(lines, [nulls[number] for number in batch]), strict=True):
            yield from (ColumnEvidence(nulls=count) for count in nulls[told:number])
            yield evidence
            told = number + 1
    yield from (ColumnEvidence(nulls=count) for count in nulls[told:])


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
    tallies, lengths, words, shapes = tally(lines), _lengths(lines), lines.words, profile.shapes(lines)
    entropy = profile.entropy([column.values for column in lines.columns])
    owners, ats = np.nonzero(tallies[0])
    matches = list(map(_match, ats.tolist(), *tallies[:, owners, ats].tolist()))
    firsts = np.searchsorted(owners, np.arange(len(lines.columns) + 1)).tolist()
    others = own.matches(lines)
    for number, column in enumerate(lines.columns):
        sampled, distinct = len(column.values), lines.distinct[number]
        yield ColumnEvidence(
            sampled=sampled,
            nulls=nulls[number],
            distinct=distinct,
            matches=tuple(matches[firsts[number] : firsts[number + 1]] + list(others[number] if others else ())),
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
