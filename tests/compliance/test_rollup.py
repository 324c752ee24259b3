"""Classes, risk and violations: what an asset comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compliance.domain.evaluate import Finding
from services.compliance.domain.reading import SENSITIVITIES
from services.compliance.domain.rollup import classes, risk
from services.compliance.domain.violations import Standing, settle, violation_id
from shared.contracts.compliance import Severity
from shared.contracts.envelope import NAMESPACE
from tests.compliance.examples import assess, asset, column

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEVERITY: st.SearchStrategy[Severity] = st.sampled_from(["low", "medium", "high", "critical"])


def result(outcome: Literal["pass", "fail", "unknown", "waived"], severity: Severity = "medium", control: str = "x:1") -> Finding:
    return Finding(control, "X", "a title", outcome, severity)


@given(st.sampled_from(SENSITIVITIES), st.integers(0, 10**9), st.lists(SEVERITY, max_size=40), SEVERITY)
def test_more_trouble_is_never_less_risk(sensitivity: str, rows: int, severities: list[Severity], one_more: Severity) -> None:
    """Risk stays within 0 to 100 and never falls when a violation is added; a waiver lowers it, not below none."""
    fails = [result("fail", severity) for severity in severities]
    low, waived, high = (
        risk(sensitivity, rows, [*fails, *extra]) for extra in ([], [result("waived", one_more)], [result("fail", one_more)])
    )
    assert 0 <= low <= waived <= high <= 100


def test_what_is_unknown_adds_no_risk() -> None:
    """Neither does a pass."""
    assert risk("restricted", 10, [result("unknown", "critical"), result("pass", "critical")]) == risk("restricted", 10, [])


def test_classes_are_rolled_up_with_their_columns() -> None:
    """One entry per class; columns without a standing class are left out."""
    found = classes(asset(column("a", "email"), column("b", "email"), column("c"), column("d", "phone", state="abstained")).columns)
    assert [(each.class_name, each.category, each.sensitivity, each.columns) for each in found] == [
        ("email", "personal", "confidential", ("a", "b"))
    ]


def test_regulations_and_obligations_come_from_what_the_asset_holds() -> None:
    """Tags and duties, whether or not anything fails."""
    found = assess(asset(column("pan", "card_pan", "card_masked"), column("mail", "email"))).event
    assert found.regulations == ("CCPA", "GDPR", "PCI-DSS", "SOC2")
    assert {"erase_on_request", "mask_card_number", "retention"} <= set(found.obligations)
    assert found.sensitivity == "restricted"


def test_a_violation_has_one_id_for_ever() -> None:
    """The same control on the same table is the same violation, also years later."""
    assert violation_id("gdpr:9", "d/s/a.b.c") == str(uuid5(NAMESPACE, "violation\x1fgdpr:9\x1fd/s/a.b.c"))
    assert violation_id("gdpr:9", "d/s/a.b.c") != violation_id("gdpr:9", "d/s/a.b.d")


@pytest.mark.parametrize(
    ("outcome", "before", "opened", "resolved", "after"),
    [
        pytest.param("fail", None, True, None, "fail", id="newly fails: opens"),
        pytest.param("fail", Standing("open"), False, None, "fail", id="still fails: nothing is said"),
        pytest.param("fail", Standing("resolved"), True, None, "fail", id="fails again: opens again"),
        pytest.param("pass", Standing("open"), False, "passes_now", "pass", id="passes: resolved"),
        pytest.param("unknown", Standing("open"), False, "unknown_now", "unknown", id="unknown: resolved, with that reason"),
        pytest.param(None, Standing("open"), False, "not_applicable", None, id="applies no more: resolved"),
        pytest.param("pass", Standing("resolved"), False, None, "pass", id="resolved stays resolved"),
        pytest.param("fail", Standing("waived", NOW + timedelta(1)), False, None, "waived", id="waived: accepted"),
        pytest.param("fail", Standing("open", NOW + timedelta(1)), False, None, "waived", id="newly waived"),
        pytest.param("fail", Standing("waived", NOW), True, None, "fail", id="the waiver ran out: opens again"),
        pytest.param("fail", Standing("resolved", NOW + timedelta(1)), False, None, "waived", id="a waiver outlives a pass"),
        pytest.param("pass", Standing("waived", NOW + timedelta(1)), False, "passes_now", "pass", id="waived and passes: resolved"),
    ],
)
def test_settle(outcome: str | None, before: Standing | None, opened: bool, resolved: str | None, after: str | None) -> None:
    """What opens and what closes follows from before and after alone."""
    settled = settle([result(outcome)] if outcome else [], {"x:1": before} if before else {}, NOW)
    assert bool(settled.opened) is opened
    assert [reason for _, reason in settled.resolved] == ([resolved] if resolved else [])
    assert [each.result for each in settled.results] == ([after] if after else [])
