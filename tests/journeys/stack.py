"""The whole line for tests: a stack in a directory of its own, a source database beside its own, and the shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import httpx

from shared.local.stack import Running, Stack
from tests.journeys import warm

PURSIGHT = Path(sys.executable).with_name("pursight")
# Tells what is slow from what hangs, on a machine of any speed; speed has its bars in the benchmarks.
PATIENCE_SECONDS = 180


@dataclass
class Line:
    """A running stack."""

    home: Path
    running: Running
    environment: dict[str, str] = field(default_factory=dict)

    def http(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.running.door, headers={"Authorization": f"Bearer {self.running.token}"}, timeout=30, trust_env=False
        )

    def get(self, path: str, **query: Any) -> Any:
        with self.http() as client:
            answer = client.get(path, params=query)
            answer.raise_for_status()
            return answer.json()

    def shell(self, *arguments: str, timeout: float = PATIENCE_SECONDS, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `pursight …` against this stack."""
        environment = {**os.environ, **self.environment, "PURSIGHT_HOME": str(self.home), "NO_COLOR": "1", **more}
        return warm.pursight(arguments, environment, timeout)

    def database(self, name: str) -> str:
        """The address of another database in the stack's PostgreSQL."""
        return urlunsplit(urlsplit(self.running.database_url)._replace(path=f"/{name}"))

    async def make_database(self, name: str, *statements: str) -> str:
        """A fresh database with these statements done; returns its URL."""
        admin = await asyncpg.connect(self.running.database_url)
        await admin.execute(f'drop database if exists "{name}" with (force)')
        await admin.execute(f'create database "{name}"')
        await admin.close()
        connection = await asyncpg.connect(self.database(name))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()
        return self.database(name)

    def progress(self, source: str) -> dict[str, Any]:
        return dict(self.get(f"/progress/{quote(source, safe='')}"))

    def export(self, source: str) -> dict[str, Any]:
        return dict(self.get(f"/export/scan/{quote(source, safe='')}"))

    def scan(self, url: str, *more: str, **environment: str) -> dict[str, Any]:
        """`pursight scan URL --json`, which must succeed."""
        done = self.shell("scan", url, "--json", *more, **environment)
        assert done.returncode == 0, done.stderr[-2000:]
        return dict(json.loads(done.stdout))

    def pid(self, part: str) -> int:
        state = json.loads((self.home / "state.json").read_text())
        return int(state["parts"][part]["process"]["pid"])

    def kill(self, part: str) -> None:
        """kill -9 one part; the supervisor starts it again. One that ended by itself, because others died, is met when it is back."""

        def killed() -> bool:
            try:
                os.kill(self.pid(part), signal.SIGKILL)
            except ProcessLookupError:
                return False
            return True

        until(killed, what=f"{part} to be there")


@dataclass
class Beside:
    """A program that runs beside the test; what it says and what it complains of go to files, so that no pipe fills or is cut."""

    process: subprocess.Popen[str]
    out: Path
    err: Path

    def row(self, wanted: Callable[[str], bool], what: str) -> str:
        """The first whole line of its output that is wanted. Fails, with its complaints, when none comes or the program ends."""
        return str(until(lambda: self._row(wanted) or self._ended(what), what=lambda: f"{what}; {self.told()}"))

    def _row(self, wanted: Callable[[str], bool]) -> str:
        return next((row for row in self.out.read_text().splitlines(keepends=True) if row.endswith("\n") and wanted(row)), "")

    def _ended(self, what: str) -> None:
        assert self.process.poll() is None, f"ended with {self.process.returncode} before {what}; {self.told()}"

    def told(self) -> str:
        return f"it complains: {self.err.read_text()[-2000:]}"


@contextmanager
def beside(folder: Path, *command: str | Path, environment: dict[str, str]) -> Iterator[Beside]:
    """Run a program until the end of the block."""
    out, err = folder / "out", folder / "err"
    with out.open("w") as said, err.open("w") as complained:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=complained, text=True)
    try:
        yield Beside(process, out, err)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()


@contextmanager
def started(home: Path, **environment: str) -> Iterator[Line]:
    """A stack with these variables set for its processes, stopped and removed afterwards."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    stack = Stack(home)
    try:
        yield Line(home, stack.up(), environment)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        stack.reset()


def heeds_interrupts() -> None:
    """For `preexec_fn`: a test run in the background hands its children an ignored SIGINT, a shell in a terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until(
    condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS, every: float = 0.1, what: str | Callable[[], str] = ""
) -> Any:
    """The first true answer of `condition`. Fails with `what`, asked then where it is a function, when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what() if callable(what) else what or condition}"
        time.sleep(every)
    return found
