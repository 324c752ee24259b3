"""Preflight over HTTP against real servers: each gate in order, what shuts it, and a password that nobody keeps."""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import asyncpg
import httpx
import orjson
import pytest
from prometheus_client import generate_latest

from services.connector import api
from services.connector.gateway import Dialler, Limits, Patience
from services.connector.store import Store
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.db import circuits
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.egress import GuardedLoop, Surroundings
from shared.observe import tracing
from shared.observe.otlp import Finished
from shared.sources.gates import GATES, kind_of
from shared.web.server import edge_app
from tests.mongo_server import PASSWORD, SET, MongoServer
from tests.mysql_server import MysqlServer
from tests.tls_server import TlsServer

MIGRATIONS = Path(__file__).parents[2] / "services" / "connector" / "migrations"
CANARY = 'canary "pw" 41b7ü'
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(fresh_database_url: str) -> Iterator[Ask]:
    """`POST /preflight` through the service's own edge, on the guarded loop, with state in a real database."""
    with asyncio.Runner(loop_factory=GuardedLoop) as runner:
        pool = runner.run(_state(fresh_database_url))
        store, around = Store(pool), Surroundings(local=True)
        dialler = Dialler(home=Path("/nonexistent"), around=around, patience=Patience(5.0, 10.0))
        routes = api.routes(store, Jobs(pool, service="connector"), api.Preflight(store, dialler, Limits(5.0, 10.0, 20.0), 4))
        app = edge_app(list(routes), token="t")

        async def asked(source: Any, **more: Any) -> dict[str, Any]:
            http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x", headers={"authorization": "Bearer t"})
            async with http:
                answer = await http.post("/preflight", json={"source": source, **more})
            return {"status": answer.status_code, "text": answer.text, **answer.json()}

        def run(source: Any, **more: Any) -> dict[str, Any]:
            return runner.run(asked(source, **more))

        run.rows = lambda: runner.run(_rows(pool))  # type: ignore[attr-defined]
        run.entries = lambda: runner.run(_entries(pool))  # type: ignore[attr-defined]
        yield run
        runner.run(pool.close())


async def _state(url: str) -> asyncpg.Pool:
    pool = await open_pool(url, schema="connector", application_name="test")
    await migrate(pool, schema="connector", folders=[FOLDER, MIGRATIONS])
    await circuits.prepare(url)
    return pool


async def _entries(pool: asyncpg.Pool) -> list[dict[str, Any]]:
    """What goes to the ledger."""
    return [orjson.loads(row[0]) for row in await pool.fetch("select body from outbox where topic = 'audit.recorded' order by id")]


async def _rows(pool: asyncpg.Pool) -> str:
    """Every row of every table of the service, as text."""
    tables = await pool.fetch("select table_name from information_schema.tables where table_schema = 'connector'")
    found = [await pool.fetch(f'select t::text from "{table[0]}" t') for table in tables]
    return "\n".join(str(row[0]) for rows in found for row in rows)


@pytest.fixture
def plain(fresh_database_url: str) -> dict[str, Any]:
    """A source at the wheel's PostgreSQL, and what signs in to it under `password`."""
    parts = urlsplit(fresh_database_url)
    spec = {"name": "trial", "host": parts.hostname, "port": parts.port, "database": parts.path.lstrip("/"), "username": parts.username}
    return {"source": spec, "password": unquote(parts.password or "")}


def results(answer: dict[str, Any]) -> dict[str, str]:
    return {gate["name"]: gate["code"] or gate["result"] for gate in answer["gates"]}


async def _made(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def test_every_gate_of_a_healthy_source(ask: Ask, plain: dict[str, Any], fresh_database_url: str) -> None:
    """In order, each with its seconds, within a second; discovery's own statements ran; a role that could write is a warning."""
    asyncio.run(_made(fresh_database_url, "create table kept (id int primary key, word text)", "insert into kept values (1, 'a')"))
    ask(**plain)  # the driver is imported once
    began = monotonic()
    answer = ask(**plain)
    assert (answer["status"], answer["reachable"], answer["diagnosis"], monotonic() - began < 1.0) == (200, True, None, True)
    assert [gate["name"] for gate in answer["gates"]] == list(GATES)
    assert results(answer) == dict.fromkeys(GATES, "passed") | {"tls": "no_tls", "no_write": "superuser"}
    assert all(gate["seconds"] >= 0 for gate in answer["gates"])
    assert sum(gate["seconds"] for gate in answer["gates"]) == pytest.approx(answer["seconds"], abs=0.1)
    assert [(each["kind"], each["dialled"]) for each in answer["addresses"]] == [("loopback", True)]
    assert {"server", "privileges", "posture", "warnings", "plan"} <= set(answer)


@pytest.mark.parametrize(
    ("change", "gate", "code"),
    [
        ({"host": "nowhere.invalid"}, "name", "host_unknown"),
        ({"port": 1}, "port", "refused"),
        ({"port": 1, "password_secret": "env:NOT_THERE"}, "port", "refused"),
        ({"host": "169.254.169.254"}, "port", "egress_denied"),
        ({"ssl_config": {"mode": "require"}}, "tls", "tls_not_offered"),
        ({"password_secret": "env:NOT_THERE"}, "identity", "secret_missing"),
        ({"database": "nothing_here"}, "database", "no_such_database"),
    ],
)
def test_the_first_shut_gate_ends_the_walk(ask: Ask, plain: dict[str, Any], change: dict[str, Any], gate: str, code: str) -> None:
    """The gates before it stand open, those behind it are skipped; the diagnosis is its own."""
    password = None if "password_secret" in change else plain["password"]
    answer = ask(plain["source"] | change, password=password)
    names = list(GATES)
    assert results(answer)[gate] == code
    assert {results(answer)[name] for name in names[: names.index(gate)]} <= {
        "passed",
        "tls_unverified" if code != "secret_missing" else "skipped",
    }
    assert {results(answer)[name] for name in names[names.index(gate) + 1 :]} == {"skipped"}
    assert (answer["reachable"], answer["diagnosis"]["code"], bool(answer["diagnosis"]["remedy"])) == (False, code, True)


@pytest.mark.parametrize(
    ("username", "change", "gate", "code"),
    [
        ("scram", {"ssl_config": {"ca": "OTHER"}}, "tls", "tls_untrusted"),
        ("scram", {"host": "127.0.0.1"}, "tls", "tls_wrong_host"),
        ("tlsonly", {"ssl_config": {"mode": "disable"}}, "tls", "tls_required"),
        ("nobody_knows", {}, "identity", "not_allowed_from_here"),
        ("limited", {}, "identity", "too_many_connections"),
        ("scram", {}, "", ""),
    ],
)
def test_the_gates_of_a_server_with_tls(
    ask: Ask, tls_server: TlsServer, username: str, change: dict[str, Any], gate: str, code: str
) -> None:
    """TLS and identity have gates of their own; a handshake that is over is timed by itself."""
    ssl = {"mode": "verify-full", "ca": tls_server.ca} | change.get("ssl_config", {})
    ssl = {
        name: tls_server.other_ca if text == "OTHER" else text for name, text in ssl.items() if ssl["mode"] != "disable" or name == "mode"
    }
    spec = {"name": "x", "host": "localhost", "port": tls_server.port, "database": "postgres", "username": username}
    answer = ask(spec | change | {"ssl_config": ssl}, password="right horse")
    if gate:
        assert results(answer)[gate] == code
    else:
        assert (results(answer)["tls"], results(answer)["no_write"], results(answer)["catalogue"]) == ("passed", "passed", "empty")
        assert answer["server"]["tls_expires"]
        assert all(each["seconds"] > 0 for each in answer["gates"] if each["name"] in ("tls", "identity", "read_only"))


@pytest.mark.parametrize("mode", ["verify-full", "require"])
def test_a_certificate_that_ends_today(ask: Ask, tls_server: TlsServer, mode: str) -> None:
    """One code, at the gate and among the warnings; version, issuer and end are told also where nobody verified it."""
    spec = {"name": "x", "host": "localhost", "port": tls_server.port, "database": "postgres", "username": "scram"}
    ssl = {"mode": mode} | ({"ca": tls_server.ca} if mode == "verify-full" else {})
    with tls_server.with_certificate("soon"):
        answer = ask(spec | {"ssl_config": ssl}, password="right horse")
    assert answer["reachable"]
    assert answer["server"]["tls_version"].startswith("TLS")
    assert answer["server"]["tls_issuer"].startswith("trustme")
    assert datetime.fromisoformat(answer["server"]["tls_expires"]) - datetime.now(UTC) < timedelta(days=1)
    assert "tls_ends_soon" in {each["code"] for each in answer["warnings"]}
    gate = next(each for each in answer["gates"] if each["name"] == "tls")
    assert (gate["result"], gate["code"], "today" in gate["cause"]) == ("warning", "tls_ends_soon", True)


def test_what_cannot_be_read_is_told_with_the_grant(ask: Ask, plain: dict[str, Any], fresh_database_url: str) -> None:
    """A role without rights: the list can be read, rows cannot; the statements that would help are there."""
    role = f"poor_{plain['source']['database']}"
    made = [f"create role {role} login password 'p'", "create table kept (id int primary key)", "insert into kept values (1)"]
    asyncio.run(_made(fresh_database_url, *made))
    try:
        answer = ask(plain["source"] | {"username": role}, password="p")
        found = results(answer)
        assert (found["no_write"], found["catalogue"], found["sample"]) == ("passed", "passed", "no_privilege")
        assert (answer["reachable"], answer["diagnosis"]["code"]) == (True, "no_privilege")
        assert any("GRANT SELECT" in each for each in answer["privileges"]["missing"])
    finally:
        asyncio.run(_made(fresh_database_url, f"drop role {role}"))


def test_mariadb_has_the_same_gates(ask: Ask, mariadb: MysqlServer) -> None:
    """One list of gates for every engine."""
    spec = {"name": "x", "engine": "mariadb", "host": "127.0.0.1", "port": mariadb.port, "database": "gates", "username": "root"}
    mariadb.run("create database gates", "create table gates.kept (id int primary key)", "insert into gates.kept values (1)")
    ssl = {"ssl_config": {"mode": "verify-full", "ca": mariadb.ca}}
    answer = ask(spec | ssl, password="right horse ü")
    assert [gate["name"] for gate in answer["gates"]] == list(GATES)
    assert {results(answer)[name] for name in ("name", "port", "tls", "identity", "read_only", "catalogue", "structure", "sample")} == {
        "passed"
    }
    wrong = ask(spec | ssl, password=CANARY)
    assert (results(wrong)["identity"], CANARY in wrong["text"]) == ("wrong_password", False)


def test_mongodb_has_the_same_gates_and_its_members_have_their_own(ask: Ask, mongo: MongoServer) -> None:
    """The set, and each member that the source names, by itself; a wrong password shuts the identity gate of all."""
    user = mongo.user("gates", database="gates")
    mongo.admin.gates.kept.insert_one({"word": "a"})
    named = [f"127.0.0.1:{port}" for port in mongo.ports[1:]]
    spec = {"name": "x", "engine": "mongodb", "location": "hybrid", "host": "127.0.0.1", "port": mongo.ports[0], "database": "gates"}
    spec |= {"username": user, "ssl_config": {"mode": "verify-full", "ca": mongo.ca}}
    spec |= {"replica_config": {"replica_set": SET, "secondary": named[0], "replica_members": [named[1]]}}
    answer = ask(spec, password=PASSWORD)
    assert results(answer) == dict.fromkeys(GATES, "passed")
    assert [f"{each['host']}:{each['port']}" for each in answer["others"]] == named
    assert [results(each) for each in answer["others"]] == [dict.fromkeys(GATES, "passed")] * 2
    assert (answer["not_looked_at"], {each["kind"] for each in answer["addresses"]}) == ([], {"loopback"})
    assert {"replica set"} == {each["choice"] for each in answer["why"] if each["about"] == "connection"}
    wrong = ask(spec, password=CANARY)
    assert [results(each)["identity"] for each in (wrong, *wrong["others"])] == ["wrong_password"] * 3
    assert CANARY not in wrong["text"]


def test_a_folder_has_the_same_gates(ask: Ask, tmp_path: Path) -> None:
    """No name, no line and nobody to be: those gates say so, the others stand open."""
    (tmp_path / "people.csv").write_text("id,mail\n1,a@example.org\n")
    answer = ask({"name": "x", "engine": "folder", "path": str(tmp_path)})
    told = results(answer)
    assert [gate["name"] for gate in answer["gates"]] == list(GATES)
    assert {name for name, result in told.items() if result == "skipped"} == {"name", "tls"}
    assert {told[name] for name in GATES if name not in ("name", "tls", "no_write")} == {"passed"}
    gone = ask({"name": "x", "engine": "folder", "path": str(tmp_path / "gone")})
    assert (gone["diagnosis"]["code"], results(gone)["database"]) == ("no_such_folder", "no_such_folder")


def test_where_a_store_answers_is_told(ask: Ask) -> None:
    """Its address, and whether that is public or private, though only the driver knows the host."""
    with socket.socket() as store:
        store.bind(("127.0.0.1", 0))
        store.listen(8)
        spec = {"name": "x", "engine": "s3", "location": "on_prem", "host": "127.0.0.1", "port": store.getsockname()[1], "database": "lake"}
        answer = ask(spec, connect_seconds=0.3)
    assert [(each["kind"], each["dialled"]) for each in answer["addresses"]] == [("loopback", True)]


@pytest.mark.parametrize(("limits", "code"), [({"connect_seconds": 0.2}, "timeout"), ({"preflight_seconds": 0.2}, "timeout")])
def test_time_limits_come_with_the_request(ask: Ask, limits: dict[str, float], code: str) -> None:
    """A port that takes the line and says nothing is given up when the request says so."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        began = monotonic()
        answer = ask({"name": "x", "host": "127.0.0.1", "port": silent.getsockname()[1], "database": "d"}, **limits)
    assert (answer["diagnosis"]["code"], answer["reachable"]) == (code, False)
    assert monotonic() - began < 3
    assert results(answer)["port"] == "passed"


def test_both_endpoints_of_a_hybrid_source_are_tried(ask: Ask, plain: dict[str, Any]) -> None:
    hybrid = {"location": "hybrid", "ssl_config": {"mode": "disable"}, "replica_config": {"secondary": "127.0.0.1:1"}}
    answer = ask(plain["source"] | hybrid, password=plain["password"])
    assert (answer["reachable"], [(each["role"], each["diagnosis"]["code"]) for each in answer["others"]]) == (
        True,
        [("secondary", "refused")],
    )


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"source": {"name": "x", "port": CANARY, "enigne": "mysql"}}, {"port", "database", "enigne"}),
        ({"source": {"name": "x", "database": "d", "password": CANARY}}, {"password"}),
        ({"source": {"name": "x", "database": "d"}, "password": [CANARY]}, {"password"}),
        ({"source": {"name": "x", "database": "d"}, "pasword": CANARY}, {"pasword"}),
        (
            {"source": {"name": "x", "database": "d"}, "connect_seconds": 1e9, "statement_seconds": True},
            {"connect_seconds", "statement_seconds"},
        ),
    ],
)
def test_the_request_is_held_to_the_registrys_rules(ask: Ask, body: dict[str, Any], fields: set[str]) -> None:
    """Every problem at once, by field; what was sent is not repeated."""
    answer = ask(**body)
    assert (answer["status"], {each["field"] for each in answer["problems"]}) == (422, fields)
    assert CANARY not in answer["text"]
    assert ask(CANARY)["code"] == "source_rejected"


def test_the_ledger_has_every_preflight(ask: Ask, plain: dict[str, Any]) -> None:
    """One that went through, one that was stopped at a gate, and one that was not a source at all; in codes alone."""
    ask(**plain)
    ask(plain["source"] | {"port": 1})
    ask({"name": "x", "database": "d", "password": CANARY})
    ask(CANARY)
    entries = [(each["object"], each["result"], each["detail"]) for each in ask.entries()]  # type: ignore[attr-defined]
    assert entries[:3] == [
        ("default/trial", "allowed", "preflight"),
        ("default/trial", "failed", "preflight: refused"),
        ("default/x", "failed", "preflight: secret_in_document"),
    ]
    assert (entries[3][:2], CANARY in str(entries)) == (("default/unnamed", "failed"), False)


def test_a_password_is_nowhere_afterwards(
    ask: Ask, plain: dict[str, Any], tls_server: TlsServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right or wrong, at a server that takes it, refuses it, asks for it in clear, or is not there: no row, event, log, span, metric or
    answer has it, in any spelling; nor does a live object of ours."""
    spans: list[Finished] = []
    monkeypatch.setattr(tracing, "_recorder", tracing.Recorder(spans.append))
    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    tls = {"name": "y", "host": "localhost", "port": tls_server.port, "database": "postgres", "username": "clear"}
    trials: list[tuple[dict[str, Any], str]] = [
        (plain["source"], plain["password"]),
        (plain["source"], CANARY),
        (plain["source"] | {"port": 1}, CANARY),
        (plain["source"] | {"ssl_config": {"mode": "require"}}, CANARY),
        (tls | {"ssl_config": {"mode": "require"}}, CANARY),
        (tls | {"ssl_config": {"mode": "verify-full", "ca": tls_server.ca}}, CANARY),
        (plain["source"] | {"engine": "mysql"}, CANARY),
    ]
    answers = [ask(spec, password=password, connect_seconds=0.3 if "engine" in spec else 10) for spec, password in trials]
    assert [answer["reachable"] for answer in answers] == [True, *[False] * 6]
    logs = "\n".join([*(repr(record.__dict__) for record in caplog.records), caplog.text])
    rows = ask.rows()  # type: ignore[attr-defined]
    assert rows.count(b"source.validate".hex()) >= len(trials), "the rows that were looked through hold the outbox"
    kept = "\n".join([orjson.dumps(answers).decode(), logs, rows, repr(spans), generate_latest().decode()])
    for secret in (CANARY, plain["password"]):
        for spelling in _spellings(secret):
            assert spelling not in kept
    del answers
    gc.collect()
    held = [each for each in gc.get_objects() if type(each).__name__ in ("Dial", "Report", "_Walk")]
    assert not [each for each in held if CANARY in repr(getattr(each, "password", ""))]


def _spellings(secret: str) -> set[str]:
    raw = secret.encode()
    return {secret, quote(secret), quote(secret, safe=""), repr(secret)[1:-1], base64.b64encode(raw).decode(), raw.hex(), secret[::-1]} | {
        orjson.dumps(secret).decode()[1:-1]
    }


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("10.0.0.1", "private"),
        ("fd12::1", "private"),
        ("fe80::1%eth0", "link_local"),
        ("::ffff:10.0.0.1", "private"),
        ("93.184.216.34", "public"),
    ],
)
def test_public_or_private(address: str, kind: str) -> None:
    assert kind_of(address) == kind
