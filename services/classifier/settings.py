"""Settings of the classifier."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from shared.settings import ServiceSettings


class ClassifierSettings(ServiceSettings):
    """What the classifier needs besides."""

    classify_threshold: float = Field(default=0.7, ge=0, le=1, description="confidence from which a column is given its class")
    abstain_threshold: float = Field(default=0.45, ge=0, le=1, description="confidence from which a person is asked instead")
    rule_packs: Path | None = Field(
        default=None, description="folder with packs of your own; one of the same file name replaces ours", examples=["/etc/pursight/rules"]
    )
