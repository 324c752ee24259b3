"""Records that nobody can read, in the middle of those that everybody can: they are put aside, and the rest flows on to its tags."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from tests.journeys.frail import Frail
from tests.journeys.records import all_records
from tests.journeys.shop import statements
from tests.journeys.stack import PATIENCE_SECONDS, Line

MANY = 500
FIVE_MB = 5 << 20
BREAKS = """
create function classifier.breaks() returns trigger language plpgsql as $$ begin raise exception 'broken'; end $$;
create trigger breaks before insert or update on classifier.asset for each row
when (new.asset = '{asset}') execute function classifier.breaks()"""
Headers = list[tuple[str, bytes | None]]


@pytest.fixture
def patient(line: Line, tmp_path: Path) -> Frail:
    return Frail(line, tmp_path)


async def scanned(patient: Frail, name: str) -> tuple[str, dict[str, Any]]:
    """A source that was scanned, and one of its assets as discovery said it."""
    url = await patient.line.make_database(name, *statements(4))
    source = await patient.register(name, url)
    await patient.settled([source])
    records = await all_records(patient.line.running.bootstrap, "schema.discovered")
    body = next(record.value for record in records if record.key.startswith(f"{source}/".encode()) and b"customer" in record.key)
    return source, orjson.loads(body)


def headers(topic: str) -> Headers:
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    said: Headers = [("ce_specversion", b"1.0"), ("ce_id", str(uuid4()).encode()), ("ce_type", topic.encode())]
    return [*said, ("ce_source", b"test"), ("ce_time", now.encode())]


def bad_ones(place: int) -> tuple[bytes | None, Headers] | None:
    """What stands at this place instead of an event, and with which headers: five cases, each at two places."""
    odd: Headers = [("ce_id", None), ("traceparent", b"\xff\xfe"), ("\u00fcber", b"\x80")]
    cases: dict[int, tuple[bytes | None, Headers]] = {
        7: (b"{no json", headers("schema.discovered")),
        8: (b'{"asset": 5}', headers("schema.discovered")),
        9: (b"[1, 2]", odd),
        250: (b'{"asset": "' + b"a" * FIVE_MB + b'"}', headers("schema.discovered")),
        251: (b"\xff\xfe\x00", odd),
    }
    return cases.get(place)


async def send(patient: Frail, records: Sequence[tuple[str, bytes, bytes | None, Headers]]) -> None:
    """As a careless upstream would: compressed, so that the broker does not see how large a record is."""
    producer = AIOKafkaProducer(
        bootstrap_servers=patient.line.running.bootstrap, compression_type="gzip", max_request_size=16 << 20, max_batch_size=1 << 20
    )
    await producer.start()
    try:
        await asyncio.gather(
            *[await producer.send(topic, body, key=key, headers=list(more)) for topic, key, body, more in records]  # type: ignore[arg-type]
        )
    finally:
        await producer.stop()


async def done(patient: Frail, subject: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while not (now := await patient.progress(subject)) or not now["done"]:
        assert time.monotonic() < deadline, now
        await asyncio.sleep(0.3)
    return now


@pytest.mark.timeout(600)
async def test_bad_records_are_put_aside_and_the_rest_flows_on(patient: Frail) -> None:
    """Of 500 assets five cannot be read: 495 come to their tags, odd headers or not, and the scan is done."""
    source, template = await scanned(patient, "bad500")
    scan, records, good, bad = str(uuid4()), [], [], []
    for place in range(MANY):
        asset = f"{source}/bad500.public.t{place}"
        body = orjson.dumps({**template, "asset": asset, "table": f"t{place}", "scan_id": scan, "sequence": 1})
        found = bad_ones(place)
        odd: Headers = [("ce_odd", None), ("ce_tenant", b"\xff\xfe"), ("\u00fcber", b"\x80")] if place % 50 == 3 else []
        records.append(("schema.discovered", asset.encode(), *(found or (body, [*headers("schema.discovered"), *odd]))))
        (bad if found else good).append(asset)
    await send(patient, records)
    manifest = {"source": source, "scan_id": scan, "complete": True, "tables": MANY, "columns": 1, "changed": MANY, "digest": "d"}
    await send(patient, [("scan.completed", source.encode(), orjson.dumps(manifest), headers("scan.completed"))])
    told = await done(patient, scan)
    assert (told["tagged"], told["dead"]) == (len(good), len(bad))
    tagged = {record.key.decode() for record in await all_records(patient.line.running.bootstrap, "tags.derived") if record.value}
    assert {asset.replace("default/", "default/asset:", 1) for asset in good} <= tagged

    letters = [letter for letter in patient.letters() if letter["shown_key"] in bad]
    for service in ("classifier", "catalog"):
        mine = {letter["shown_key"]: letter for letter in letters if letter["group_name"] == f"pursight.{service}.schema.discovered"}
        assert sorted(mine) == sorted(bad)
        assert [mine[asset]["error_code"] for asset in bad] == ["bad_json", "bad_event", "not_an_object", "too_large", "bad_json"]
    assert "no json" not in json.dumps(letters)
    await replay_and_drop(patient, letters)
    await gone(patient, source)


async def replay_and_drop(patient: Frail, letters: Sequence[dict[str, Any]]) -> None:
    """A replay of what cannot be read comes back as the same dead letter; what is dropped is gone."""
    first = next(letter for letter in letters if letter["error_code"] == "bad_json")
    shown = json.loads(patient.line.shell("dlq", "show", first["id"]).stdout)
    assert (shown["id"], shown["bytes"]) == (first["id"], int(first["size"]))
    assert patient.line.shell("dlq", "replay", first["id"]).returncode == 0

    def again() -> list[dict[str, Any]]:
        return [letter for letter in patient.letters() if letter["id"] == first["id"]]

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (back := again()) or back[0]["state"] != "open" or back[0]["attempts"] != "2":
        assert time.monotonic() < deadline, back
        await asyncio.sleep(0.5)
    assert patient.line.shell("dlq", "drop", "--yes", *[letter["id"] for letter in letters]).returncode == 0
    assert not [letter for letter in patient.letters() if letter["id"] in {one["id"] for one in letters}]
    wanted = {("dlq.replay", first["id"])} | {("dlq.drop", letter["id"]) for letter in letters}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not wanted <= {(entry["action"], entry["object"]) for entry in patient.line.get("/audit/default")["entries"] if operated(entry)}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)


def operated(entry: dict[str, Any]) -> bool:
    return str(entry["actor"]).startswith("operator:")


async def gone(patient: Frail, source: str) -> None:
    await patient.remove(source)
    await patient.gone([source])


async def test_a_null_body_where_no_key_can_be_cleared_is_put_aside(patient: Frail) -> None:
    """On a topic that is not compacted a null body means nothing: each reader puts it aside, and the next record is read."""
    source, _ = await scanned(patient, "nulls")
    asset = f"{source}/nulls.public.customer_0"
    removal = {"asset": asset, "source": source, "sequence": 99, "scan_id": "s", "reason": "dropped"}
    topic = "asset.removed"
    await send(patient, [(topic, asset.encode(), None, headers(topic)), (topic, asset.encode(), orjson.dumps(removal), headers(topic))])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (await patient.digest(source))["assets"] != 4:  # of four tables and a view
        assert time.monotonic() < deadline, await patient.digest(source)
        await asyncio.sleep(0.3)
    readers = {letter["group_name"].split(".")[1] for letter in patient.letters() if letter["shown_key"] == asset}
    assert readers == {"classifier", "compliance", "tagger", "catalog"}
    await gone(patient, source)
    assert not [letter for letter in patient.letters() if letter["shown_key"] == asset], "a removed source's dead letters go with it"


async def test_an_asset_that_breaks_a_handler_is_put_aside_alone_and_flows_on_when_replayed(patient: Frail) -> None:
    """An error that nobody knows: the others of its batch come to their tags, the scan is done, and after the repair a replay is enough."""
    source, _ = await scanned(patient, "breaks")
    asset = f"{source}/breaks.public.visit_3"
    connection = await asyncpg.connect(patient.line.running.database_url)
    try:
        await connection.execute(BREAKS.format(asset=asset))
        await patient.rescan(source)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (told := await done(patient, source))["dead"] == 0:  # the scan before was done, too
            assert time.monotonic() < deadline, told
            await asyncio.sleep(0.3)
    finally:
        await connection.execute("drop function if exists classifier.breaks cascade")
        await connection.close()
    assert (told["tagged"], told["dead"]) == (4, 1)
    (letter,) = [letter for letter in patient.letters() if letter["shown_key"] == asset]
    assert letter["error_code"] == "sqlstate_P0001"
    assert "broken" not in letter["why"]
    assert patient.line.shell("dlq", "replay", letter["id"]).returncode == 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (await done(patient, source))["tagged"] != 5:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.3)
    assert not [letter for letter in patient.letters() if letter["shown_key"] == asset]
    await gone(patient, source)
