"""What a converted tag may look like, and that nothing meets or is lost on the way. Any Unicode."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tagger.domain.labels import RULES, Rules, convert, convert_key, convert_value
from services.tagger.domain.vocabulary import KEY_ORDER

TARGETS = st.sampled_from(sorted(RULES))
WORDS = st.sampled_from(
    ["PII", "pii", "GDPR", "gdpr", "PCI-DSS", "pci_dss", "aws:x", "RDS:y", "cost_center", "CostCenter", "-", "+", "é", " ", "🙂"]
)
TEXT = st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=80).map("".join), st.lists(WORDS, max_size=9).map("+".join))
AWS = re.compile(r"[\w .:/=+@-]*")


@pytest.mark.parametrize(
    ("target", "key", "expected"),
    [
        pytest.param("rds", "DataClassification", "DataClassification", id="our keys are as they are on AWS"),
        pytest.param("gcp", "DataClassification", "data_classification", id="our keys are snake case on GCP"),
        pytest.param("gcp", "PurSightTrace", "pursight_trace", id="the product's name is one word"),
        pytest.param("azure", "TenantId", "TenantId", id="Azure keeps the case"),
        pytest.param("kubernetes", "CostCenter", "CostCenter", id="Kubernetes too"),
    ],
)
def test_own_keys_are_legible_everywhere(target: str, key: str, expected: str) -> None:
    """Our own keys never carry a hash."""
    assert convert_key(key, RULES[target]) == expected


@pytest.mark.parametrize("target", sorted(RULES))
def test_no_own_key_needs_a_hash(target: str) -> None:
    """The whole vocabulary has a clean form on each target, and the forms differ."""
    converted = [convert_key(key, RULES[target]) for key in KEY_ORDER]
    assert len(set(converted)) == len(KEY_ORDER)
    assert not [key for key in converted if "-" in key]


@pytest.mark.parametrize(
    ("target", "value", "expected"),
    [
        pytest.param("rds", "PII+Financial", "PII+Financial", id="the plus is allowed by RDS"),
        pytest.param("rds", "PII,Financial", r"PII_Financial-[0-9a-f]{10}", id="the comma is not"),
        pytest.param("gcp", "PII+Financial", "pii-financial", id="list words are lower case on GCP"),
        pytest.param("gcp", "data.team@acme.com", r"data_team_acme_com-[0-9a-f]{10}", id="changed characters leave a hash"),
        pytest.param("gcp", "data_team@acme.com", r"data_team_acme_com-[0-9a-f]{10}", id="so that both differ"),
        pytest.param("aws", "x" * 257, r"x{245}-[0-9a-f]{10}", id="so does a cut"),
        pytest.param("kubernetes", "2025-11-25T15:30:00Z", r"2025-11-25T15_30_00Z-[0-9a-f]{10}", id="a colon in Kubernetes"),
        pytest.param("aws", "", "", id="an empty value is one"),
    ],
)
def test_values(target: str, value: str, expected: str) -> None:
    """A value that is allowed stays; one that is not stays legible and unique."""
    assert re.fullmatch(re.escape(expected) if "[" not in expected else expected, convert_value(value, RULES[target]))


def _valid(text: str, rules: Rules, *, key: bool) -> bool:
    form = rules.key if key else rules.value
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    if key and not text:
        return False
    if rules.name in ("aws", "rds", "s3", "emr"):
        fine = AWS.fullmatch(text) and not (key and text.casefold().startswith("aws:")) and text == text.strip(" ")
        fine = fine and not (rules.name == "rds" and text.casefold().startswith(("rds:", "aws:") if key else "aws:"))
    elif rules.name == "gcp":
        fine = text == text.lower() and all(char in "_-" or char.isalnum() or char.isnumeric() for char in text)
        fine = fine and len(text.encode()) <= 128 and (not key or (text[0].isalpha() and not text.startswith("goog")))
    elif rules.name == "azure":
        fine = not (key and (set(text) & set("<>%&\\?/") or text.casefold().startswith(("microsoft", "azure", "windows"))))
    else:
        fine = re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?", text)
    return bool(fine) and units <= form.longest


@given(TARGETS, TEXT)
def test_every_result_is_allowed(target: str, text: str) -> None:
    """Whatever comes in, what comes out obeys the target's rules."""
    rules = RULES[target]
    assert _valid(convert_key(text, rules), rules, key=True)
    assert _valid(convert_value(text, rules), rules, key=False)


@given(TARGETS, TEXT, TEXT)
def test_different_texts_stay_different(target: str, one: str, other: str) -> None:
    """No two texts meet, also not where the target does not tell case apart."""
    rules = RULES[target]
    if one != other:
        assert convert_value(one, rules) != convert_value(other, rules)
        assert convert_key(one, rules).casefold() != convert_key(other, rules).casefold()


@given(TARGETS, TEXT)
def test_what_was_converted_cannot_meet_what_it_became(target: str, text: str) -> None:
    """A text that imitates a converted one is told apart from it."""
    rules = RULES[target]
    for change in (convert_key, convert_value):
        became = change(text, rules)
        if became != text:
            assert change(became, rules) != became


@given(TARGETS, st.dictionaries(TEXT, TEXT, max_size=20))
def test_the_stored_map_leads_back(target: str, tags: dict[str, str]) -> None:
    """Nothing is lost: from the converted tags and the map the originals come back, in order."""
    converted = convert(tags, RULES[target])
    assert [converted.origins[key] for key in converted.tags] == list(tags.items())
