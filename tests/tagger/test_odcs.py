"""Contracts in, contracts out: nothing dropped, everything valid, each mistake at the place where it was written."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tagger.domain.odcs import MARK, judge_contract, normalise, simple_form
from services.tagger.gateway.standard import shape
from shared.contracts.judging.contract import contract_key, custom_value
from tests.tagger.test_worked_example import ASSET

NEW: dict[str, Any] = {
    "apiVersion": "v3.1.0",
    "kind": "DataContract",
    "id": "orders",
    "version": "1.1.0",
    "status": "active",
    "tenant": "acme",
    "domain": "sales",
    "team": {"name": "sales", "members": [{"username": "ann", "role": "owner"}]},
    "schema": [{"name": "orders", "properties": [{"name": "email", "logicalType": "string", "classification": "confidential"}]}],
    "customProperties": [{"property": "costCenter", "value": "data-engineering"}],
    "slaProperties": [{"property": "retention", "value": 3, "unit": "y"}],
}
OLD = NEW | {"apiVersion": "v3.0.2", "team": [{"username": "ann", "role": "owner"}]}
SIMPLE: dict[str, Any] = ASSET | {
    "name": "orders",
    "version": "1.0",
    "description": "what customers ordered",
    "tags": ["nightly"],
    "team": {"owner": "data-team@acme.com", "roles": [{"name": "Engineer"}]},
    "object": "public.orders",
    "schema": [{"name": "id", "type": "integer", "required": True}, {"name": "ts", "type": "timestamptz", "pii": True}],
    "data_quality": {"monitoring": {"enabled": True}},
}


def problems(document: dict[str, Any]) -> dict[str, str]:
    return {problem.field: problem.code for problem in judge_contract(document, shape=shape).problems}


@pytest.mark.parametrize("contract", [NEW, OLD], ids=["3.1", "3.0"])
def test_odcs_comes_through_untouched(contract: dict[str, Any]) -> None:
    """Valid ODCS is its own normal form, and its own way back."""
    judged = judge_contract(contract, shape=shape)
    assert judged.problems == ()
    assert judged.contract
    assert (judged.contract.contract, simple_form(judged.contract.contract)) == (contract, contract)


@pytest.mark.parametrize("version", ["", "v3.0.2", "v3.1.0"])
def test_the_simple_form_becomes_valid_odcs_and_comes_back(version: str) -> None:
    """In the layout of the version it names, else of 3.1."""
    document = SIMPLE | ({"apiVersion": version} if version else {})
    judged = judge_contract(document, shape=shape)
    assert judged.problems == ()
    assert judged.contract
    contract = judged.contract.contract
    assert isinstance(contract["team"], list if version == "v3.0.2" else dict)
    assert [column["name"] for column in contract["schema"][0]["properties"]] == ["id", "ts"]
    assert custom_value(contract, "data_quality") == {"monitoring": {"enabled": True}}
    assert simple_form(contract) == document
    assert normalise(contract).contract == contract


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        pytest.param({"apiVersion": "v2.2.2"}, "apiVersion", "contract_version", id="another version"),
        pytest.param({"apiVersion": "v4.0.0"}, "apiVersion", "contract_version", id="one to come"),
        pytest.param({"kind": "Pipeline"}, "kind", "invalid", id="another kind"),
        pytest.param({"status": 7}, "status", "invalid", id="a number for a word"),
        pytest.param({"team": {"owner": 7}}, "team.owner", "invalid", id="an owner who is a number"),
        pytest.param({"tags": "nightly"}, "tags", "invalid", id="a text for a list"),
        pytest.param({"schema": [{"name": "a", "type": 7}]}, "schema.0.type", "invalid", id="a column's type"),
        pytest.param(
            {"schema": [{"name": "a", "properties": [{"name": "b", "klass": "x"}]}]},
            "schema.0.properties.0.klass",
            "unknown_field",
            id="deep",
        ),
        pytest.param(
            {"schema": [{"name": "a", "properties": [{"logicalType": "string"}]}]}, "schema.0.properties.0.name", "missing", id="no name"
        ),
        pytest.param({"servers": [{"server": "a", "type": "vax"}]}, "servers.0.type", "invalid", id="no such server"),
        pytest.param(
            {"finops": {"cost_center": "a"}, "customProperties": [{"property": "costCenter", "value": "b"}]},
            "finops.cost_center",
            "said_twice",
            id="said twice",
        ),
        pytest.param({"domain": "postgres://u:hunter2@db/x"}, "domain", "secret_in_document", id="a secret"),
        pytest.param({"domain": "a\x1b[2J"}, "domain", "control_character", id="a terminal's command"),
    ],
)
def test_what_is_wrong_is_told_where_it_was_written(change: dict[str, Any], field: str, code: str) -> None:
    """At the field of the document, not at the place where normalising put it; never the value."""
    found = judge_contract(SIMPLE | change, shape=shape).problems
    assert (field, code) in {(problem.field, problem.code) for problem in found}
    assert "hunter2" not in repr(found)


def test_the_key_of_a_contract() -> None:
    """Tenant and id; a name where there is no id; nothing that would be a secret."""
    assert contract_key(NEW) == "acme/orders"
    assert contract_key({"name": "a b"}) == "default/a%20b"
    assert contract_key({"id": "x://u:p@h"}, "file") == "default/file"


TEXT = st.text(alphabet="abcXYZ._ é", min_size=1, max_size=6)
VALUE = st.recursive(
    st.booleans() | st.integers(-5, 5) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
BLOCK = st.dictionaries(
    TEXT | st.sampled_from(["classification", "regulations", "retention_days", "cost_center", "security"]), VALUE, max_size=4
)
DOCUMENT = st.fixed_dictionaries(
    {},
    optional={
        "compliance": BLOCK,
        "finops": BLOCK,
        "team": st.fixed_dictionaries({"owner": TEXT}, optional={"roles": VALUE, "name": TEXT}),
        "tags": st.lists(TEXT, max_size=2),
        "description": TEXT,
        "schema": st.lists(
            st.fixed_dictionaries({"name": TEXT, "type": TEXT}, optional={"pii": VALUE, "required": st.booleans()}), max_size=2
        ),
        "apiVersion": st.sampled_from(["v3.0.2", "v3.1.0"]),
        "slaProperties": st.lists(st.fixed_dictionaries({"property": TEXT, "value": TEXT}), max_size=2),
        "source_type": VALUE,
        "data_quality": VALUE,
    },
)


@given(DOCUMENT)
def test_nothing_is_dropped(document: dict[str, Any]) -> None:
    """Whatever the simple form holds, the normal form leads back to it, and normalising again changes nothing."""
    given_ = copy.deepcopy(document)
    normal = normalise(document)
    assert document == given_
    if not normal.problems:
        assert simple_form(normal.contract) == document
        assert normalise(normal.contract).contract == normal.contract


@given(
    st.dictionaries(
        st.text(max_size=5) | st.sampled_from(["team", "schema", "compliance", MARK, "customProperties"]), VALUE | st.none(), max_size=5
    )
)
def test_no_document_makes_the_judge_fall(document: dict[str, Any]) -> None:
    """Whatever comes in is answered."""
    judged = judge_contract(document, shape=shape)
    assert judged.key
    assert bool(judged.contract) is not bool(judged.problems)
