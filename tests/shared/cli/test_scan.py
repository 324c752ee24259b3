"""What `pursight scan` says where it is interrupted, or another scan is before it."""

from __future__ import annotations

import pytest

from shared.cli import scan
from shared.cli.target import Target
from shared.local.stack import Running


def test_ctrl_c_before_anything_was_asked_for_says_so(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """As at the question for a password."""
    monkeypatch.setenv("PURSIGHT_URL", "http://127.0.0.1:1")

    def left(_: Running | None) -> Target:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan.run(left, json_output=False, fail_on="")
    assert "nothing was begun" in capfd.readouterr().err
