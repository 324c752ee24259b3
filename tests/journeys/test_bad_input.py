"""Whatever a person gives `pursight scan`: one line says what is wrong and what to do, with the right exit code, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from tests.journeys.stack import PURSIGHT, Line

WRONG_USE, FAILED, THRESHOLD = 2, 1, 3
FIELDS = {"source", "trace_id", "seconds", "assets", "violations", "tags", "left_out"}
COLUMN_FIELDS = {"name", "type", "class", "category", "sensitivity", "confidence", "tier", "state", "reasons"}
ODD_NAMES = (
    'quote"d',
    "dot.ted",
    "sl/ash",
    "white space",
    "🦊 fox",
    "per%cent",
    "n" * 63,
    "ü" * 31,
    "semi;colon--",
    "back\\slash",
    "[bold]x[/]",
)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error. Nothing is on stdout, and there is no traceback."""
    assert done.stdout == "", done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("pursight: "), done.stderr
    return lines[0]


def at(line: Line, role: str, password: str, database: str) -> str:
    parts = urlsplit(line.running.database_url)
    return f"postgresql://{role}:{password}@{parts.hostname}:{parts.port}/{quote(database, safe='')}"


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
async def places(line: Line) -> dict[str, str]:
    """Roles and databases that tests here share, made once."""
    admin = await asyncpg.connect(line.running.database_url)
    for role in ("bad_reader", "bad_outsider"):
        await admin.execute(f"create role {role} login password 'right'")
    await admin.close()
    shop = await line.make_database(
        "bad_shop",
        "create table person (id int primary key, email text, card text)",
        "insert into person select i, 'p' || i || '@example.com', '4111111111111111' from generate_series(1, 30) i",
        "grant select on person to bad_reader",
    )
    await line.make_database("bad_empty")
    locked = await line.make_database("bad_locked")
    connection = await asyncpg.connect(locked)
    await connection.execute("revoke connect on database bad_locked from public")
    await connection.close()
    return {"shop": shop}


async def test_what_cannot_be_reached_is_said_in_one_line(line: Line, places: dict[str, str]) -> None:
    """Network, sign-in and privileges: each its own words, what to do, and exit code 1."""
    with silent_port() as silent:
        cases = {
            at(line, "bad_reader", "right", "bad_shop").replace(f":{urlsplit(line.running.database_url).port}/", ":1/"): "nothing listens",
            "postgresql://u:x@nowhere.invalid/shop": "the host name has no address",
            f"postgresql://u:x@127.0.0.1:{silent}/shop": "no answer in time",
            at(line, "bad_reader", "wrong", "bad_shop") + "?sslmode=prefer": "refused this user or password",
            at(line, "no_such_role", "x", "bad_shop"): "refused this user or password",
            at(line, "bad_reader", "right", "no_such_db"): "this database does not exist",
            at(line, "bad_reader", "right", "bad_locked"): "lacks CONNECT",
            at(line, "bad_reader", "right", "bad_shop") + "?sslmode=require": "does not offer TLS",
            "postgresql://u:x@169.254.169.254/shop": "",
        }
        with ThreadPoolExecutor(3) as pool:
            names = [f"away-{number}" for number in range(len(cases))]
            done = list(pool.map(lambda url, name: line.shell("scan", url, "--name", name), cases, names))
    assert not {f"default/{name}" for name in names} & {each["source"] for each in line.get("/sources")["sources"]}, "a typing error stays"
    assert not {f"default.{name}" for name in names} & set(line.get("/secrets")["secrets"])
    for words, each in zip(cases.values(), done, strict=True):
        assert each.returncode == FAILED, (words, each.stderr)
        told = said(each)
        assert words in told, told
        assert "could not be scanned" in told, told
        assert told.endswith("."), f"no remedy: {told}"


async def test_tls_is_as_asked_for(line: Line, tls_server: Any) -> None:
    """A server that wants TLS, and one whose certificate another authority signed."""
    base = f"postgresql://tlsonly:right%20horse@localhost:{tls_server.port}/postgres"
    cases = {
        f"{base}?sslmode=disable": "takes only encrypted lines",
        f"{base}?sslmode=verify-full&sslrootcert={tls_server.other_ca}": "not trusted",
        f"{base}?sslmode=verify-full&sslrootcert={tls_server.ca}": None,
    }
    for url, words in cases.items():  # in turn, on one source: what was found out before is not said of what is asked now
        done = line.shell("scan", url, "--name", "tls")
        if words is None:
            assert done.returncode == 0, done.stderr
        else:
            assert done.returncode == FAILED, done.stderr
            assert words in said(done), done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scan", "oracle://root:hush@localhost/shop"], "oracle is not a kind of source that can be scanned yet. Write postgresql://"),
        (["scan", "garbage"], "Write postgresql://"),
        (["scan", ""], "Write postgresql://"),
        (["scan", "postgresql://"], "the database is missing"),
        (["scan", "postgresql://h:99999/shop"], "the port cannot be read"),
        (["scan", "postgresql://u:hu]sh[@h/shop"], "cannot be read"),
        (["scan", "postgresql://h/shop?sslmod=require"], "sslmod is not understood"),
        (["scan", "postgresql://h/shop?sslmode=hush"], "ssl_config.mode is not one of"),
        (["scan", "postgresql://h/shop", "--fail-on", "worst"], "critical, high, medium, low"),
        (["source", "show", "nobody"], "No source of this name"),
        (["source", "add", "/no/such/file"], "cannot be read"),
        (["trace", "0" * 32], "No event of this trace"),
        (["events", "tail", "nothing"], "there is no topic nothing"),
        (["events", "publish", "asset.classified"], "is a fact"),
    ],
)
def test_wrong_use_is_told_and_changes_nothing(line: Line, arguments: list[str], words: str) -> None:
    """Exit code 2, one line, no secret repeated."""
    done = line.shell(*arguments)
    assert done.returncode == WRONG_USE, done.stderr
    assert words in done.stderr, done.stderr
    assert "hush" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [["frobnicate"], ["scan", "--frob"], ["scan"], ["up", "--what"], ["secrets", "nothing"]])
def test_unknown_commands_and_options_are_wrong_use(line: Line, arguments: list[str]) -> None:
    """Exit code 2 and one line, which tells what was wrong and where it stands how to use it."""
    done = line.shell(*arguments)
    assert done.returncode == WRONG_USE
    assert re.fullmatch(r"pursight: .+ See `pursight .*-h`\.\n", done.stderr), done.stderr


async def test_a_mended_password_counts_at_once(line: Line, places: dict[str, str]) -> None:
    """Wrong, wrong again, then right: the third scan succeeds, and the fourth says only what changed."""
    wrong, right = (at(line, "bad_reader", password, "bad_shop") for password in ("wrong", "right"))
    for _ in range(2):
        assert "refused this user or password" in said(line.shell("scan", wrong, "--name", "mended"))
    assert {asset["table"] for asset in line.scan(right, "--name", "mended")["assets"]} == {"person"}
    said_before = _facts(line, "default/mended/bad_shop.public.person")
    again = line.shell("scan", right, "--name", "mended")
    assert again.returncode == 0, again.stderr
    assert "nothing changed since the scan before" in again.stdout, again.stdout
    assert _facts(line, "default/mended/bad_shop.public.person") == said_before
    lost = line.shell("scan", wrong, "--name", "mended")
    assert lost.returncode == FAILED
    assert "refused this user or password; the password that was stored before is kept" in said(lost)
    assert "this database does not exist" in said(line.shell("scan", right.replace("/bad_shop", "/no_such_db"), "--name", "mended"))
    other = line.shell("scan", right.replace("bad_reader:right@", "bad_outsider@"), "--name", "mended")
    assert "the password that is stored is of bad_reader, and no other was given" in said(other)
    without = line.scan(right.replace(":right@", "@"), "--name", "mended")  # by the password that was stored before all this
    assert {asset["table"] for asset in without["assets"]} == {"person"}
    assert line.get("/sources/default/mended")["version"] == 1, "what could not be reached changed the source"


def _facts(line: Line, asset: str) -> list[str]:
    """Ids of what the services said of one asset."""
    events = line.get(f"/timeline/{quote(asset, safe='')}")["events"]
    return sorted(event["event_id"] for event in events if event["subject"] == asset)


async def test_a_door_elsewhere_does_the_work(line: Line, places: dict[str, str], tmp_path: Path) -> None:
    """With PURSIGHT_URL the stack behind it scans, and nothing is started or kept here; the demo, which needs a stack here, says so."""
    here = tmp_path / "home"
    there = {"PURSIGHT_HOME": str(here), "PURSIGHT_URL": line.running.door, "PURSIGHT_TOKEN": line.running.token}
    done = line.shell("scan", at(line, "bad_reader", "right", "bad_shop"), "--name", "elsewhere", **there)
    assert done.returncode == 0, done.stderr
    assert f"Pages  {line.running.door} (`pursight scan elsewhere` at a terminal" in done.stdout
    assert "code=" not in done.stdout
    assert line.get("/sources/default/elsewhere")["version"] == 1
    assert "PURSIGHT_URL" in said(line.shell("demo", **there))
    assert "Set PURSIGHT_TOKEN" in said(
        line.shell("scan", at(line, "bad_reader", "right", "bad_shop"), **there | {"PURSIGHT_TOKEN": "guess"})
    )
    assert not here.exists()


def test_secrets_go_to_the_stack_that_the_shell_is_pointed_at(line: Line, tmp_path: Path) -> None:
    """Set, listed and removed there; what works on files alone says so; nothing is kept here."""
    there = {"PURSIGHT_HOME": str(tmp_path / "home"), "PURSIGHT_URL": line.running.door, "PURSIGHT_TOKEN": line.running.token}
    given = subprocess.run(
        [PURSIGHT, "secrets", "set", "far"],
        env={**os.environ, **there},
        input="x\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "local:far" in given.stdout
    assert "far" in line.shell("secrets", "list", **there).stdout.split()
    assert "far" in line.shell("secrets", "list").stdout.split()
    assert line.shell("secrets", "remove", "far", **there).returncode == 0
    assert "PURSIGHT_URL" in said(line.shell("secrets", "rotate", **there))
    assert not (tmp_path / "home").exists()


async def test_a_role_that_may_read_nothing_gets_an_answer_that_says_so(line: Line, places: dict[str, str]) -> None:
    """Names are judged, values are not, and the report tells which GRANT is missing; an empty database is no failure either."""
    outside = line.shell("scan", at(line, "bad_outsider", "right", "bad_shop"), "--name", "outside")
    assert outside.returncode == 0, outside.stdout
    assert "1 table could not be read by this role" in outside.stdout.replace("\n", " "), outside.stdout
    empty = line.shell("scan", at(line, "bad_reader", "right", "bad_empty"), "--name", "empty")
    assert empty.returncode == 0, empty.stderr
    assert "No tables that this role can see" in empty.stdout, empty.stderr


async def test_json_is_one_object_of_the_promised_shape(line: Line, places: dict[str, str]) -> None:
    """Exactly these fields, each told in README, nothing else on stdout, also with a closed input, no colours, a narrow terminal, and
    --fail-on."""
    url = at(line, "bad_reader", "right", "bad_shop")
    done = line.shell("scan", url, "--name", "shape", "--json", "--fail-on", "low", COLUMNS="40")
    assert done.returncode == THRESHOLD, done.stderr
    found = json.loads(done.stdout)
    assert done.stdout == json.dumps(found, ensure_ascii=False) + "\n"
    assert set(found) == FIELDS
    assert found["source"] == "default/shape"
    assert {"connected", "discovered", "classified", "judged", "tagged"} <= set(found["seconds"])
    [asset] = found["assets"]
    assert set(asset) == {"asset", "schema", "table", "kind", "columns"}
    assert all(set(column) == COLUMN_FIELDS for column in asset["columns"])
    readme = Path("README.md").read_text().partition("`pursight scan --json` prints one object")[2].partition("\n## ")[0]
    assert [
        name for name in (*found, *asset, *COLUMN_FIELDS, *found["violations"][0], *found["tags"][0]) if f"`{name}`" not in readme
    ] == []
    classes = {column["name"]: column["class"] for column in asset["columns"]}
    assert classes["email"] == "email"
    assert classes["card"] == "card_pan"
    assert found["violations"]
    assert found["tags"]
    assert done.stderr == f"Open violations of low or worse: {len(found['violations'])}.\n"


async def test_piped_and_narrow_output_stays_plain(line: Line, places: dict[str, str]) -> None:
    """No escape codes, no bars, and nothing is cut: a program reads whole lines, however narrow the terminal is said to be."""
    done = line.shell("scan", at(line, "bad_reader", "right", "bad_shop"), "--name", "narrow", COLUMNS="40")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert "━" not in done.stderr
    assert not any(row.rstrip().endswith("…") for row in done.stdout.splitlines())


async def test_any_name_that_postgresql_allows_comes_through(line: Line) -> None:
    """Quotes, dots, slashes, spaces, emoji, 63 bytes, markup: in schemas, tables, columns and databases, unchanged to the last topic."""

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    made = [f"create schema {quoted(name)}" for name in ODD_NAMES]
    made += [f"create table {quoted(name)}.{quoted(name)} ({quoted(name)} text, email text)" for name in ODD_NAMES]
    await line.make_database("odd.d/b 🦊", *made)
    parts = urlsplit(line.running.database_url)
    url = parts._replace(path="/" + quote("odd.d/b 🦊", safe="")).geturl()
    found = line.scan(url)
    assert {(a["schema"], a["table"], a["columns"][0]["name"]) for a in found["assets"]} == {(name, name, name) for name in ODD_NAMES}
    assert len({tag["target"] for tag in found["tags"] if "asset:" in tag["target"]}) == len(ODD_NAMES)
    shown = line.shell("scan", url)
    assert shown.returncode == 0
    assert "Traceback" not in shown.stderr


async def test_a_part_of_a_source_is_scanned_by_its_name(line: Line) -> None:
    """A part stays a part; what is not there is said, and so is a part of what is not registered."""
    url = await line.make_database("parted", "create table kept (email text)", "create table other (email text)")
    refused = line.shell("scan", url, "--name", "parted", "--full")
    assert (refused.returncode, "is registered" in refused.stderr) == (2, True)
    line.scan(url, "--name", "parted")
    again = line.shell("scan", "parted", "--table", "public.kept", "--table", "public.nosuch", "--full")
    assert (again.returncode, "nothing there is called public.nosuch" in again.stderr) == (0, True)
    assert "2 tables" in again.stdout
    (newest, first) = json.loads(line.shell("scans", "list", "--source", "parted", "--json").stdout)["scans"]
    assert [scan["report"]["changed"] for scan in (newest, first)] == [1, 2]
    nothing = line.shell("scan", "parted", "--schema", "nosuch")
    assert (nothing.returncode, "parted has no such table" in nothing.stderr) == (2, True)


async def test_tables_dropped_during_the_scan_do_not_fail_it(line: Line) -> None:
    """What went away meanwhile is left out; the rest comes through, and nothing stays stuck."""
    many = 120
    statements = [
        f"create table t{number} as select i id, 'p' || i || '@example.com' email from generate_series(1, 50) i" for number in range(many)
    ]
    url = await line.make_database("vanishing", *statements)
    connection = await asyncpg.connect(url)

    async def drop() -> None:
        for number in range(0, many, 2):
            await connection.execute(f"drop table if exists t{number}")
            await asyncio.sleep(0.02)

    scan = asyncio.create_task(asyncio.to_thread(line.shell, "scan", url, "--json"))
    while not scan.done() and not await connection.fetchval(
        "select count(*) from pg_stat_activity where application_name like 'pursight-discovery%'"
    ):
        await asyncio.sleep(0.02)
    await drop()
    done = await scan
    await connection.close()
    assert done.returncode == 0, done.stderr
    kept = {asset["table"] for asset in json.loads(done.stdout)["assets"]}
    assert {f"t{number}" for number in range(1, many, 2)} <= kept
    after = line.scan(url)
    assert {asset["table"] for asset in after["assets"]} == {f"t{number}" for number in range(1, many, 2)}
