"""Every command of the shell on the running line, and the two examples that other programs start from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.journeys.stack import PURSIGHT, Line, until

EXAMPLES = Path(__file__).parents[2] / "examples"


def told(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(line: Line) -> dict[str, str]:
    return {**os.environ, "PURSIGHT_HOME": str(line.home), "NO_COLOR": "1", "KAFKA_BOOTSTRAP_SERVERS": line.running.bootstrap}


def given(line: Line, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pursight …` with this on its standard input."""
    return subprocess.run(
        [PURSIGHT, *arguments], env=environment(line), input=text, capture_output=True, text=True, timeout=60, check=False
    )


def upstream(line: Line) -> None:
    """The producer's example, to its end."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "upstream.py"], env=environment(line), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def downstream(line: Line, folder: Path) -> Iterator[tuple[Path, Path]]:
    """The consumer's example, running: the files with what it says, and with what it complains of."""
    out, err = folder / "downstream.out", folder / "downstream.err"
    with out.open("w") as said, err.open("w") as complained:
        process = subprocess.Popen(
            [sys.executable, "-u", EXAMPLES / "downstream.py"], env=environment(line), stdout=said, stderr=complained
        )
    try:
        yield out, err
        assert process.poll() is None, f"the consumer ended with {process.returncode}: {err.read_text()[-2000:]}"
    finally:
        process.terminate()
        process.wait(30)


def row_with(word: str, file: Path) -> str:
    """The first whole line of a growing file that has this word, empty where none has."""
    return next((row for row in file.read_text().splitlines(keepends=True) if word in row and row.endswith("\n")), "")


async def test_a_source_by_file_from_registration_to_removal(line: Line, tmp_path: Path) -> None:
    """check keeps nothing; add registers, and is idempotent; list and show have it; remove forgets it and its assets."""
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
    assert json.loads(told(line.shell("source", "show", "by-file")))["version"] == 1
    until(lambda: line.progress("default/by-file")["done"], seconds=90, what="the scan of the new source")
    assert [asset["table"] for asset in line.export("default/by-file")["assets"]] == ["person"]
    told(line.shell("source", "remove", "by-file", "--yes"))
    with line.http() as client:
        until(lambda: client.get("/assets/default%2Fby-file%2Fby_file.public.person").status_code == 404, what="its table to go")
    assert line.shell("source", "show", "by-file").returncode == 2


def test_problems_of_a_source_are_told_by_field(line: Line, tmp_path: Path) -> None:
    """All of them at once, with the nearest known name, on one line; exit code 2."""
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({"name": "wrong", "databse": "shop", "password": "hush-hush", "port": 0}))
    done = line.shell("source", "add", str(file))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in ("databse", "Did you mean database?", "password looks like a secret", "port"))
    assert "hush" not in done.stderr


def test_secrets_go_in_and_never_come_out(line: Line) -> None:
    """set reads standard input, list shows names, rotate keeps them readable, remove forgets; an empty one is refused."""
    told(given(line, "s3cr3t-value\n", "secrets", "set", "shelf"))
    assert "shelf" in told(line.shell("secrets", "list"))
    assert "encrypted with a new key" in told(line.shell("secrets", "rotate"))
    assert b"s3cr3t-value" not in b"".join(path.read_bytes() for path in (line.home / "secrets").iterdir() if path.is_file())
    told(line.shell("secrets", "remove", "shelf"))
    assert line.shell("secrets", "remove", "shelf").returncode == 2
    assert given(line, "", "secrets", "set", "shelf").returncode == 2


def test_topics_are_as_the_contracts_want_them(line: Line) -> None:
    """A fresh stack has nothing to mend, and apply says so."""
    assert json.loads(told(line.shell("topics", "diff", "--json"))) == []
    assert "Every topic was as it should be" in told(line.shell("topics", "apply"))


async def test_an_upstream_registers_and_a_downstream_hears(line: Line, tmp_path: Path) -> None:
    """A bare JSON event without any header becomes a source, and its classes reach a plain consumer, whatever else is on the topic:
    the two examples, as they are."""
    url = await line.make_database(
        "heard", "create table heard_person (id int primary key, email text)", "insert into heard_person values (1, 'a@example.com')"
    )
    await send_unreadable(line, "asset.classified", "default/heard/heard.public.odd")
    with downstream(line, tmp_path) as (out, err):
        upstream(line)
        shown = until(lambda: (d := line.shell("source", "show", "crm")).returncode == 0 and d.stdout, what="the upstream's source")
        assert json.loads(shown)["spec"]["password_secret"] == "env:CRM_PASSWORD"
        line.scan(url, "--name", "heard")
        row = until(lambda: row_with("heard_person", out), what=lambda: f"the downstream's row; it says: {err.read_text()[-2000:]}")
        assert "('email', 'email')" in row, row
        until(lambda: row_with("passed over", err), what="the records that it cannot read")
    told(line.shell("source", "remove", "heard", "--yes"))


async def send_unreadable(line: Line, topic: str, key: str) -> None:
    """Records that are no event, as a careless or hostile writer would send them."""
    async with AIOKafkaProducer(bootstrap_servers=line.running.bootstrap) as producer:
        for body in (b"{no json", b"\xff\xfe\x00", b"[1, 2]", b'{"asset": 5}', b"7"):
            await producer.send_and_wait(topic, body, key=key.encode())


def test_events_are_published_and_watched(line: Line) -> None:
    """publish answers with the trace of what it said; tail shows requests without their bodies, and facts with them on demand."""
    document = {"name": "published", "host": "127.0.0.1", "port": 1, "database": "shop", "description": "only upstream says this"}
    said = json.loads(told(given(line, json.dumps(document), "events", "publish", "source.submitted")))
    refused = until(lambda: line.progress("default/published")["diagnosis"], what="the connector's word")
    assert refused["code"] == "refused"
    watch = subprocess.Popen(
        [PURSIGHT, "events", "tail", "source.submitted", "source.registered", "--from-start", "--bodies"],
        env=environment(line),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watch.stdout is not None
        found: dict[str, dict[str, object]] = {}
        for row in watch.stdout:
            event = json.loads(row)
            if event["key"] == "default/published":
                found[event["topic"]] = event
            if len(found) == 2:
                break
    finally:
        watch.terminate()
        watch.communicate(timeout=10)
    assert found["source.submitted"]["event"] is None
    assert found["source.submitted"]["id"] == said["id"]
    assert found["source.registered"]["event"]["spec"]["description"] == document["description"]  # type: ignore[index]
    traced = json.loads(told(line.shell("trace", said["trace_id"], "--json")))["events"]
    assert {"source.registered", "source.unreachable"} <= {event["type"] for event in traced}
    assert "source.registered" in told(line.shell("trace", said["trace_id"]))


def test_the_status_names_every_part(line: Line) -> None:
    """Broker, database, services, pids and the data directory; without any secret."""
    found = json.loads(told(line.shell("status", "--json")))
    assert {part["name"] for part in found["parts"]} >= {"postgres", "kafka", "door", "registry", "catalog"}
    assert found["broker"] == line.running.bootstrap
    assert found["data_directory"] == str(line.home)
    assert line.running.token not in json.dumps(found)
    assert "Already up." in line.shell("up").stderr
