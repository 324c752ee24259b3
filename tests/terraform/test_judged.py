"""Our own modules before our own rules: a plan of each example, as OpenTofu shows it, with the real providers' schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from services.tagger.domain.planned import Judged, judge_plan
from tests.terraform.estate import CLOUDS, variables
from tests.terraform.test_tofu import Tofu, example, tofu

__all__ = ["example", "tofu"]
pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("modules")]
TARGETS = {"aws-emr": ("aws", "tags"), "gcp-gke": ("gcp", "labels"), "azure-aks": ("azure", "tags")}


def judged(tofu: Tofu, folder: Path, cloud: str, more: dict[str, str] | None = None) -> Judged:
    """The plan that was made there, judged with the tags that PurSight wrote, and `more`."""
    target, name = TARGETS[cloud]
    wanted = variables(cloud).values
    tags = {target: {**wanted[name], **(more or {})}, "kubernetes": wanted.get("kubernetes_labels", {})}
    return judge_plan(json.loads(tofu.run(folder, "show", "-json", "plan").stdout), tags, encrypt=True)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_our_modules_are_not_refused(tofu: Tofu, example: Callable[[str], Path], cloud: str) -> None:
    """Encrypted, private, whole sets of tags; and the rules did look: one more tag is missed nearly everywhere."""
    folder = example(cloud)
    tofu.planned(folder)
    found = judged(tofu, folder, cloud)
    assert found.counts.keys() == {"create"}
    assert [(finding.code, finding.address) for finding in found.findings if finding.refuses] == []
    without = judged(tofu, folder, cloud, {"another": "tag"})
    # AWS and Google compute the whole set, defaults among it, which this provider leaves unknown: that is a note.
    missed = {finding.address for finding in without.findings} - {finding.address for finding in found.findings}
    assert len(missed) >= 6
