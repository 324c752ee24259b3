r"""What a detector's pattern means, step by step: what of it may still follow once a character was read.

That is the partial derivative of an expression (V. Antimirov, Partial derivatives of regular expressions and finite automaton
constructions, 1996); counted repeats stay counts, so a pattern needs no unfolding. The grammar is that of our detectors: literals,
classes, `.`, groups that do not capture, alternatives, greedy counts; over bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

_TOKEN = re.compile(rb"\(\?i:|\(\?:|[()|?*+]|\{\d+(?:,\d*)?\}|\\x[0-9a-fA-F]{2}|\\.|\[(?:\\x[0-9a-fA-F]{2}|\\.|[^\]\\])+\]|.", re.DOTALL)
_COUNT = re.compile(rb"\{(\d+)(,?)(\d*)\}")
_SHORT_COUNTS: dict[bytes, tuple[int, int | None]] = {b"?": (0, 1), b"*": (0, None), b"+": (1, None)}


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """One of some bytes."""

    members: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One of several sequences."""

    options: tuple[Sequence, ...]
    empty: bool


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """A sequence, `least` to `most` times; None: without end. `fewer` is what is left of it after one time."""

    inner: Sequence
    least: int
    most: int | None
    fewer: Sequence


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """Here pattern `number` is matched."""

    number: int


Item: TypeAlias = Atom | Choice | Repeat | End
Sequence: TypeAlias = tuple[Item, ...]
"""Items one after the other. Items are equal when they are the same object, so a sequence is cheap to look up."""


def parse(pattern: bytes) -> Sequence:
    r"""The items of `pattern`. Raises ValueError for what the grammar does not hold.

    >>> [type(item).__name__ for item in parse(rb"a(?:b|c)\d{2}")]
    ['Atom', 'Choice', 'Repeat']
    """
    tokens = iter(_TOKEN.findall(pattern))
    return _alternatives(tokens, 0)


def _alternatives(tokens: Iterator[bytes], flags: int) -> Sequence:
    """Up to the closing bracket or the end."""
    options: list[list[Sequence]] = [[]]
    for token in tokens:
        if token == b")":
            break
        if token == b"|":
            options.append([])
        elif token in _SHORT_COUNTS or _COUNT.fullmatch(token):
            options[-1][-1] = _repeated(options[-1][-1], *_bounds(token))
        else:
            options[-1].append(_piece(token, tokens, flags))
    sequences = [tuple(item for piece in option for item in piece) for option in options]
    return sequences[0] if len(sequences) == 1 else (Choice(tuple(sequences), any(map(is_empty, sequences))),)


def _piece(token: bytes, tokens: Iterator[bytes], flags: int) -> Sequence:
    if token in (b"(?:", b"(?i:"):
        return _alternatives(tokens, re.IGNORECASE if token == b"(?i:" else flags)
    if token == b"(" or (token[:1] == b"\\" and token[1:].isalnum() and token not in (rb"\d", rb"\n", rb"\t") and token[1:2] != b"x"):
        raise ValueError(f"a pattern holds {token.decode()}, which evidence does not read")
    return (_atom(token, flags),)


@lru_cache(maxsize=1024)
def _atom(token: bytes, flags: int) -> Atom:
    fits = re.compile(token, flags).fullmatch
    return Atom(frozenset(code for code in range(256) if fits(bytes([code]))))


def _bounds(token: bytes) -> tuple[int, int | None]:
    if (count := _COUNT.fullmatch(token)) is None:
        return _SHORT_COUNTS[token]
    least = int(count[1])
    return least, int(count[3]) if count[3] else None if count[2] else least


def _repeated(inner: Sequence, least: int, most: int | None) -> Sequence:
    """What may be nothing may be so each time, so its least number is none."""
    least = 0 if is_empty(inner) else least
    if most is None:
        return _unending(inner, least)
    rest: Sequence = ()
    for times in range(1, most + 1):
        rest = (Repeat(inner, max(least - most + times, 0), times, rest),)
    return rest


def _unending(inner: Sequence, least: int) -> Sequence:
    loop = Repeat(inner, 0, None, ())
    object.__setattr__(loop, "fewer", (loop,))
    rest: Sequence = (loop,)
    for times in range(1, least + 1):
        rest = (Repeat(inner, times, None, rest),)
    return rest


def is_empty(sequence: Sequence) -> bool:
    """Whether nothing at all fits it; an `End` is nothing."""
    for item in sequence:
        if isinstance(item, Atom) or (isinstance(item, Repeat) and item.least) or (isinstance(item, Choice) and not item.empty):
            return False
    return True


def heads(sequence: Sequence) -> Iterator[tuple[frozenset[int], Sequence]]:
    """The bytes that it may start with, each set of them with what may follow."""
    if not sequence:
        return
    head, rest = sequence[0], sequence[1:]
    if isinstance(head, Atom):
        yield head.members, rest
    elif isinstance(head, Choice):
        for option in head.options:
            yield from heads(option + rest)
    elif isinstance(head, Repeat):
        for members, begun in heads(head.inner):
            yield members, begun + head.fewer + rest
        if not head.least:
            yield from heads(rest)
