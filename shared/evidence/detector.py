"""What a detector is, and the values that it found, laid out so that a checksum is a few array operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

_SEPARATORS = b" -./()"
_UPPER = bytes(range(256)).upper()


class Found:
    """Values that fit one pattern, as UTF-8. The views are computed once and shared by all detectors of that pattern."""

    __slots__ = ("_items", "_joined", "_size", "_views")

    def __init__(self, items: Sequence[bytes]) -> None:
        self._items: Sequence[bytes] | None = items
        self._joined, self._size = b"", len(items)
        self._views: dict[object, Any] = {}

    @classmethod
    def joined(cls, lines: bytes, size: int) -> Found:
        """`size` values, each with a newline after it."""
        found = cls(())
        found._items, found._joined, found._size = None, lines, size
        return found

    def __len__(self) -> int:
        return self._size

    @property
    def items(self) -> Sequence[bytes]:
        """The values, one by one."""
        if self._items is None:
            self._items = self._joined.split(b"\n")[:-1]
        return self._items

    @property
    def lines(self) -> bytes:
        """The values, each with a newline after it."""
        if not self._joined:
            self._joined = b"\n".join(self.items) + b"\n"
        return self._joined

    def rows(self, width: int) -> Bytes:
        """One row of `width` bytes a value: upper case, separators dropped, right-aligned, filled with `0` on the left."""
        return self._view(width)[0]

    def fits(self, width: int) -> Mask:
        """Which values have exactly `width` characters once separators are dropped."""
        return self._view(width)[1]

    def digits(self, width: int) -> Numbers:
        """`rows` as numbers; only meaningful where the pattern allows digits alone."""
        key = ("digits", width)
        if key not in self._views:
            self._views[key] = np.subtract(self.rows(width).T, 48, dtype=np.int64, order="C").T  # each column in one piece
        view: Numbers = self._views[key]
        return view

    def once(self, key: object, work: Callable[[Found], Mask]) -> Mask:
        """The result of `work`, done once for each `key`: several countries may use one checksum."""
        if key not in self._views:
            self._views[key] = work(self)
        mask: Mask = self._views[key]
        return mask

    def _view(self, width: int) -> tuple[Bytes, Mask]:
        key = ("rows", width)
        if key not in self._views:
            self._views[key] = _layout(self.lines, self._size, width)
        view: tuple[Bytes, Mask] = self._views[key]
        return view


def _layout(lines: bytes, size: int, width: int) -> tuple[Bytes, Mask]:
    raw = lines.translate(_UPPER, _SEPARATORS)
    stride, rest = divmod(len(raw), size)
    if rest == 0 and stride <= width + 1:
        grid = np.frombuffer(raw, np.uint8).reshape(size, stride)
        if (grid[:, -1] == 10).all():
            return _filled(grid[:, :-1], width), np.full(size, stride == width + 1)
    items = raw.split(b"\n")[:-1]
    even = b"".join([item[-width:].rjust(width, b"0") for item in items])
    lengths = np.fromiter(map(len, items), np.int64, size)
    return np.frombuffer(even, np.uint8).reshape(size, width), lengths == width


def _filled(grid: Bytes, width: int) -> Bytes:
    if grid.shape[1] == width:
        return grid
    rows = np.full((len(grid), width), 48, np.uint8)
    rows[:, width - grid.shape[1] :] = grid
    return rows


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of value. `patterns` exclude each other, match whole values, and hold no group that captures.

    `validator` tells which of the found values pass a checksum or a rule of structure. `chance` is the share of *random* values
    of that shape that pass it: 1.0 says nothing. `weak` means that even a valid value proves nothing without a name beside it.
    `private` values are taken out of comments and names. `inside` looks for the pattern within longer text;
    one of `marks` then stands in whatever fits, or in its shape (letters `a` and `A`, digits `9`), and is searched for first.
    `most` limits how many values meet a slow validator (0: all); where fewer than `least` of those that it saw pass, nothing is told.
    """

    name: str
    patterns: tuple[str, ...]
    doc: str
    validator: Callable[[Found], Mask] | None = None
    weak: bool = False
    chance: float = 1.0
    private: bool = False
    inside: bool = False
    marks: tuple[bytes, ...] = ()
    most: int = 0
    least: float = 0.0

    @property
    def pattern(self) -> str:
        """All forms as one expression."""
        return "|".join(f"(?:{pattern})" for pattern in self.patterns)
