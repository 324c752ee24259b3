"""What a converted tag may look like, and that nothing meets or is lost on the way. Any Unicode."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tagger.domain.labels import RULES, Rules, convert, convert_key, convert_value
from services.tagger.domain.targets import Resource, rules_of
from services.tagger.domain.vocabulary import KEY_ORDER

TARGETS = st.sampled_from(sorted(RULES))
WORDS = st.sampled_from(
    [
        "PII",
        "pii",
        "GDPR",
        "gdpr",
        "PCI-DSS",
        "pci_dss",
        "aws:x",
        "RDS:y",
        "cost_center",
        "CostCenter",
        "-",
        "+",
        "é",
        " ",
        "🙂",
        "a.example/",
        "k8s.io/",
        "\ud800",
        "ß",
        "İ",
        "ﬁ",
        "K",
    ]
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
        pytest.param(
            "kubernetes-annotation",
            "data.team, of: Ümläut\n" + "x" * 300,
            "data.team, of: Ümläut\n" + "x" * 300,
            id="an annotation is free",
        ),
        pytest.param("kubernetes", "2025-11-25T15:30:00Z", r"2025-11-25T15_30_00Z-[0-9a-f]{10}", id="a colon in Kubernetes"),
        pytest.param("aws", "", "", id="an empty value is one"),
    ],
)
def test_values(target: str, value: str, expected: str) -> None:
    """A value that is allowed stays; one that is not stays legible and unique."""
    assert re.fullmatch(re.escape(expected) if "[" not in expected else expected, convert_value(value, RULES[target]))


@pytest.mark.parametrize(
    ("target", "key", "stays"),
    [
        pytest.param("kubernetes", "app.example.com/name", True, id="a prefix that is a DNS name"),
        pytest.param("kubernetes", "app.kubernetes.io/name", False, id="the prefix of Kubernetes itself"),
        pytest.param("kubernetes", "UPPER.example/name", False, id="no DNS name"),
        pytest.param("kubernetes", "a/b/c", False, id="two slashes"),
        pytest.param("kubernetes", f"{'a.' * 127}a/name", False, id="a prefix that is too long"),
        pytest.param("azure", "x" * 512, True, id="Azure takes long keys"),
        pytest.param("azure-storage", "x" * 129, False, id="storage accounts do not"),
        pytest.param("azure-dns", "1st", False, id="no leading digit in DNS zones"),
        pytest.param("azure-dns", "a b", False, id="no space either"),
        pytest.param("azure-front-door", "a:b", False, id="no colon at the front door"),
        pytest.param("azure", "a/b", False, id="no slash in Azure"),
        pytest.param("rds", "rds:x", False, id="a reserved prefix"),
        pytest.param("aws", "AWS:x", False, id="in any case"),
        pytest.param("gcp", "google", False, id="Google's own"),
    ],
)
def test_keys_that_stay_and_keys_that_cannot(target: str, key: str, stays: bool) -> None:
    """Characters, lengths and reserved prefixes of each kind of target."""
    assert (convert_key(key, RULES[target]) == key) is stays


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        ("Microsoft.Storage/storageAccounts/lake", "azure-storage"),
        ("microsoft.network/dnsZones/acme.example", "azure-dns"),
        ("Microsoft.Cdn/profiles/edge", "azure-few"),
        ("Microsoft.ContainerService/managedClusters/etl", "azure"),
    ],
)
def test_azure_resources_differ(kind: str, rules: str) -> None:
    """What a resource may carry follows from its type."""
    name = f"/subscriptions/0/resourceGroups/g/providers/{kind}"
    assert rules_of(Resource("acme", "azure", name)).name == rules


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
    elif rules.name.startswith("azure"):
        fine = not (key and (set(text) & set("<>%&\\?/") or text.casefold().startswith(("microsoft", "azure", "windows"))))
        fine = fine and not (rules.name == "azure-dns" and key and (" " in text or text[0].isnumeric()))
        fine = fine and not (rules.name == "azure-front-door" and key and set(text) & set("#:"))
    elif key or rules.name == "kubernetes":
        prefix, slash, name = text.rpartition("/")
        fine = re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?", name) and len(name) <= 63
        fine = fine and (
            not slash or (key and re.fullmatch(r"[a-z0-9.-]{1,253}", prefix) and not prefix.endswith(("kubernetes.io", "k8s.io")))
        )
        return bool(fine)
    else:
        fine = len(text.encode()) <= 4000 and "\x00" not in text
    return bool(fine) and units <= form.longest


@given(TARGETS, TEXT)
def test_every_result_is_allowed(target: str, text: str) -> None:
    """Whatever comes in, what comes out obeys the target's rules."""
    rules = RULES[target]
    assert _valid(convert_key(text, rules), rules, key=True)
    assert _valid(convert_value(text, rules), rules, key=False)


PAIRS = st.tuples(TEXT, TEXT) | TEXT.flatmap(lambda text: st.tuples(st.just(text), st.sampled_from([text.swapcase(), text.casefold()])))


@given(TARGETS, PAIRS)
def test_different_texts_stay_different(target: str, pair: tuple[str, str]) -> None:
    """No two texts meet, also not where the target does not tell case apart."""
    rules, (one, other) = RULES[target], pair
    if one != other:
        assert convert_value(one, rules) != convert_value(other, rules)
        keys = [convert_key(text, rules) for text in pair]
        assert len({key.casefold() for key in keys} if rules.key.caseless else set(keys)) == 2


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
