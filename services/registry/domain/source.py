"""Is this document a data source? Every problem by field, in one pass; a secret is never repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from services.registry.domain.dialects import normalise
from shared.contracts.base import known_words
from shared.contracts.source import AwsConfig, AzureConfig, DataSource, GcpConfig, Problem, ReplicaConfig, Scope, SslConfig

SECRET_SCHEMES = ("env", "file", "local", "vault", "aws-sm", "azure-kv", "gcp-sm")
SECRET_WORDS = re.compile(r"passw|pwd|secret|token|api_?key|private_?key|access_?key$|credential|passphrase", re.IGNORECASE)
REFERENCE = re.compile(rf"(?:{'|'.join(SECRET_SCHEMES)}):.+")
SECRET_TEXT = re.compile(r"\w://[^/\s@]*:[^/\s@]*@|\b(?:password|passwd|pwd)\s*=\s*\S", re.IGNORECASE)  # a URL or DSN with a password in it
INTERVAL = re.compile(r"([0-9]{1,6})\s*([mhd])")  # more digits would leave the calendar
SECONDS = {"m": 60, "h": 3600, "d": 86400}
REFERENCE_FIELDS = frozenset({"password_secret", "secret_access_key_ref", "client_secret_ref", "service_account_ref"})
BLOCKS: dict[str, type[BaseModel]] = {"ssl_config": SslConfig, "replica_config": ReplicaConfig, "scope": Scope}
CLOUDS: dict[str, type[BaseModel]] = {"aws": AwsConfig, "azure": AzureConfig, "gcp": GcpConfig}


class Judged(NamedTuple):
    """The source, or why not. `notes` tells which other spellings were understood."""

    spec: DataSource | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def judge(document: dict[str, Any]) -> Judged:
    """Validate one document. Raises nothing; the same for HTTP, files and events."""
    if zeros := tuple(_zeros(document)):
        return Judged(None, zeros, ())
    normal, notes = normalise(document)
    problems = [*_unknown_fields(normal), *_literal_secrets(normal), *_secrets_in_text(normal), *_unknown_words(normal), *_schedule(normal)]
    spec: DataSource | None = None
    try:
        spec = DataSource.model_validate(normal)
    except ValidationError as error:
        problems += _from_pydantic(error, normal)
    if spec:
        problems += _meaning(spec)
    unique = {(p.field, p.code): p for p in problems}
    return Judged(None if unique else spec, tuple(unique.values()), tuple(notes))


def digest(spec: DataSource) -> str:
    """Equal digests, equal sources: nothing to say."""
    return sha256(spec.model_dump_json().encode()).hexdigest()


def changed_fields(before: DataSource, after: DataSource) -> tuple[str, ...]:
    """Names of the top-level fields that differ, sorted."""
    return tuple(sorted(name for name in DataSource.model_fields if getattr(before, name) != getattr(after, name)))


def interval_seconds(schedule: str) -> int | None:
    """`24h`, `30m`, `7d` in seconds; None where there is no schedule.

    >>> interval_seconds("24h"), interval_seconds("")
    (86400, None)
    """
    found = INTERVAL.fullmatch(schedule.strip())
    return int(found[1]) * SECONDS[found[2]] if found else None


def _unknown_fields(document: dict[str, Any]) -> Iterator[Problem]:
    for block, model, prefix in _blocks(document):
        for key in block:
            if key not in model.model_fields:
                yield _unknown(prefix, str(key), model)


def _blocks(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], type[BaseModel], str]]:
    yield document, DataSource, ""
    for name, model in BLOCKS.items():
        if isinstance(block := document.get(name), dict):
            yield block, model, f"{name}."
    cloud = document.get("cloud_config")
    if isinstance(cloud, dict) and (owner := CLOUDS.get(str(cloud.get("provider")))):
        yield cloud, owner, "cloud_config."


def _unknown(prefix: str, key: str, model: type[BaseModel]) -> Problem:
    if SECRET_WORDS.search(key):
        return Problem(
            field=f"{prefix}{key}",
            code="secret_in_document",
            message="looks like a secret and was refused; its value was not kept",
            remedy="Store it with `pursight secrets set NAME` and give password_secret: local:NAME, or env:NAME.",
        )
    owner = next((name for name, other in CLOUDS.items() if prefix == "cloud_config." and key in other.model_fields), "")
    if owner:
        given = next(name for name, other in CLOUDS.items() if other is model)
        return Problem(
            field=f"{prefix}{key}",
            code="wrong_provider",
            message=f"is a field of {owner}, but the block is for {given}",
            remedy="Remove it, or change provider.",
        )
    near = get_close_matches(key, model.model_fields, n=1)
    return Problem(
        field=f"{prefix}{key}",
        code="unknown_field",
        message="is not a field of a data source",
        remedy=f"Did you mean {prefix}{near[0]}?" if near else "Remove it.",
    )


def _literal_secrets(document: dict[str, Any], prefix: str = "") -> Iterator[Problem]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _literal_secrets(value, f"{prefix}{key}.")
        elif key in REFERENCE_FIELDS and isinstance(value, str) and value and not REFERENCE.fullmatch(value):
            yield Problem(
                field=f"{prefix}{key}",
                code="secret_not_a_reference",
                message="must be a reference, not the secret itself; the value was not kept",
                remedy="Use env:NAME, file:PATH or local:NAME.",
            )


def _secrets_in_text(value: object, field: str = "") -> Iterator[Problem]:
    """A whole database URL, pasted where one part of it belongs, holds a password."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _secrets_in_text(each, f"{field}.{key}".lstrip("."))
    elif isinstance(value, list):
        for each in value:
            yield from _secrets_in_text(each, field)
    elif isinstance(value, str) and SECRET_TEXT.search(value):
        yield Problem(
            field=field,
            code="secret_in_document",
            message="holds a password and was refused; its value was not kept",
            remedy="Give host, port, database and username each in its own field, and the password by password_secret.",
        )


def _zeros(document: dict[str, Any]) -> Iterator[Problem]:
    for field, value in document.items():
        if _holds_zero(field) or _holds_zero(value):
            shown = field.replace("\0", "\N{REPLACEMENT CHARACTER}")
            yield Problem(field=shown, code="invalid", message="holds a zero character", remedy="Remove it.")


def _holds_zero(value: object) -> bool:
    """Is U+0000 anywhere in it? No database keeps that in a text."""
    if isinstance(value, dict):
        return any(_holds_zero(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(map(_holds_zero, value))
    return isinstance(value, str) and "\0" in value


def _schedule(document: dict[str, Any]) -> Iterator[Problem]:
    text = document.get("schedule")
    if isinstance(text, str) and text and not interval_seconds(text):
        yield Problem(
            field="schedule", code="not_an_interval", message="is not an interval", remedy="Write a number and m, h or d, such as 24h."
        )


def _from_pydantic(error: ValidationError, document: dict[str, Any]) -> Iterator[Problem]:
    """pydantic's findings in our words; the input is left out."""
    for found in error.errors(include_input=False, include_url=False, include_context=False):
        field = ".".join(str(part) for part in found["loc"] if part not in CLOUDS) or "document"
        code = "missing" if found["type"] == "missing" else "invalid"
        message = "is required" if code == "missing" else str(found["msg"]).lower()
        yield Problem(field=field, code=code, message=message)


def _unknown_words(document: dict[str, Any]) -> Iterator[Problem]:
    for block, model, prefix in _blocks(document):
        for name, known in known_words(model).items():
            if name in block and block[name] not in known:
                words = ", ".join(word for word in known if word)
                yield Problem(field=f"{prefix}{name}", code="invalid", message=f"is not one of: {words}", remedy="Use one of these words.")


def _meaning(spec: DataSource) -> Iterator[Problem]:
    """What types cannot say."""
    if spec.location != "on_prem" and spec.cloud_config is None and spec.location == "cloud":
        yield Problem(
            field="cloud_config",
            code="missing",
            message="a cloud source names its provider",
            remedy="Give cloud_config with provider: aws, azure or gcp.",
        )
    if spec.location == "hybrid" and not spec.replica_config.secondary:
        yield Problem(
            field="replica_config.secondary",
            code="missing",
            message="a hybrid source has a second endpoint",
            remedy="Give replica_config.secondary as host:port.",
        )
    for name in ("name", "tenant"):
        if re.search(r"[\x00-\x1f]", getattr(spec, name)):
            yield Problem(field=name, code="invalid", message="holds control characters")
