"""A server process of ours (PostgreSQL, Kafka): started as a child, watched until it answers, stopped cleanly, explained when it dies."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ClassVar, Self

from shared.errors import Failed, PurSightError
from shared.local.ports import LOOPBACK, free_ports, port_in_use, require_free

POLL_SECONDS = 0.02
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(number: int) -> None:
    """Ask the kernel to send us signal `number` when our parent ends, however it ends. Linux only; elsewhere nothing."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(number))


def name_process(name: str) -> None:
    """What `ps` and `top` call us; the kernel keeps 15 bytes. Linux only; elsewhere nothing."""
    if _libc is not None:
        _libc.prctl(PR_SET_NAME, name.encode()[:15])


def open_log(path: Path) -> BinaryIO:
    """A file to append to, readable by us alone from its first byte."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab", buffering=0)


def tail_of(log: Path, start: int = 0, size: int = 64_000) -> str:
    """The last `size` bytes of a log, but nothing before offset `start`. Empty where there is no log."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - size))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


class Server(ABC):
    """One server process on one directory. `start` is safe after any kind of end, `kill -9` included.

    The thread that starts it must live as long as it should run: the kernel ends it together with that thread.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    start_seconds: ClassVar[float] = 40.0
    stop_seconds: ClassVar[float] = 20.0
    refused: ClassVar[tuple[str, ...]] = ("Address already in use",)

    def __init__(self, directory: Path, *, port: int | None = None, log: Path | None = None) -> None:
        self.directory = directory.absolute()
        self.port = port or free_ports(1)[0]
        self.log = log or self.directory / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @abstractmethod
    def prepare(self) -> None:
        """Make the data directory where there is none. Raises Failed, leaving nothing half made."""

    @abstractmethod
    def command(self) -> list[str]:
        """Program and arguments of the server process; never a secret."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers clients now."""

    def after_stop(self) -> bool:
        """Whether the process ended as asked to: by itself, or after the signal."""
        return self.process is not None and self.process.returncode in (0, 128 + self.stop_signal)

    def environment(self) -> Mapping[str, str]:
        """All that the server process sees of our environment."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}

    def credentials(self) -> tuple[int, int] | None:
        """User and group to run as, where that is not ours."""
        return None

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    def start(self) -> Self:
        """Make ready and wait for it. Raises Failed with one line that says what is wrong."""
        self.spawn()
        try:
            self.wait_ready()
        except BaseException:
            self.kill9()
            raise
        return self

    def spawn(self) -> None:
        """Start the process and return at once."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.prepare()
        require_free(self.port, self.name)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self.process = self.child(self.command())

    def child(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Run a program of the server's kind: its user, its environment, its log."""
        user, group = self.credentials() or (None, None)
        with open_log(self.log) as log:
            return subprocess.Popen(
                command,
                cwd="/",
                env=dict(self.environment()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                group=group,
                extra_groups=[] if user is not None else None,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(self.stop_signal),
            )

    def wait_ready(self, tick: Callable[[], None] = lambda: None) -> None:
        """Return when clients are answered. `tick` is called while waiting. Raises Failed when it ended or takes too long."""
        deadline = time.monotonic() + self.start_seconds
        while not self.is_ready():
            if not self.is_running():
                raise self.diagnosis()
            if time.monotonic() > deadline:
                raise Failed(f"{self.name} did not answer in {self.start_seconds:.0f} s", remedy=self._see(), code="part_slow")
            tick()
            time.sleep(POLL_SECONDS)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Stop cleanly; the hard way after `stop_seconds`."""
        if self.process is None:
            return
        if self.is_running():
            self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(self.stop_seconds)
            self.after_stop()
        except subprocess.TimeoutExpired:
            self.kill9()
        self.process = None

    def kill9(self) -> None:
        """End it without a chance to say goodbye."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> Self:
        """Stop cleanly where it runs, then start on the same port and data."""
        self.stop()
        return self.start()

    def diagnosis(self, status: int | None = None) -> PurSightError:
        """Why it ended, from its log; the words are ours. `status` where it was not the server itself, but a tool for it."""
        said = tail_of(self.log, self._log_start)
        if any(words in said for words in self.refused):
            return port_in_use(self.port, self.name)
        if "No space left on device" in said:
            return Failed(
                f"The disk is full, {self.name} cannot write", why=str(self.directory), remedy="Free some space.", code="disk_full"
            )
        if status is None and self.process:
            status = self.process.returncode
        return Failed(f"{self.name} ended while starting", why=f"status {status}", remedy=self._see(), code="part_died")

    def _see(self) -> str:
        return f"See {self.log}, or run `pursight doctor`."

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def address(port: int) -> str:
    """host:port on loopback."""
    return f"{LOOPBACK}:{port}"
