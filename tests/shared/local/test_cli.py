"""The stack's commands, as a shell runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from shared.local.doctor import masked
from shared.local.stack import Stack
from tests.journeys.stack import heeds_interrupts
from tests.shared.local.processes import PATIENCE_SECONDS, family, living, until


def begin(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from shared.cli import main; main()", *words],
        text=True,
        stdin=-3,
        stdout=-1,
        stderr=-1,
        env=os.environ,
        preexec_fn=heeds_interrupts,
    )


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    process = begin(*words)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out, err


def test_a_day_with_the_stack(light_stack: Stack) -> None:
    """Each command's exit code and what it says, from before the first up to after the reset."""
    code, out, err = run("status")
    assert (code, out) == (1, "")
    assert "not running" in err

    code, out, err = run("up")
    assert code == 0
    assert "alpha: ready" in err
    assert "pages" in out
    assert "code=" not in out, "a link that signs in is in a pipe, which may be a log"
    assert run("up")[2].splitlines()[-1] == "Already up."
    assert "on the ports that it has" in run("up", "--new-ports")[2].splitlines()[-1]

    code, out, _ = run("status", "--json")
    found = json.loads(out)
    assert code == 0
    assert {part["name"] for part in found["parts"]} == {"alpha", "door"}
    assert found["broker"] == os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    assert psutil.pid_exists(found["pid"])
    assert found["data_directory"] == str(light_stack.home.path)
    assert run("doctor")[0] == 0

    assert run("reset")[0] == 2
    code, _, err = run("down")
    assert (code, err.splitlines()[-1]) == (0, "Stopped.")
    assert run("down")[::2] == (0, "Nothing was running.\n")
    assert run("reset", "--yes")[0] == 0
    assert not light_stack.home.path.exists()
    assert run("up", "--no-such-option")[0] == 2


@pytest.mark.parametrize(
    ("started", "number"),
    [
        pytest.param(0, signal.SIGINT, id="the supervisor has begun"),
        pytest.param(1, signal.SIGTERM, id="the database has begun"),
        pytest.param(2, signal.SIGINT, id="the broker has begun"),
    ],
)
def test_interrupted_half_way(kept_stack: Stack, started: int, number: signal.Signals) -> None:
    """Ctrl-C during up: what it started is stopped again, nothing is left running, and the next up works from there."""
    stack = kept_stack
    stack.down()
    process = begin("up")

    def begun() -> bool:
        state = stack.home.load()
        return bool(state.supervised()) and sum(part.process is not None for part in state.parts.values()) >= started

    until(begun, f"{started} servers to begin")
    before = family(stack)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "stopping what was started" in err.splitlines()[-1]
    assert not living(before)
    assert not stack.home.load().supervised()


def test_an_up_that_finds_the_stack_running_leaves_it_so(light_stack: Stack) -> None:
    """Only what this command started is stopped: a stack that was up before stays up."""
    light_stack.up()
    process = begin("up")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert light_stack.running().services


def test_an_up_during_a_down_starts_the_stack_anew(light_stack: Stack) -> None:
    """The state says from the first moment that it stops, and who comes then waits for the end."""
    light_stack.up()
    state = light_stack.home.load()
    supervisor, alpha = state.supervised(), state.parts["alpha"].process
    assert supervisor
    assert alpha
    os.kill(alpha.pid, signal.SIGSTOP)
    supervisor.terminate()
    until(lambda: light_stack.home.load().stopping, "the state to say that it stops")
    process = begin("up")
    assert process.stderr
    assert "is being stopped" in process.stderr.readline()
    os.kill(alpha.pid, signal.SIGCONT)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert err.splitlines()[-1] == "Up."
    assert not light_stack.home.load().stopping


def test_jars_out_of_reach(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network and an empty cache: one line, exit code 1, nothing left running."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    code, _, err = run("up")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "jars cannot be fetched" in err
    assert not stack.home.load().supervised()


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the directory and the way out."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PURSIGHT_HOME", str(tmp_path / "file" / "home"))
    code, _, err = run("up")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "PURSIGHT_HOME" in err


def test_secrets_are_masked_in_log_tails() -> None:
    """What the doctor shows of a log holds neither our secrets nor a password in an address."""
    assert masked("token abc at postgresql://me:pw@host/db", ["abc"]) == "token *** at postgresql://me:***@host/db"
