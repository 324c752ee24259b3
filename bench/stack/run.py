"""The stack on a laptop: seconds until ready (warm, after kill -9 of everything), the demo's seconds, memory: `python -m bench.stack.run`.

Memory is the sum of the proportional set sizes of all processes, idle after the demo, as `pursight status --json` tells it.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.bars import say

PURSIGHT = Path(sys.executable).with_name("pursight")
ROUNDS = 3
Environment = dict[str, str]


def main() -> int:
    """Prints a JSON line per bar."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PURSIGHT_HOME": f"{folder}/home"}
        try:
            _measure(environment)
        finally:
            _shell(environment, "reset", "--yes")
    return 0


def _measure(environment: Environment) -> None:
    _say(
        "demo, everything installed, first",
        _timed(environment, "demo", "--json"),
        "s",
        "<= 180 s from a fresh clone, installing included",
        180,
    )
    time.sleep(5)
    again = [_timed(environment, "demo", "--json") for _ in range(ROUNDS)]
    _say("demo again", statistics.median(again), "s", "<= 40 s", 40, rounds=again)
    time.sleep(20)
    _say("memory, idle after the demo", _status(environment)["memory_bytes"] / 2**20, "MiB", "<= 1024 MiB", 1024)
    warm, killed = [], []
    for _ in range(ROUNDS):
        _shell(environment, "down")
        warm.append(_timed(environment, "up"))
        _kill_everything(environment)
        killed.append(_timed(environment, "up"))
    _say("ready, after a clean stop", statistics.median(warm), "s", "<= 15 s", 15, rounds=warm)
    _say("ready, after kill -9 of everything", statistics.median(killed), "s", "<= 15 s", 15, rounds=killed)


def _shell(environment: Environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PURSIGHT, *arguments], env=environment, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def _timed(environment: Environment, *arguments: str) -> float:
    """Wall seconds of one command, which must succeed."""
    began = time.monotonic()
    done = _shell(environment, *arguments)
    if done.returncode:
        raise SystemExit(f"pursight {arguments[0]}: {done.stderr[-300:]}")
    return time.monotonic() - began


def _status(environment: Environment) -> dict[str, Any]:
    return dict(json.loads(_shell(environment, "status", "--json").stdout))


def _kill_everything(environment: Environment) -> None:
    state = json.loads((Path(environment["PURSIGHT_HOME"]) / "state.json").read_text())
    pids = [state["supervisor"]["pid"], *(part["process"]["pid"] for part in state["parts"].values() if part["process"])]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    time.sleep(1)


def _say(bar: str, value: float, unit: str, target: str, limit: float, rounds: list[float] | None = None) -> None:
    more = {"rounds": [round(one, 1) for one in rounds]} if rounds else {}
    say(bar, round(value, 1), unit, target, value <= limit, **more)


if __name__ == "__main__":
    sys.exit(main())
