"""`pursight tags`: what it asks the stack, what it prints, how it ends. The answers are those of the API's own tests."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from services.tagger.commands.tags import FOUND, app
from shared.errors import UsageError
from tests.tagger.test_worked_example import JOB

TARGET = "acme/resource:arn:aws:s3:::lake"
RESOURCE = {"target": TARGET, "outcome": "applied", "drifted": [], "problem": None, "gone": False}
FAILED = RESOURCE | {"outcome": "failed", "drifted": ["Environment"], "problem": {"cause": "two writers", "remedy": "Let one write."}}
SUBMITTED = {
    "resources": [TARGET],
    "skipped": [{"resource": "vpc-1", "code": "account_missing", "cause": "no account", "remedy": "Set it."}],
    "change": {"write": {"A": "1"}, "remove": []},
    "trace_id": "ab" * 16,
}
NOTHING: dict[str, Any] = {"write": {}, "remove": [], "held_by_others": [], "left_out": [], "drifted": []}


class Stack:
    """Answers in turn, and keeps what it was asked."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers, self.asked = list(answers), list[tuple[Any, ...]]()

    def send(self, method: str, path: str, document: Any = None) -> dict[str, Any]:
        self.asked.append((method, path, document))
        return self._answers.pop(0)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        self.asked.append((path, query))
        return self._answers.pop(0)


@pytest.fixture
def tags(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(stack: Stack, *arguments: str) -> tuple[str, int]:
        monkeypatch.setattr("services.tagger.commands.tags.edge", lambda: nullcontext(stack))
        monkeypatch.setenv("COLUMNS", "200")
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        return done.stdout, done.exit_code

    return run


def test_a_job_is_submitted_with_its_variables(tags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaced here, because a body has none; what is skipped is told with the reason; a dry run asks for one."""
    monkeypatch.setenv("BUCKET", "lake")
    document = {**JOB, "infrastructure": {"runtime": {"platform": "emr", "storage": {"bucket": "${BUCKET}"}}}}
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(document))
    stack = Stack(SUBMITTED)
    shown, code = tags(stack, "submit", str(file), "--dry-run")
    method, path, sent = stack.asked[0]
    assert (method, path, sent["infrastructure"]["runtime"]["storage"]["bucket"]) == ("POST", "/jobs?dry_run=true", "lake")
    assert code == 0
    assert "account_missing" in shown
    file.write_text("asset: x\nunknown: y\n")
    with pytest.raises(UsageError) as caught:
        tags(Stack(), "submit", str(file))
    assert caught.value.code == "job_rejected"


def test_a_list_ends_with_what_failed(tags: Any) -> None:
    """All pages; exit code 3 and the remedy where one failed."""
    stack = Stack({"resources": [RESOURCE], "after": TARGET}, {"resources": [FAILED], "after": None})
    shown, code = tags(stack, "list", "--source", "acme/")
    assert [query["after"] for _, query in stack.asked] == ["", TARGET]
    assert code == FOUND
    assert "Let one write." in shown.replace("\n", " ")
    assert tags(Stack({"resources": [RESOURCE], "after": None}), "list")[1] == 0


def test_a_diff_tells_and_changes_nothing(tags: Any) -> None:
    """Exit code 3 where an apply would write."""
    change = NOTHING | {"write": {"Environment": "prod"}, "drifted": ["Environment"]}
    stack = Stack(change)
    shown, code = tags(stack, "diff", TARGET)
    assert stack.asked == [("POST", f"/resources/{TARGET}/apply?dry_run=true", None)]
    assert (code, "somebody changed: Environment" in shown) == (FOUND, True)
    assert tags(Stack(NOTHING), "diff", TARGET) == ("Nothing: it carries what it should.\n", 0)


def test_apply_and_withdraw_name_what_they_ask_for(tags: Any) -> None:
    """A job without a tenant is the usual one's."""
    stack = Stack({"trace_id": "ab" * 16}, {"job": "default/orders", "resources": [TARGET]})
    tags(stack, "apply", TARGET)
    tags(stack, "withdraw", "orders")
    assert [each[:2] for each in stack.asked] == [("POST", f"/resources/{TARGET}/apply"), ("DELETE", "/jobs/default/orders")]
