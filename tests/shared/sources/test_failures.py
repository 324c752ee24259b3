"""Every failure has a code and words of our own; a driver's text never comes through."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from shared.errors import Failed
from shared.sources.base import Dial
from shared.sources.failures import BY_CODE, failed, failure_of
from shared.sources.postgres import PostgresDriver

CANARY = "canary_b7f1"


async def code_of(dial: Dial) -> str:
    """The code with which opening fails; the words must be the catalogue's."""
    with pytest.raises(Failed) as caught:
        async with PostgresDriver().open(dial):
            pass
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.why == BY_CODE[caught.value.code].cause
    return caught.value.code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"password": CANARY}, "wrong_password", id="wrong password"),
        pytest.param({"password": ""}, "password_missing", id="no password"),
        pytest.param({"username": CANARY}, "wrong_password", id="unknown user (the server does not tell)"),
        pytest.param({"database": CANARY}, "no_such_database", id="no such database"),
        pytest.param({"host": f"{CANARY}.invalid"}, "host_unknown", id="no such host"),
        pytest.param({"port": 1}, "refused", id="nothing listens"),
        pytest.param({"tls_mode": "require"}, "tls_not_offered", id="TLS asked of a server without"),
        pytest.param({"tls_mode": "verify-full", "ca": "/nowhere/ca.pem"}, "tls_file_unreadable", id="no such authority file"),
    ],
)
async def test_a_dial_fails_by_name(postgres_url: str, dialled: Callable[..., Dial], change: dict[str, Any], code: str) -> None:
    """What is wrong with a dial is told by a code, against a real server."""
    dial = dialled(postgres_url, **change)
    if code == "tls_file_unreadable":
        with pytest.raises(Failed) as caught:
            async with PostgresDriver().open(dial):
                pass
        assert caught.value.code == code
    else:
        assert await code_of(dial) == code


@pytest.mark.parametrize(
    ("username", "change", "code"),
    [
        pytest.param("scram", {"tls_mode": "verify-full", "ca": "other"}, "tls_untrusted", id="authority not trusted"),
        pytest.param("scram", {"host": "127.0.0.1"}, "tls_wrong_host", id="certificate for another name"),
        pytest.param("tlsonly", {"tls_mode": "disable"}, "tls_required", id="encrypted lines only"),
        pytest.param("nobody_knows", {}, "not_allowed_from_here", id="no rule for this user"),
        pytest.param("rejected", {}, "not_allowed_from_here", id="refused by a rule"),
        pytest.param("limited", {}, "too_many_connections", id="too many connections"),
        pytest.param("clear", {"tls_mode": "require"}, "clear_text_refused", id="clear text over an unproven line"),
        pytest.param("clear", {"tls_mode": "disable"}, "clear_text_refused", id="clear text over a plain line"),
    ],
)
async def test_a_tls_server_fails_by_name(tls_server: Any, username: str, change: dict[str, Any], code: str) -> None:
    """TLS and sign-in are told apart, against a real server with TLS."""
    if change.get("ca") == "other":
        change = change | {"ca": tls_server.other_ca}
    assert await code_of(tls_server.dial(username, **change)) == code


@pytest.mark.parametrize("username", ["scram", "tlsonly", "clear"])
async def test_a_proven_line_takes_any_password(tls_server: Any, username: str) -> None:
    """Over verify-full even clear text may be answered, and the certificate's facts are known."""
    async with PostgresDriver().open(tls_server.dial(username)) as session:
        found = await session.probe()
    assert found.server.tls_version.startswith("TLSv1.")
    assert (bool(found.server.tls_issuer), bool(found.server.tls_expires), found.posture.tls_verified) == (True, True, True)


async def test_silence_is_a_timeout() -> None:
    """A port that takes the connection and says nothing is given up."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        dial = Dial("127.0.0.1", silent.getsockname()[1], "x", "x", tls_mode="disable", connect_seconds=0.3)
        assert await code_of(dial) == "timeout"


async def _wrong_protocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(8)
    writer.write(b"HTTP/1.1 400 " + CANARY.encode())
    writer.close()


async def test_something_else_answers() -> None:
    """A server of another protocol is refused, and what it said stays out."""
    server = await asyncio.start_server(_wrong_protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await code_of(Dial("127.0.0.1", port, "x", "x", tls_mode="disable", connect_seconds=1.0)) in BY_CODE
    server.close()


def _verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, CANARY)
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (_verification(10), "tls_expired"),
        (_verification(9), "tls_not_yet_valid"),
        (_verification(18), "tls_self_signed"),
        (_verification(62), "tls_wrong_host"),
        (asyncpg.CannotConnectNowError(CANARY), "starting_up"),
        (asyncpg.AdminShutdownError(CANARY), "shutting_down"),
        (asyncpg.InsufficientPrivilegeError(f"permission denied for table {CANARY}"), "no_privilege"),
        (asyncpg.InsufficientPrivilegeError("permission denied for database x"), "may_not_connect"),
        (asyncpg.QueryCanceledError("canceling statement due to statement timeout"), "statement_timeout"),
        (asyncpg.QueryCanceledError("canceling statement due to conflict with recovery"), "recovery_conflict"),
        (asyncpg.QueryCanceledError(CANARY), "cancelled"),
        (asyncpg.UndefinedTableError(CANARY), "gone"),
        (asyncpg.DiskFullError(CANARY), "server_disk_full"),
        (asyncpg.DataCorruptedError(CANARY), "data_corrupted"),
        (OSError(113, CANARY), "unreachable"),
        (ConnectionResetError(104, CANARY), "connection_reset"),
        (TimeoutError(CANARY), "timeout"),
        (ValueError(CANARY), "server_error"),
    ],
)
def test_every_error_has_a_code_and_our_words(error: BaseException, code: str) -> None:
    """Type and SQLSTATE decide; nothing of the text is repeated."""
    assert failure_of(error).code == code
    assert CANARY not in str(failed(error))


def _shake_hands(*sides: ssl.SSLObject) -> None:
    for _ in range(10):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()


def test_an_expired_certificate_is_named(tls_server: Any) -> None:
    """The catalogue can tell an expired certificate when the standard library meets one."""
    context = ssl.create_default_context(cafile=tls_server.ca)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls_server.folder / "expired.crt", tls_server.folder / "expired.key")
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(ours, theirs, server_hostname="localhost")
    peer = server.wrap_bio(theirs, ours, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        _shake_hands(client, peer)
    assert failure_of(caught.value).code == "tls_expired"


def test_a_dial_never_shows_its_password() -> None:
    """The password is in no repr, so it can be in no log."""
    dial = Dial("h", 1, "d", "u", CANARY)
    assert CANARY not in repr(dial)
    assert replace(dial, host="x").password == CANARY


_WITHOUT = """
import asyncio, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("asyncmy", "pymongo", "bson", "pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "pyarrow" else found(name, package)
from pathlib import Path
from services.connector.domain.plan import plan
from services.connector.gateway import Dialler, Limits, Patience
from shared.contracts.source import DataSource
from shared.egress import GuardedLoop, Surroundings
async def main():
    limits = Limits(1.0, 1.0, 2.0)
    for engine in ("mysql", "mariadb", "mongodb", "folder"):
        spec = DataSource(name="x", engine=engine, host="127.0.0.1", port=1, database="d", path="/tmp")
        dialler = Dialler(home=Path("/nonexistent"), around=Surroundings(local=True), patience=Patience(1.0, 1.0))
        gate = (await dialler.preflight(spec, plan(spec), limits)).failure
        print(gate.code, "|", f"{gate.cause}. {gate.remedy}")
with asyncio.Runner(loop_factory=GuardedLoop) as runner: runner.run(main())
"""


def test_a_preflight_without_an_engines_extra_names_it() -> None:
    """An installation without the driver says in one line what to install, by the extra that there is."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert [line.partition(" | ")[0] for line in lines] == ["missing_extra"] * 4, done.stderr
    extras = ("mysql", "mysql", "mongodb", "stores")
    assert [f"pip install 'pursight[{extra}]'" in line for extra, line in zip(extras, lines, strict=True)] == [True] * 4
