"""The local stack as one thing: up, down, status, reset. Used by the shell's commands, by `scan` and `demo`, and by tests."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

import psutil

from shared.contracts.engines import PASSWORD_VARIABLES
from shared.errors import Failed
from shared.local.jars import class_path
from shared.local.ports import LOOPBACK, free_ports, require_free
from shared.local.postgres import DATABASE, ROLE, EmbeddedPostgres
from shared.local.server import address, open_log
from shared.local.state import VERSION, Home, Part, State, outlived
from shared.local.supervisor import SERVICES
from shared.local.upgrade import upgrade
from shared.settings import default_home

UP_SECONDS = 120.0
LATE_SECONDS = 5.0  # a stack that is up should answer by then: else whom we wait for is told
DOWN_SECONDS, QUIET_SECONDS = 60.0, 2.0  # how long an end is waited for, and how long without a word
LEAST_FREE_BYTES, FULL_BYTES = 256 << 20, 64 << 20  # to start with; PostgreSQL and Kafka write ahead in files of 16 MiB and more
SERVERS = ("postgres", "kafka")


@dataclass(frozen=True)
class Step:
    """One line of progress: `part` did `what`, `seconds` after the start."""

    part: str
    what: str
    seconds: float


Progress = Callable[[Step], None]


@dataclass(frozen=True)
class Running:
    """Addresses of a stack that is up. `started` tells whether this call started it. Secrets stay out of the repr."""

    home: Path
    started: bool
    bootstrap: str
    services: dict[str, str]
    database_url: str = field(repr=False)
    token: str = field(repr=False)

    @property
    def door(self) -> str:
        """Address of the front door, empty where the stack has none."""
        return self.services.get("door", "")


def silent(step: Step) -> None:
    """Progress nobody asked for."""


class Stack:
    """The stack on one data directory: `PURSIGHT_HOME`, else `~/.pursight`."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = Home(home or Path(os.environ.get("PURSIGHT_HOME") or default_home()))

    def up(self, progress: Progress = silent, *, new_ports: bool = False) -> Running:
        """Start what is not running and wait until every part is ready.

        Raises Failed with one line; then, and on Ctrl-C, what this call started is stopped again.
        """
        self.home.make()
        with self._one_at_a_time():
            self._let_it_stop(progress)
            if self.home.load().supervised():
                self.require_space(FULL_BYTES)
                self._wait(_Reporter(progress))
                return self.running(started=False)
            try:
                self._launch(_Reporter(progress), new_ports=new_ports)
            except BaseException as error:
                self._down()
                self._remember(error)
                raise
        return self.running(started=True)

    def _let_it_stop(self, progress: Progress) -> None:
        """A stack that is being stopped is started anew when it is down."""
        state = self.home.load()
        supervisor = state.supervised() if state.stopping else None
        if supervisor:
            progress(Step("stack", "is being stopped; it is started again after that …", 0.0))
            outlived([supervisor], DOWN_SECONDS)

    def down(self, progress: Progress = silent) -> bool:
        """Stop services, then Kafka, then PostgreSQL. True where something was running. Whom it waits for longer is told."""
        if not self.home.path.exists():
            return False
        return self._down(progress)

    def running(self, *, started: bool = False) -> Running:
        """Addresses of the stack that is up. Raises Failed where it is not."""
        state = self.home.load()
        if not state.supervised():
            raise Failed("The stack is not running", remedy="Start it with `pursight up`.", code="not_running")
        services = {part.name: f"http://{address(part.port)}" for part in state.parts.values() if part.name not in SERVERS}
        return Running(self.home.path, started, self.bootstrap(state), services, self.database_url(state), self.home.token())

    def bootstrap(self, state: State) -> str:
        return state.kafka or address(state.ports.get("kafka", 0))

    def database_url(self, state: State) -> str:
        """With password. One given by the environment is never written down, so it must still be there."""
        if "postgres" in state.parts:
            return EmbeddedPostgres(self.home.path / "postgres", port=state.ports["postgres"]).url
        return os.environ.get("PURSIGHT_DATABASE_URL", "")

    def require_space(self, least: int = FULL_BYTES) -> None:
        """Raises Failed where fewer than `least` bytes are free: servers that cannot write fail in many ways, none of which says so."""
        free = shutil.disk_usage(self.home.path).free
        if free < least:
            what = f"The disk is full: {free >> 20} MiB free for {self.home.path}, {least >> 20} MiB needed"
            remedy = "Free some space, and what was begun goes on by itself; or choose another place with PURSIGHT_HOME."
            raise Failed(what, remedy=remedy, code="disk_full")

    def reset(self) -> list[Path]:
        """Stop, then delete what is ours in the data directory, and the directory if nothing else is in it. Returns what was deleted."""
        self.down()
        gone = [self.home.path / name for name in Home.OURS if (self.home.path / name).exists()]
        EmbeddedPostgres(self.home.path / "postgres").discard()
        for path in gone:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        with suppress(OSError):
            self.home.path.rmdir()
        return gone

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Two `up` at once: the second waits, then finds the stack running."""
        with open_log(self.home.path / "up.lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _launch(self, report: _Reporter, *, new_ports: bool) -> None:
        state = self.home.load()
        self.require_space(LEAST_FREE_BYTES)
        self._end(state.leftovers())
        if state.version < VERSION:
            state = upgrade(self.home, state)
            report("data", f"brought to version {VERSION}")
        if not os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
            class_path(progress=lambda done, of: report("kafka", f"fetched {done} of {of} jars"))
        state = self._with_ports(State() if new_ports else state)
        self.home.token()
        self.home.save(state)
        process = self._spawn_supervisor()
        try:
            self._wait(report, process)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                report("stack", "stopping what was started …")
            if process.poll() is None:
                process.terminate()
                process.wait(DOWN_SECONDS)
            raise

    def _remember(self, error: BaseException) -> None:
        """Why the start failed, for the doctor."""
        with suppress(Failed, OSError):
            if isinstance(error, Failed):
                self.home.save(self.home.load().model_copy(update={"problem": error.line(), "problem_code": error.code}))

    def _with_ports(self, old: State) -> State:
        """Ports once chosen are kept; parts that are new get theirs now."""
        external = {"postgres": "PURSIGHT_DATABASE_URL", "kafka": "KAFKA_BOOTSTRAP_SERVERS", "kafka-controller": "KAFKA_BOOTSTRAP_SERVERS"}
        names = [name for name, variable in external.items() if not os.environ.get(variable)]
        names += [entry.name for entry in entry_points(group=SERVICES)]
        for name in names:
            if name in old.ports:
                require_free(old.ports[name], name)
        absent = [name for name in names if name not in old.ports]
        ports = old.ports | dict(zip(absent, free_ports(len(absent)), strict=True)) if absent else old.ports
        kafka, database = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", ""), "external" if os.environ.get("PURSIGHT_DATABASE_URL") else ""
        return State(ports=ports, kafka=kafka, database=database)

    def _spawn_supervisor(self) -> subprocess.Popen[bytes]:
        """In a session of its own: it survives this shell, and Ctrl-C here does not reach it. A person's password stays here."""
        environment = {name: value for name, value in os.environ.items() if name not in PASSWORD_VARIABLES}
        command = [sys.executable, "-P", "-m", "shared.local.supervisor", str(self.home.path)]
        with open_log(self.home.log_of("supervisor")) as log:
            return subprocess.Popen(
                command, cwd=self.home.path, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _wait(self, report: _Reporter, process: subprocess.Popen[bytes] | None = None) -> None:
        """Until every part is ready. Raises Failed when the supervisor gave up, a part keeps dying, or it takes too long."""
        waiting: dict[str, str] = {"the stack": "not started"}
        began = time.monotonic()
        deadline, told = began + UP_SECONDS, False
        while waiting:
            state = self.home.load()
            if (process and process.poll() is not None) or (process is None and not state.supervised()):
                why = state.problem or f"the supervisor ended; see {self.home.log_of('supervisor')}"
                raise Failed("The stack did not start", why=why, code=state.problem_code or "supervisor_died")
            if time.monotonic() > deadline:
                names = ", ".join(f"{name} ({why})" for name, why in waiting.items())
                raise Failed(f"Not ready after {UP_SECONDS:.0f} s: {names}", remedy="Run `pursight doctor`.", code="part_slow")
            waiting = self._unready(state, report)
            if waiting and process is None and not told and time.monotonic() > began + LATE_SECONDS:
                told = True
                report("stack", f"waiting for {', '.join(f'{name} ({why})' for name, why in waiting.items())} …")
            time.sleep(0.1 if waiting else 0)

    def _unready(self, state: State, report: _Reporter) -> dict[str, str]:
        """Parts that are not ready yet, with the reason. Raises Failed for one that keeps dying."""
        waiting = {} if state.prepared and state.supervisor else {"the stack": "starting"}
        for part in state.parts.values():
            if part.state == "crashing":
                remedy = f"See {self.home.log_of(part.name)}, or run `pursight doctor`."
                raise Failed(f"{part.name} keeps dying while starting", why=part.problem.rstrip("."), remedy=remedy, code="part_died")
            if part.name in report.said:
                continue
            if problem := readiness(part):
                waiting[part.name] = problem
            else:
                report(part.name, "ready", last=True)
        return waiting

    def _down(self, progress: Progress = silent) -> bool:
        supervisors, parts = self.home.supervisors(), []
        with suppress(Failed):
            parts = self.home.load().leftovers()
        for supervisor in supervisors:
            with suppress(psutil.NoSuchProcess):
                supervisor.send_signal(signal.SIGTERM)
        self._wait_for_the_end(supervisors, _Reporter(progress))
        self._end(parts)
        return bool(supervisors or parts)

    def _wait_for_the_end(self, supervisors: list[psutil.Process], report: _Reporter) -> None:
        """At most DOWN_SECONDS."""
        deadline, told = time.monotonic() + DOWN_SECONDS, ""
        while outlived(supervisors, QUIET_SECONDS) and time.monotonic() < deadline:
            with suppress(Failed):
                left = [part.name for part in self.home.load().parts.values() if part.state != "stopped"]
                does = _last_work(left)
                if left and (waits := f"waiting for {', '.join(left)}, which {does} …") != told:
                    told = waits
                    report("stack", waits)

    def _end(self, left: list[psutil.Process]) -> None:
        """Parts whose supervisor was killed end by themselves; help those that do not."""
        left = outlived(left, 0.5)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in left:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGINT if process.name() == "postgres" and number == signal.SIGTERM else number)
            left = outlived(left, 15.0)


def _last_work(left: list[str]) -> str:
    """What the parts that are left do before they end."""
    if set(left) <= set(SERVERS):
        return "writes to disk what it holds" if len(left) == 1 else "write to disk what they hold"
    return "ends what it has in hand" if len(left) == 1 else "end what they have in hand"


class _Reporter:
    """Passes progress on, each part's last word once."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._began = progress, time.monotonic()
        self.said: set[str] = set()

    def __call__(self, part: str, what: str, *, last: bool = False) -> None:
        if last:
            self.said.add(part)
        self._progress(Step(part, what, time.monotonic() - self._began))


def readiness(part: Part) -> str:
    """Why `part` is not ready, empty when it is. A service says so itself on /readyz."""
    if part.state != "running":
        return part.problem or part.state
    if part.name in SERVERS:
        return ""
    connection = http.client.HTTPConnection(LOOPBACK, part.port, timeout=2.0)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(4096)
    except (OSError, http.client.HTTPException):
        return "does not answer"
    finally:
        connection.close()
    return "" if answer.status == 200 else _said(body)


def _said(body: bytes) -> str:
    """The problems that /readyz lists."""
    try:
        answer = json.loads(body)
        return ", ".join(map(str, answer["problems"])) or "not ready"
    except (ValueError, KeyError, TypeError):
        return "not ready"


def masked_database(state: State) -> str:
    """Address of the database without its password."""
    return "" if state.database else f"postgresql://{ROLE}@{address(state.ports.get('postgres', 0))}/{DATABASE}"
