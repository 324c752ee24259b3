"""Debian's PostgreSQL 15 with TLS: the wheel's build has none."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from shared.local.ports import free_ports
from shared.sources.base import Dial

DEBIAN = Path("/usr/lib/postgresql/15/bin")
START_SECONDS = 120.0  # tells what is slow from what hangs


@dataclass(frozen=True)
class TlsServer:
    """Debian's PostgreSQL 15: SCRAM for `scram`, clear text for `clear`, only encrypted for `tlsonly`, nothing for `nobody_knows`."""

    port: int
    ca: str
    other_ca: str
    folder: Path

    @contextmanager
    def with_certificate(self, name: str) -> Iterator[None]:
        """The server shows another one: `soon` ends within the day."""
        self._show(f"{self.folder}/{name}.crt", f"{self.folder}/{name}.key")
        try:
            yield
        finally:
            self._show(f"{self.folder}/server.crt", f"{self.folder}/server.key")

    def _show(self, certificate: str, key: str) -> None:
        """Over by the time that this returns: the postmaster has read its files again."""
        (self.folder / "data" / "postgresql.auto.conf").write_text(f"ssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\n")
        before = self._loaded()
        os.kill(int((self.folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGHUP)
        deadline = time.monotonic() + START_SECONDS
        while self._loaded() == before:
            assert time.monotonic() < deadline, "PostgreSQL did not read its settings again"
            time.sleep(0.02)

    def _loaded(self) -> str:
        command = [DEBIAN / "psql", "-h", self.folder, "-p", str(self.port), "-U", "postgres", "-Atc", "select pg_conf_load_time()"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def dial(self, username: str, **more: Any) -> Dial:
        given = {"host": "localhost", "tls_mode": "verify-full", "ca": self.ca, "password": "right horse"} | more
        return Dial(port=self.port, database="postgres", username=username, connect_seconds=60.0, **given)


_HBA = """local all all trust
host all clear 127.0.0.1/32 password
hostssl all tlsonly 127.0.0.1/32 scram-sha-256
host all scram,limited 127.0.0.1/32 scram-sha-256
host all rejected 127.0.0.1/32 reject
"""
_ROLES = """create role clear login password 'right horse'; create role tlsonly login password 'right horse';
create role scram login password 'right horse'; create role rejected login;
create role limited login password 'right horse' connection limit 0;"""


def missing(part: str) -> NoReturn:
    """A part that cannot be had: a visible skip on a laptop, where conftest does not make it a failure."""
    pytest.skip(f"{part} is not installed")


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """Started once; skipped, visibly, where Debian's server is not installed."""
    if not (DEBIAN / "postgres").exists():
        missing("Debian's postgresql-15")
    trustme = pytest.importorskip("trustme")
    folder = Path("/tmp") / f"pursight-tls-{os.getpid()}"
    folder.mkdir(mode=0o755)
    ca, other = trustme.CA(), trustme.CA()
    certificate = ca.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    certificate.cert_chain_pems[0].write_to_path(folder / "server.crt")
    expired = ca.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1), not_before=datetime.now(UTC) - timedelta(days=9))
    expired.private_key_pem.write_to_path(folder / "expired.key")
    expired.cert_chain_pems[0].write_to_path(folder / "expired.crt")
    soon = ca.issue_cert("localhost", not_after=datetime.now(UTC) + timedelta(hours=9), not_before=datetime.now(UTC) - timedelta(days=9))
    soon.private_key_pem.write_to_path(folder / "soon.key")
    soon.cert_chain_pems[0].write_to_path(folder / "soon.crt")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    port = free_ports(1)[0]
    yield from _serving(folder, port)


def _serving(folder: Path, port: int) -> Iterator[TlsServer]:
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    account = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    (folder / "data").mkdir(mode=0o700)
    for path in [folder, *folder.rglob("*")]:
        if user:
            os.chown(path, user.pw_uid, user.pw_gid)
        if path.suffix == ".key":
            path.chmod(0o600)
    data = str(folder / "data")
    subprocess.run(
        [DEBIAN / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8"], check=True, capture_output=True, **account
    )
    (folder / "data" / "pg_hba.conf").write_text(_HBA)
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(folder),
        "ssl": "on",
        "fsync": "off",
    }
    (folder / "data" / "postgresql.auto.conf").write_text(f"ssl_cert_file = '{folder}/server.crt'\nssl_key_file = '{folder}/server.key'\n")
    command = [DEBIAN / "postgres", "-D", data, *(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account)
    try:
        _until_ready(folder, port, process)
        subprocess.run([DEBIAN / "psql", "-h", folder, "-p", str(port), "-U", "postgres", "-q", "-c", _ROLES], check=True)
        yield TlsServer(port, str(folder / "ca.pem"), str(folder / "other.pem"), folder)
    finally:
        process.send_signal(signal.SIGINT)  # "fast": sessions that a test left open are ended
        process.wait(START_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def _until_ready(folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run([DEBIAN / "pg_isready", "-h", folder, "-p", str(port), "-q"]).returncode:
        assert process.poll() is None, f"PostgreSQL ended with {process.returncode}"
        assert time.monotonic() < deadline, "PostgreSQL did not start"
        time.sleep(0.05)
