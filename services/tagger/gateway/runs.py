"""What stays of a job's Terraform runs: one folder each, private, with the plan that waits, a record of what happened, and a lock."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from shared.errors import Failed, UsageError

PLAN, RECORD, DATA, BACKEND = "plan.bin", "run.json", "data", "backend.tfbackend"
SHORTEST_DIGEST = 12  # hexadecimal digits of a plan's digest that a person may give instead of all


@dataclass(frozen=True, slots=True)
class Record:
    """What happened last. `state`: planned, applying, applied, failed. Written before and after whatever changes the world."""

    state: str
    job: str
    workspace: str
    at: str
    plan: str = ""  # sha256 of the plan file
    variables: str = ""  # sha256 of what the module was told
    refused: tuple[str, ...] = ()  # codes that must be accepted
    counts: dict[str, int] = field(default_factory=dict)
    approved_by: str = ""
    code: str = ""  # of the failure

    def become(self, state: str, now: datetime, **changes: str) -> Record:
        return replace(self, state=state, at=now.isoformat(timespec="seconds"), **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Run:
    """The folder of one job's runs, while its lock is held."""

    path: Path
    lock: int

    @property
    def data(self) -> Path:
        return self.path / DATA

    @property
    def plan(self) -> Path:
        return self.path / PLAN

    def record(self) -> Record | None:
        """What happened last; None where nothing did."""
        try:
            told = json.loads((self.path / RECORD).read_text())
        except FileNotFoundError:
            return None
        return Record(**{**told, "refused": tuple(told["refused"])})

    def keep(self, record: Record) -> None:
        """Remember it, whole or not at all."""
        write_private(self.path / RECORD, json.dumps(asdict(record), indent=2) + "\n")

    def forget_plan(self) -> None:
        """A plan holds secrets, and serves once."""
        self.plan.unlink(missing_ok=True)

    def approved_plan(self, record: Record, approved: str) -> Path:
        """A copy of the plan's bytes that have the approved digest, for this apply alone. Raises UsageError `plan_changed`."""
        content = self.plan.read_bytes() if self.plan.exists() else b""
        digest = sha256(content).hexdigest()
        if digest != record.plan or not matches(approved, digest):
            raise UsageError(
                "the plan is not the one that was approved",
                why=f"its digest is {digest[:SHORTEST_DIGEST]}…" if content else "there is no plan any more",
                remedy="Run --mode plan, look at it, and approve its digest.",
                code="plan_changed",
            )
        file = self.path / f"{PLAN}.approved"
        write_private(file, content)
        return file


def matches(approved: str, digest: str) -> bool:
    """Is this the digest, or enough of its beginning?"""
    return len(approved) >= SHORTEST_DIGEST and digest.startswith(approved.lower())


def write_private(path: Path, content: str | bytes) -> None:
    """The whole file or the former one, never a part; for its owner alone."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 from its first moment
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def run_of(home: Path, module: Path, job: str, doing: str) -> Iterator[Run]:
    """The run folder of a job in a module's folder. One at a time per module, whose folder holds the variables: others are refused.

    The lock is one on an open file that children inherit, so it lasts until the last of them has ended, also where we are killed.
    Raises Failed `run_in_progress`, UsageError `not_writable`.
    """
    try:
        name = sha256(str(module).encode()).hexdigest()[:16]
        path = home / "terraform" / name / sha256(job.encode()).hexdigest()[:16]
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (path.parent.parent, path.parent, path, path / DATA):
            folder.mkdir(exist_ok=True, mode=0o700)
        lock = os.open(path.parent / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"{home} cannot be written", why=error.strerror or "", remedy="Set PURSIGHT_HOME.", code="not_writable") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(os.read(lock, 500).decode("utf-8", "replace")) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"--mode {doing} of {job}, process {os.getpid()}".encode(), 0)
        yield Run(path, lock)
        os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def _busy(who: str) -> Failed:
    return Failed(
        "another run works on this module",
        why=who,
        remedy="Wait until it has ended; Terraform may go on for a while after its caller is gone.",
        code="run_in_progress",
    )
