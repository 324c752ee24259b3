"""Evidence against contract: what the data shows and the contract does not say is found; the export of it is valid and silent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tagger.domain.compare import Detected, compare, describes, detected_contract, part_of
from services.tagger.domain.odcs import Normal, judge_contract
from services.tagger.domain.vocabulary import category_label
from services.tagger.gateway.standard import shape
from shared.contracts.compliance import ClassCount
from shared.contracts.judging.contract import is_of
from tests.tagger.examples import make_evaluated, make_source

SPEC = make_source(host="db.example")
DETECTED = Detected.of(make_evaluated())
COLUMNS = [
    {"name": "email", "classification": "confidential", "tags": ["classification:PII"]},
    {"name": "email2", "classification": "PII"},
    {"name": "CARD", "classification": "restricted", "tags": ["classification:Financial"]},
]


def contract(columns: list[dict[str, Any]], **changes: Any) -> Normal:
    document = {
        "tenant": "acme",
        "servers": [{"server": "orders", "type": "custom"}],
        "schema": [{"name": "o", "physicalName": "Public.Orders", "properties": columns}],
        "compliance": {"regulations": ["gdpr", "CCPA"], "security": {"encryption_required": True}},
    }
    found = judge_contract(document | changes, shape=shape, name="x")
    assert found.contract, found.problems
    return found.contract


def codes(normal: Normal) -> list[tuple[str, str]]:
    return [(finding.code, finding.column) for finding in compare(normal, [DETECTED])]


def test_a_contract_that_says_all_has_no_finding() -> None:
    """Case of names, words in tags or in the classification: all of it counts."""
    assert codes(contract(COLUMNS)) == []


@pytest.mark.parametrize(
    ("normal", "expected"),
    [
        pytest.param(contract(COLUMNS[:2]), [("column_undeclared", "card")], id="a column that is not described"),
        pytest.param(contract([{"name": "email"}, *COLUMNS[1:]]), [("category_undeclared", "email")], id="a class that is not declared"),
        pytest.param(
            contract([*COLUMNS[:2], COLUMNS[2] | {"classification": "internal"}]), [("sensitivity_too_low", "card")], id="declared too low"
        ),
        pytest.param(
            contract(COLUMNS, compliance={"regulations": ["GDPR"]}),
            [("regulation_undeclared", ""), ("encryption_undeclared", "")],
            id="a regulation and encryption",
        ),
        pytest.param(contract(COLUMNS, schema=[{"name": "other"}]), [], id="another table"),
        pytest.param(
            contract([{"name": name} for name in ("email", "email2", "card")], compliance={"classification": ["PII", "Financial"]}),
            [("regulation_undeclared", ""), ("regulation_undeclared", ""), ("encryption_undeclared", "")],
            id="declared for the contract as a whole",
        ),
    ],
)
def test_what_the_data_shows_beyond_the_contract(normal: Normal, expected: list[tuple[str, str]]) -> None:
    """Each finding once, and a remedy with it."""
    assert codes(normal) == expected
    assert all(finding.remedy for finding in compare(normal, [DETECTED]))


def test_which_source_a_contract_is_of() -> None:
    """By name, by place; never of another tenant's."""
    assert is_of(contract(COLUMNS).contract, SPEC)
    assert is_of(contract(COLUMNS, servers=[{"server": "a", "type": "custom", "host": "db.example", "database": "shop"}]).contract, SPEC)
    assert is_of(contract(COLUMNS, servers=[], customProperties=[{"property": "source", "value": "orders"}]).contract, SPEC)
    assert not is_of(contract(COLUMNS, servers=[]).contract, SPEC)
    assert not is_of(contract(COLUMNS, tenant="other").contract, SPEC)
    assert describes(contract(COLUMNS).contract, DETECTED.asset)


def test_the_export_of_the_detected_state_is_valid_and_finds_nothing() -> None:
    """Taken, judged, compared with what it was taken from: no problem, no finding."""
    exported = detected_contract(SPEC, [DETECTED])
    judged = judge_contract(exported, shape=shape)
    assert judged.problems == ()
    assert judged.contract
    assert is_of(judged.contract.contract, SPEC)
    assert compare(judged.contract, [DETECTED]) == ()


def test_tables_of_one_name_in_two_schemas_have_their_own_objects() -> None:
    """The export of both, with every category there is, finds nothing in either."""
    categories = ("special", "trade_secret", "health", "payment_card", "secret", "location")
    classes = tuple(ClassCount(class_name=each, category=each, sensitivity="restricted", columns=(f"of_{each}",)) for each in categories)
    detected = [
        Detected("acme/orders/shop.public.orders", classes),
        Detected("acme/orders/shop.archive.orders", classes[:1]),
        Detected("acme/orders/shop.archive.Orders%2Eold", classes[1:2]),
    ]
    judged = judge_contract(detected_contract(SPEC, detected), shape=shape)
    assert judged.contract
    assert compare(judged.contract, detected) == ()
    assert part_of(judged.contract.contract, detected[1].asset) == "schema.1"


@given(st.text(max_size=20))
def test_a_label_is_its_own_label(word: str) -> None:
    """So that what is exported can be read again."""
    assert category_label(category_label(word)) == category_label(word)
