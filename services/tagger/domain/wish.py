"""What one cloud resource should carry, and what became of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from services.tagger.domain.diff import Diff
from services.tagger.domain.targets import Resource
from shared.contracts.source import CloudConfig


@dataclass(frozen=True, slots=True)
class Wish:
    """The tags in the provider's form, most important first, and which keys are ours to change with the values that we gave them."""

    resource: Resource
    cloud: CloudConfig
    desired: Mapping[str, str]
    ours: Mapping[str, Collection[str]]
    most: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done. `own` are our keys as they stand on the resource now."""

    outcome: Literal["applied", "unchanged"]
    change: Diff
    own: dict[str, str]
