"""The JSON Schema of a data source as people write it: closed, with known words, and with what each engine needs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from shared.contracts.base import known_words
from shared.contracts.cloud import CLOUDS
from shared.contracts.engines import ENGINES, ONLY_FOR, Engine
from shared.contracts.source import DataSource, ReplicaConfig, SslConfig

Schema = dict[str, Any]
BLOCKS: dict[str, type[BaseModel]] = {"ssl_config": SslConfig, "replica_config": ReplicaConfig}
DIALECT = "https://json-schema.org/draft/2020-12/schema"
BASE = "https://pursight.dev/schemas"
VERSION = "v1"
NO_FIELD = False  # the JSON Schema that nothing satisfies


def document_schema() -> Schema:
    """The schema of a source document in our own spelling. The registry understands other spellings too, and notes them.

    What the contract has is in `properties`. What only requests are held to (no unknown fields, known words, fields by engine)
    is in `additionalProperties` and `allOf`, so that a newer word breaks no older reader of a fact.
    """
    schema = DataSource.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        part["additionalProperties"] = False
    schema["required"] = ["name"]
    schema["properties"]["cloud_provider"] = {"type": "string", "enum": list(CLOUDS), "description": "the same as cloud_config.provider"}
    return {**schema, "allOf": [_words(), *map(_rule, ENGINES.values())]}


def published_schema() -> Schema:
    """The same as whoever gets it alone can use it: which dialect it is written in, what it is called, and its version."""
    return {"$schema": DIALECT, "$id": f"{BASE}/data_source.{VERSION}.json", "version": VERSION, **document_schema()}


def _words() -> Schema:
    blocks = {name: {"properties": _enums(model)} for name, model in BLOCKS.items()}
    return {"properties": {**_enums(DataSource), **blocks}}


def _enums(model: type[BaseModel]) -> Schema:
    return {name: {"enum": list(words)} for name, words in known_words(model).items()}


def _rule(engine: Engine) -> Schema:
    """What this engine has and needs. A document without `engine` means the default one, so that one's condition does not ask for it."""
    usual = engine.name == DataSource.model_fields["engine"].default
    condition: Schema = {"properties": {"engine": {"const": engine.name}}}
    needs = ["path"] if engine.kind == "folder" else ["database"]
    top = {field: NO_FIELD for field, engines in ONLY_FOR.items() if engine.name not in engines and "." not in field}
    nested = [field.split(".") for field, engines in ONLY_FOR.items() if engine.name not in engines and "." in field]
    inner = {block: {"properties": {field: NO_FIELD}} for block, field in nested if block not in top}
    port = {"port": {"default": engine.port}} if "port" not in top else {}
    return {
        "if": condition if usual else {**condition, "required": ["engine"]},
        "then": {"required": needs, "properties": top | inner | port},
    }
