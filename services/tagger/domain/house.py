"""The operator's decisions about tags."""

from __future__ import annotations

from dataclasses import dataclass

from services.tagger.domain.claims import Owner
from services.tagger.domain.drift import DriftPolicy
from services.tagger.domain.privacy import Scrub, handle_of


@dataclass(frozen=True, slots=True)
class House:
    """What may not become a tag, how owners are told, how our keys begin on a resource, and what to do about drift."""

    personal: Scrub
    owner: Owner = handle_of
    prefix: str = ""
    drift: DriftPolicy = "restore"
