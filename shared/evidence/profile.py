"""What the values look like as text: lengths, shapes, entropy, words. Nothing here can be turned back into a value."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.contracts.asset import Shape
from shared.evidence.lines import Lines

MOST_SHAPES, LONGEST_SHAPE, LONGEST_RUN, SHARED_BY = 8, 40, 12, 5
_ENTROPY_VALUES, _ENTROPY_CHARACTERS = 4, 32
_CODE_BITS = 21  # of a Unicode code point
_LONG_RUN = re.compile(rb"(a{12})a+|(A{12})A+|(9{12})9+")
_UNSHOWN = bytes((*range(32), 127))


@lru_cache(maxsize=4096)
def _shape_of(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Lu", "Lt"):
        return "A"
    if category[0] == "L":
        return "a"
    return "9" if category[0] == "N" else char if " " <= char <= "~" or char == "\n" else ""


@lru_cache(maxsize=4096)
def _shown(shape: bytes) -> str:
    """Other letters and digits mapped, control characters dropped, long runs cut, cut to the longest allowed."""
    text = shape if shape.isascii() else "".join(map(_shape_of, shape.decode("utf-8", "replace"))).encode()
    return _LONG_RUN.sub(rb"\1\2\3", text.translate(None, _UNSHOWN))[:LONGEST_SHAPE].decode()


@lru_cache(maxsize=8192)
def _told(pattern: str, count: int) -> Shape:
    """Frozen, and the same few again and again."""
    return Shape(pattern=pattern, count=count)


def shapes(lines: Lines) -> list[tuple[Shape, ...]]:
    """The commonest shapes of each column: letters of every script `a` or `A`, digits `9`, other ASCII kept, the rest dropped.

    Five *distinct* values must share a shape: a constant shows nothing.
    """
    order, begins, counts = lines.groups(lines.form)
    common = np.flatnonzero(counts >= SHARED_BY)
    begins, counts = begins[common], counts[common]
    totals: list[dict[str, int]] = [{} for _ in lines.columns]
    if not len(common):
        return [()] * len(lines.columns)
    sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(lines.weights[order])))
    weights = (sums[begins + counts] - sums[begins]).tolist()
    one = order[begins]
    starts, ends, owners = lines.starts[one].tolist(), (lines.starts[one] + lines.lengths[one]).tolist(), lines.owner[one]
    repeats = np.where(lines.whole, lines.sizes - lines.distinct, 0)
    doubtful = (counts - repeats[owners] < SHARED_BY).tolist()
    for at, (column, start, end, weight) in enumerate(zip(owners.tolist(), starts, ends, weights, strict=True)):
        if doubtful[at] and not _is_shared(lines, order[begins[at] : begins[at] + counts[at]]):
            continue
        shape, total = _shown(lines.form[start:end]), totals[column]
        total[shape] = total.get(shape, 0) + weight
    return [_best(total) for total in totals]


def _is_shared(lines: Lines, places: NDArray[np.int64]) -> bool:
    """Whether five different values stand at `places`."""
    starts, lengths = lines.starts[places].tolist(), lines.lengths[places].tolist()
    return len({lines.buffer[start : start + length] for start, length in zip(starts, lengths, strict=True)}) >= SHARED_BY


def _best(totals: Mapping[str, int]) -> tuple[Shape, ...]:
    best = sorted(totals.items(), key=_by_rank)[:MOST_SHAPES] if len(totals) > 1 else totals.items()
    return tuple([_told(shape, count) for shape, count in best if shape])


def _by_rank(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def entropy(columns: Sequence[Sequence[str]]) -> list[float]:
    """Mean bits per character of a value (Shannon), for each column.

    Estimated over at most 4 values spread evenly, the first 32 characters of each.
    """
    chosen = [[value[:_ENTROPY_CHARACTERS] for value in values[:: -(-len(values) // _ENTROPY_VALUES)] if value] for values in columns]
    texts = [text for some in chosen for text in some]
    if not texts:
        return [0.0] * len(columns)
    sizes = np.array(list(map(len, texts)))
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    keys = np.sort(np.repeat(np.arange(len(texts)) << _CODE_BITS, sizes) | codes)
    runs = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(np.diff(keys)) + 1))
    counts = np.diff(np.append(runs, len(keys)))
    bits = np.log2(sizes) - np.bincount(keys[runs] >> _CODE_BITS, counts * np.log2(counts)) / sizes
    shares = [len(some) for some in chosen]
    totals = np.bincount(np.repeat(np.arange(len(columns)), shares), bits, minlength=len(columns)).tolist()
    return [round(total / share, 3) if share else 0.0 for total, share in zip(totals, shares, strict=True)]


def is_free_text(mean_words: float, distinct: int, sampled: int) -> bool:
    """Sentences that differ: four words and more on average, and more than half of the values distinct."""
    return mean_words >= 4 and distinct * 2 > sampled
