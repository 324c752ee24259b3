"""Is this document a job? Every problem by field, in one pass; files, HTTP and events all ask here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import pairwise
from types import UnionType
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from shared.contracts.job import RUNTIMES, JobConfig, Runtime
from shared.contracts.judging import hostile, secrecy
from shared.contracts.judging.variables import replaced
from shared.contracts.judging.wording import HELPS, in_words
from shared.contracts.names import DEFAULT_TENANT, encode
from shared.contracts.source import Problem

PLATFORMS = tuple(get_args(runtime.model_fields["platform"].annotation)[0] for runtime in RUNTIMES)
_BUCKET = re.compile(r"(?:(?P<scheme>[a-z0-9]+)://)?[^\s/]+(?:/.*)?")
_REFERENCED = ("infrastructure.resources.secrets.",)


class JudgedJob(NamedTuple):
    """The job, or why not. `document` is what was judged: variables replaced."""

    job: JobConfig | None
    problems: tuple[Problem, ...]
    document: dict[str, Any]

    @property
    def key(self) -> str:
        """tenant/asset, as far as the document says."""
        return job_key(self.document)


def job_key(document: Mapping[str, Any]) -> str:
    """The key of a job's document, `tenant/asset`; never raises."""
    return f"{encode(_name(document.get('tenant_id')) or DEFAULT_TENANT)}/{encode(_name(document.get('asset')) or 'unnamed')}"


def _name(given: object) -> str:
    if not isinstance(given, str) or secrecy.TEXTS.search(given):
        return ""
    return given[: hostile.MAX_NAME].encode("utf-8", "replace").decode()


def judge_job(document: dict[str, Any], variables: Mapping[str, str] | None = None) -> JudgedJob:
    """Validate one job. Raises nothing. `variables` are the reader's own: events and HTTP bodies have none."""
    if size := hostile.too_large(document):
        return JudgedJob(None, (size,), {})
    filled = replaced(document, variables or {})
    problems = [*hostile.unfit(filled.document), *filled.problems, *_secrets(filled.document)]
    job, wrong = _typed(filled.document)
    silent = {problem.field for problem in filled.problems}
    if job and job.infrastructure.runtime:
        wrong += _by_platform(job.infrastructure.runtime)
    problems += [problem for problem in wrong if problem.field not in silent]
    told = hostile.once(problems)
    return JudgedJob(None if told else job, told, filled.document)


def _typed(document: dict[str, Any]) -> tuple[JobConfig | None, list[Problem]]:
    try:
        return JobConfig.model_validate(document), []
    except ValidationError as error:
        return None, [_told(found) for found in error.errors(include_input=False, include_url=False)]


def _told(found: Any) -> Problem:
    """pydantic's finding in our words; the input is left out."""
    path = [part for before, part in pairwise((None, *found["loc"])) if before != "runtime" or part not in PLATFORMS]
    field = hostile.shown(".".join(str(part) for part in path)) or "document"
    if found["type"] == "extra_forbidden":
        return _unknown(field, path)
    if found["type"] == "missing":
        return Problem(field=field, code="missing", message="is required", remedy=f"Give {field}.")
    if found["type"] in ("union_tag_invalid", "union_tag_not_found"):
        message = f"is not one of: {', '.join(PLATFORMS)}" if found["type"] == "union_tag_invalid" else "is required"
        return Problem(field=f"{field}.platform", code="invalid", message=message, remedy=f"Use one of {', '.join(PLATFORMS)}.")
    message = in_words(found)
    return Problem(field=field, code="invalid", message=message, remedy=HELPS.get(message, ""))


def _unknown(field: str, path: list[Any]) -> Problem:
    if secrecy.looks_secret(str(path[-1])):
        return secrecy.refused(field)
    known = _fields_at(path[:-1])
    near = get_close_matches(str(path[-1])[: hostile.MAX_NAME], known, n=1)
    prefix = ".".join(map(str, path[:-1]))
    remedy = f"Did you mean {prefix + '.' if prefix else ''}{near[0]}?" if near else f"Here belong {', '.join(sorted(known))}."
    return Problem(field=field, code="unknown_field", message="is not a field of a job", remedy=remedy)


def _fields_at(path: list[Any]) -> list[str]:
    """Names that may stand at this place."""
    models: list[type[BaseModel]] = [JobConfig]
    for part in path:
        fields = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        models = [each for field in fields for each in _models(field)]
    return sorted({name for model in models for name in model.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = get_args(annotation) if isinstance(annotation, UnionType) or get_args(annotation) else ()
    return [model for each in inner for model in _models(each)]


def _secrets(document: dict[str, Any]) -> Iterator[Problem]:
    """A secret's text anywhere, or a value under a name that only secrets have."""
    for path, _, value in hostile.parts(document):
        if secrecy.TEXTS.search(path) or (isinstance(value, str) and secrecy.TEXTS.search(value)):
            yield secrecy.held(path)
        elif _names_secret(path, value):
            yield secrecy.refused(path)


def _names_secret(path: str, value: object) -> bool:
    named = isinstance(value, str | int | float) and not isinstance(value, bool) and value != "" and secrecy.LABEL_NAMES.search(path)
    return bool(named) and not path.startswith(_REFERENCED) and not (isinstance(value, str) and secrecy.is_reference(value))


def _by_platform(runtime: Runtime) -> Iterator[Problem]:
    """What this platform's cloud would never take."""
    place = "infrastructure.runtime"
    for field, (pattern, example) in runtime.ids.items():
        block, _, name = field.rpartition(".")
        given = getattr(getattr(runtime, block) if block else runtime, name)
        for number, each in enumerate(given if isinstance(given, tuple) else (given,)):
            if each and not re.fullmatch(pattern, each):
                at = f"{place}.{field}.{number}" if isinstance(given, tuple) else f"{place}.{field}"
                message = f"is no such id of {runtime.provider}, where {runtime.platform} runs"
                yield Problem(field=at, code="wrong_platform", message=message, remedy=f"It looks like {example}.")
    if problem := _bucket(runtime):
        yield problem


def _bucket(runtime: Runtime) -> Problem | None:
    bucket = runtime.storage.bucket
    found = _BUCKET.fullmatch(bucket)
    if not bucket or (found and found["scheme"] in (None, *runtime.scheme)):
        return None
    remedy = f"Write its name, or {runtime.scheme[0]}://NAME."
    message = f"is not a bucket that {runtime.platform} writes to"
    return Problem(field="infrastructure.runtime.storage.bucket", code="wrong_platform", message=message, remedy=remedy)
