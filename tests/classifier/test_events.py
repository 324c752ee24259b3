"""What is said fits the bus: cut in a stated order, and marked."""

from __future__ import annotations

import pytest

from services.classifier.domain.events import classified_from, fitted
from shared.contracts.asset import AssetClassified, ColumnVerdict, Reason
from tests.classifier.tables import table


def event(columns: int) -> AssetClassified:
    reasons = tuple(Reason(rule=f"name:{number}", text="the name says: first name", weight=1.0) for number in range(6))
    verdicts = [ColumnVerdict(name=f"c{number}", class_name="email", also=("phone",), reasons=reasons) for number in range(columns)]
    return classified_from(table("t", ["c"]), verdicts, (), sequence=1, ruleset="r@1")


def test_what_fits_is_left_alone() -> None:
    """Not a byte is cut, and nothing is marked."""
    assert fitted(event(10)) == event(10)


@pytest.mark.parametrize(
    ("share", "reasons"),
    [
        pytest.param(0.5, 1, id="first all reasons but one go"),
        pytest.param(0.2, 0, id="then all of them"),
    ],
)
def test_reasons_are_cut_first(share: float, reasons: int) -> None:
    """Labels stay, reasons go, the event says that it was cut."""
    whole = event(200)
    limit = int(len(whole.to_json()) * share)
    cut = fitted(whole, limit=limit)
    assert cut.truncated
    assert len(cut.to_json()) <= limit
    assert {len(column.reasons) for column in cut.columns} == {reasons}
    assert [column.class_name for column in cut.columns] == [column.class_name for column in whole.columns]


def test_a_table_as_wide_as_postgresql_allows_fits() -> None:
    """1,600 columns with all their reasons stay below the bus's limit uncut."""
    assert not fitted(event(1600)).truncated
