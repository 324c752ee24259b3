"""Whatever a document holds: an answer of bounded size, no exception, and no secret in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.registry.handlers import named
from shared.contracts.judging.source import judge
from shared.contracts.names import SourceName

GOOD: dict[str, Any] = {"name": "crm", "host": "db.example", "database": "shop"}
CANARY = "zq7-Canary_Value-19"
KNOWN = ["name", "tenant", "engine", "location", "host", "port", "database", "cloud_config", "ssl_config", "replica_config", "labels"]
KNOWN += ["scope", "schedule", "connection_properties", "cloud_provider", "ssl", "pool_size", "description", "provider", "aws", "mode"]
KNOWN += ["aws_region", "azure_tenant_id", "tenant_id", "replica_members", "secondary", "use_iam_auth", "check_hostname", "bucket", "srv"]
WORDS = ["aws", "azure", "gcp", "cloud", "hybrid", "mysql", "mongodb", "s3", "folder", "require", "env:X", "", "h:1", "* * * * *", "1h"]
ODD = st.sampled_from([10**400, -1, float("inf"), float("nan"), "\ud800", "a\x00b", "\u202e", "x" * 5000, True, None, [], {}])
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(WORDS) | ODD
KEY = st.sampled_from(KNOWN) | st.text(max_size=12)
TREE = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=4), max_leaves=12)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEY, TREE, max_size=10))
def test_any_document_gets_an_answer(document: dict[str, Any]) -> None:
    """A source or problems, never both; the answer can be sent and stored, and so can the key it goes by."""
    judged = judge(document)
    assert (judged.spec is None) == bool(judged.problems)
    said = json.dumps([problem.model_dump() for problem in judged.problems] + list(judged.notes), ensure_ascii=False)
    assert "\\u0000" not in said
    said.encode()
    SourceName.parse(named(document)).key.encode("ascii")
    if judged.spec:
        assert judge(json.loads(judged.spec.to_json())).spec == judged.spec


SECRET_KEYS = ["password", "db_passwd", "PWD", "api_key", "apikey", "auth_token", "clientSecret", "aws_secret_access_key", "passphrase"]
SECRET_KEYS += [
    "credentials",
    "private_key",
    "azure_client_secret",
    "client_secret",
    "secret_access_key_ref",
    "password_secret",
    "service_account",
]
HOLDERS = [(), ("connection_properties",), ("cloud_config",), ("ssl_config",), ("extra",), ("extra", "inner"), ("cloud_config", "aws")]
FORMS = [CANARY, [CANARY], {"value": CANARY}, f"postgres://u:{CANARY}@h/d", f"-----BEGIN RSA PRIVATE KEY-----{CANARY}", f"env {CANARY}"]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(HOLDERS),
    st.sampled_from(SECRET_KEYS),
    st.sampled_from(FORMS),
    st.sampled_from([{}, {"cloud_provider": "azure"}, {"cloud_provider": "aws"}, {"engine": "s3"}, {"host": f"mongodb://u:{CANARY}@h"}]),
)
def test_no_secret_is_ever_repeated(holder: tuple[str, ...], key: str, value: object, more: dict[str, Any]) -> None:
    """Wherever it stands and whatever its field is called: refused, and in no word of the answer."""
    planted: Any = {key: value}
    for name in reversed(holder):
        planted = {name: planted}
    judged = judge({**GOOD, **more, **planted})
    assert judged.spec is None
    assert CANARY not in repr(judged)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ssl_config", {"key": f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}"}),
        ("description", f'{{"private_key": "{CANARY}"}}'),
        ("owner", f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0x.{CANARY}"),
        ("labels", {"db_password": CANARY}),
        ("labels", {"api-key": CANARY}),
        ("cloud_config", {"provider": CANARY}),
        ("engine", CANARY),
        ("schedule", CANARY),
        ("port", CANARY),
        ("scope", {"schemas": f"u:{CANARY}"}),
    ],
)
def test_a_value_in_the_wrong_place_is_not_repeated(field: str, value: object) -> None:
    """Keys and tokens are known by their looks; other values are never quoted at all."""
    judged = judge({**GOOD, field: value})
    assert judged.spec is None
    assert CANARY not in repr(judged)


SECRET_NAMES = [
    f"postgres://u:{CANARY}@h/db",
    f"password={CANARY}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0x.{CANARY}",
    "a" * 130 + f" pwd={CANARY}",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("holder", ["", "labels", "cloud_config", "ssl_config", "connection_properties", "extra"])
def test_a_secret_in_a_fields_name_is_refused_and_not_repeated(holder: str, name: str) -> None:
    """A line pasted before a colon of YAML is a name."""
    judged = judge({**GOOD, **({holder: {name: "x"}} if holder else {name: "x"})})
    assert judged.spec is None
    assert CANARY not in repr(judged)
    assert ("(a name that holds a secret)", "secret_in_document") in {(each.field, each.code) for each in judged.problems}


@pytest.mark.parametrize("labels", [{"token_policy": "x"}, {"secretariat": "Bern"}, {"team": "password-reset"}, {"contains_secrets": "no"}])
def test_labels_about_secrets_are_no_secrets(labels: dict[str, str]) -> None:
    """Words are not values."""
    assert judge({**GOOD, "labels": labels}).spec


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({**GOOD, "x": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}, "too_deep"),
        ({**GOOD, "replica_config": {"replica_members": ["a"] * 6000}}, "too_large"),
        ({**GOOD, "owner": "o" * 300}, "invalid"),
        ({**GOOD, "ssl_config": {"ca": "/" + "a" * 5000}}, "too_long"),
        ({**GOOD, "k" * 300: 1}, "too_long"),
        ({**GOOD, "host": "db\x1b[31m"}, "control_character"),
        ({**GOOD, "name": "a\nb"}, "control_character"),
        ({**GOOD, "name": "safe\u202etxt"}, "control_character"),
        ({**GOOD, "name": "\ud83d"}, "control_character"),
        ({**GOOD, "pool_size": True}, "invalid"),
        ({**GOOD, "port": 10**400}, "invalid"),
        ({**GOOD, "replica_config": {"max_lag_seconds": float("inf")}}, "invalid"),
    ],
)
def test_hostile_shapes_have_codes(document: dict[str, Any], code: str) -> None:
    """Length, depth, characters and numbers that no one means."""
    assert code in {problem.code for problem in judge(document).problems}


def test_a_very_deep_document_is_refused_quickly() -> None:
    """Deeper than the interpreter can recurse."""
    document: dict[str, Any] = {}
    for _ in range(20_000):
        document = {"a": document}
    assert [problem.code for problem in judge({**GOOD, **document}).problems] == ["too_deep"]


def test_the_answer_stays_short() -> None:
    """A thousand unknown fields are not a thousand problems, and their names are cut."""
    judged = judge({**GOOD, **{f"{number}{'n' * 200}": 1 for number in range(1000)}})
    assert len(judged.problems) == 101
    assert "900 more" in judged.problems[-1].message
    assert max(len(problem.field) for problem in judged.problems) < 130


def test_prose_may_have_lines() -> None:
    """Only there."""
    assert judge({**GOOD, "description": "one\n\ttwo"}).spec
