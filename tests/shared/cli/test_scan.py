"""What `pursight scan` says where it is interrupted, or another scan is before it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from shared.cli import scan
from shared.cli.commands import scan_
from shared.cli.connect import Edge
from shared.cli.target import Target
from shared.errors import Failed, UsageError
from shared.local.stack import Running


def test_ctrl_c_before_anything_was_asked_for_says_so(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """As at the question for a password."""
    monkeypatch.setenv("PURSIGHT_URL", "http://127.0.0.1:1")

    def left(_: Running | None) -> Target:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan.run(left, json_output=False, fail_on="")
    assert "nothing was begun" in capfd.readouterr().err


def asked(state: str, at: str, ended: str | None = None) -> dict[str, Any]:
    """A row of `/scan-jobs`."""
    return {"state": state, "asked_at": f"2026-01-01T{at}:00+00:00", "ended_at": ended and f"2026-01-01T{ended}:00+00:00"}


@pytest.mark.parametrize(
    ("row", "before"),
    [
        pytest.param(asked("running", "11:00"), True, id="at it"),
        pytest.param(asked("completed", "11:00", "12:01"), True, id="over meanwhile"),
        pytest.param(asked("completed", "11:00", "11:59"), False, id="over before"),
        pytest.param(asked("paused", "11:00"), False, id="paused"),
        pytest.param(asked("running", "12:01"), False, id="our own"),
    ],
)
def test_a_scan_that_was_not_over_is_before_ours(row: dict[str, Any], before: bool) -> None:
    """What it tells is new to who asks, too, and is waited for."""
    since = datetime.fromisoformat("2026-01-01T12:00:00+00:00")
    assert scan._not_over([row], since) == [row] * before


def told(total: int | None, tagged: int, changed: int | None, removed: int = 0) -> dict[str, Any]:
    """An answer of `/progress`."""
    manifest = None if changed is None else {"changed": changed, "removed": removed, "tables": 9}
    return {"total": total, "tagged": tagged, "manifest": manifest}


def test_scans_that_overlap_are_one_to_who_asks() -> None:
    """The bars, and what is new, speak of all of them; how many are not known while one still counts."""
    first, second = told(5, 4, 5, removed=1), told(2, 1, 2)
    assert scan._together([first, second], "tagged") == (5, 7)
    assert scan._together([told(None, 3, None), second], "tagged") == (4, None)
    together = scan._counted_together(
        {"changed": 2, "removed": 0, "tables": 9}, [first, told(None, 3, None)], [{"changed": 5}, {"changed": 3}]
    )
    assert together == {"changed": 10, "removed": 1, "tables": 9}


@pytest.mark.parametrize(("code", "stays"), [("wrong_password", True), ("stuck", False), ("source_removed", False), ("stopped", False)])
def test_only_what_can_be_scanned_again_is_said_to_stay_registered(code: str, stays: bool) -> None:
    """A source that somebody removed meanwhile is not."""
    told = scan._stays(Failed("it failed", remedy="Mend it.", code=code), "default/crm")
    assert ("It stays registered" in told.line()) is stays


@pytest.mark.parametrize(
    ("seconds", "tagged", "total", "pause"),
    [
        pytest.param(1, 0, None, 0.2, id="it has just begun"),
        pytest.param(50, 0, None, 1.5, id="a long one is asked after less often"),
        pytest.param(500, 10, 10_000, 2.0, id="but now and then"),
        pytest.param(50, 9_900, 10_000, 0.5, id="until it is nearly over"),
        pytest.param(50, 10_000, 10_000, 0.2, id="tagged, and not counted yet"),
    ],
)
def test_how_soon_a_scan_is_asked_after_again(seconds: float, tagged: int, total: int | None, pause: float) -> None:
    """Counting costs the catalog; whoever waits shall not wait for the clock."""
    assert scan._pause(seconds, tagged, total) == pytest.approx(pause)


class Answers(Edge):
    """A line on which everything is answered by one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def get(self, path: str, **query: Any) -> Any:
        return self.document | {"scans": [self.document]}


@pytest.mark.parametrize(
    ("services", "state", "at_it"),
    [
        pytest.param(["discovery"], "running", True, id="nothing was said yet"),
        pytest.param([], "running", True, id="in the middle: all that was said has come through"),
        pytest.param(["tagger"], "running", False, id="somebody else does not move"),
        pytest.param([], "completed", False, id="it is over"),
    ],
)
@pytest.mark.parametrize("scan_id", ["", "s1"])
def test_a_long_look_is_not_stuck(services: list[str], state: str, at_it: bool, scan_id: str) -> None:
    """A large table may take longer than anything behind it."""
    now = {"source": "default/crm", "scan_id": scan_id, "stuck": True, "waiting": [{"service": each} for each in services]}
    assert scan._discovery_is_at_it(Answers({"state": state}), now) is at_it


@pytest.mark.parametrize(
    ("scope", "seen", "line"),
    [
        ({"schemas": ["sales"]}, 1, ""),
        ({"schemas": ["sales", "hrr"]}, 1, "In crm nothing there is called hrr. Did you mean hr?"),
        ({"tables": ["hr.persn", "hr.zz"]}, 0, "crm has no such table: nothing there is called hr.persn or hr.zz. Did you mean hr.person?"),
        ({"schemas": ["s"]}, 0, "crm has no such table: nothing there is called s. Did you mean sales or shop or stock?"),
        ({"schemas": ["hr"]}, 0, "crm has no such table: nothing there is called hr. Write the names as the database does"),
    ],
)
def test_a_part_that_is_not_there(scope: dict[str, list[str]], seen: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Is told with what is called alike, also where it is known from before and gone meanwhile; nothing at all there is wrong use."""
    known = [{"schema": "sales", "table": "orders"}, {"schema": "hr", "table": "person"}]
    known += [{"schema": schema, "table": "item"} for schema in ("stock", "shop", "sys")]
    try:
        scan._look_at_what_was_asked_for("default/crm", scope, seen, known)
        told = capsys.readouterr().err
    except UsageError as error:
        assert not seen
        told = error.line()
    assert told.startswith(line)
    assert bool(told) == bool(line)


def test_a_scan_is_of_schemas_or_of_tables() -> None:
    """Of both only what is in both would be looked at, which nobody means."""
    with pytest.raises(UsageError, match="whole schemas or of single tables"):
        scan_("crm", schemas=["sales"], tables=["hr.person"])
