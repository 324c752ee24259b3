"""What one cloud resource should carry, and what became of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.tagger.domain.diff import Diff, diff
from services.tagger.domain.drift import DriftPolicy, Other, contested, remembered, to_let_be
from services.tagger.domain.targets import Resource
from shared.contracts.source import CloudConfig


@dataclass(frozen=True, slots=True)
class Wish:
    """The tags in the provider's form, most important first, and which keys are ours to change with the values that we gave them.

    `cloud` None: only jobs call for these tags, and the operator says as whom they are written. `marks`: the tags by which we know
    a resource for ours, `under` how all our keys begin, `seen` what somebody else did to them, `policy` what to do about it.
    """

    resource: Resource
    cloud: CloudConfig | None
    desired: Mapping[str, str]
    ours: Mapping[str, Collection[str]]
    most: int
    marks: Mapping[str, str] | None = None
    under: str = ""
    seen: Mapping[str, Other] = field(default_factory=dict)
    policy: DriftPolicy = "restore"
    operators: bool = False  # `cloud` is the operator's word, not a tenant's

    def diff(self, current: Mapping[str, str]) -> Diff:
        """The smallest change to what is there."""
        alone = to_let_be(current, self.ours, self.seen, policy=self.policy)
        return diff(current, self.desired, ours=self.ours, most=self.most, marks=self.marks, under=self.under, let_be=alone)

    def own(self, change: Diff) -> dict[str, str]:
        """Our keys as they stand once the change is made; one that was let be counts as it was wanted, so that it stays a drift."""
        absent = {*change.conflicts, *change.left_out}
        return {key: value for key, value in self.desired.items() if key not in absent}

    def applied(self, current: Mapping[str, str], change: Diff) -> Applied:
        """What is to be recorded once the change is made to what was there."""
        own = self.own(change)
        seen = remembered(current, change.drifted, self.seen, own)
        two = tuple(key for key in contested(current, self.seen) if key in change.let_be)
        return Applied("unchanged" if change.empty else "applied", change, own, seen, two)


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done. `own` are our keys as they stand on the resource now; `contested` those with a second writer."""

    outcome: Literal["applied", "unchanged"]
    change: Diff
    own: dict[str, str]
    seen: Mapping[str, Other] = field(default_factory=dict)
    contested: tuple[str, ...] = ()
