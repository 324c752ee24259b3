"""The catalogue of failures, each met: at a real server, or at a double that speaks the server's protocol where a server will not fail
on demand. `MET` says for every code which of the two it was, and where.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.contracts.cautions import CAUTIONS
from shared.errors import Failed
from shared.sources.base import Dial
from shared.sources.failures import BY_CODE
from shared.sources.mysql import MysqlDriver
from shared.sources.postgres import PostgresDriver
from tests.mysql_server import MysqlServer
from tests.pg_pair import PASSWORD, PgPair
from tests.tls_server import DEBIAN

CANARY = "canary_c0de"
PATIENCE_SECONDS = 20.0
TESTS = Path(__file__).parents[2]
SERVER, DOUBLE = "real server", "protocol double"
POSTGRES, MARIADB, WIRE = "PostgreSQL 15", "MariaDB 10.11", "wire"

# Dials of PostgreSQL 15 with TLS: who, what is changed of a good dial, and the code that must come of it.
AT_POSTGRES: dict[str, tuple[str, dict[str, Any]]] = {
    "wrong_password": ("scan", {"password": CANARY}),
    "password_missing": ("scan", {"password": ""}),
    "no_such_user": ("ghost", {}),
    "no_such_database": ("scan", {"database": CANARY}),
    "may_not_connect": ("scan", {"database": "closed"}),
    "not_allowed_from_here": ("rejected", {}),
    "tls_required": ("tlsonly", {"tls_mode": "disable"}),
    "tls_client_certificate": ("certified", {}),
    "clear_text_refused": ("clear", {"tls_mode": "require"}),
    "sign_in_unsupported": ("ticket", {}),
    "too_many_connections": ("limited", {}),
    "tls_untrusted": ("scan", {"ca": "other.pem"}),
    "tls_file_unreadable": ("scan", {"ca": "nowhere.pem"}),
    "host_unknown": ("scan", {"host": f"{CANARY}.invalid"}),
    "refused": ("scan", {"port": 1}),
    "not_postgresql": ("scan", {"port": "mariadb", "tls_mode": "disable"}),
    "token_not_accepted": ("scan", {"token": True, "password": CANARY}),
}
AT_MARIADB: dict[str, tuple[str, dict[str, Any]]] = {
    "wrong_password": ("reader", {"password": CANARY}),
    "no_such_database": ("root", {"database": CANARY}),
    "may_not_connect": ("reader", {"database": "mysql"}),
    "account_locked": ("locked", {}),
    "password_expired": ("expired", {}),
    "sign_in_unsupported": ("edward", {}),
    "clear_text_refused": ("clear", {"tls_mode": "require"}),
    "tls_wrong_host": ("root", {"host": "127.0.0.2"}),
}
# What servers say for reasons that cannot be brought about here: by SQLSTATE, or by MySQL's number, in the server's own words.
SAID_BY_POSTGRES = {
    "server_disk_full": ("53100", "could not extend file"),
    "server_out_of_memory": ("53200", "out of memory"),
    "data_corrupted": ("XX001", "invalid page in block 7"),
    "server_error": ("58000", "something odd"),
    "connection_reset": ("08006", "server closed"),
}
SAID_BY_MYSQL = {
    "host_blocked": (1129, "Host 'x' is blocked because of many connection errors; unblock with 'mariadb-admin flush-hosts'"),
    "not_allowed_from_here": (1130, "Host 'x' is not allowed to connect to this server"),
    "too_many_connections": (1040, "Too many connections"),
    "shutting_down": (1053, "Server shutdown in progress"),
    "server_out_of_memory": (1041, "Out of memory"),
    "tls_required": (3159, "Connections using insecure transport are prohibited"),
}
# Met in a test of its own: where, and how.
MET_BY_THEMSELVES: dict[str, tuple[str, str]] = {
    "tls_expired": (SERVER, POSTGRES),
    "tls_not_yet_valid": (SERVER, POSTGRES),
    "tls_self_signed": (SERVER, POSTGRES),
    "starting_up": (SERVER, POSTGRES),
    "recovering": (SERVER, POSTGRES),
    "shutting_down": (SERVER, POSTGRES),
    "statement_timeout": (SERVER, f"{POSTGRES}, {MARIADB}"),
    "cancelled": (SERVER, f"{POSTGRES}, {MARIADB}"),
    "no_privilege": (SERVER, f"{POSTGRES}, {MARIADB}"),
    "gone": (SERVER, f"{POSTGRES}, {MARIADB}"),
    "lock_timeout": (SERVER, POSTGRES),
    "recovery_conflict": (SERVER, POSTGRES),
    "unreadable_text": (SERVER, POSTGRES),
    "timeout": (DOUBLE, WIRE),
    "not_mysql": (DOUBLE, WIRE),
    "tls_failed": (DOUBLE, WIRE),
    "too_old": (DOUBLE, WIRE),
}
# Met elsewhere in the suite, in the file that is named.
MET_ELSEWHERE: dict[str, tuple[str, str]] = {
    "tls_not_offered": (SERVER, "shared/sources/test_failures.py"),
    "metadata_unreachable": (DOUBLE, "shared/cloud/test_tokens.py"),
    "identity_refused": (DOUBLE, "shared/cloud/test_tokens.py"),
    "identity_not_assigned": (DOUBLE, "shared/cloud/test_tokens.py"),
    "identity_denied": (DOUBLE, "shared/cloud/test_tokens.py"),
    "federation_refused": (DOUBLE, "shared/cloud/test_tokens.py"),
    "token_file_unreadable": (DOUBLE, "shared/cloud/test_tokens.py"),
    "key_not_usable": (DOUBLE, "shared/cloud/test_tokens.py"),
    "token_server_throttled": (DOUBLE, "shared/cloud/test_tokens.py"),
    "token_server_unreachable": (DOUBLE, "shared/cloud/test_tokens.py"),
    "no_credentials": (DOUBLE, "shared/cloud/test_aws.py"),
    "not_found": (DOUBLE, "shared/cloud/test_posture.py"),
    "access_denied": (DOUBLE, "shared/cloud/test_posture.py"),
    "credentials_invalid": (DOUBLE, "shared/cloud/test_posture.py"),
    "throttled": (DOUBLE, "shared/cloud/test_posture.py"),
}
MET: dict[str, tuple[str, str]] = {
    **dict.fromkeys(SAID_BY_MYSQL, (DOUBLE, WIRE)),
    **dict.fromkeys(SAID_BY_POSTGRES, (DOUBLE, WIRE)),
    **MET_ELSEWHERE,
    **MET_BY_THEMSELVES,
    **dict.fromkeys(AT_MARIADB, (SERVER, MARIADB)),
    **dict.fromkeys(AT_POSTGRES, (SERVER, POSTGRES)),
}


def test_more_than_forty_failures_were_met() -> None:
    """Most of them at real servers; what is met elsewhere is named there."""
    assert set(MET) <= set(BY_CODE)
    real = [code for code, (how, _) in MET.items() if how == SERVER]
    assert (len(MET), len(real)) >= (58, 34)
    for code, (_, file) in MET_ELSEWHERE.items():
        assert f'"{code}"' in (TESTS / file).read_text(), code


def test_every_failure_says_what_to_do() -> None:
    for failure in BY_CODE.values():
        assert failure.cause
        assert failure.remedy.endswith("."), failure.code


def test_no_code_is_missing_from_the_catalogue() -> None:
    """Whatever is raised on the way to a source has an entry, so that its health can say later what it means; so has every warning."""
    raised = re.compile(r'code="([a-z_]+)"')
    ours = {"settings_wrong", "loop_not_guarded", "secret_unnamed", "secret_in_document"}  # of starting, of the store's own shell
    files = [*(TESTS.parent / "shared" / "sources").glob("*.py"), *(TESTS.parent / "shared" / "secrets").glob("*.py")]
    files += [TESTS.parent / "shared" / "egress.py", TESTS.parent / "shared" / "contracts" / "judging" / "allowed.py"]
    found = {code for file in files for code in raised.findall(file.read_text())}
    assert {"egress_denied", "missing_extra", "tls_file_unreadable"} <= found
    assert (found | {"secret_missing"}) - ours <= set(BY_CODE) | set(CAUTIONS)
    assert all(cause and remedy.endswith(".") for cause, remedy in CAUTIONS.values())


async def code_of(dial: Dial, driver: Any = PostgresDriver) -> str:
    """The code with which opening fails, empty where it does not. The words are ours, with nothing of theirs behind."""
    try:
        async with driver().open(dial):
            return ""
    except Failed as error:
        found = error
    assert CANARY not in f"{found}{found!r}"
    assert found.__cause__ is None or found.code == "tls_file_unreadable"
    assert found.why
    assert found.remedy
    return found.code


_LINES = """
hostssl all certified 127.0.0.1/32 cert
host all clear 127.0.0.1/32 password
host all ghost 127.0.0.1/32 trust
host all rejected 127.0.0.1/32 reject
host all limited 127.0.0.1/32 scram-sha-256
hostssl all tlsonly 127.0.0.1/32 scram-sha-256
hostnossl all tlsonly 127.0.0.1/32 reject
hostssl all ticket 127.0.0.1/32 gss include_realm=0
"""
_ROLES = ("certified", "clear", "rejected", "tlsonly", "ticket")


@pytest.fixture(scope="module")
def pair(started_pair: PgPair) -> PgPair:
    """The session's pair, with roles and rules that let nobody in, each for its own reason."""
    pg_pair = started_pair
    pg_pair.whole()
    for role in _ROLES:
        pg_pair.run(f"create role {role} login password '{PASSWORD}'")
    pg_pair.run(f"create role limited login password '{PASSWORD}' connection limit 0")
    pg_pair.run("create database closed")
    pg_pair.run("revoke connect on database closed from public")
    pg_pair.run("create table kept (id int primary key); create table hidden (id int); grant select on kept to scan")
    rules = Path(pg_pair.file("a")) / "pg_hba.conf"
    rules.write_text(_LINES + rules.read_text())
    pg_pair.run("select pg_reload_conf()")
    trustme.CA().cert_pem.write_to_path(pg_pair.file("other.pem"))
    return pg_pair


def good(pair: PgPair, username: str = "scan", **more: Any) -> Dial:
    given = {"host": "localhost", "port": pair.ports["a"], "tls_mode": "verify-full", "ca": "ca.pem", "password": PASSWORD} | more
    given["ca"] = pair.file(given["ca"])
    return Dial(**({"database": "postgres", "username": username, "connect_seconds": 30.0} | given))


async def until(code: str, ask: Callable[[], Awaitable[str]]) -> None:
    """Until the server has come to the state in which it answers so."""
    deadline, found = monotonic() + PATIENCE_SECONDS, ""
    while (found := await ask()) != code:
        assert monotonic() < deadline, f"{found} instead of {code}"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("code", AT_POSTGRES)
async def test_a_dial_of_postgresql(pair: PgPair, code: str, request: pytest.FixtureRequest) -> None:
    username, change = AT_POSTGRES[code]
    change = dict(change)
    if change.get("port") == "mariadb":
        change["port"] = request.getfixturevalue("mariadb").port
    if change.get("token"):

        async def lookup(host: str, port: int, again: bool) -> tuple[str, str]:
            return username, f"{CANARY}{again}"

        change["lookup"] = lookup
    await until(code, lambda: code_of(good(pair, username, **change)))


@pytest.mark.parametrize("code", AT_MARIADB)
async def test_a_dial_of_mariadb(mariadb: MysqlServer, code: str) -> None:
    username, change = AT_MARIADB[code]
    assert await code_of(mariadb.dial(username, **change), MysqlDriver) == code


def _self_signed() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(9))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return pem, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


async def test_certificates_of_the_wrong_time_and_maker(pair: PgPair) -> None:
    """The real server shows one that has ended, one that has not begun, one that it made itself, and its own again."""
    ca, now = trustme.CA(), datetime.now(UTC)
    ca.cert_pem.write_to_path(pair.file("mine.pem"))
    old = ca.issue_cert("localhost", not_before=now - timedelta(9), not_after=now - timedelta(1))
    new = ca.issue_cert("localhost", not_before=now + timedelta(1), not_after=now + timedelta(9))
    shown = [(cert.cert_chain_pems[0].bytes(), cert.private_key_pem.bytes()) for cert in (old, new)]
    places = [Path(pair.file(name)) for name in ("server.crt", "server.key")]
    before = [place.read_bytes() for place in places]
    try:
        for code, files in zip(("tls_expired", "tls_not_yet_valid", "tls_self_signed"), (*shown, _self_signed()), strict=True):
            _show(pair, places, files)
            await until(code, lambda: code_of(good(pair, ca="mine.pem")))
    finally:
        _show(pair, places, before)
        await until("", lambda: code_of(good(pair)))


def _show(pair: PgPair, places: list[Path], files: Any) -> None:
    for place, text in zip(places, files, strict=True):
        place.write_bytes(text)
    pair.run("select pg_reload_conf()")


async def test_a_server_that_begins_recovers_and_ends(pair: PgPair) -> None:
    """The replica's server, held at each stage: restoring its first file, standing by for nobody, and waiting for its last session."""
    data = Path(pair.file("b"))
    settings = data / "postgresql.auto.conf"
    before = settings.read_text()

    async def ask() -> str:
        return await code_of(good(pair, port=pair.ports["b"]))

    stages = [
        ("starting_up", "restore_command = 'sleep 30; false'\nprimary_conninfo = ''\n"),
        ("recovering", "hot_standby = off\n"),
    ]
    try:
        for code, text in stages:
            pair.kill("b")
            settings.write_text(before + text)
            starting = asyncio.create_task(asyncio.to_thread(_started_without_waiting, pair))
            await until(code, ask)
            await starting
        pair.kill("b")
        settings.write_text(before)
        pair.start("b")
        async with PostgresDriver().open(good(pair, port=pair.ports["b"])):
            pair.processes["b"].terminate()  # a smart shutdown: who is in may finish
            await until("shutting_down", ask)
        pair.processes.pop("b").wait(PATIENCE_SECONDS)
        pair.start("b")
    finally:
        settings.write_text(before)


def _started_without_waiting(pair: PgPair) -> None:
    options = ["-c", f"port={pair.ports['b']}", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={pair.folder}"]
    for name, file in (("ssl_ca_file", "ca.pem"), ("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")):
        options += ["-c", f"{name}={pair.file(file)}"]
    command = [DEBIAN / "postgres", "-D", pair.file("b"), *options, "-c", "ssl=on", "-c", "max_connections=40"]
    pair.processes["b"] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **pair.account)


async def _statement(dial: Dial, sql: str, meanwhile: Callable[[], None] = lambda: None) -> str:
    """The code of a statement that fails on an open session's line, in a reading transaction as discovery's own."""
    with pytest.raises(Failed) as caught:  # noqa: PT012 - the session tells it at its end
        async with PostgresDriver().open(dial) as session, session._reading("repeatable_read"):
            await session._connection.execute("select 1 from public.kept")
            asked = asyncio.create_task(session._connection.execute(sql))
            await asyncio.sleep(0)
            await asyncio.to_thread(meanwhile)
            await asked
    assert CANARY not in str(caught.value)
    return caught.value.code


async def test_nothing_runs_on_for_who_does_not_wait(pair: PgPair) -> None:
    """A statement that is waited for no longer is cancelled at the server, not left to its time limit."""
    running = "select 1 from pg_stat_activity where usename = 'scan' and state = 'active' and query like 'select pg_sleep%'"

    async def ask() -> None:
        async with PostgresDriver().open(good(pair)) as session, session._reading("repeatable_read"):
            await session._connection.execute("select pg_sleep(30)")

    def until(wanted: bool) -> None:
        deadline = monotonic() + PATIENCE_SECONDS
        while bool(pair.run(running)) is not wanted:
            assert monotonic() < deadline

    asked = asyncio.create_task(ask())
    await asyncio.to_thread(until, True)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.to_thread(until, False)


async def test_statements_that_postgresql_ends(pair: PgPair) -> None:
    """By its time limit, by an administrator, by a lock, for lack of a privilege, and because what they read went away."""
    dial = good(pair)
    assert await _statement(good(pair, statement_seconds=0.1), "select pg_sleep(9)") == "statement_timeout"
    cancel = "select pg_cancel_backend(pid) from pg_stat_activity where usename = 'scan' and query like '%pg_sleep%'"

    def until_cancelled() -> None:
        deadline = monotonic() + PATIENCE_SECONDS
        while not pair.run(cancel):
            assert monotonic() < deadline

    assert await _statement(dial, "select pg_sleep(9)", until_cancelled) == "cancelled"
    assert await _statement(dial, "select * from public.hidden") == "no_privilege"
    assert await _statement(dial, f"select * from public.{CANARY}") == "gone"
    with psycopg.connect(host=str(pair.folder), port=pair.ports["a"], user="postgres") as holder:
        holder.execute("create table if not exists locked (id int); grant select on locked to scan")
        holder.commit()
        holder.execute("lock table locked in access exclusive mode")
        assert await _statement(dial, "set local lock_timeout = 50; select * from public.locked") == "lock_timeout"


async def test_a_replica_that_cancels_for_its_primary(pair: PgPair) -> None:
    """Rows that the replica still reads are cleaned away at the primary: the real conflict."""
    pair.run("insert into kept select generate_series(1, 1000)")
    pair.caught_up()

    def clean() -> None:
        pair.run("delete from kept")
        pair.run("vacuum kept")

    assert await _statement(good(pair, port=pair.ports["b"]), "select pg_sleep(9)", clean) == "recovery_conflict"


async def test_text_that_is_not_what_it_says(pair: PgPair) -> None:
    """A database without an encoding of its own may hold any bytes."""
    pair.run("create database bytes encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0")
    with pytest.raises(Failed) as caught:
        async with PostgresDriver().open(good(pair, database="bytes")) as session, session._reading("repeatable_read"):
            await session._connection.fetch("select E'\\xff\\xfe'::text")
    assert caught.value.code == "unreadable_text"


async def test_statements_that_mariadb_ends(mariadb: MysqlServer) -> None:
    mariadb.run("create database if not exists ends", "create or replace table ends.hidden (id int)")
    for username, sql, code in (
        ("root", "select sleep(9)", "statement_timeout"),
        ("root", f"select * from ends.{CANARY}", "gone"),
        ("reader", "select * from ends.hidden", "no_privilege"),
    ):
        with pytest.raises(Failed) as caught:
            async with MysqlDriver().open(mariadb.dial(username, statement_seconds=0.3)) as session:
                await session._line.query(sql)
        assert (caught.value.code, CANARY in str(caught.value)) == (code, False)
    with pytest.raises(Failed) as caught:  # noqa: PT012 - the session tells it at its end
        async with MysqlDriver().open(mariadb.dial(database="ends")) as session:
            await session._line.query(
                "select seq from seq_1_to_1000000 limit 1"
            )  # ended while it is first opened, it says that no such table is
            asked = asyncio.create_task(session._line.query("select count(*) from seq_1_to_1000000 a, seq_1_to_1000000 b"))
            await asyncio.to_thread(_killed, mariadb, "seq_1_to")
            await asked
    assert caught.value.code == "cancelled"


def _killed(server: MysqlServer, word: str) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    mine = f"select id from information_schema.processlist where info like '%{word}%' and info not like '%processlist%'"
    while not (found := server.run(mine)):
        assert monotonic() < deadline
    server.run(f"kill query {found[0][0]}")


@pytest.fixture
def listener() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """A port whose every line is treated so, each in a thread of its own."""
    opened: list[socket.socket] = []

    def listen(treat: Callable[[socket.socket], None]) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    line, _ = server.accept()
                    with line, suppress(OSError):
                        line.settimeout(PATIENCE_SECONDS)
                        treat(line)

        threading.Thread(target=serve, daemon=True).start()
        return int(server.getsockname()[1])

    yield listen
    for server in opened:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


def _there(port: int, **more: Any) -> Dial:
    return Dial("127.0.0.1", port, "d", "u", CANARY, **({"tls_mode": "disable", "connect_seconds": 10.0} | more))


@pytest.mark.parametrize("code", SAID_BY_POSTGRES)
async def test_what_postgresql_says_seldom(listener: Any, code: str) -> None:
    """The message as the protocol has it; nothing of its text comes through."""
    state, words = SAID_BY_POSTGRES[code]

    def treat(line: socket.socket) -> None:
        line.recv(4096)
        fields = f"SFATAL\0VFATAL\0C{state}\0M{words} {CANARY}\0D{CANARY}\0\0".encode()
        line.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)

    assert await code_of(_there(listener(treat))) == code


@pytest.mark.parametrize("code", SAID_BY_MYSQL)
async def test_what_mysql_says_seldom(listener: Any, code: str) -> None:
    number, words = SAID_BY_MYSQL[code]

    def treat(line: socket.socket) -> None:
        body = b"\xff" + struct.pack("<H", number) + f"#HY000{words} {CANARY}".encode()
        line.sendall(struct.pack("<I", len(body))[:3] + b"\0" + body)
        line.recv(4096)

    assert await code_of(_there(listener(treat)), MysqlDriver) == code


async def test_ports_where_no_database_is(listener: Any) -> None:
    """One that says nothing, one that speaks HTTP, one that cuts the line, one that botches TLS, a server of long ago."""

    def silent(line: socket.socket) -> None:
        while line.recv(4096):
            pass

    def http(line: socket.socket) -> None:
        line.recv(8)
        line.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: " + CANARY.encode() + b"\r\n\r\n")
        line.recv(4096)

    def greets(line: socket.socket) -> None:
        line.sendall(b"220 mail.example ESMTP " + CANARY.encode() * 9 + b"\r\n")
        line.recv(4096)

    def cut(line: socket.socket) -> None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def botched(line: socket.socket) -> None:
        line.recv(4096)
        line.sendall(b"S")
        line.recv(4096)
        line.sendall(b"\x15\x03\x03\x00\x02\x02\x00 no TLS at all")

    def old(line: socket.socket) -> None:
        line.recv(4096)
        told = b"".join(_message(b"S", f"{name}\0{value}\0".encode()) for name, value in _OLD.items())
        line.sendall(_message(b"R", bytes(4)) + told + _message(b"K", bytes(8)) + _message(b"Z", b"I"))
        line.recv(4096)

    assert await code_of(_there(listener(silent), connect_seconds=0.3)) == "timeout"
    assert await code_of(_there(listener(silent), connect_seconds=0.3), MysqlDriver) == "timeout"
    assert await code_of(_there(listener(greets)), MysqlDriver) == "not_mysql"
    for mode in ("disable", "prefer", "verify-full"):
        assert await code_of(_there(listener(http), tls_mode=mode)) == "not_postgresql"
    assert await code_of(_there(listener(cut))) == "connection_reset"
    assert await code_of(_there(listener(cut)), MysqlDriver) == "connection_reset"
    assert await code_of(_there(listener(botched), tls_mode="require")) in ("tls_failed", "tls_client_certificate")
    assert await code_of(_there(listener(old))) == "too_old"


_OLD = {"server_version": "9.6.24", "client_encoding": "UTF8", "server_encoding": "UTF8", "integer_datetimes": "on"}


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body
