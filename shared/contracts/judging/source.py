"""Is this document a data source? Every problem by field, in one pass; a secret is never repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from shared.contracts.base import known_words
from shared.contracts.cloud import CLOUDS
from shared.contracts.judging import hostile, rules, secrecy
from shared.contracts.judging.allowed import ANY, Allowed
from shared.contracts.judging.dialects import BLOCK_FIELDS, FIELDS, normalise, wrong_provider
from shared.contracts.judging.schedule import next_after
from shared.contracts.judging.wording import HELPS, in_words
from shared.contracts.names import DEFAULT_TENANT, SourceName
from shared.contracts.source import DataSource, Problem, ReplicaConfig, ScanBudget, Scope, SslConfig

BLOCKS: dict[str, type[BaseModel]] = {
    "ssl_config": SslConfig,
    "replica_config": ReplicaConfig,
    "scan_budget": ScanBudget,
    "scope": Scope,
}
WHENEVER = datetime(2024, 1, 1, tzinfo=UTC)  # any day does to see whether a schedule ever comes
STAND_IN = {"name": "unnamed", "database": "unnamed"}  # for looking at the rest of a source that lacks them

PLAIN_NAME = re.compile(r"(?=.*[^ .])[\w .:+@-]+")


class Judged(NamedTuple):
    """The source, or why not. `notes` tells which other spellings were understood, and what to know."""

    spec: DataSource | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def judge(document: dict[str, Any], allowed: Allowed = ANY) -> Judged:
    """Validate one document. Raises nothing; the same for HTTP, files and events. `allowed`: which secrets it may name."""
    if size := hostile.too_large(document):
        return Judged(None, (size,), ())
    unfit = tuple(hostile.unfit(document))
    normal = normalise(document)
    spec, wrong = _typed(normal.document)
    wrong += _unknown_words(normal.document)
    problems = [*_by_field(normal.document), *wrong]
    if whole := _typed(_without(normal.document, wrong))[0]:
        problems += _by_meaning(whole, normal.document, wrong)
        problems += allowed.problems(whole)
    told = hostile.once((*unfit, *normal.problems, *_as_written(problems, normal.origins)))
    if told or spec is None:
        return Judged(None, told, _clean(normal.notes))
    return Judged(spec, (), _clean((*normal.notes, *rules.advice(spec))))


def named(document: dict[str, Any]) -> str:
    """The source key that a request means, as far as it says; never raises."""
    tenant, name = document.get("tenant") or document.get("tenant_id"), document.get("name")
    return SourceName(_sayable(tenant) or DEFAULT_TENANT, _sayable(name) or "unnamed").key


def _sayable(given: object) -> str:
    """A name as it can stand in a key, whatever was given: short, without half surrogates, and nothing that holds a secret."""
    if isinstance(given, str) and secrecy.TEXTS.search(given):
        return ""
    return given[: hostile.MAX_NAME].encode("utf-8", "replace").decode() if isinstance(given, str) else ""


def codes_of(problems: Iterable[Problem]) -> str:
    """What is wrong, in codes alone, for a ledger."""
    return ", ".join(sorted({problem.code for problem in problems}))[:200]


def changed_fields(before: DataSource, after: DataSource) -> tuple[str, ...]:
    """Names of the top-level fields that differ, sorted."""
    return tuple(sorted(name for name in DataSource.model_fields if getattr(before, name) != getattr(after, name)))


def _by_field(document: dict[str, Any]) -> Iterator[Problem]:
    """What each field by itself tells. `document` is in our spelling."""
    yield from _unknown_fields(document)
    yield from secrecy.literal(document)
    yield from secrecy.in_text(document)
    yield from _switch_for_number(document)
    yield from _plain_names(document)
    yield from _schedule(document)


def _by_meaning(spec: DataSource, document: dict[str, Any], wrong: list[Problem]) -> Iterator[Problem]:
    """What the fields say together; nothing about fields that are wrong in themselves."""
    silent = {problem.field for problem in wrong}
    if "engine" not in silent:
        yield from rules.misplaced(document, spec.engine)
    yield from (problem for problem in rules.broken(spec) if problem.field not in silent)


def _as_written(problems: list[Problem], origins: dict[str, str]) -> Iterator[Problem]:
    """Each problem at the field as the document spells it."""
    for problem in problems:
        yield problem.model_copy(update={"field": hostile.shown(origins.get(problem.field, problem.field))})


def _clean(notes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(hostile.shown(note) for note in notes[: hostile.MAX_PROBLEMS]))


def _unknown_fields(document: dict[str, Any]) -> Iterator[Problem]:
    for block, models, prefix in _blocks(document):
        for key, value in block.items():
            if not any(key in model.model_fields for model in models):
                yield _unknown(prefix, key, models)
                yield from _secrets_below(f"{prefix}{key}", value)


def _blocks(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[type[BaseModel], ...], str]]:
    """Each block, the models that its fields may belong to, and its prefix."""
    yield document, (DataSource,), ""
    for name, model in BLOCKS.items():
        if isinstance(block := document.get(name), dict):
            yield block, (model,), f"{name}."
    if isinstance(cloud := document.get("cloud_config"), dict):
        owner = CLOUDS.get(str(cloud.get("provider")))
        yield cloud, (owner,) if owner else tuple(CLOUDS.values()), "cloud_config."


def _unknown(prefix: str, key: str, models: tuple[type[BaseModel], ...]) -> Problem:
    field = f"{prefix}{key}"
    owner = next((name for name, other in CLOUDS.items() if prefix == "cloud_config." and key in other.model_fields), "")
    if owner:
        return wrong_provider(field, owner, next(name for name, other in CLOUDS.items() if other in models))
    if secrecy.looks_secret(key):
        return secrecy.refused(field)
    spellings = BLOCK_FIELDS.get(prefix[:-1], {}) if prefix else FIELDS
    near = get_close_matches(key[: hostile.MAX_NAME], [*(name for model in models for name in model.model_fields), *spellings], n=1)
    return Problem(
        field=field,
        code="unknown_field",
        message="is not a field of a data source",
        remedy=f"Did you mean {prefix}{near[0]}?" if near else "Remove it.",
    )


def _secrets_below(field: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, dict):
        yield from (
            secrecy.refused(f"{field}.{path}") for path, _, _ in hostile.parts(value) if secrecy.looks_secret(path.rpartition(".")[2])
        )


def _unknown_words(document: dict[str, Any]) -> Iterator[Problem]:
    for block, models, prefix in _blocks(document):
        for name, known in known_words(models[0]).items():
            if name in block and block[name] not in known:
                yield _no_word(f"{prefix}{name}", tuple(word for word in known if word))


def _no_word(field: str, known: tuple[str, ...]) -> Problem:
    return Problem(field=field, code="invalid", message=f"is not one of: {', '.join(known)}", remedy="Use one of these words.")


def _switch_for_number(document: dict[str, Any]) -> Iterator[Problem]:
    """`true` counts as 1 for most readers; nobody means that."""
    for block, models, prefix in _blocks(document):
        for name, field in models[0].model_fields.items():
            if field.annotation in (int, float) and isinstance(block.get(name), bool):
                yield Problem(field=f"{prefix}{name}", code="invalid", message="is not a number")


def _plain_names(document: dict[str, Any]) -> Iterator[Problem]:
    """Names stand in keys, addresses, file names and commands; control characters and lengths are told elsewhere."""
    for field in ("name", "tenant"):
        text = document.get(field)
        if isinstance(text, str) and text and not hostile.UNFIT.search(text) and not PLAIN_NAME.fullmatch(text):
            yield Problem(
                field=field,
                code="odd_name",
                message="may hold letters, digits, spaces and . _ - + : @, and is more than dots",
                remedy="Choose a plain name, such as crm-eu.",
            )


def _schedule(document: dict[str, Any]) -> Iterator[Problem]:
    text = document.get("schedule")
    try:
        next_after(text if isinstance(text, str) else "", WHENEVER)
    except (ValueError, OverflowError):
        yield Problem(
            field="schedule",
            code="not_a_schedule",
            message="is neither an interval nor a cron line whose time ever comes",
            remedy="Write a number and m, h or d, such as 24h, or five cron fields in UTC, such as 30 4 * * mon.",
        )


def _typed(document: dict[str, Any]) -> tuple[DataSource | None, list[Problem]]:
    try:
        return DataSource.model_validate(document), []
    except ValidationError as error:
        return None, list(_from_pydantic(error))


def _from_pydantic(error: ValidationError) -> Iterator[Problem]:
    """pydantic's findings in our words; the input is left out."""
    for found in error.errors(include_input=False, include_url=False):
        if found["type"] == "default_factory_not_called":  # a default that waits for a field which is told as wrong itself
            continue
        field = ".".join(str(part) for part in found["loc"] if part not in CLOUDS and not isinstance(part, int)) or "document"
        if found["type"] == "union_tag_not_found":
            yield Problem(field=f"{field}.provider", code="missing", message="is required", remedy=f"One of {', '.join(CLOUDS)}.")
        elif found["type"] == "union_tag_invalid":
            yield _no_word(f"{field}.provider", tuple(CLOUDS))
        elif found["type"] == "missing":
            yield Problem(field=field, code="missing", message="is required", remedy=f"Give {field}.")
        else:
            message = in_words(found)
            yield Problem(field=field, code="invalid", message=message, remedy=HELPS.get(message, ""))


def _without(document: dict[str, Any], wrong: list[Problem]) -> dict[str, Any]:
    """The document without the fields that are wrong in themselves, so that the others can be looked at."""
    rest = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    for problem in wrong:
        block, _, inner = problem.field.partition(".")
        if inner and inner != "provider" and isinstance(rest.get(block), dict):
            rest[block].pop(inner, None)
        else:
            rest.pop(block, None)
    return STAND_IN | rest
