"""How right labels are: sensitive or not, exact class, and whether a confidence of 0.8 is right in eight of ten cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shared.contracts.asset import UNCLASSIFIED

_BINS = 10


class Answer(NamedTuple):
    """What was said of one column. `confidence` 0.0 to 1.0, of what was said, also where it is that there is nothing."""

    wanted: tuple[str, ...]
    said: str
    confidence: float

    @property
    def right(self) -> bool:
        return self.said in self.wanted


class Figures(NamedTuple):
    """`calibration`: expected error over all answers; `calibration_given`: over the labels that were given."""

    sensitive_f1: float
    macro_f1: float
    calibration: float
    calibration_given: float
    columns: int


def figures(answers: Sequence[Answer], sensitive: frozenset[str]) -> Figures:
    given = [answer for answer in answers if answer.said != UNCLASSIFIED]
    return Figures(sensitive_f1(answers, sensitive), macro_f1(answers), calibration_error(answers), calibration_error(given), len(answers))


def sensitive_f1(answers: Iterable[Answer], sensitive: frozenset[str]) -> float:
    """F1 of sensitive or not; columns that may be either are left out."""
    counted: Counter[tuple[bool, bool]] = Counter()
    for answer in answers:
        wanted = {name in sensitive for name in answer.wanted}
        if len(wanted) == 1:
            counted[wanted.pop(), answer.said in sensitive] += 1
    return _f1(counted[True, True], counted[False, True], counted[True, False])


def macro_f1(answers: Iterable[Answer]) -> float:
    """The mean of F1 over every class that was wanted or said, the one for nothing among them."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for answer in answers:
        if answer.right:
            right[answer.said] += 1
        else:
            wrong[answer.said] += 1
            missed[answer.wanted[0]] += 1
    names = right | wrong | missed
    return sum(_f1(right[name], wrong[name], missed[name]) for name in names) / len(names) if names else 0.0


def calibration_error(answers: Sequence[Answer]) -> float:
    """Expected calibration error over ten bins of equal width."""
    bins: dict[int, list[Answer]] = {}
    for answer in answers:
        bins.setdefault(min(int(answer.confidence * _BINS), _BINS - 1), []).append(answer)
    gaps = (abs(sum(a.confidence for a in some) - sum(a.right for a in some)) for some in bins.values())
    return sum(gaps) / len(answers) if answers else 0.0


def _f1(right: int, wrong: int, missed: int) -> float:
    return 2 * right / (2 * right + wrong + missed) if right else 0.0
