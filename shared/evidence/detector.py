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


class Found:
    """Values that fit one pattern, as UTF-8. The views are computed once and shared by all detectors of that pattern."""

    __slots__ = ("_views", "items")

    def __init__(self, items: Sequence[bytes]) -> None:
        self.items = items
        self._views: dict[object, Any] = {}

    def __len__(self) -> int:
        return len(self.items)

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
            self._views[key] = self.rows(width).astype(np.int64) - 48
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
            self._views[key] = _layout(self.items, width)
        view: tuple[Bytes, Mask] = self._views[key]
        return view


def _layout(items: Sequence[bytes], width: int) -> tuple[Bytes, Mask]:
    raw = (b"\n".join(items) + b"\n").translate(None, _SEPARATORS).upper()
    stride, rest = divmod(len(raw), len(items))
    if rest == 0 and stride <= width + 1:
        grid = np.frombuffer(raw, np.uint8).reshape(len(items), stride)
        if (grid[:, -1] == 10).all():
            return _filled(grid[:, :-1], width), np.full(len(items), stride == width + 1)
    lines = raw.split(b"\n")[:-1]
    even = b"".join(line[-width:].rjust(width, b"0") for line in lines)
    lengths = np.fromiter(map(len, lines), np.int64, len(lines))
    return np.frombuffer(even, np.uint8).reshape(len(lines), width), lengths == width


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
    `most` limits how many values meet a slow validator (0: all).
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

    @property
    def pattern(self) -> str:
        """All forms as one expression."""
        return "|".join(f"(?:{pattern})" for pattern in self.patterns)
