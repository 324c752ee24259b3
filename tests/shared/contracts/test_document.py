"""The JSON Schema that is published says what the registry does, engine by engine."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from shared.contracts.document import document_schema
from shared.contracts.engines import ENGINES, ONLY_FOR
from shared.contracts.judging.source import judge

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "sources").iterdir())
CHECK = Draft202012Validator(document_schema())
VALUES: dict[str, Any] = {
    "host": "h.example",
    "port": 4711,
    "username": "u",
    "password_secret": "env:P",
    "cloud_config": {"provider": "aws", "region": "r"},
    "ssl_config": {"ca": "/c"},
    "replica_config": {"replica_members": ["b"]},
    "replica_config.replica_set": "rs",
    "auth_database": "admin",
    "srv": True,
    "path": "/p",
}
MEANT = {"gcs": "gcp", "azure_blob": "azure"}


def document(engine: str) -> dict[str, Any]:
    least = {"name": "x", "engine": engine, "path": "/p"} if engine == "folder" else {"name": "x", "engine": engine, "database": "d"}
    return {**least, "cloud_config": {"provider": "azure", "storage_account": "a"}} if engine == "azure_blob" else least


def test_it_is_a_schema() -> None:
    """By its own standard."""
    Draft202012Validator.check_schema(document_schema())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_good_and_valid(file: Path) -> None:
    """The registry takes each; the schema takes those in our own spelling, and what the others become."""
    given = json.loads(file.read_text()) if file.suffix == ".json" else yaml.safe_load(file.read_text())
    judged = judge(given)
    assert judged.spec, judged.problems
    if not any(" is read as " in note for note in judged.notes):
        strict = copy.deepcopy(given)
        if provider := strict.pop("cloud_provider", None):
            strict["cloud_config"]["provider"] = provider
        CHECK.validate(strict)
    kept = json.loads(judged.spec.to_json())
    CHECK.validate({name: value for name, value in kept.items() if name not in ("host", "port") or judged.spec.engine != "folder"})


@pytest.mark.parametrize("field", ONLY_FOR)
@pytest.mark.parametrize("engine", ENGINES)
def test_fields_of_other_engines_are_refused_by_both(engine: str, field: str) -> None:
    """The table, the schema and the registry agree for every engine and field."""
    given = document(engine)
    block, _, inner = field.partition(".")
    value = VALUES[field]
    if field == "cloud_config" and engine in MEANT:
        value = {"provider": MEANT[engine], **({"storage_account": "a"} if engine == "azure_blob" else {})}
    given[block] = {inner: value} if inner else value
    allowed = engine in ONLY_FOR[field] and engine in ONLY_FOR.get(block, (engine,))
    assert CHECK.is_valid(given) is allowed
    problems = {problem.code for problem in judge(given).problems}
    assert ("not_for_engine" in problems) is not allowed
    assert not problems or not allowed


@pytest.mark.parametrize(
    "more",
    [
        {"engine": "oracle"},
        {"hots": 1},
        {"ssl_config": {"mode": "on"}},
        {"ssl_config": {"colour": "red"}},
        {"cloud_config": {"provider": "azure", "role_arn": "r"}},
        {"database": None},
        {"location": "moon"},
    ],
)
def test_what_the_registry_refuses_the_schema_refuses(more: dict[str, Any]) -> None:
    """Unknown fields, unknown words, another cloud's field, something missing."""
    given = {key: value for key, value in ({"name": "x", "database": "d"} | more).items() if value is not None}
    assert not CHECK.is_valid(given)
    assert judge(given).problems
