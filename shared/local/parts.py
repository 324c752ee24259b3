"""The parts that the supervisor looks after: servers (PostgreSQL, Kafka) and services, each restarted with growing delay."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path

import psutil

from shared.errors import PurSightError
from shared.local.server import Server, die_with_parent, name_process, open_log, tail_of
from shared.local.state import Part, PartState, Pid

log = logging.getLogger(__name__)
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.2, 30.0
CALM_SECONDS = 10.0  # who lived that long is started again at once
CRASH_LOOP = 3
LAST_BYTES = 16_384  # of a log, for its last line


class Supervised(ABC):
    """One part: `tick` it often, and it comes back whenever it dies."""

    def __init__(self, name: str, port: int) -> None:
        self.record = Part(name=name, port=port, state="stopped")
        self._deaths = 0  # in a row, each soon after its start
        self._next_start = self._started = 0.0

    @abstractmethod
    def _spawn(self) -> int:
        """Start it and return its pid. Raises PurSightError."""

    @abstractmethod
    def exit_status(self) -> int | None:
        """How it ended, None while it runs."""

    @abstractmethod
    def is_ready(self) -> bool: ...

    @abstractmethod
    def ask_to_stop(self) -> None: ...

    @abstractmethod
    def kill(self) -> None: ...

    def explain(self, status: int) -> str:
        """One line on why it ended."""
        return f"ended with status {status}" if status >= 0 else f"ended by {signal.Signals(-status).name}"

    def start(self) -> None:
        """Raises PurSightError."""
        pid = self._spawn()
        self._started = time.monotonic()
        self._set("starting", process=Pid.of(pid))

    def tick(self) -> None:
        """One look: note a death, start again when it is time, note when it answers."""
        now = time.monotonic()
        if self.record.process is None:
            if self.record.state != "stopped" and now >= self._next_start:
                self._start_again(now)
        elif (status := self.exit_status()) is not None:
            self._died(now, self.explain(status))
        elif self.record.state != "running" and self.is_ready():
            self._set("running", problem="")

    def end(self, deadline: float) -> None:
        """Wait until it has ended; the hard way after `deadline` (monotonic seconds)."""
        while self.record.process and self.exit_status() is None:
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.02)
        self._set("stopped", process=None)

    def _start_again(self, now: float) -> None:
        try:
            self.start()
        except (PurSightError, OSError) as error:
            self._died(now, str(error))

    def _died(self, now: float, problem: str) -> None:
        calm = self.record.state == "running" and now - self._started > CALM_SECONDS
        self._deaths = 1 if calm else self._deaths + 1
        delay = min(FIRST_DELAY_SECONDS * 2 ** min(self._deaths - 1, 20), LONGEST_DELAY_SECONDS)
        self._next_start = now + delay
        log.warning("part.died part=%s problem=%r deaths=%d again_in_seconds=%.1f", self.record.name, problem, self._deaths, delay)
        state: PartState = "crashing" if self._deaths >= CRASH_LOOP else "restarting"
        self._set(state, process=None, problem=problem, restarts=self.record.restarts + 1)

    def _set(self, state: PartState, **changes: object) -> None:
        self.record = self.record.model_copy(update={"state": state, **changes})


class SupervisedServer(Supervised):
    """PostgreSQL or Kafka."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.name, server.port)
        self.server = server

    def _spawn(self) -> int:
        self.server.spawn()
        return self.server.pid

    def exit_status(self) -> int | None:
        return self.server.process.poll() if self.server.process else 0

    def is_ready(self) -> bool:
        if self.server.is_ready():
            return True
        if time.monotonic() - self._started > self.server.start_seconds:
            self.kill()
        return False

    def end(self, deadline: float) -> None:
        super().end(max(deadline, time.monotonic() + self.server.stop_seconds))
        self.server.after_stop()

    def explain(self, status: int) -> str:
        return str(self.server.diagnosis()) if self.record.state == "starting" else super().explain(status)

    def ask_to_stop(self) -> None:
        if self.server.is_running() and self.server.process:
            self.server.process.send_signal(self.server.stop_signal)

    def kill(self) -> None:
        if self.server.process:
            self.server.process.kill()


class SupervisedService(Supervised):
    """A service, forked from the supervisor, which has loaded its modules already."""

    def __init__(self, entry: EntryPoint, port: int, *, log_file: Path, environment: Callable[[], Mapping[str, str]]) -> None:
        super().__init__(entry.name, port)
        self._entry, self._log_file, self._environment = entry, log_file, environment
        self._status: int | None = 0

    def _spawn(self) -> int:
        self._status = None
        return fork(self.record.name, lambda: self._entry.load().run(), self._log_file, self._environment())

    def exit_status(self) -> int | None:
        if self._status is None and self.record.process:
            pid, status = os.waitpid(self.record.process.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def explain(self, status: int) -> str:
        """With the service's own last word, where that is an error of ours."""
        said = _last_word(tail_of(self._log_file, size=LAST_BYTES))
        return f"{super().explain(status)}: {said}" if said else super().explain(status)

    def is_ready(self) -> bool:
        """It lives; whether it can work is told by its own /readyz."""
        return True

    def ask_to_stop(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.record.process and self.exit_status() is None:
            os.kill(self.record.process.pid, number)


def fork(name: str, main: Callable[[], None], log_file: Path, environment: Mapping[str, str]) -> int:
    """Run `main` in a child of this single-threaded process, with its output in `log_file`; returns the child's pid.

    The child gets SIGTERM when we end, however we end. It writes a failure as one JSON line and leaves with status 1.
    """
    if (threads := psutil.Process().num_threads()) > 1:
        log.warning("supervisor.threads count=%d: a forked child may find a lock held for ever", threads)
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    status = 1
    try:
        _become(name, parent, log_file, environment)
        main()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        sys.stderr.write(_failure(name, error))
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _become(name: str, parent: int, log_file: Path, environment: Mapping[str, str]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
    name_process(f"pursight-{name}")
    with open_log(log_file) as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    logging.getLogger().handlers.clear()


def _last_word(log_text: str) -> str:
    """The line of a known error at the very end of a log, else empty. The words of unknown ones were never written down."""
    try:
        facts = json.loads(log_text.splitlines()[-1])
        return str(facts["error"]) if facts["event"] == "service.failed" and not facts["places"] else ""
    except (IndexError, ValueError, KeyError, TypeError):
        return ""


def _failure(name: str, error: BaseException) -> str:
    """What broke, as a log line. Of an error that is not ours only the type and the places: its words may hold anything."""
    known = isinstance(error, PurSightError)
    facts = {
        "level": "ERROR",
        "event": "service.failed",
        "service": name,
        "code": error.code if isinstance(error, PurSightError) else type(error).__name__,
        "error": str(error) if known else type(error).__name__,
        "places": [] if known else [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-6:]],
    }
    return json.dumps(facts) + "\n"
