"""Terraform or OpenTofu as a child process: argument lists, an environment by allow-list, redacted output, a graceful end.

The child runs in a session of its own, so that a Ctrl-C in the terminal reaches us alone: we pass one SIGINT on, the child
saves its state and releases the state's lock, and only after `grace` seconds is it killed with all that it started. It prints
into a file without a name: were it a pipe, our own death would end an apply before its state is saved.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.tagger.domain.redacted import redacted
from services.tagger.domain.surroundings import complaint_of, secrets_in
from shared.errors import Failed, PurSightError, Transient, UsageError

PROGRAMS = ("tofu", "terraform")
LOCK_SECONDS = 120  # how long Terraform waits for its state's lock
LOOK_SECONDS = 0.2  # between two looks at what the child printed
KEPT_LINES = 400  # of what a step printed, for its error
CHUNK = 65536
SOME, NOTHING = 2, 0  # exit codes of `plan -detailed-exitcode`


def found_program(wanted: str = "") -> str:
    """The program's path: the one that is wanted, else OpenTofu, else Terraform. Raises UsageError `terraform_missing`."""
    for name in (wanted,) if wanted else PROGRAMS:
        if path := shutil.which(name):
            return path
    raise UsageError(
        f"{wanted} is not installed here" if wanted else "neither tofu nor terraform is installed here",
        remedy="Install OpenTofu or Terraform 1.5 or newer, or set PURSIGHT_TERRAFORM to its path.",
        code="terraform_missing",
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a step may take, and that a child that was asked to stop gets before it is killed."""

    step: float = 7200.0
    grace: float = 120.0


@dataclass(slots=True)
class Terraform:
    """One module's folder, worked on by one program. `data` holds what init fetched; `held` is a lock that lives as long as any child.

    Every method raises Failed or Transient with a code of `surroundings.COMPLAINTS`, or `interrupted`, `terraform_hung`,
    `terraform_killed`, `terraform_missing`.
    """

    program: str
    folder: Path
    data: Path
    environment: dict[str, str]
    limits: Limits = Limits()
    held: int = -1
    tell: Callable[[str], None] = lambda line: None
    hidden: set[str] = field(default_factory=set)  # values that no line of output may hold, besides the environment's secrets

    def __post_init__(self) -> None:
        self.hidden |= secrets_in(self.environment)

    async def init(self, backend: Path | None = None) -> None:
        """Providers and the state's place; a lock file of the module is obeyed."""
        locked = ["-lockfile=readonly"] if (self.folder / ".terraform.lock.hcl").exists() else []
        await self._run("init", "-input=false", "-no-color", *locked, *([f"-backend-config={backend}"] if backend else []))

    async def workspace(self, name: str, *, make: bool) -> None:
        """Select it, made where it is not there and that is wanted."""
        await self._run("workspace", "select", "-no-color", f"-or-create={str(make).lower()}", name)

    async def plan(self, file: Path) -> bool:
        """Write the plan; is there anything to do?"""
        locking = f"-lock-timeout={LOCK_SECONDS}s"
        code = await self._run("plan", "-input=false", "-no-color", locking, "-detailed-exitcode", f"-out={file}", allowed=(NOTHING, SOME))
        return code == SOME

    async def show(self, file: Path) -> dict[str, Any]:
        """A plan as an object."""
        return await self._json("show", "-json", "-no-color", str(file))

    async def apply(self, file: Path) -> None:
        """Do exactly what this plan says."""
        await self._run("apply", "-input=false", "-no-color", f"-lock-timeout={LOCK_SECONDS}s", str(file))

    async def outputs(self) -> dict[str, Any]:
        """The state's outputs, each with `value`, `type` and `sensitive`."""
        return await self._json("output", "-json", "-no-color")

    async def _json(self, *arguments: str) -> dict[str, Any]:
        with tempfile.TemporaryFile() as printed:
            await self._run(*arguments, printed=printed.fileno())
            printed.seek(0)
            try:
                return dict(json.load(printed))
            except ValueError:
                why = f"terraform {arguments[0]} printed no JSON"
                raise Failed(why, remedy="Use version 1.5 or newer.", code="version_unsupported") from None

    async def _run(self, *arguments: str, allowed: Collection[int] = (0,), printed: int = -1) -> int:
        """One step to its end. What it prints is told line by line, or goes to `printed`."""
        step = arguments[0]
        with tempfile.TemporaryFile() as log:
            said = _Lines(log.fileno(), self._said)
            async with _asked_to_stop() as asked:
                child = await self._start(arguments, printed if printed >= 0 else log.fileno(), log.fileno())
                try:
                    why = await self._ended(child, asked, said)
                finally:
                    await _gone(child)
                    said.rest()
        if why:
            raise self._stopped(step, why)
        if (code := child.returncode or 0) not in allowed:
            raise failed(step, "\n".join(said.kept))
        return code

    async def _start(self, arguments: tuple[str, ...], out: int, err: int) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *(self.program, f"-chdir={self.folder}", *arguments),
                env={**self.environment, "TF_DATA_DIR": str(self.data)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=(self.held,) if self.held >= 0 else (),
            )
        except OSError as error:
            raise Failed(f"{self.program} cannot be started", why=error.strerror or "", code="terraform_missing") from None

    async def _ended(self, child: asyncio.subprocess.Process, asked: asyncio.Event, said: _Lines) -> str:
        """Wait for the end; empty where it came by itself, else why it had to be brought about."""
        if await _within(self.limits.step, child, said, asked):
            return ""
        why = "interrupted" if asked.is_set() else "terraform_hung"
        child.send_signal(signal.SIGINT)
        return why if await _within(self.limits.grace, child, said) else f"{why}, killed"

    def _stopped(self, step: str, why: str) -> PurSightError:
        reason, _, killed = why.partition(", ")
        took = f"it took longer than {self.limits.step:g} s and was asked to stop"
        text = "it was asked to stop" if reason == "interrupted" else took
        if killed:
            remedy = "Its state may still be locked: --mode plan tells, and `force-unlock` opens it."
            said = f"{text}; it did not within {self.limits.grace:g} s"
            return Failed(f"terraform {step} was killed", why=said, remedy=remedy, code="terraform_killed")
        remedy = "It ended by itself and released the state's lock. Run --mode plan again."
        return Failed(f"terraform {step} was stopped", why=text, remedy=remedy, code=reason)

    def _said(self, line: bytes) -> str:
        text = redacted(line.decode("utf-8", "replace"), self.hidden)
        self.tell(text)
        return text


class _Lines:
    """The lines of a file that another process writes, as they come."""

    def __init__(self, file: int, tell: Callable[[bytes], str]) -> None:
        self._file, self._tell, self._at, self._begun = file, tell, 0, b""
        self.kept = deque[str](maxlen=KEPT_LINES)

    def look(self) -> None:
        """Tell what is new."""
        while chunk := os.pread(self._file, CHUNK, self._at):
            self._at += len(chunk)
            *whole, self._begun = (self._begun + chunk).split(b"\n")
            for line in whole:
                self.kept.append(self._tell(line))

    def rest(self) -> None:
        """Tell what is new, a line without an end too."""
        self.look()
        if self._begun:
            self.kept.append(self._tell(self._begun))


async def _within(seconds: float, child: asyncio.subprocess.Process, said: _Lines, asked: asyncio.Event | None = None) -> bool:
    """Did the child end in this time? Looks at what it prints meanwhile, and leaves early where we are asked to stop."""
    deadline = asyncio.get_running_loop().time() + seconds
    end = asyncio.ensure_future(child.wait())
    try:
        while not (asked and asked.is_set()) and (left := deadline - asyncio.get_running_loop().time()) > 0:
            done, _ = await asyncio.wait({end}, timeout=min(left, LOOK_SECONDS))
            said.look()
            if done:
                return True
        return False
    finally:
        end.cancel()


@asynccontextmanager
async def _asked_to_stop() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT or SIGTERM to us sets, instead of ending us."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, asked.set)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


async def _gone(child: asyncio.subprocess.Process) -> None:
    """The child has ended, and nothing that it started outlives it."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()


def failed(step: str, text: str) -> PurSightError:
    """Our error for what a step printed."""
    found = complaint_of(text)
    kind = Transient if found.code in ("state_locked", "throttled") else Failed
    return kind(f"terraform {step} failed", why=found.meaning, remedy=found.remedy, code=found.code)
