"""Which tags must be on whatever a job runs on, and which values they may have: the operator's policy. Keys and patterns, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from services.tagger.domain.plan import Conflict
from services.tagger.domain.vocabulary import LIST_SEPARATOR, LISTS
from shared.contracts.source import Problem
from shared.contracts.tags import Tag

Policy = Mapping[str, tuple[str, ...]]  # key to patterns of its values; without any, every value will do
ORIGIN = "operator's tag policy"
_FIELDS = {"CostCenter": "finops.cost_center", "Project": "finops.project", "BusinessTags": "finops.business_tags"}
_OF_CONTRACTS = ("Domain", "DataProduct", "Owner", "Status", "RetentionDays")


def broken(tags: Iterable[Tag], policy: Policy) -> Iterator[Conflict]:
    """Keys of the policy that are missing, or that have a value which it does not list.

    >>> [each.reason for each in broken([Tag(key="CostCenter", value="sales", origin="x")], {"CostCenter": ("team-*",), "Project": ()})]
    ['not_allowed', 'required']
    """
    values = {tag.key: tag.value for tag in tags}
    for key, patterns in policy.items():
        if not (value := values.get(key, "")):
            yield Conflict(key, ORIGIN, "required")
        elif patterns and not all(any(fnmatchcase(part, each) for each in patterns) for part in _parts(key, value)):
            yield Conflict(key, ORIGIN, "not_allowed")


def _parts(key: str, value: str) -> list[str]:
    return value.split(LIST_SEPARATOR) if key in LISTS else [value]


def problems_of(conflicts: Iterable[Conflict], policy: Policy) -> tuple[Problem, ...]:
    """What a job has to change. Raises nothing."""
    return tuple(_problem(each, policy) for each in conflicts if each.origin == ORIGIN)


def _problem(conflict: Conflict, policy: Policy) -> Problem:
    key = conflict.key
    where = f"Give it here, or {key} in the asset's contract." if key in _OF_CONTRACTS else "Give it."
    listed = ", ".join(policy[key][:10])
    missing = conflict.reason == "required"
    return Problem(
        field=_FIELDS.get(key, f"infrastructure.metadata.tags.{key}"),
        code=f"tag_{conflict.reason}",
        message=f"is asked for by the operator's tag policy, as {key}"
        if missing
        else f"has a value of {key} that the tag policy does not list",
        remedy=f"{where}{f' Possible: {listed}.' if listed else ''}" if missing else f"Use one of {listed}.",
    )
