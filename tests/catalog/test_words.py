"""Words of search: harmless to PostgreSQL whatever was typed, and the same on both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.domain.shown import matching
from services.catalog.domain.wanted import wanted
from services.catalog.domain.words import begins, typed, vector, words_of
from shared.errors import UsageError


@given(st.text())
def test_words_need_no_quoting(text: str) -> None:
    """Only letters and digits of any script come out, so no query can be built by what is typed."""
    for word in words_of(text).union(*typed(text)):
        assert word
        assert not set(word) & set(" '\\:|&!()<>*\"")


@given(st.text())
def test_every_name_is_found_by_itself(name: str) -> None:
    """What is typed as the whole name begins some of its words."""
    assert all(any(word.startswith(spelling) for word in words_of(name)) for spellings in typed(name) for spelling in spellings)


def test_a_sensitivity_that_is_none_is_refused() -> None:
    """A typing error would find nothing, and look like good news."""
    with pytest.raises(UsageError, match="restricted"):
        wanted({"sensitivity": "restrictd"})


def test_accents_do_not_matter() -> None:
    """Nor whether the letters that stand for one are written, on either side."""
    assert list(map(begins, typed("Straßenname Größe"))) == ["strassenname:*", "groesse:* | grosse:*"]
    assert {"grosse", "groesse"} <= set(vector(["GRÖSSE_cm"]).split())


@pytest.mark.parametrize("text", ["größe", "Groesse", "GROSSE", "öße"])
def test_the_columns_that_explain_why_a_table_was_found(text: str) -> None:
    """By the same words that found it."""
    assert [column["name"] for column in matching([{"name": "email", "class": "email"}, {"name": "SchuhGröße"}], text, "")] == [
        "SchuhGröße"
    ]


def test_the_columns_that_wait_for_a_person_explain_why_theirs_was_found() -> None:
    """Not those that are sensitive and settled."""
    columns = [
        {"name": "email", "class": "email", "sensitivity": "confidential", "state": "classified"},
        {"name": "origin", "class": "none", "sensitivity": "internal", "state": "abstained"},
    ]
    assert [column["name"] for column in matching(columns, "", "", review=True)] == ["origin"]
