"""What a Terraform module is told: the variables of one job, and their two written forms.

Names are those that the module declares. A value that is a secret's reference goes by the environment and stands in no file.
Stamps (`LastModified`, `CreatedAt`, the trace) are left out: a tag that changes with each run would make every plan dirty.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from unicodedata import normalize

from services.tagger.domain.job import DerivedJob
from services.tagger.domain.vocabulary import VOLATILE
from shared.contracts.job import JobConfig, Runtime
from shared.contracts.judging import secrecy
from shared.contracts.source import Problem

PLACE = "infrastructure.metadata.variables"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_DECLARED = re.compile(r'^[ \t]*variable[ \t]+"?([A-Za-z_][A-Za-z0-9_-]*)"?[ \t]*\{', re.MULTILINE)
_TAGS_OF = {"aws": ("tags",), "azure": ("tags",), "gcp": ("labels",), "kubernetes": ()}
_IN_CLUSTER = {"kubernetes_labels": "kubernetes", "kubernetes_annotations": "kubernetes-annotation"}


@dataclass(frozen=True, slots=True)
class Variables:
    """`values` stand in the file; `secrets` are references by name, given by `TF_VAR_…`; `unheard` the module does not declare."""

    values: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)
    unheard: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def declared_in(text: str) -> set[str]:
    """Names of the variables that a module's text declares.

    >>> sorted(declared_in('variable "tags" { type = map(string) }\\n  variable "region" {}'))
    ['region', 'tags']
    """
    return set(_DECLARED.findall(text))


def variables_of(job: JobConfig, derived: DerivedJob, declared: Collection[str] | None = None) -> Variables:
    """What this job tells a module that declares these variables; all there is where nobody knows what is declared.

    Raises nothing: `problems` name what is wrong and where.
    """
    ours = {**_of_job(job), **_tags(job, derived)}
    given = job.infrastructure.metadata.variables
    declared = {*ours, *given} if declared is None else declared
    problems = [problem for name, value in given.items() for problem in _wrong(name, value, declared, ours)]
    secrets = {name: value for name, value in given.items() if isinstance(value, str) and secrecy.is_reference(value)}
    values = {name: value for name, value in ours.items() if name in declared}
    values |= {name: value for name, value in given.items() if name not in secrets}
    tags = {name for name in ours if name in ("tags", "labels", *_IN_CLUSTER)}
    return Variables(values, secrets, tuple(sorted(tags - set(declared))), (*problems, *_unusable(values)))


def _unusable(values: Mapping[str, Any]) -> Iterator[Problem]:
    for name, value in values.items():
        try:
            _plain(value)
        except ValueError as error:
            place = "infrastructure.metadata.tags" if name in ("tags", "labels", *_IN_CLUSTER) else f"{PLACE}.{name}"
            yield Problem(field=place, code="variable_unusable", message=f"cannot be written: {error}", remedy="Correct it.")


def _of_job(job: JobConfig) -> dict[str, Any]:
    found: dict[str, Any] = {"tenant_id": job.tenant_id, "environment": job.environment, "asset": job.asset}
    runtime = job.infrastructure.runtime
    if runtime is not None:
        found |= _of_runtime(runtime)
    return {name: value for name, value in found.items() if value not in ("", None, [])}


def _of_runtime(runtime: Runtime) -> dict[str, Any]:
    scaling = runtime.compute.auto_scaling
    own = {name: getattr(runtime, name, "") for name in ("account_id", "project_id", "namespace", "subscription_id", "resource_group")}
    limits = {"min_instances": scaling.min_instances, "max_instances": scaling.max_instances} if scaling.enabled else {}
    return {
        **own,
        **limits,
        "platform": runtime.platform,
        "region": runtime.region,
        "instance_type": runtime.compute.instance_type,
        "instance_count": runtime.compute.instance_count,
        "bucket": runtime.storage.bucket,
        "vpc_id": runtime.network.vpc_id,
        "subnet_ids": list(runtime.network.subnet_ids),
        "security_group_ids": list(runtime.network.security_group_ids),
        "service_account": runtime.service_account,
    }


def _tags(job: JobConfig, derived: DerivedJob) -> dict[str, dict[str, str]]:
    runtime = job.infrastructure.runtime
    if runtime is None:
        return {}
    found = {name: carried(derived, runtime.provider) for name in _TAGS_OF[runtime.provider]}
    if runtime.platform in ("gke", "aks", "kubernetes"):
        found |= {name: carried(derived, target) for name, target in _IN_CLUSTER.items()}
    return found


def carried(derived: DerivedJob, target: str) -> dict[str, str]:
    """The tags that infrastructure as code carries on one kind of target: all but the stamps."""
    converted = derived.for_target(target).converted
    return {key: value for key, value in converted.tags.items() if converted.origins[key][0] not in VOLATILE}


def _wrong(name: str, value: Any, declared: Collection[str], ours: Collection[str]) -> Iterator[Problem]:
    place = f"{PLACE}.{name}"
    if not _NAME.fullmatch(name):
        yield Problem(field=place, code="bad_name", message="is no name of a variable", remedy="Use letters, digits, _ and -.")
    elif name in ("tags", "labels", *_IN_CLUSTER):
        message = "is filled by PurSight"
        yield Problem(field=place, code="variable_reserved", message=message, remedy="Put tags into infrastructure.metadata.tags.")
    elif name not in declared:
        near = get_close_matches(name, [*declared, *ours], n=1)
        remedy = f"Did you mean {near[0]}?" if near and near[0] in declared else "Declare it in the module, or remove it."
        yield Problem(field=place, code="variable_unknown", message="is not declared by the module", remedy=remedy)
    if not (isinstance(value, str) and secrecy.is_reference(value)):
        yield from _secrets(place, value)


def _secrets(place: str, value: Any) -> Iterator[Problem]:
    """A secret may stand by reference, and only as the whole of a variable, because only that can go by the environment."""
    if secrecy.LABEL_NAMES.search(place) and isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
        yield secrecy.refused(place)
    elif isinstance(value, str) and secrecy.TEXTS.search(value):
        yield secrecy.held(place)
    elif isinstance(value, Mapping):
        yield from (problem for key, each in value.items() for problem in _nested(f"{place}.{key}", each))
    elif isinstance(value, list):
        yield from (problem for number, each in enumerate(value) for problem in _nested(f"{place}.{number}", each))


def _nested(place: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, str) and secrecy.is_reference(value):
        message = "is a secret's reference inside a larger value"
        yield Problem(field=place, code="secret_nested", message=message, remedy="Give the secret a variable of its own.")
    else:
        yield from _secrets(place, value)


def as_json(values: Mapping[str, Any]) -> str:
    """The text of a `.auto.tfvars.json`; names sorted, so that the same variables are the same bytes. Raises ValueError (see `as_hcl`)."""
    return json.dumps(_plain(values), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def as_hcl(values: Mapping[str, Any]) -> str:
    """The text of a `.auto.tfvars`. Raises ValueError where a value is none that Terraform has, or a text no Unicode.

    >>> print(as_hcl({"tags": {"a": "${x} \\"y\\""}, "count": 3}), end="")
    count = 3
    tags = {"a" = "$${x} \\"y\\""}
    """
    for name in values:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a variable")
    plain = _plain(values)
    return "".join(f"{name} = {_hcl(plain[name])}\n" for name in sorted(plain))


def _plain(value: Any) -> Any:
    """Only what Terraform has; numbers that are none, half surrogates and foreign types are refused."""
    if isinstance(value, Mapping):
        if len({normalize("NFC", _text(key)) for key in value}) < len(value):
            raise ValueError("two keys differ only in how Unicode composes them, which is one key to Terraform")
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"Terraform has no {type(value).__name__} of this value")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a key is no text")
    value.encode()
    return value


def _hcl(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {_hcl(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_hcl(each) for each in value) + "]"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(text: str) -> str:
    """A text as HCL's quoted template that stands for exactly this text.

    `${` and `%{` begin an expression and are doubled; behind further such signs doubling is ambiguous, so these are spelled by code.
    """
    parts = re.split(r"([$%]+\{)", text)
    return '"' + "".join(_begun(part) if number % 2 else _escaped(part) for number, part in enumerate(parts)) + '"'


def _begun(part: str) -> str:
    signs = part[:-1]
    return f"{signs}{signs}{{" if len(signs) == 1 else "".join(f"\\u{ord(sign):04x}" for sign in signs) + "{"


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(char) or (char if char >= " " and char != "\x7f" else f"\\u{ord(char):04x}") for char in text)
