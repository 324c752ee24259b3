"""What a classified asset tells, and what it leaves open."""

from __future__ import annotations

import pytest

from services.compliance.domain.reading import FactReader
from shared.contracts.asset import AssetClassified, ColumnVerdict
from tests.compliance.examples import asset, column, rules

NEEDED = [f"{section}.{group}" for section in ("holds", "stored", "plain", "embedded", "count") for group in ("pan", "secret", "personal")]
READER = FactReader(rules().vocabulary, NEEDED)


def fact(name: str, event: AssetClassified) -> object:
    return READER.read(event, {}).get(name)


PAN = column("card", "card_pan", "card_pan")


@pytest.mark.parametrize(
    ("name", "event", "expected"),
    [
        pytest.param("holds.pan", asset(PAN), True, id="a column of the class"),
        pytest.param("holds.pan", asset(column("card")), False, id="no column of the class"),
        pytest.param("holds.pan", asset(column("card", state="abstained", runner_up="card_pan")), None, id="an open column"),
        pytest.param("holds.pan", asset(column("card", "card_pan", state="rejected")), False, id="a person said no"),
        pytest.param("plain.pan", asset(PAN), True, id="values fit the detector"),
        pytest.param("plain.pan", asset(column("card", "card_pan", "card_masked")), False, id="masked values"),
        pytest.param("plain.pan", asset(column("card", "card_pan", "-silent")), False, id="no value looks like it"),
        pytest.param("plain.pan", asset(column("card", "card_pan", "-none")), None, id="no value was there"),
        pytest.param("plain.pan", asset(column("card", "card_pan")), None, id="the name alone says nothing of the values"),
        pytest.param("plain.pan", asset(PAN, sampling="none"), None, id="nobody looked"),
        pytest.param("plain.pan", asset(column("note", "free_text", also=("card_pan",))), True, id="numbers inside text"),
        pytest.param("plain.secret", asset(column("pw", "password")), True, id="passwords that are no hashes"),
        pytest.param("plain.secret", asset(column("pw", "password", "-password_hash")), False, id="passwords that are hashes"),
        pytest.param("plain.secret", asset(column("pw", "password_hash", "password_hash")), False, id="hashes are no passwords"),
        pytest.param("stored.pan", asset(PAN), True, id="values were seen"),
        pytest.param("stored.pan", asset(PAN, sampling="none"), None, id="values were not looked at"),
        pytest.param("stored.pan", asset(PAN, sampling="none", rows_estimated=0), False, id="no rows"),
        pytest.param("stored.pan", asset(PAN, kind="view"), False, id="a view stores nothing"),
        pytest.param("embedded.pan", asset(column("note", also=("card_pan",))), True, id="rare hits in a column without a class"),
        pytest.param("embedded.pan", asset(column("note", also=("card_pan",), state="abstained")), None, id="rare hits to be seen"),
        pytest.param("embedded.pan", asset(column("note"), sampling="none"), None, id="text nobody looked into"),
        pytest.param("embedded.pan", asset(column("amount", type="numeric"), sampling="none"), False, id="a number hides no text"),
        pytest.param("count.personal", asset(column("a", "email"), column("b", "phone")), 2, id="columns are counted"),
        pytest.param("holds.personal", asset(column("a", "customer_id")), False, id="a key that points at people"),
    ],
)
def test_fact(name: str, event: AssetClassified, expected: object) -> None:
    """Known is what was decided or counted; everything else is absent."""
    assert fact(name, event) == expected


def test_unknown_classes_belong_to_the_groups_of_their_category() -> None:
    """A class that is new to us is judged by its category."""
    new = ColumnVerdict(name="x", class_name="blood_pressure", category="health", state="classified", sensitivity="restricted")
    assert fact("holds.personal", asset(new)) is True
