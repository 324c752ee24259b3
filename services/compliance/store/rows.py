"""From decisions to rows and events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from services.compliance.domain.evaluate import SEVERITIES, Finding
from services.compliance.domain.policy import Policy
from services.compliance.domain.violations import violation_id
from shared.contracts.compliance import ComplianceEvaluated, ViolationOpened
from shared.contracts.rules import PolicyControl, PolicyPublished


def results_of(results: Iterable[Finding]) -> str:
    """Outcome by control, for reports; what is missing behind an unknown."""
    return orjson.dumps({r.control: " ".join((r.result, *r.missing)) for r in results}).decode()


def violation_row(event: ComplianceEvaluated, result: Finding, mark: str) -> tuple[Any, ...]:
    facts = orjson.dumps({fact.name: fact.value for fact in result.facts}).decode()
    return (
        violation_id(result.control, event.asset),
        event.asset,
        event.source,
        result.control,
        result.framework,
        result.title,
        result.severity,
        SEVERITIES.index(result.severity),
        "waived" if result.result == "waived" else "open",
        result.message,
        result.remedy,
        facts,
        orjson.dumps(result.columns).decode(),
        event.scan_id,
        mark,
    )


def opened(event: ComplianceEvaluated, result: Finding) -> ViolationOpened:
    return ViolationOpened(
        violation=violation_id(result.control, event.asset),
        asset=event.asset,
        source=event.source,
        scan_id=event.scan_id,
        control=result.control,
        framework=result.framework,
        title=result.title,
        severity=result.severity,
        message=result.message,
        remedy=result.remedy,
        facts=result.facts,
        columns=result.columns,
    )


def published(policy: Policy) -> PolicyPublished:
    text = policy.text
    controls = tuple(control.id for control in policy.controls)
    texts = tuple(
        PolicyControl(
            control=control.id,
            title=control.text.title,
            severity=control.text.severity,
            remedy=control.text.remedy,
            facts=tuple(control.read_once),
        )
        for control in policy.controls
    )
    head = {"name": text.name, "version": text.version, "digest": policy.digest, "framework": text.framework}
    return PolicyPublished(**head, controls=controls, texts=texts)


def by_column(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
