"""From results to violations: what opens, what is resolved, what a waiver covers. Nothing is said twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b, sha1
from typing import Literal

from services.compliance.domain.evaluate import Finding
from shared.contracts.envelope import NAMESPACE

Reason = Literal["passes_now", "asset_removed", "not_applicable", "unknown_now"]
_NAMESPACE = NAMESPACE.bytes
STATES = ("open", "waived", "resolved")


def violation_id(control: str, asset: str) -> str:
    """A UUID as text: version 5 of control and asset in our namespace, so the same for ever. (Without the UUID object: many are made.)"""
    raw = bytearray(sha1(_NAMESPACE + f"violation\x1f{control}\x1f{asset}".encode(), usedforsecurity=False).digest()[:16])
    raw[6], raw[8] = raw[6] & 0x0F | 0x50, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def mark_of(result: Finding) -> str:
    """A short digest of what a person would read: equal means that the stored violation need not be written again."""
    facts = "".join(f"{fact.name}={fact.value}\x1f" for fact in result.facts)
    text = f"{result.result}\x1f{result.severity}\x1f{result.title}\x1f{result.message}\x1f{result.remedy}\x1f{result.columns}\x1f{facts}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Standing:
    """A violation as it was; `mark` tells whether it reads the same now.

    A waiver holds until `waived_until`, also through a time in which the control passes.
    """

    state: str
    waived_until: datetime | None = None
    mark: str = ""

    def waives(self, now: datetime) -> bool:
        return self.waived_until is not None and self.waived_until > now


@dataclass(frozen=True, slots=True)
class Settled:
    """Results with waivers applied; those that newly fail; the controls whose violation is over, and why; failing or waived results
    that do not read as they did, with their marks."""

    results: tuple[Finding, ...]
    opened: tuple[Finding, ...]
    resolved: tuple[tuple[str, Reason], ...]
    changed: tuple[tuple[Finding, str], ...]


def settle(results: Iterable[Finding], standing: Mapping[str, Standing], now: datetime) -> Settled:
    """Compare what the rules say now with the violations that stand, by control."""
    after = tuple(_waived(result, standing.get(result.control), now) for result in results)
    stands = {control for control, before in standing.items() if before.state == "open"}
    opened = tuple(result for result in after if result.result == "fail" and result.control not in stands)
    said = {result.control: result.result for result in after}
    over = [(control, _reason(said.get(control))) for control, before in standing.items() if before.state != "resolved"]
    marks = ((result, mark_of(result)) for result in after if result.result in ("fail", "waived"))
    changed = tuple((result, mark) for result, mark in marks if not _stands(standing.get(result.control), mark))
    return Settled(after, opened, tuple((control, reason) for control, reason in over if reason), changed)


def _stands(before: Standing | None, mark: str) -> bool:
    return before is not None and before.state != "resolved" and before.mark == mark


def _waived(result: Finding, before: Standing | None, now: datetime) -> Finding:
    covered = before is not None and result.result == "fail" and before.waives(now)
    return result._replace(result="waived") if covered else result


def _reason(result: str | None) -> Reason | None:
    if result in ("fail", "waived"):
        return None
    reasons: dict[str | None, Reason] = {"pass": "passes_now", "unknown": "unknown_now"}
    return reasons.get(result, "not_applicable")
