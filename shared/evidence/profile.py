"""What the values look like as text: lengths, shapes, entropy, words. Nothing here can be turned back into a value."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from shared.contracts.asset import Shape
from shared.evidence.lines import Lines

MOST_SHAPES, LONGEST_SHAPE, LONGEST_RUN, SHARED_BY = 8, 40, 12, 5
_ENTROPY_VALUES, _ENTROPY_CHARACTERS = 4, 32
_LOG2 = [0.0, *(math.log2(number) for number in range(1, _ENTROPY_CHARACTERS + 1))]
_COUNT_LOG2 = [number * bits for number, bits in enumerate(_LOG2)]
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


def shapes(lines: Lines, repeats: int) -> tuple[Shape, ...]:
    """The commonest shapes: letters of every script `a` or `A`, digits `9`, other ASCII kept, the rest dropped.

    `repeats` is how many lines say a value again. Five *distinct* values must share a shape: a constant shows nothing.
    """
    ranked = {shape: count for shape, count in lines.shape_counts.items() if count >= SHARED_BY}
    if ranked and repeats and min(ranked.values()) - repeats < SHARED_BY:
        ranked = _shared_by_different(ranked, lines)
    if not ranked:
        return ()
    totals: Counter[str] = Counter()
    for shape in ranked:
        totals[_shown(shape)] += lines.totals[shape]
    best = sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:MOST_SHAPES]
    return tuple(_told(shape, count) for shape, count in best if shape)


def _shared_by_different(ranked: Mapping[bytes, int], lines: Lines) -> dict[bytes, int]:
    """Those that five different values have."""
    owners: dict[bytes, set[bytes]] = {shape: set() for shape in ranked}
    for shape, value in zip(lines.shapes, lines.values, strict=True):
        if shape in owners and len(owners[shape]) < SHARED_BY:
            owners[shape].add(value)
    return {shape: count for shape, count in ranked.items() if len(owners[shape]) >= SHARED_BY}


def entropy(values: Sequence[str]) -> float:
    """Mean bits per character of a value (Shannon), estimated over at most 4 values spread evenly, the first 32 characters of each."""
    chosen = [value[:_ENTROPY_CHARACTERS] for value in values[:: -(-len(values) // _ENTROPY_VALUES)] if value]
    if not chosen:
        return 0.0
    total = 0.0
    for value in chosen:
        total += _LOG2[len(value)] - sum(map(_COUNT_LOG2.__getitem__, map(value.count, set(value)))) / len(value)
    return round(total / len(chosen), 3)


def words(buffer: bytes, lines: int, empty: int) -> float:
    """Mean number of words of a value: blanks and one, nothing for the `empty` ones among the `lines`."""
    return round((buffer.count(b" ") + buffer.count(b"\t") + lines - empty) / lines, 3)


def is_free_text(mean_words: float, distinct: int, sampled: int) -> bool:
    """Sentences that differ: four words and more on average, and more than half of the values distinct."""
    return mean_words >= 4 and distinct * 2 > sampled
