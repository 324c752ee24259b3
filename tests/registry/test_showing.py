"""`pursight source show`: figures in words and units, and nothing that does not apply."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry.commands.files import read
from services.registry.commands.showing import tell
from shared.errors import UsageError

HEALTH: dict[str, Any] = {
    "status": "healthy",
    "latency_p50_seconds": 0.000859,
    "latency_p95_seconds": 1.25,
    "error_rate": 0.0,
    "database_bytes": 84_233_123,
    "growth_bytes_per_day": -1200,
    "connections_used": 0.31,
    "pool_used": 0.0,
    "retries_left": 10.0,
    "token_age_seconds": 7200.0,
    "tls": {"version": "", "issuer": ""},
    "advice": [],
}
ENDS = {"pool": {"most": 5, "taken": 1}, "active": "single", "endpoints": [{"role": "single", "endpoint": "localhost:0"}]}


def shown(capsys: pytest.CaptureFixture[str], spec: dict[str, Any], **health: Any) -> str:
    """What is printed, with single blanks."""
    source = {"source": "default/x", "version": 1, "updated_at": "2026-11-21T22:34:12.123456+00:00", "notes": [], "versions": []}
    tell(source | {"spec": spec}, HEALTH | health, ENDS)
    return "\n".join(" ".join(line.split()) for line in capsys.readouterr().out.splitlines())


def test_figures_have_words_and_units(capsys: pytest.CaptureFixture[str]) -> None:
    """None is raw."""
    told = shown(capsys, {"name": "x", "host": "h", "database": "d"})
    for line in (
        "half of the answers within 0.859 ms",
        "95 % of the answers within 1.2 s",
        "checks that failed lately 0 %",
        "size 84.2 MB",
        "growth a day -1.2 kB",
        "connections of the server in use 31 %",
        "retries left 10",
        "age of the cloud's token 120 minutes",
        "sessions at most 5",
        "host h",
    ):
        assert line in told.splitlines()
    assert "_" not in told


def test_one_endpoint_is_not_told_to_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    """The engine is told, also the usual one; which of one endpoint is active is not."""
    told = shown(capsys, {"name": "x"})
    assert told.startswith("x: postgresql, version 1")
    assert "active" not in told
    assert "endpoint localhost:0" in told


def test_a_folder_has_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    """So no port, endpoint, size, pool or TLS is told."""
    told = shown(capsys, {"name": "x", "engine": "folder", "host": "localhost", "port": 0, "path": "/p"}, database_bytes=0)
    assert [word for word in ("port", "localhost", "size", "growth", "tls", "sessions") if word in told] == []
    assert "path /p" in told.splitlines()


def test_a_folder_instead_of_a_document(tmp_path: Any) -> None:
    """Its URL is told."""
    with pytest.raises(UsageError, match=f"is a folder. A folder is written file://{tmp_path},"):
        read(str(tmp_path))
