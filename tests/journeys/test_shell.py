"""Every command of the shell on the running line, and the two examples that other programs start from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from services.classifier.commands import reviews
from shared.cli import find
from shared.errors import UsageError
from tests.journeys.stack import PATIENCE_SECONDS, PURSIGHT, Line, beside, until

EXAMPLES = Path(__file__).parents[2] / "examples"
UNREADABLE = (b"{no json", b"\xff\xfe\x00", b"[1, 2]", b'{"asset": 5}', b"7")


def told(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(line: Line) -> dict[str, str]:
    return {**os.environ, "PURSIGHT_HOME": str(line.home), "NO_COLOR": "1", "KAFKA_BOOTSTRAP_SERVERS": line.running.bootstrap}


def given(line: Line, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pursight …` with this on its standard input."""
    return subprocess.run(
        [PURSIGHT, *arguments], env=environment(line), input=text, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def upstream(line: Line) -> None:
    """The producer's example, to its end."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "upstream.py"],
        env=environment(line),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def test_a_source_by_file_from_registration_to_removal(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """check keeps nothing; add registers, and is idempotent; list and show have it; its tables are found; remove forgets all of it."""
    url = await line.make_database("by_file", "create table person (id int primary key, email text)")
    host, _, rest = url.split("@")[1].partition(":")
    port, _, database = rest.partition("/")
    file = tmp_path / "source.yaml"
    file.write_text(
        f"name: by-file\nhost: {host}\nport: {port}\ndatabase: {database}\nusername: pursight\npassword_secret: local:by-file\n"
    )
    password = url.split("@")[0].rsplit(":", 1)[1]
    assert "local:by-file" in told(given(line, password + "\n", "secrets", "set", "by-file"))
    told(line.shell("source", "check", str(file)))
    assert "by-file" not in told(line.shell("source", "list"))
    assert "version 1" in told(line.shell("source", "add", str(file)))
    assert "unchanged" in told(line.shell("source", "add", str(file)))
    assert "by-file" in told(line.shell("source", "list"))
    assert json.loads(told(line.shell("source", "show", "by-file", "--json")))["version"] == 1
    until(lambda: line.progress("default/by-file")["done"], what="the scan of the new source")
    assert [asset["table"] for asset in line.export("default/by-file")["assets"]] == ["person"]
    monkeypatch.setenv("PURSIGHT_URL", line.running.door)
    monkeypatch.setenv("PURSIGHT_TOKEN", line.running.token)
    its_tables_are_found(capsys)
    a_person_has_the_last_word(capsys)
    told(line.shell("source", "remove", "by-file", "--yes"))
    with line.http() as client:
        until(lambda: client.get("/assets/default%2Fby-file%2Fby_file.public.person").status_code == 404, what="its table to go")
    assert line.shell("source", "show", "by-file").returncode == 2


def its_tables_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    """By words, by class, by the end of a name; what is none says so."""
    find.search(["mail"], json_output=False, limit=5, source="by-file")
    assert "by-file/by_file.public.person" in capsys.readouterr().out
    find.search([], json_output=False, limit=5, source="by-file", **{"class": "iban"})
    assert "Nothing is found" in capsys.readouterr().out
    for name in ("by-file/by_file.public.person", "BY_FILE.public.person", "by-file/person", "default/by-file/person"):
        find.show(name, json_output=False)
        told = capsys.readouterr().out
        assert told.startswith("by-file/by_file.public.person: table")
        assert "the name says: email" in told
        assert "Enable row level security" in told or "Not known" in told
    find.show("by-file/by_file.public.person", json_output=True)
    assert [column["name"] for column in json.loads(capsys.readouterr().out)["columns"]] == ["id", "email"]
    for name in ("erson", "by-file/by_file.public.nothing", "", "ü/😀"):
        with pytest.raises(UsageError, match="there is no table"):
            find.show(name, json_output=False)


def a_person_has_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    """Rejected, then something else; there is nothing to confirm where there is no class."""
    name, last = "by_file.public.person", "by-file/by_file.public.person, email"

    def state() -> tuple[str, str]:
        capsys.readouterr()
        find.show(name, json_output=True)
        column = json.loads(capsys.readouterr().out)["columns"][1]
        return column["class"], column["state"]

    reviews.reject(name, "email", reason="a test address")
    assert capsys.readouterr().out.startswith(f"{last}: rejected")
    until(lambda: state() == ("none", "rejected"), what="the column's class to go")
    reviews.relabel(name, "email", "user_name")
    until(lambda: state() == ("user_name", "confirmed"), what="the new class")
    reviews.list_(source="by-file")
    assert capsys.readouterr().out.endswith("No column waits for a person.\n")
    with pytest.raises(UsageError, match="there is no source by-fil"):
        reviews.list_(source="by-fil", json_output=True)
    with pytest.raises(UsageError, match="id has no class to confirm"):
        reviews.confirm(name, "id")
    with pytest.raises(UsageError, match="has no column nothing"):
        reviews.confirm(name, "nothing")
    with pytest.raises(UsageError, match="no such class"):
        reviews.relabel(name, "email", "no_such_class")


def test_problems_of_a_source_are_told_by_field(line: Line, tmp_path: Path) -> None:
    """All of them at once, a line for each, with the nearest known name; exit code 2."""
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({"name": "wrong", "databse": "shop", "password": "hush-hush", "port": 0}))
    done = line.shell("source", "add", str(file))
    assert done.returncode == 2
    *problems, last = done.stderr.splitlines()
    assert last.endswith(f"is no source: {len(problems)} problems"), done.stderr
    assert all(word in done.stderr for word in ("databse", "Did you mean database?", "password looks like a secret", "port"))
    assert "hush" not in done.stderr


def test_secrets_go_in_and_never_come_out(line: Line) -> None:
    """set reads standard input, list shows names, rotate keeps them readable, remove forgets; an empty one is refused."""
    told(given(line, "s3cr3t-value\n", "secrets", "set", "shelf"))
    assert "shelf" in json.loads(told(line.shell("secrets", "list", "--json")))["secrets"]
    assert "encrypted with a new key" in told(line.shell("secrets", "rotate"))
    assert b"s3cr3t-value" not in b"".join(path.read_bytes() for path in (line.home / "secrets").iterdir() if path.is_file())
    assert told(line.shell("secrets", "remove", "shelf")) == "shelf is forgotten.\n"
    assert line.shell("secrets", "remove", "shelf").returncode == 2
    assert given(line, "", "secrets", "set", "shelf").returncode == 2


def test_topics_are_as_the_contracts_want_them(line: Line) -> None:
    """A fresh stack has nothing to mend, and apply says so."""
    assert json.loads(told(line.shell("topics", "diff", "--json"))) == {"differences": []}
    assert "Every topic was as it should be" in told(line.shell("topics", "apply"))


async def test_an_upstream_registers_and_a_downstream_hears(line: Line, tmp_path: Path) -> None:
    """A bare JSON event without any header becomes a source, and its classes reach a plain consumer, whatever else is on the topic:
    the two examples, as they are."""
    url = await line.make_database(
        "heard", "create table heard_person (id int primary key, email text)", "insert into heard_person values (1, 'a@example.com')"
    )
    await send_unreadable(line, "asset.classified", "default/heard/heard.public.odd")
    with beside(tmp_path, sys.executable, "-u", EXAMPLES / "downstream.py", environment=environment(line)) as consumer:
        upstream(line)
        shown = until(
            lambda: (d := line.shell("source", "show", "crm", "--json")).returncode == 0 and d.stdout, what="the upstream's source"
        )
        assert json.loads(shown)["spec"]["password_secret"] == "env:CRM_PASSWORD"
        line.scan(url, "--name", "heard")
        row = consumer.row(lambda row: "heard_person" in row, "the downstream's row")
        assert "('email', 'email')" in row, row
        until(lambda: consumer.err.read_text().count("passed over") >= len(UNREADABLE), what=consumer.told)
    assert "default.heard\n" in told(line.shell("secrets", "list"))
    told(line.shell("source", "remove", "heard", "--yes"))
    until(lambda: "default.heard\n" not in told(line.shell("secrets", "list")), every=0.5, what="the source's own password to go with it")


async def send_unreadable(line: Line, topic: str, key: str) -> None:
    """Records that are no event, as a careless or hostile writer would send them."""
    async with AIOKafkaProducer(bootstrap_servers=line.running.bootstrap) as producer:
        for body in UNREADABLE:
            await producer.send_and_wait(topic, body, key=key.encode())


def test_events_are_published_and_watched(line: Line, tmp_path: Path) -> None:
    """publish answers with the trace of what it said; tail shows requests without their bodies, and facts with them on demand."""
    document = {"name": "published", "host": "127.0.0.1", "port": 1, "database": "shop", "description": "only upstream says this"}
    said = json.loads(told(given(line, json.dumps(document), "events", "publish", "source.submitted")))
    refused = until(lambda: line.progress("default/published")["diagnosis"], what="the connector's word")
    assert refused["code"] == "refused"
    topics = ("source.submitted", "source.registered")
    command = (PURSIGHT, "events", "tail", *topics, "--from-start", "--bodies")
    with beside(tmp_path, *command, environment=environment(line)) as watch:
        found = {topic: json.loads(watch.row(partial(tells_of, topic, "default/published"), topic)) for topic in topics}
    assert found["source.submitted"]["event"] is None
    assert found["source.submitted"]["id"] == said["id"]
    assert found["source.registered"]["event"]["spec"]["description"] == document["description"]

    def traced() -> set[str]:
        return {event["type"] for event in json.loads(told(line.shell("trace", said["trace_id"], "--json")))["events"]}

    until(lambda: traced() >= {"source.registered", "source.unreachable"}, every=0.5, what="each topic's word in the trace")
    assert "source.registered" in told(line.shell("trace", said["trace_id"]))


def test_the_ledger_is_shown_verified_and_exported(line: Line, tmp_path: Path) -> None:
    """What the other tests did stands in it, as done by whom; an export verifies without the stack, and a forged one does not."""
    put = given(
        line, json.dumps({"name": "kept", "host": "127.0.0.1", "port": 1, "database": "shop"}), "events", "publish", "source.submitted"
    )
    assert put.returncode == 0
    until(lambda: "default/kept" in told(line.shell("audit", "export", "--object", "default/kept")), every=0.5, what="the ledger's line")
    (entry,) = [
        json.loads(row) for row in told(line.shell("audit", "export", "--object", "default/kept", "--actor", "event:")).splitlines()
    ]
    assert (entry["actor"], entry["action"], entry["result"]) == ("event:upstream", "source.create", "allowed")
    assert "default/kept" in told(line.shell("audit", "show", "--limit", "1000"))
    verified = json.loads(told(line.shell("audit", "verify", "--json")))
    assert (verified["whole"], verified["anchored"] > 0) == (True, True)
    export = tmp_path / "ledger.jsonl"
    export.write_text(told(line.shell("audit", "export")))
    assert "are whole" in told(line.shell("audit", "verify", "--file", str(export)))
    export.write_text(export.read_text().replace("event:upstream", "event:nobody", 1))
    forged = line.shell("audit", "verify", "--file", str(export))
    assert forged.returncode == 1
    assert "not whole" in forged.stderr


def tells_of(topic: str, key: str, row: str) -> bool:
    """Whether a row of `events tail` is an event of this topic and key. What is no event is told in words."""
    if not row.startswith("{"):
        return False
    event = json.loads(row)
    return (event["topic"], event.get("key")) == (topic, key)  # what is no event has no key


def test_the_status_names_every_part(line: Line) -> None:
    """Broker, database, services, pids and the data directory; without any secret."""
    found = json.loads(told(line.shell("status", "--json")))
    assert {part["name"] for part in found["parts"]} >= {"postgres", "kafka", "door", "registry", "catalog"}
    assert found["broker"] == line.running.bootstrap
    assert found["data_directory"] == str(line.home)
    assert line.running.token not in json.dumps(found)
    assert "Already up." in line.shell("up").stderr
