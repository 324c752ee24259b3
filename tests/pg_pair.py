"""A PostgreSQL 15 primary with a streaming replica, over TLS with an authority of their own: Debian's binaries, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.local.ports import free_ports
from tests.tls_server import DEBIAN, missing

PASSWORD = "right horse"
START_SECONDS = 60.0
_HBA = """local all all trust
hostssl all app 127.0.0.1/32 cert
hostssl replication repl 127.0.0.1/32 cert
host all scan,reader 127.0.0.1/32 scram-sha-256
"""
_ROLES = f"""create role repl replication login; create role app login; create role scan login password '{PASSWORD}';
create role reader login password '{PASSWORD}';"""


@dataclass
class PgPair:
    """`a` is the primary at first, `b` its replica. `scan`, and `app` by certificate, may read what they are granted."""

    folder: Path
    ports: dict[str, int]
    account: dict[str, Any]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def run(self, sql: str, name: str = "a", database: str = "postgres") -> list[tuple[Any, ...]]:
        """As the superuser, by the socket; the rows of the last statement."""
        with psycopg.connect(host=str(self.folder), port=self.ports[name], user="postgres", dbname=database, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def held(self, name: str, lock: int) -> Iterator[Callable[[], None]]:
        """An advisory lock, until this ends or what it gives is called."""
        with psycopg.connect(host=str(self.folder), port=self.ports[name], user="postgres", dbname="postgres", autocommit=True) as holder:
            holder.execute("select pg_advisory_lock(%s)", [lock])
            yield holder.close

    def sessions(self, name: str = "a", application: str = "pursight") -> int:
        """How many sessions of ours the server has."""
        return int(self.run(f"select count(*) from pg_stat_activity where application_name like '{application}%'", name)[0][0])

    def caught_up(self) -> None:
        """Until the replica has what the primary has."""
        lsn = self.run("select pg_current_wal_lsn()")[0][0]

        def replayed() -> bool:
            try:
                return bool(self.run(f"select pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn", "b")[0][0])
            except psycopg.errors.SerializationFailure:
                return False  # a replica that is catching up may cancel any statement

        _until(replayed)

    def start(self, name: str) -> None:
        settings = {
            "port": self.ports[name],
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.file(""),
            "fsync": "off",
            "ssl": "on",
            "ssl_ca_file": self.file("ca.pem"),
            "ssl_cert_file": self.file("server.crt"),
            "ssl_key_file": self.file("server.key"),
            "max_standby_streaming_delay": "100ms",
            "wal_receiver_status_interval": "1s",
            "wal_retrieve_retry_interval": "100ms",
            "wal_keep_size": "64MB",
            "max_connections": "40",
            "log_min_messages": "fatal",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        command = [DEBIAN / "postgres", "-D", self.file(name), *options]
        self.processes[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.account)
        ready = [DEBIAN / "pg_isready", "-h", self.folder, "-p", str(self.ports[name]), "-q"]
        _until(lambda: subprocess.run(ready).returncode == 0)

    def kill(self, name: str) -> None:
        """As if the machine's power went: no goodbye to anybody."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGQUIT)
        process.wait(START_SECONDS)

    def freeze(self, name: str) -> None:
        """It holds its lines and answers nobody, as behind a network that drops everything."""
        for process in self._family(name):
            os.kill(process, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        for process in self._family(name):
            os.kill(process, signal.SIGCONT)

    def _family(self, name: str) -> list[int]:
        parent = self.processes[name].pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [parent, *map(int, children)]

    def promote(self) -> None:
        self.run("select pg_promote()", "b")

    def copy(self) -> None:
        """A fresh replica `b` of `a`."""
        if "b" in self.processes:
            self.kill("b")
        shutil.rmtree(self.folder / "b", ignore_errors=True)
        tls = {"PGSSLROOTCERT": "ca.pem", "PGSSLCERT": "repl.crt", "PGSSLKEY": "repl.key"}
        command = [DEBIAN / "pg_basebackup", "-d", f"host=localhost port={self.ports['a']} user=repl sslmode=verify-full"]
        command += ["-D", self.file("b"), "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        environment = {"PATH": os.environ["PATH"]} | {name: self.file(file) for name, file in tls.items()}
        subprocess.run(command, check=True, capture_output=True, env=environment, **self.account)
        self.start("b")

    def whole(self) -> None:
        """`a` as primary and `b` as its replica again, whatever a test did to them."""
        if "a" not in self.processes:
            self.start("a")
        if "b" not in self.processes or not self.run("select pg_is_in_recovery()", "b")[0][0]:
            self.copy()
        self.caught_up()


def _until(holds: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="session")
def started_pair() -> Iterator[PgPair]:
    """Started once; skipped, visibly, where Debian's server is not installed."""
    if not (DEBIAN / "postgres").exists():
        missing("Debian's postgresql-15")
    with tempfile.TemporaryDirectory(prefix="pursight-pair-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        pair = PgPair(folder, dict(zip("ab", free_ports(2), strict=True)), _account())
        _certificates(pair)
        subprocess.run(
            [DEBIAN / "initdb", "-D", folder / "a", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            **pair.account,
        )
        (folder / "a" / "pg_hba.conf").write_text(_HBA)
        try:
            pair.start("a")
            pair.run(_ROLES)
            pair.copy()
            yield pair
        finally:
            for process in pair.processes.values():
                process.send_signal(signal.SIGQUIT)
                process.wait(START_SECONDS)


@pytest.fixture
def pg_pair(started_pair: PgPair) -> PgPair:
    """The session's pair, in order at the start of each test."""
    started_pair.whole()
    return started_pair


def _account() -> dict[str, Any]:
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def _certificates(pair: PgPair) -> None:
    trustme = pytest.importorskip("trustme")
    folder, ca, other = pair.folder, trustme.CA(), trustme.CA()
    issued = {"server": ca.issue_cert("localhost", "127.0.0.1")}
    issued |= {name: ca.issue_cert(f"{name}@test", common_name=name) for name in ("repl", "app")}
    for name, certificate in issued.items():
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
        (folder / f"{name}.key").chmod(0o600)
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    folder.chmod(0o755)
    for path in (folder, *folder.iterdir()) if pair.account else ():
        os.chown(path, pair.account["user"], pair.account["group"])
