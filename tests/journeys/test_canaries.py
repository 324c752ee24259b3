"""What is read from a source, and every secret, stays where it was read: planted canaries are found nowhere else."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from tests.journeys.canary import Canaries, files_of, planted, processes, records, rows_of
from tests.journeys.canary_documents import planted_documents, planted_files
from tests.journeys.sink import SpanSink
from tests.journeys.stack import Line, until
from tests.mongo_server import MongoServer

REQUESTS = {"source.submitted"}  # what an upstream itself wrote stays as it wrote it; nobody copies it


@dataclass(frozen=True)
class Nest:
    """A stack that scanned the planted database, failed to scan it once more, and refused requests with secrets in wrong fields."""

    canary: Canaries
    url: str
    admin_url: str
    source: str
    refused: dict[str, str]
    others: tuple[str, ...]  # sources of documents and files


@pytest.fixture(scope="module")
async def nest(line: Line, postgres_url: str, mongo: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nest]:
    canary, database, reader = Canaries(), f"canary_{secrets.token_hex(3)}", f"reader_{secrets.token_hex(3)}"
    password, wrong = canary.word("password in the URL of a scan"), canary.word("wrong password in the URL of a scan")
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f"create database {database}")
    parts = urlsplit(postgres_url)
    admin_url = parts._replace(path=f"/{database}").geturl()
    source = await asyncpg.connect(admin_url)
    for statement in planted(canary, reader, password):
        await source.execute(statement)
    await source.close()
    at = f"{parts.hostname}:{parts.port}/{database}"
    found = line.scan(f"postgresql://{reader}:{quote(password)}@{at}", "--name", "nest")
    assert {asset["table"] for asset in found["assets"]} >= {"canary_person", "seen", "kept", "part", "guarded", "flagged"}
    failed = line.shell("scan", f"postgresql://{reader}:{wrong}@{at}", "--name", "nest")
    assert failed.returncode == 1, failed.stderr
    refused = await _submit_secrets(line, canary, database)
    others = (_documents(line, canary, mongo, reader), _files(line, canary, tmp_path_factory.mktemp("drop")))
    yield Nest(canary, f"postgresql://{reader}@{at}", admin_url, found["source"], refused, others)
    mongo.admin.drop_database(reader)
    mongo.test("forget", user=reader)
    await admin.execute(f"drop database {database} with (force)")
    await admin.execute(f"drop role {reader}")
    await admin.close()


def _documents(line: Line, canary: Canaries, mongo: MongoServer, name: str) -> str:
    """Scan planted documents, and fail to with a wrong password."""
    password, wrong = canary.word("password of a set"), canary.word("wrong password of a set")
    planted_documents(canary, mongo, name, password)
    url = mongo.url(name, name)
    found = line.scan(url.replace("@", f":{password}@"), "--name", "nest-of-documents")
    assert {asset["table"] for asset in found["assets"]} == {"noted", "seen"}
    failed = line.shell("scan", url.replace("@", f":{wrong}@"), "--name", "nest-of-documents")
    assert failed.returncode == 1, failed.stderr
    return str(found["source"])


def _files(line: Line, canary: Canaries, folder: Path) -> str:
    planted_files(canary, folder)
    found = line.scan(f"file://{folder}", "--name", "nest-of-files")
    assert len(found["assets"]) >= 9
    assert all(asset["columns"] for asset in found["assets"] if "broken" not in asset["table"])
    return str(found["source"])


async def _submit_secrets(line: Line, canary: Canaries, database: str) -> dict[str, str]:
    """Requests of an upstream that puts secrets where they do not belong; returns the source that each is about."""
    good = {"host": "127.0.0.1", "database": database, "username": "reader"}
    wrong: dict[str, dict[str, object]] = {
        "password": {"password": canary.word("field password")},
        "misspelt": {"pasword": canary.word("field pasword")},
        "reference": {"password_secret": canary.word("secret instead of its reference")},
        "deep": {"cloud_config": {"provider": "aws", "secret_access_key": canary.word("nested field")}},
        "address": {"host": f"postgresql://reader:{canary.word('URL in host')}@db/shop"},
        "number": {"port": canary.word("word in port")},
        "listed": {"labels": [canary.word("list instead of labels")]},
        "word": {"engine": canary.word("unknown engine")},
    }
    async with AIOKafkaProducer(bootstrap_servers=line.running.bootstrap) as producer:
        for name, fields in wrong.items():
            body = json.dumps({"name": f"nest-{name}", **good, **fields}).encode()
            await producer.send_and_wait("source.submitted", body, key=f"default/nest-{name}".encode())
        broken = f'{{"name": "nest-broken", "password": "{canary.word("password in broken JSON")}", '
        await producer.send_and_wait("source.submitted", broken.encode(), key=b"default/nest-broken")
    return {name: f"default/nest-{name}" for name in wrong}


async def test_the_search_finds_what_is_there(line: Line, nest: Nest) -> None:
    """The search is able to find: every planted string at its place, and names, which may travel, on the topics and in the read model."""
    at_source = b"".join((await rows_of(nest.admin_url)).values())
    found = set(nest.canary.found_in(at_source))
    assert {"text 1", "e-mail 1", "card 1", "json 1", "array 1", "bytea 1", "numeric 1", "composite 1", "one of two values"} <= found
    names = Canaries({"table": "canary_person"})
    assert names.found_in((await records(line.running.bootstrap))["schema.discovered"])
    assert any(map(names.found_in, (await rows_of(line.running.database_url)).values()))
    assert files_of(line.home / "kafka", names.found_in)


async def test_no_canary_is_on_any_topic(line: Line, nest: Nest) -> None:
    """Bytes, keys and headers of every record, but the upstream's own requests, hold none."""
    until(lambda: all(line.progress(refused)["failed"] for refused in nest.refused.values()), what="the refusal of every request")
    told = await records(line.running.bootstrap)
    assert len(nest.canary.found_in(told["source.submitted"])) >= len(nest.refused)
    found = {topic: places for topic, data in told.items() if topic not in REQUESTS and (places := nest.canary.found_in(data))}
    assert not found


async def test_no_canary_is_in_the_stack_s_database(line: Line, nest: Nest) -> None:
    """No row of any table of any schema holds one; dead letters of requests are sealed."""
    found = {table: places for table, data in (await rows_of(line.running.database_url)).items() if (places := nest.canary.found_in(data))}
    assert not found


async def test_no_canary_is_in_any_file(line: Line, nest: Nest) -> None:
    """Logs of all parts, the databases' and the broker's files, the secret store, the state: none, but in the upstream's own requests."""
    found = files_of(line.home, nest.canary.found_in)
    assert not {path: places for path, places in found.items() if "source.submitted-" not in path}


async def test_no_canary_is_in_any_span(sink: SpanSink, line: Line, nest: Nest) -> None:
    """What goes to telemetry names events and assets, never what they hold."""
    until(lambda: any(span.service == "tagger" for span in sink.spans), what="spans of the last service")
    assert not nest.canary.found_in(bytes(sink.raw))


async def test_no_canary_is_in_what_the_shell_prints(line: Line, nest: Nest) -> None:
    """Dead letters, traces, sources, events with bodies and reports show none."""
    until(lambda: json.loads(line.shell("dlq", "list", "--json").stdout)["dead_letters"], what="the dead letter of broken JSON")
    trace = line.export(nest.source)["trace_id"]
    letters = json.loads(line.shell("dlq", "list", "--json").stdout)["dead_letters"]
    shown = [
        line.shell("dlq", "list", "--json"),
        *(line.shell("dlq", "show", letter["id"]) for letter in letters),
        line.shell("source", "list", "--json"),
        line.shell("trace", trace, "--json"),
        line.shell("secrets", "list"),
        line.shell("status", "--json"),
    ]
    assert not nest.canary.found_in("".join(done.stdout + done.stderr for done in shown).encode())
    for source in (nest.source, *nest.others):
        assert not nest.canary.found_in(json.dumps(line.export(source)).encode())


async def test_no_canary_is_in_arguments_or_environment(line: Line, nest: Nest) -> None:
    """A password goes to the secret store and to no process by its arguments or environment."""
    supervisor = json.loads((line.home / "state.json").read_text())["supervisor"]["pid"]
    told = processes(supervisor)
    assert len(told) >= 9
    assert not {name: places for name, data in told.items() if (places := nest.canary.found_in(data))}
