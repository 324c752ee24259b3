"""The bars of the quality set, as it is; `make quality` prints the other ways of looking."""

from __future__ import annotations

import pytest

from bench.quality.figures import Answer, Figures, calibration_error, figures, macro_f1, sensitive_f1
from bench.quality.gold import Gold, gold
from bench.quality.run import PARTS, answer, sensitive_classes, verdicts_of
from services.classifier.domain.tables import Judge


@pytest.fixture(scope="module")
def columns() -> list[Gold]:
    """Both parts: a third of the columns was never looked at."""
    return [column for part in PARTS for column in gold(part)]


def of(judge: Judge, columns: list[Gold], *, named: bool) -> Figures:
    verdicts = verdicts_of(judge, columns, named=named, sampled=True)
    return figures([answer(one, verdict) for one, verdict in zip(columns, verdicts, strict=True)], sensitive_classes(judge))


def test_labels_are_as_right_as_promised(both: Judge, columns: list[Gold]) -> None:
    """Sensitive or not, exact class, calibration."""
    found = of(both, columns, named=True)
    assert found.columns > 1_100
    assert found.sensitive_f1 >= 0.95
    assert found.macro_f1 >= 0.85
    assert found.calibration <= 0.05


def test_tier_2_finds_what_no_name_tells(judge: Judge, both: Judge, columns: list[Gold]) -> None:
    """With columns called c1 to cn it is far better than the rules alone."""
    rules, together = of(judge, columns, named=False), of(both, columns, named=False)
    assert together.sensitive_f1 >= 0.75 > rules.sensitive_f1 + 0.25
    assert together.macro_f1 >= rules.macro_f1 + 0.15
    assert together.calibration <= 0.2


def test_figures_by_hand() -> None:
    """One right, one missed, one wrong, one that may be either."""
    answers = [
        Answer(("email",), "email", 0.9),
        Answer(("phone",), "none", 0.9),
        Answer(("none",), "email", 0.5),
        Answer(("phone", "none"), "none", 0.9),
    ]
    assert sensitive_f1(answers, frozenset({"email", "phone"})) == 0.5
    assert macro_f1(answers) == pytest.approx((2 / 3 + 0 + 1 / 2) / 3)  # email, phone, nothing
    assert calibration_error(answers) == pytest.approx((abs(2.7 - 2) + abs(0.5 - 0)) / 4)
