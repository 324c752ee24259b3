"""Conditions over facts: three answers, and every mistake found at load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compliance.domain.expression import context_of, parse, problems
from tests.compliance.examples import rules

SCHEMA = rules().schema
A, B = "posture.tls_in_transit", "posture.public_access"
THREE = st.sampled_from([True, False, None])


@pytest.mark.parametrize(
    ("source", "facts", "expected"),
    [
        pytest.param(f"{A} && {B}", {A: False, B: None}, False, id="false and unknown is false"),
        pytest.param(f"{A} && {B}", {A: None, B: False}, False, id="unknown and false is false"),
        pytest.param(f"{A} && {B}", {A: True, B: None}, None, id="true and unknown is unknown"),
        pytest.param(f"{A} || {B}", {A: None, B: True}, True, id="unknown or true is true"),
        pytest.param(f"{A} || {B}", {A: False, B: None}, None, id="false or unknown is unknown"),
        pytest.param(f"!{A}", {A: None}, None, id="not unknown is unknown"),
        pytest.param("asset.rows >= 10", {"asset.rows": None}, None, id="a comparison with unknown is unknown"),
        pytest.param("source.owner == ''", {"source.owner": ""}, True, id="an empty text is known"),
    ],
)
def test_three_answers(source: str, facts: dict[str, bool | None], expected: bool | None) -> None:
    """What is not known decides nothing, unless the other side already did."""
    assert parse(source, SCHEMA).value(context_of(facts)) is expected


def conditions() -> st.SearchStrategy[str]:
    facts = st.sampled_from([A, B, "asset.documented", "source.leaves_host"])
    deeper = lambda inner: st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})")  # noqa: E731
    return st.recursive(facts, lambda inner: deeper(inner) | inner.map(lambda text: f"!{text}"), max_leaves=5)


@given(source=conditions(), values=st.tuples(THREE, THREE, THREE, THREE))
def test_an_answer_stays_when_more_becomes_known(source: str, values: tuple[bool | None, ...]) -> None:
    """A decided answer never depends on what is not known: filling it in, either way, changes nothing."""
    names = [A, B, "asset.documented", "source.leaves_host"]
    expression = parse(source, SCHEMA)
    facts = dict(zip(names, values, strict=True))
    before = expression.value(context_of(facts))
    for filler in (True, False):
        after = expression.value(context_of({name: filler if value is None else value for name, value in facts.items()}))
        assert after is not None
        assert before is None or after is before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("holds.pann", "holds.pann is not a fact; did you mean holds.pan?", id="misspelt fact"),
        pytest.param("posture == 1", "posture is not a fact", id="a section is no fact"),
        pytest.param("has(posture.public_access)", "has may not be used in a rule", id="has would make unknown a no"),
        pytest.param("[1].all(x, x > 0)", "is not a fact", id="no macros"),
        pytest.param("asset.kind.matches('(a+)+$')", "matches may not be used", id="no patterns"),
        pytest.param("asset.rows == 'many'", "asset.rows is a number, and is compared with a text", id="compared with another type"),
        pytest.param("asset.rows", "does not answer true or false", id="no answer"),
        pytest.param("!asset.rows", "mixes types", id="not of a number"),
        pytest.param("source.owner &&& true", "not a CEL expression", id="no CEL"),
        pytest.param("(" * 7 + "true" + ")" * 7, "nested deeper than 6", id="too deep"),
        pytest.param("true || " * 60 + "true", "longer than 400", id="too long"),
    ],
)
def test_mistakes_are_found_at_load(source: str, said: str) -> None:
    """No rule with a mistake ever judges an asset."""
    assert any(said in problem for problem in problems(source, SCHEMA))


def test_a_name_inside_a_text_is_no_fact() -> None:
    """Texts are not searched for facts."""
    assert parse("source.owner == 'holds.pann'", SCHEMA).facts == ("source.owner",)
