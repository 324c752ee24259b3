"""What the asset comes to: its classes, how sensitive it is, and one number to sort by."""

from __future__ import annotations

from collections.abc import Iterable
from math import log10

from services.compliance.domain.evaluate import Finding
from services.compliance.domain.reading import SENSITIVITIES, is_class, known_sensitivity
from shared.contracts.asset import ColumnVerdict
from shared.contracts.compliance import ClassCount

BY_SENSITIVITY = {"public": 0.0, "internal": 0.02, "confidential": 0.15, "restricted": 0.30}
BY_SEVERITY = {"low": 0.01, "medium": 0.05, "high": 0.15, "critical": 0.35}
WAIVED = 0.5  # a waiver accepts a risk, it does not remove it: half remains
SIZE_STEP, SIZE_MOST = 1 / 60, 0.15  # per power of ten of rows


def risk(sensitivity: str, rows: int | None, results: Iterable[Finding]) -> int:
    """0 to 100. Each part takes its share of the safety that is left, so more trouble is never less risk, and 100 is never passed:

    risk = 100 x (1 - (1 - sensitivity) x (1 - size) x product of (1 - violation))

    sensitivity: public 0, internal .02, confidential .15, restricted .30. size, for confidential and restricted data:
    log10(rows) / 60, at most .15. violation: low .01, medium .05, high .15, critical .35, half of it where waived. What is
    unknown adds nothing.

    >>> risk("internal", 1000, []), risk("restricted", 1000, [])
    (2, 34)
    """
    safety = 1 - BY_SENSITIVITY[sensitivity]
    if sensitivity in ("confidential", "restricted") and rows:
        safety *= 1 - min(log10(rows) * SIZE_STEP, SIZE_MOST)
    for result in results:
        if result.result in ("fail", "waived"):
            safety *= 1 - BY_SEVERITY[result.severity] * (WAIVED if result.result == "waived" else 1)
    return round(100 * (1 - safety))


def classes(columns: Iterable[ColumnVerdict]) -> tuple[ClassCount, ...]:
    """One entry per class found, by name, with its columns and the worst sensitivity among them."""
    found: dict[str, tuple[str, list[str], str]] = {}
    for column in columns:
        if is_class(column):
            category, names, worst = found.get(column.class_name, (column.category, [], "public"))
            names.append(column.name)
            found[column.class_name] = (category, names, max(worst, known_sensitivity(column.sensitivity), key=SENSITIVITIES.index))
    return tuple(
        ClassCount(class_name=name, category=category, sensitivity=worst, columns=tuple(names))
        for name, (category, names, worst) in sorted(found.items())
    )
