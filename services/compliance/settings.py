"""Settings of compliance."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from shared.settings import ServiceSettings


class ComplianceSettings(ServiceSettings):
    """What compliance needs besides."""

    policy_packs: Path | None = Field(
        default=None, description="folder with packs of your own; one of the same name replaces ours", examples=["/etc/pursight/packs"]
    )
    waiver_check_seconds: float = Field(default=30.0, gt=0, description="seconds between two looks for waivers that ran out")
