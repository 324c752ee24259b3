"""Comments and names: private values go, the rest stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.evidence.scrub import scrub
from tests.shared.evidence.examples import ORACLES, search


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner ann@example.org (team x)", "owner ? (team x)"),
        ("see +49 30 901820 or 10.0.0.7", "see ? or ?"),
        ("test card 4111 1111 1111 1111.", "test card ?."),
        ("ssn=219-09-9998;", "ssn=?;"),
        ("postgres://app:secret@db.example/x", "?"),
        ("number 123456789 of 12", "number ? of 12"),
    ],
)
def test_private_values_go(text: str, expected: str) -> None:
    """A strong detector's hit becomes a question mark, wherever it stands."""
    assert scrub(text) == expected


@pytest.mark.parametrize(
    "text", ["orders of 2024", "year=2024/month=05", "public.customer_address", "ISO 8601", "v1.2.3", "schema::type", ""]
)
def test_ordinary_names_stay(text: str) -> None:
    """Years, versions, partitions and identifiers are no private values."""
    assert scrub(text) == text


@pytest.mark.parametrize("name", ["us_ssn", "es_dni", "fr_nir", "de_steuer_id", "fi_hetu", "in_aadhaar", "it_codice_fiscale"])
def test_identity_numbers_go(name: str) -> None:
    """A valid number of a country does not survive in a comment."""
    value = search(*ORACLES[name]) if name in ORACLES else "219-09-9998"
    assert value not in scrub(f"for example {value}, as told")


@given(st.text(max_size=300))
def test_any_text_is_taken(text: str) -> None:
    """Never raises; what is left is text again."""
    assert isinstance(scrub(text), str)
