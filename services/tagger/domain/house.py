"""The operator's decisions about tags."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.tagger.domain.claims import Owner
from services.tagger.domain.drift import DriftPolicy
from services.tagger.domain.policy import Policy
from services.tagger.domain.privacy import Scrub, handle_of


@dataclass(frozen=True, slots=True)
class House:
    """What may not become a tag, how owners are told, how our keys begin on a resource, what to do about drift, what must be there."""

    personal: Scrub
    owner: Owner = handle_of
    prefix: str = ""
    drift: DriftPolicy = "restore"
    policy: Policy = field(default_factory=dict)
