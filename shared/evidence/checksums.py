"""Checksums that many countries and industries share, over arrays: one row a value.

Each rule takes digits (one row of numbers a value) and gives a mask. `over` makes a validator of a rule.
"""

# numpy types the result of an operator as Any:
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from shared.evidence.detector import Bytes, Found, Mask, Numbers

Rule = Callable[[Numbers], Mask]
Validator = Callable[[Found], Mask]

_DOUBLED: Numbers = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], np.int64)
_ALNUM: Numbers = np.zeros(256, np.int64)
_ALNUM[48:58] = range(10)
_ALNUM[65:91] = range(10, 36)
_CHARS_WIDE = np.ones(256, np.int64)
_CHARS_WIDE[65:91] = 2
_POWERS_97: Numbers = np.array([pow(10, n, 97) for n in range(160)], np.int64)


def over(width: int, rule: Rule, *, exact: bool = True) -> Validator:
    """`rule` over values of `width` digits. `exact=False`: shorter ones are filled with zeros on the left."""

    def check(found: Found) -> Mask:
        return found.once((rule, width, exact), judge)

    def judge(found: Found) -> Mask:
        mask = rule(found.digits(width))
        return mask & found.fits(width) if exact else mask

    return check


def number(digits: Numbers) -> Numbers:
    """The decimal number that each row spells.

    >>> number(np.array([[0, 4, 2]]))
    array([42])
    """
    return digits @ _vector(tuple(10**place for place in range(digits.shape[1] - 1, -1, -1)))


def weighted(digits: Numbers, weights: Sequence[int]) -> Numbers:
    """Sum of digit times weight over the first columns."""
    result: Numbers = digits[:, : len(weights)] @ _vector(tuple(weights))
    return result


@cache
def _vector(weights: tuple[int, ...]) -> Numbers:
    return np.array(weights, np.int64)


def among(values: Numbers, allowed: tuple[int, ...]) -> Mask:
    """Which of `values`, none above 99, are one of `allowed`."""
    return _table(allowed)[values]


@cache
def _table(allowed: tuple[int, ...]) -> Mask:
    table = np.zeros(100, np.bool_)
    table[list(allowed)] = True
    return table


def luhn(digits: Numbers) -> Mask:
    """ISO/IEC 7812-1, annex B; leading zeros change nothing.

    >>> luhn(np.array([[1, 8], [1, 9]]))
    array([ True, False])
    """
    right = digits[:, ::-1]
    total = right[:, ::2].sum(1) + _DOUBLED[right[:, 1::2]].sum(1)
    mask: Mask = (total % 10 == 0) & digits.any(1)
    return mask


def ean(digits: Numbers) -> Mask:
    """GS1 general specifications: weights 1 and 3 from the right."""
    right = digits[:, ::-1]
    mask: Mask = (right[:, ::2].sum(1) + 3 * right[:, 1::2].sum(1)) % 10 == 0
    return mask


def mod_11_10(digits: Numbers) -> Mask:
    """ISO/IEC 7064, MOD 11,10."""
    rest: Numbers = np.full(len(digits), 10, np.int64)
    for column in digits[:, :-1].T:
        rest = (rest + column) % 10
        rest = np.where(rest == 0, 10, rest) * 2 % 11
    return (11 - rest) % 10 == digits[:, -1]


def mod_97(texts: Bytes) -> NDArray[np.int64]:
    """ISO/IEC 7064, MOD 97-10: the remainder of each row read as a number, letters as 10 to 35."""
    wide = _CHARS_WIDE[texts]
    after = wide[:, ::-1].cumsum(1)[:, ::-1] - wide
    remainder: Numbers = (_ALNUM[texts] * _POWERS_97[after]).sum(1) % 97
    return remainder


def alnum(texts: Bytes) -> Numbers:
    """Digits as themselves, letters as 10 to 35."""
    values: Numbers = _ALNUM[texts]
    return values


def varied(digits: Numbers) -> Mask:
    """Not one digit repeated, which many checksums would let pass."""
    mask: Mask = (digits != digits[:, :1]).any(1)
    return mask


def plausible_day(month: Numbers, day: Numbers) -> Mask:
    """Month 1 to 12 and day 1 to 31."""
    return (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)


def two(digits: Numbers, column: int) -> Numbers:
    """The two-digit number that starts at `column`."""
    result: Numbers = digits[:, column] * 10 + digits[:, column + 1]
    return result


_VERHOEFF_MULTIPLY: Numbers = np.array(
    [[(a + b) % 5 if b < 5 else (a + b - 5) % 5 + 5 for b in range(10)] for a in range(5)]
    + [[(a - b - 5) % 5 + 5 if b < 5 else (a - b) % 5 for b in range(10)] for a in range(5, 10)],
    np.int64,
)
_STEP = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def _verhoeff_permutations() -> Numbers:
    rows = [list(range(10))]
    for _ in range(7):
        rows.append([_STEP[digit] for digit in rows[-1]])
    return np.array(rows, np.int64)


_VERHOEFF_PERMUTE = _verhoeff_permutations()


def verhoeff(digits: Numbers) -> Mask:
    """Verhoeff 1969: the dihedral group D5 with a permutation per place."""
    state: Numbers = np.zeros(len(digits), np.int64)
    for place, column in enumerate(digits[:, ::-1].T):
        state = _VERHOEFF_MULTIPLY[state, _VERHOEFF_PERMUTE[place % 8][column]]
    return state == 0
