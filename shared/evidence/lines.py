"""The values of many columns as lines of one buffer, so that most questions are asked of all of them at once."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.evidence.detector import Found, Mask

SHAPE_OF = bytes(
    ord("9") if chr(code).isdigit() else ord("a") if chr(code).islower() else ord("A") if chr(code).isupper() else code
    for code in range(128)
) + bytes(range(128, 256))
"""A shape maps each letter to `a` or `A` and each digit to `9`, byte by byte; what is not ASCII stays."""

_NEWLINE, _BLANK, _TAB = b"\n \t"
_OFTEN = 2  # where a value occurs this often on average, each is looked at once
_WORD = 8
_KEEP = np.array([(1 << 8 * count) - 1 for count in range(_WORD + 1)], np.uint64)
_MIX, _SEED, _FOLD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03), np.uint64(29)

Integers = NDArray[np.int64]


class Column:
    """One column on its way: its values as they came, and the texts that are looked at, each with the number of its occurrences.

    `weights` None: the texts are the values.
    """

    __slots__ = ("texts", "values", "weights")

    def __init__(self, values: Sequence[str]) -> None:
        self.values = values
        self.texts: Collection[str] = values
        self.weights: list[int] | None = None

    def clean(self, longest: int) -> None:
        """Bring every value into the form of `clean`; those that become equal are one."""
        merged = Counter([clean(value, longest) for value in self.values])
        self.texts, self.weights = merged, list(merged.values())


def clean(value: str, longest: int) -> str:
    """The form in which a value meets the detectors: cut, on one line, no blanks around, what UTF-8 cannot say as `?`."""
    return value[:longest].encode("utf-8", "replace").decode().replace("\n", " ").strip(" ")


class Lines:
    """The texts of columns, one a line, as UTF-8, a column's lines together.

    `starts`, `lengths` (bytes), `owner` (the column) and `weights` (occurrences) are parallel and tell which lines are looked at:
    all, or one of each value where values repeat. `distinct` and `whole` (all lines are looked at) are told for each column.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        """Raises ValueError where a text holds a newline or what UTF-8 cannot say."""
        self.columns = columns
        self.sizes = np.array([len(column.texts) for column in columns])
        self.first: Integers = np.concatenate((np.zeros(1, np.int64), np.cumsum(self.sizes)))
        self.buffer = "\n".join(["\n".join(column.texts) for column in columns]).encode() + b"\n"
        self.raw = np.frombuffer(self.buffer, np.uint8)
        self.ends = np.flatnonzero(self.raw == _NEWLINE)
        if len(self.ends) != self.first[-1]:
            raise ValueError("a value of several lines")
        self.starts: Integers = np.concatenate((np.zeros(1, np.int64), self.ends[:-1] + 1))
        self.lengths: Integers = self.ends - self.starts
        self.owner: Integers = np.repeat(np.arange(len(columns)), self.sizes)
        self.begins = self.starts[self.first[:-1]]
        self.spans = list(zip(self.begins.tolist(), self.ends[self.first[1:] - 1].tolist(), strict=True))
        self.form = self.buffer.translate(SHAPE_OF)
        self.weights: Integers = np.ones(len(self.ends), np.int64)

    def untidy(self, longest: int) -> list[int]:
        """Numbers of the columns that hold a line longer than `longest` bytes, or one with a blank at its edge."""
        odd = (self.lengths > longest) | (self.raw[self.starts] == _BLANK) | (self.raw[self.ends - 1] == _BLANK)
        return sorted(set(self.owner[odd].tolist()))

    def merge(self) -> None:
        """Count distinct values, and look at each once in columns where they repeat."""
        keys = self.keys(self.buffer)
        ordered = np.sort(keys)
        new = np.concatenate((np.ones(1, np.bool_), ordered[1:] != ordered[:-1]))
        distinct = np.add.reduceat(new, self.first[:-1], dtype=np.int64)  # columns stay in their order and their places
        self.whole: Mask = distinct * _OFTEN > self.sizes
        self.distinct: list[int] = distinct.tolist()
        for number, column in enumerate(self.columns):
            if column.weights is not None:
                self.weights[self.first[number] : self.first[number + 1]] = column.weights
                self.whole[number], self.distinct[number] = False, len(set(column.values))
        if not self.whole.all():
            self._merge(keys)

    def _merge(self, keys: NDArray[np.uint64]) -> None:
        kept = self.whole[self.owner]
        often = np.flatnonzero(~kept)
        order, begins = _groups(keys[often])
        firsts = often[np.minimum.reduceat(order, begins)]
        self.weights[firsts] = np.add.reduceat(self.weights[often[order]], begins)
        kept[firsts] = True
        places = np.flatnonzero(kept)
        self.starts, self.lengths, self.owner, self.weights = (
            part[places] for part in (self.starts, self.lengths, self.owner, self.weights)
        )
        del self.falling

    def groups(self, text: bytes) -> tuple[Integers, Integers, Integers]:
        """The lines, so ordered that those of one column which are equal in `text` stand together; where each group begins; its size."""
        order, begins = _groups(self.keys(text))
        return order, begins, np.diff(np.append(begins, len(order)))

    def keys(self, text: bytes) -> NDArray[np.uint64]:
        """A number for each line, the column in its upper bits: equal for lines of one column that are equal in `text`.

        `text` has the layout of `buffer`. The lower bits, 50 and more, are a hash: that a column of 200 different values has two with
        the same happens once in 5 * 10^10 columns.
        """
        return (self._hashes(text) >> (np.uint64(64) - self._spare)) | (self.owner.astype(np.uint64) << self._spare)

    @cached_property
    def _spare(self) -> np.uint64:
        """How many bits the number of a column leaves."""
        return np.uint64(64 - len(self.columns).bit_length())

    def _hashes(self, text: bytes) -> NDArray[np.uint64]:
        """Eight bytes of each line a step, the longest lines first, so that those which have not ended stand together."""
        padded = text + bytes(_WORD)
        words = np.ndarray((len(text),), np.uint64, padded, 0, (1,))
        order, reach = self.falling
        starts, left = self.starts[order], self.lengths[order]
        state = left.astype(np.uint64) * _SEED
        for step, (count, longer) in enumerate(pairwise([*reach, 0])):
            word = words[step * _WORD :][starts[:count]]
            word[longer:] &= _KEEP.take(left[longer:count] - step * _WORD)
            mixed = (state[:count] ^ word) * _MIX
            state[:count] = mixed ^ (mixed >> _FOLD)
        result = np.empty_like(state)
        result[order] = state * _MIX
        return result

    @cached_property
    def falling(self) -> tuple[Integers, list[int]]:
        """The lines by falling length; and how many have more than 0, 8, 16 … bytes."""
        order = np.argsort((0xFFFF - self.lengths).astype(np.uint16), kind="stable")  # of 16 bits, in linear time
        steps = np.bincount(-(-self.lengths // _WORD))
        return order, (len(self.lengths) - np.cumsum(steps))[:-1].tolist()

    def found(self, places: Integers) -> Found:
        """The lines at `places`, ready for a checksum."""
        starts, lengths = self.starts[places], self.lengths[places]
        width = int(lengths[0])
        if (lengths == width).all():
            each = np.ndarray((len(self.buffer) - width,), f"V{width + 1}", self.buffer, 0, (1,))
            return Found.joined(each[starts].tobytes(), len(places))
        ends = (starts + lengths).tolist()
        return Found([self.buffer[start:end] for start, end in zip(starts.tolist(), ends, strict=True)])

    def owners(self, places: Integers) -> tuple[Integers, Integers]:
        """The columns of the lines at `places`, which rise, each with where in `places` it begins."""
        owner = self.owner[places]
        firsts = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(owner[1:] != owner[:-1]) + 1))
        return owner[firsts], firsts

    @cached_property
    def _looked(self) -> Integers:
        """Where the lines of each column begin among those that are looked at."""
        return np.searchsorted(self.owner, np.arange(len(self.columns)))

    def characters(self) -> tuple[list[int], list[int], list[int]]:
        """For each column: the least and the greatest length of a text in characters, and the sum over all occurrences."""
        lengths, first = self.lengths, self._looked
        if not self.buffer.isascii():
            following = np.concatenate((np.zeros(1, np.int64), np.cumsum((self.raw & 0xC0) == 0x80)))
            lengths = lengths - (following[self.starts + lengths] - following[self.starts])
        least, most = np.minimum.reduceat(lengths, first), np.maximum.reduceat(lengths, first)
        return least.tolist(), most.tolist(), np.add.reduceat(lengths * self.weights, first).tolist()

    @cached_property
    def words(self) -> list[float]:
        """Mean number of words of the lines of each column that are looked at: blanks and one, nothing for an empty line."""
        blank = self.raw == _BLANK
        gaps = np.flatnonzero(blank | (self.raw == _TAB) if b"\t" in self.buffer else blank)
        counts = np.diff(np.searchsorted(gaps, np.append(self.begins, len(self.raw))))
        again = np.flatnonzero(counts * ~self.whole)
        if len(again):
            some = np.flatnonzero(np.isin(self.owner, again))
            between = np.searchsorted(gaps, self.starts[some] + self.lengths[some]) - np.searchsorted(gaps, self.starts[some])
            counts[again] = np.bincount(self.owner[some], between, len(self.columns))[again]
        counts += np.add.reduceat(self.lengths > 0, self._looked, dtype=np.int64)
        sizes = np.diff(np.append(self._looked, len(self.lengths)))
        return [round(count / size, 3) for count, size in zip(counts.tolist(), sizes.tolist(), strict=True)]

    def is_spelt(self, column: int) -> bool:
        """Whether a column has letters at all; what consists of digits and signs is no text, however many blanks it has."""
        form = self.form[slice(*self.spans[column])]
        return not form.isascii() or b"a" in form or b"A" in form

    def ends_of(self, column: int) -> list[int]:
        """Where each text of a column ends in `buffer`."""
        return self.ends[self.first[column] : self.first[column + 1]].tolist()  # type: ignore[no-any-return]

    def holding(self, column: int, marks: Collection[bytes], ends: Sequence[int]) -> list[int]:
        """Numbers of the texts of a column, which end at `ends`, whose shape holds one of `marks`."""
        start, end = self.spans[column]
        places: set[int] = set()
        for mark in marks:
            if any(self.form.find(byte, start, end) < 0 for byte in mark):
                continue  # a search for one byte is twenty times faster
            at = self.form.find(mark, start, end)
            while at >= 0:
                place = bisect_left(ends, at)
                places.add(place)
                at = self.form.find(mark, ends[place], end)
        return sorted(places)


def _groups(keys: NDArray[np.uint64]) -> tuple[Integers, Integers]:
    order = np.argsort(keys)
    ordered = keys[order]
    return order, np.flatnonzero(np.concatenate((np.ones(1, np.bool_), ordered[1:] != ordered[:-1])))


def lines_of(columns: Sequence[Column], longest: int) -> Lines:
    """Lay the columns out. Nearly always the values stand there just as they came, which is found out over all at once."""
    try:
        lines = Lines(columns)
    except ValueError:
        for column in columns:
            if _is_odd(column.texts):
                column.clean(longest)
        lines = Lines(columns)
    untidy = [column for column in map(columns.__getitem__, lines.untidy(longest)) if column.weights is None]
    for column in untidy:
        column.clean(longest)
    if untidy:
        lines = Lines(columns)
    lines.merge()
    return lines


def _is_odd(texts: Iterable[str]) -> bool:
    """Whether a text is not one line, or not UTF-8."""
    joined = "".join(texts)
    try:
        joined.encode()
    except UnicodeEncodeError:
        return True
    return "\n" in joined
