"""The tree of commands: complete, and quick, because nobody loads what is not asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

HEAVY = {"aiokafka", "asyncpg", "faststream", "httpx", "jinja2", "numpy", "opentelemetry", "starlette", "uvicorn", "yaml"}
LOADED = """
import sys
sys.argv = ["pursight", *sys.argv[1:]]
try:
    from shared.cli.commands import app
    app()
finally:
    print("loaded", *{name.partition(".")[0] for name, module in sys.modules.items() if module}, file=sys.stderr)
"""


def loaded(*arguments: str) -> tuple[str, set[str]]:
    """What a command prints, and the libraries that it loads."""
    done = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, timeout=180, check=False)
    row = next(row for row in done.stderr.splitlines() if row.startswith("loaded "))
    return done.stdout, set(row.split()[1:])


@pytest.mark.parametrize("arguments", [("--help",), ("status",), ("scan", "--help"), ("down",)])
def test_what_is_not_asked_for_is_not_loaded(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: str) -> None:
    """No driver, no bus, no web framework for a question that needs none of them."""
    monkeypatch.setenv("PURSIGHT_HOME", f"{tmp_path}/home")
    _, libraries = loaded(*arguments)
    assert "typer" in libraries
    assert not HEAVY & libraries


def test_the_list_of_commands_tells_what_each_group_is_for() -> None:
    """As the group itself says when it is loaded."""
    told, _ = loaded("-h")
    shown = " ".join(told.replace("│", " ").split())
    for entry in entry_points(group="pursight.commands"):
        assert f"{entry.name} {entry.load().info.help}" in shown


def test_a_mistyped_command_is_told_the_nearest() -> None:
    """Also where that is a group, which nothing else would have loaded."""
    command = [sys.executable, "-c", "from shared.cli import main; main()", "sorce", "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 2
    assert "Did you mean 'source'" in " ".join(done.stderr.split())
