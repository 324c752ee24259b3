"""`pursight scans`: what a person reads of a scan, and how little of its id they have to write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from services.discovery import commands
from services.discovery.commands import _asked, _progress, _scan
from shared.errors import Failed, UsageError

IDS = ("d895e4ea-e55f", "d8aa0000-0000", "5a7fa5c2-3416")


class Answers:
    """A line whose other end knows three scans, and tells of one of them as it is given."""

    def __init__(self, scan: dict[str, Any] | None = None) -> None:
        self._scan = scan or {}

    def get(self, path: str, **query: Any) -> Any:
        id = path.removeprefix("/scan-jobs").removeprefix("/")
        if not id:
            return {"scans": [{"scan_id": each} for each in IDS]}
        if id not in IDS:
            raise Failed("there is no such scan", code="unknown_scan")
        return self._scan | {"scan_id": id}


@pytest.mark.parametrize(("given", "id"), [("5", IDS[2]), ("d895", IDS[0]), (IDS[1], IDS[1])])
def test_the_beginning_of_an_id_is_enough(given: str, id: str) -> None:
    """Where it is that of one scan alone."""
    assert _scan(Answers(), given)["scan_id"] == id  # type: ignore[arg-type]


def test_what_begins_no_id_is_told() -> None:
    """In the words of the other end."""
    with pytest.raises(Failed, match="no such scan"):
        _scan(Answers(), "elsewhere")  # type: ignore[arg-type]


def test_the_pace_of_a_scan_that_runs_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each change so far, with its cause, before there is any report."""
    change = {"at_seconds": 2.5, "concurrency": 1, "batch": 16, "rest": 0.5, "cause": "active_sessions"}
    told = {"source": "default/shop", "state": "running", "tables": 75, "looked": 12, "reason": "", "trace_id": "t"}
    times = {"asked_at": "2026-11-21T22:34:12.1+00:00", "started_at": None, "ended_at": None}

    @contextmanager
    def edge() -> Iterator[Answers]:
        yield Answers(told | times | {"report": None, "pace": [change, {**change, "rest": 0.0, "cause": "quiet"}]})

    monkeypatch.setattr(commands, "edge", edge)
    commands.show(IDS[0])
    shown = capsys.readouterr().out
    assert "at 2.5 s: 1 line(s), 16 tables at once, 50% rest, because of active_sessions" in shown
    assert "0% rest, because of quiet" in shown


def test_the_beginning_of_several_is_told() -> None:
    """Rather than to pause any one of them."""
    with pytest.raises(UsageError, match="2 scans begin with d8"):
        _scan(Answers(), "d8")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scan", "told"),
    [
        ({"state": "running", "tables": None, "looked": 0}, "0 of ?"),
        ({"state": "paused", "tables": 75, "looked": 12}, "12 of 75"),
        ({"state": "completed", "tables": 75, "looked": 0, "changed": 0}, "75 unchanged"),
        ({"state": "completed", "tables": 75, "looked": 3, "changed": 3}, "75, 3 changed"),
        ({"state": "completed", "tables": 0, "looked": 0, "changed": 0}, "none there"),
        ({"state": "failed", "tables": 75, "looked": 3}, "3 of 75"),
        ({"state": "running", "tables": 3003, "looked": 2400}, "2,400 of 3,003"),
    ],
)
def test_an_unchanged_source_is_no_scan_that_saw_nothing(scan: dict[str, Any], told: str) -> None:
    """What is not new is not looked into again, and still counts."""
    assert _progress(scan) == told


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("asked by a person", "asked 2026-11-21 22:34 UTC by a person"),
        ("connected", "asked 2026-11-21 22:34 UTC: connected"),
        ("", "asked 2026-11-21 22:34 UTC"),
    ],
)
def test_who_asked_and_when(reason: str, told: str) -> None:
    """To the minute, and said once."""
    assert _asked({"asked_at": "2026-11-21T22:34:12.123456+00:00", "reason": reason}) == told
