r"""What a detector's pattern can match, read off the pattern: lengths, characters, and its image under a map of characters.

The image of a regular language under a map of characters is regular, and its expression is the old one with every atom mapped (an
atom that the map drops becomes nothing). So a value that fits a pattern, once mapped, fits the pattern's image. The grammar is that of
our detectors: literals, classes, `.`, `\b`, groups that do not capture, alternatives, greedy counts; over bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    rb"\(\?i:|\(\?:|[()|?*+]|\{\d+(?:,\d*)?\}|\\b|\\x[0-9a-fA-F]{2}|\\.|\[(?:\\x[0-9a-fA-F]{2}|\\.|[^\]\\])+\]|.", re.DOTALL
)
_COUNT = re.compile(rb"\{(\d+)(,?)(\d*)\}")
_SHORT_COUNTS = {b"?": (0, 1), b"*": (0, None), b"+": (1, None)}
_ENDLESS = 1 << 30
_MOST_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Mapping:
    """A map of single bytes: `dropped` ones vanish, the others become what `table` says, as in `bytes.translate`."""

    table: bytes
    dropped: bytes = b""

    def of(self, text: bytes) -> bytes:
        """The image of a text."""
        return text.translate(self.table, self.dropped)

    def atom(self, members: frozenset[int]) -> tuple[frozenset[int], bool, bool]:
        """What one of `members` can become; whether it can vanish; whether the image proves that it was one of them."""
        kept = members.difference(self.dropped)
        shapes = frozenset(self.table[code] for code in kept)
        origins = {code for code in range(256) if self.table[code] in shapes and code not in self.dropped}
        return shapes, len(kept) < len(members), len(kept) == len(members) == len(origins)


@dataclass(frozen=True, slots=True)
class Facts:
    """About the image of a pattern: least and most bytes, the bytes that may occur, its expression, the bytes that may stand first.

    The image of a `closed` pattern is proof: every text whose image fits it fits the pattern.
    """

    least: int
    most: int
    alphabet: frozenset[int]
    expression: bytes
    closed: bool
    starts: frozenset[int]


@lru_cache(maxsize=1024)
def _members(atom: bytes, flags: int) -> frozenset[int]:
    fits = re.compile(atom, flags).fullmatch
    return frozenset(code for code in range(256) if fits(bytes([code])))


def facts(pattern: bytes, through: Mapping) -> Facts:
    r"""The facts of `pattern` as seen through a map.

    >>> facts(rb"\d{3}|xy", Mapping(bytes(48) + b"9" * 10 + bytes(198))).expression
    b'(?:(?:[\\x39]){3}|[\\x00][\\x00])'
    """
    tokens = iter(_TOKEN.findall(pattern))
    return _alternatives(tokens, through, 0)


def _alternatives(tokens: Iterator[bytes], through: Mapping, flags: int) -> Facts:
    """Up to the closing bracket or the end."""
    options: list[list[Facts]] = [[]]
    for token in tokens:
        if token == b")":
            break
        if token == b"|":
            options.append([])
        elif token in _SHORT_COUNTS or _COUNT.fullmatch(token):
            options[-1][-1] = _repeated(options[-1][-1], token)
        else:
            options[-1].append(_piece(token, tokens, through, flags))
    sequences = [_joined(option) for option in options]
    return sequences[0] if len(sequences) == 1 else _either(sequences)


def _piece(token: bytes, tokens: Iterator[bytes], through: Mapping, flags: int) -> Facts:
    if token in (b"(?:", b"(?i:"):
        inner = _alternatives(tokens, through, re.IGNORECASE if token == b"(?i:" else flags)
        return inner
    if token == rb"\b":
        return Facts(0, 0, frozenset(), b"", closed=False, starts=frozenset())
    return _seen(_members(token, flags), through)


@lru_cache(maxsize=4096)
def _seen(members: frozenset[int], through: Mapping) -> Facts:
    shapes, vanishes, closed = through.atom(members)
    return _plain(Facts(0 if vanishes else 1, 1 if shapes else 0, shapes, b"", closed, shapes))


def _plain(fact: Facts) -> Facts:
    """One byte or none is said in one way, so that there is one way only to read it."""
    if fact.most > 1:
        return fact
    expression = _any_of(fact.alphabet) + (b"" if fact.least else b"?") if fact.most else b""
    return Facts(fact.least, fact.most, fact.alphabet, expression, fact.closed, fact.starts)


def _any_of(alphabet: frozenset[int]) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % code for code in sorted(alphabet)) + b"]"


def _repeated(piece: Facts, token: bytes) -> Facts:
    count = _COUNT.fullmatch(token)
    least, most = _SHORT_COUNTS[token] if count is None else _bounds(count)
    longest = piece.most and (_ENDLESS if most is None else min(piece.most * most, _ENDLESS))
    if longest <= 1:
        return _plain(Facts(piece.least * least, longest, piece.alphabet, b"", piece.closed, piece.starts))
    if piece.least or most == 1:
        return Facts(piece.least * least, longest, piece.alphabet, b"(?:" + piece.expression + b")" + token, piece.closed, piece.starts)
    # counting what may be nothing can be read in very many ways: more generously, any of its bytes, so many at most
    bound = b"*" if longest >= _MOST_COUNTED else b"{0,%d}" % longest
    return Facts(0, longest, piece.alphabet, _any_of(piece.alphabet) + bound, closed=False, starts=piece.alphabet)


def _bounds(count: re.Match[bytes]) -> tuple[int, int | None]:
    least = int(count[1])
    return least, int(count[3]) if count[3] else None if count[2] else least


def _joined(pieces: list[Facts]) -> Facts:
    return _plain(
        Facts(
            sum(piece.least for piece in pieces),
            min(sum(piece.most for piece in pieces), _ENDLESS),
            frozenset[int]().union(*(piece.alphabet for piece in pieces)),
            b"".join(piece.expression for piece in pieces),
            all(piece.closed for piece in pieces),
            _first_of(pieces),
        )
    )


def _first_of(pieces: list[Facts]) -> frozenset[int]:
    starts = frozenset[int]()
    for piece in pieces:
        starts |= piece.starts
        if piece.least:
            break
    return starts


def _either(options: list[Facts]) -> Facts:
    return _plain(
        Facts(
            min(option.least for option in options),
            max(option.most for option in options),
            frozenset[int]().union(*(option.alphabet for option in options)),
            b"(?:" + b"|".join(option.expression for option in options) + b")",
            all(option.closed for option in options),
            frozenset[int]().union(*(option.starts for option in options)),
        )
    )


SAME = Mapping(bytes(range(256)))
"""Every byte as it is."""
