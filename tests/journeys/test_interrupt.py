"""Ctrl-C half way: what the command started is stopped, what was there stays, and the scan goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from shared.local.stack import Stack
from tests.journeys.canary import processes
from tests.journeys.stack import PATIENCE_SECONDS, PURSIGHT, Line, heeds_interrupts, until

TABLES = 150
INTERRUPTED = 130


@pytest.fixture
def home(resting: Path) -> Iterator[Path]:
    yield resting
    Stack(resting).down()


@pytest.fixture
async def large(fresh_database_url: str) -> str:
    """A database that takes long enough to be interrupted in."""
    connection = await asyncpg.connect(fresh_database_url)
    for number in range(TABLES):
        await connection.execute(f"create table t{number} as select i id, 'p' || i || '@example.com' email from generate_series(1, 300) i")
    await connection.close()
    return fresh_database_url


def scanning(home: Path, url: str, name: str) -> subprocess.Popen[str]:
    """`pursight scan`, its password by PGPASSWORD alone."""
    head, _, place = url.rpartition("@")
    user, _, password = head.rpartition(":")
    return subprocess.Popen(
        [PURSIGHT, "scan", f"{user}@{place}", "--name", name],
        env={**os.environ, "PURSIGHT_HOME": str(home), "PGPASSWORD": password},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeds_interrupts,
    )


def half_way(home: Path, source: str) -> Line:
    """The line of the stack, as soon as it has begun with the source."""
    until(lambda: Stack(home).home.load().supervised() and Stack(home).home.load().prepared, what="the stack")
    line = Line(home, Stack(home).running())

    def begun() -> bool:
        try:
            return line.progress(source)["state"] in ("registered", "connected", "scanning", "flowing")
        except Exception:
            return False  # the stack is starting

    until(begun, every=0.02, what="the scan")
    return line


def of_this(home: Path) -> list[str]:
    """Processes that work in the data directory, or were told of it."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "name"]):
        try:
            if str(home) in " ".join(process.info["cmdline"] or ()) or process.environ().get("PURSIGHT_HOME") == str(home):
                found.append(f"{process.info['name']} {process.info['pid']}")
        except psutil.Error:
            continue
    return found


def test_ctrl_c_stops_what_the_scan_started_and_the_next_up_goes_on(home: Path, large: str) -> None:
    """Nothing is left running and nothing is lost: the next `up` brings the same scan to its end. The password was in no environment."""
    password = large.rpartition("@")[0].rpartition(":")[2]
    scan = scanning(home, large, "cut")
    line = half_way(home, "default/cut")
    told = processes(json.loads((home / "state.json").read_text())["supervisor"]["pid"])
    assert len(told) >= 9
    assert not [name for name, data in told.items() if password.encode() in data]
    scan.send_signal(signal.SIGINT)
    out, err = scan.communicate(timeout=PATIENCE_SECONDS)
    assert scan.returncode == INTERRUPTED, err
    assert "the scan goes on at the next `pursight up`" in err
    assert "Traceback" not in err
    assert out == ""
    assert of_this(home) == []
    up = line.shell("up")
    assert up.returncode == 0, up.stderr
    until(lambda: line.progress("default/cut")["done"], what="the end of the scan that was cut short")
    assert len(line.export("default/cut")["assets"]) == TABLES


def test_ctrl_c_leaves_a_stack_that_was_up_before(home: Path, large: str) -> None:
    """The command ends, the stack and the scan do not; `down` then stops everything, and a second one finds nothing."""
    line = Line(home, Stack(home).up())
    before = line.pid("discovery")
    scan = scanning(home, large, "kept")
    half_way(home, "default/kept")
    scan.send_signal(signal.SIGINT)
    _, err = scan.communicate(timeout=PATIENCE_SECONDS)
    assert scan.returncode == INTERRUPTED, err
    assert "Traceback" not in err
    assert line.pid("discovery") == before
    until(lambda: line.progress("default/kept")["done"], what="the end of the scan nobody follows")
    assert line.shell("down").returncode == 0
    assert of_this(home) == []
    again = line.shell("down")
    assert again.returncode == 0
    assert "Nothing was running." in again.stderr
