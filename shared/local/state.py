"""What the stack remembers between commands: `state.json` and `token` in the data directory, both mode 0600."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Failed

VERSION = 2  # of the data directory; what changed with each is in upgrade.py
PartState = Literal["starting", "running", "restarting", "crashing", "stopped"]


class Pid(BaseModel):
    """A process, told apart from a later one with the same number by when it began (seconds since 1970)."""

    model_config = ConfigDict(frozen=True)

    pid: int
    began: float

    @classmethod
    def of(cls, pid: int) -> Pid:
        return cls(pid=pid, began=psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The living process, None when it has ended. A clock that is set moves `began` a little."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.began) < 2.0 and _runs(found)
        except psutil.Error:
            return None
        return found if same else None


def outlived(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after at most `seconds`. Who has ended does not, also where nobody reaps it, as in many a container."""
    deadline, left = time.monotonic() + seconds, list(processes)
    while (left := [process for process in left if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class Part(BaseModel):
    """One supervised process. `restarts` counts since the stack came up; `problem` tells why it is not running, in one line."""

    name: str
    port: int
    state: PartState = "starting"
    process: Pid | None = None
    restarts: int = 0
    problem: str = ""


class State(BaseModel):
    """`ports` are chosen once and kept; the rest describes the running stack and is written by its supervisor alone.

    `stopping`: from the moment it was told to stop, while it still lives.
    """

    version: int = Field(default=VERSION, ge=1)
    ports: dict[str, int] = Field(default_factory=dict)
    kafka: str = ""
    database: str = ""
    supervisor: Pid | None = None
    parts: dict[str, Part] = Field(default_factory=dict)
    prepared: bool = False
    stopping: bool = False
    problem: str = ""
    problem_code: str = ""

    def supervised(self) -> psutil.Process | None:
        """The living supervisor, None when the stack is down."""
        return self.supervisor.process() if self.supervisor else None

    def leftovers(self) -> list[psutil.Process]:
        """Parts that still live, whoever looks after them."""
        found = [part.process.process() for part in self.parts.values() if part.process]
        return [process for process in found if process]


class Home:
    """The data directory: names of the files in it. Everything in `OURS` was made by us; nothing else is ever deleted."""

    OURS = ("state.json", "token", "up.lock", "postgres", "kafka", "logs", "secrets", "spent")

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.logs = self.path / "logs"

    def make(self) -> None:
        """Make it where it is missing. As root others may pass through, for PostgreSQL's own user; each entry guards itself.

        Raises Failed.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
            self.logs.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            remedy = "Choose another with PURSIGHT_HOME."
            raise Failed(f"The data directory {self.path} cannot be made", why=error.strerror or "", remedy=remedy, code="home") from error

    def supervisors(self) -> list[psutil.Process]:
        """Supervisors that work here, found without `state.json`: for when it cannot be read."""
        words = ["shared.local.supervisor", str(self.path)]
        found = {
            process.pid: process for process in psutil.process_iter(["cmdline", "ppid"]) if (process.info["cmdline"] or [])[-2:] == words
        }
        # Services are forks and look the same: they are the supervisor's to stop, unless it is gone.
        return [process for process in found.values() if process.info["ppid"] not in found]

    def log_of(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def load(self) -> State:
        """The state, of this version or an older one; empty where none was kept. Raises Failed where it is damaged, or newer."""
        file = self.path / "state.json"
        try:
            state = State.model_validate_json(file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return State()
        except (ValidationError, UnicodeDecodeError) as error:
            remedy = "Delete that file: ports are chosen anew, data stays."
            raise Failed(f"{file} is damaged", remedy=remedy, code="state_damaged") from error
        if state.version > VERSION:
            what = f"The data directory {self.path} is of a newer PurSight"
            why = f"its version is {state.version}, this PurSight knows {VERSION}"
            raise Failed(what, why=why, remedy="Use that PurSight, or start anew with `pursight reset`.", code="state_newer")
        return state

    def save(self, state: State) -> None:
        self._write("state.json", state.model_dump_json(indent=1))

    def token(self) -> str:
        """The bearer token, made by the first call."""
        file = self.path / "token"
        if not file.exists():
            self._write("token", secrets.token_urlsafe(32))
        return file.read_text("ascii").strip()

    def _write(self, name: str, text: str) -> None:
        """All or nothing, readable by us alone."""
        aside = self.path / f".{name}.{os.getpid()}.{time.monotonic_ns()}"
        aside.touch(mode=0o600)
        aside.write_text(text, "utf-8")
        aside.replace(self.path / name)
