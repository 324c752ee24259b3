"""Whatever a table holds: it is judged, or skipped with a reason in the manifest, and the scan goes on. Real PostgreSQL, whole scans."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.contracts.asset import ColumnEvidence, SchemaDiscovered
from shared.contracts.connection import SourceConnected
from shared.contracts.scan import ScanCompleted
from shared.contracts.source import Scope

SHOP = Scope(schemas=("shop",))
DEEP = '{"b":' * 50 + '{"mail": "ann@example.org"}' + "}" * 50
HOSTILE = f"""create schema shop; set search_path = shop;
create table none (); insert into none default values; create table one (a text); insert into one values ('x');
create table wide ({",".join(f"c{number} int" for number in range(1_600))});
create table huge as select repeat('w ', 5000000) a, jsonb_build_object('a', repeat(md5('1'), 300000)) b, '\\x00ff'::bytea c;
create table nulls as select null::text a, null::int b, null::jsonb c, null::text[] d from generate_series(1, 50);
create table endless as select repeat('9', 20000)::numeric a, repeat('9', 20000) b, 'NaN'::float8 c from generate_series(1, 50);
create table odd (card_pan text, "ssn" text, "email" int, "select" text, r int4range, dr daterange, p point, b bit(3), i interval);
insert into odd select 'word', 'word', g, 'word', int4range(g, g + 1), '[2020-01-01,2020-02-01)', '(1,2)', b'101', '1 day'
from generate_series(1, 30) g;
create table "tab
le" ("col umn" text, "" text)""".replace(', "" text', "")
TOLD = """create schema shop; set search_path = shop;
create table rare as select case g when 700 then '4539 1488 0343 6467' else 'order ' || g end a from generate_series(1, 1000) g;
create table note as select 'please write to ann' || g || '@example.org, she waits' a from generate_series(1, 40) g;
create table doc as select jsonb_build_object('who', jsonb_build_object('mail', 'ann' || g || '@example.org')) a,
  array['ann' || g || '@example.org', 'x'] b from generate_series(1, 40) g"""


async def run_sql(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


def tables(said: Any) -> dict[str, SchemaDiscovered]:
    return {body["table"]: SchemaDiscovered.model_validate(body) for topic, body in said if topic == "schema.discovered" and body}


def matched(evidence: ColumnEvidence | None) -> dict[str, tuple[int, int]]:
    """How many values each detector matched, and how many of them are valid."""
    assert evidence is not None
    return {match.detector: (match.matched, match.valid) for match in evidence.matches}


def test_a_hostile_schema_is_scanned_to_its_end(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """No columns, 1,600 of them, values of 10 MB, nothing but nulls, endless numbers, names of detectors, rare types, 50 levels of JSON."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, HOSTILE)
        await run_sql(url, f"create table shop.deep as select '{DEEP}'::jsonb a, '{DEEP}'::json b from generate_series(1, 10)")
        await house.connect(connected(url, scope=SHOP))
        said = await house.scan()
        found = tables(said)
        assert set(found) == {"none", "one", "wide", "huge", "nulls", "endless", "odd", "deep", "tab\nle"}
        assert (len(found["none"].columns), len(found["wide"].columns)) == (0, 1_600)
        manifest = ScanCompleted.model_validate(next(body for topic, body in said if topic == "scan.completed"))
        assert (manifest.complete, manifest.tables) == (True, 9)
        assert [(each.what, each.why, each.count, each.names) for each in manifest.left_out] == [
            ("columns", "no_text", 2, ("bit", "bytea")),
            ("columns", "told_by_type", 1, ("interval",)),
        ]
        assert not any(each.truncated for each in found.values())
        huge = found["huge"].columns[0].evidence
        assert huge is not None
        assert (huge.sampled, huge.lengths and huge.lengths.max) == (1, 200)
        nulls = found["nulls"].columns[0].evidence
        assert nulls is not None
        assert (nulls.sampled, nulls.nulls) == (0, 50)
        names = {column.name: column.evidence for column in found["odd"].columns}
        assert not any(word in detector for name in ("card_pan", "ssn") for detector in matched(names[name]) for word in ("card", "ssn"))
        assert [name for name, evidence in names.items() if evidence is None] == ["b", "i"]
        assert names["r"].sampled == 30
        again = await house.scan()
        assert [topic for topic, _ in again] == ["scan.completed"]
        assert ScanCompleted.model_validate(again[0][1]).left_out == manifest.left_out

    in_house(work)


def test_what_is_rare_or_inside_is_counted(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """One valid card number in 1,000 rows; an address inside words, inside JSON, inside an array."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, TOLD)
        await house.connect(connected(url, scope=SHOP, sample_rows=1_000))
        found = tables(await house.scan())
        assert matched(found["rare"].columns[0].evidence)["card_pan"] == (1, 1)
        for column, least in zip((found["note"].columns[0], *found["doc"].columns), (40, 40, 10), strict=True):  # of a list, one item
            assert max(count for name, (count, _) in matched(column.evidence).items() if "email" in name) >= least, column.name

    in_house(work)


def test_what_a_folder_no_longer_lets_us_see_stands(
    in_house: Any, connected: Callable[..., SourceConnected], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files whose right was lost keep their structure, those in a folder that was shut are not gone, what is really gone beside them is."""
    for key in ("hr/pay.csv", "shop/orders.csv", "shop/old.csv", "top.csv", "parts/p-1.csv", "parts/p-2.csv"):
        (tmp_path / key).parent.mkdir(exist_ok=True)
        (tmp_path / key).write_text("id,mail\n" + "".join(f"{at},ann{at}@example.org\n" for at in range(20)))
    opened, shut = os.open, set[str]()

    def asked(path: Any, *given: Any, **more: Any) -> int:
        if path in shut:  # root may read everything, so the system's answer is played
            raise PermissionError(errno.EACCES, "")
        return opened(path, *given, **more)

    monkeypatch.setattr(os, "open", asked)

    async def work(house: Any, url: str) -> None:
        await house.connect(connected(url, engine="folder", path=str(tmp_path), database="drop"))
        assert set(tables(await house.scan())) == {"pay.csv", "orders.csv", "old.csv", "top.csv", "parts"}
        shut.update(("hr", "top.csv", "p-2.csv"))
        (tmp_path / "shop" / "old.csv").unlink()
        said = await house.scan(mode="full")
        assert [body["asset"].rpartition("/")[2] for topic, body in said if topic == "asset.removed"] == ["drop.shop.old%2Ecsv"]
        found = tables(said)
        assert {name: (each.left_out, len(each.columns)) for name, each in found.items()} == {
            "hr": ("no_privilege", 0),
            "orders.csv": ("", 2),
            "parts": ("no_privilege", 2),
        }
        manifest = ScanCompleted.model_validate(next(body for topic, body in said if topic == "scan.completed"))
        assert not manifest.complete
        assert [(each.what, each.why, each.count) for each in manifest.left_out] == [("samples", "no_privilege", 3), ("folders", "shut", 1)]
        shut.clear()
        said = await house.scan()
        gone = [body["asset"].rpartition("/")[2] for topic, body in said if topic == "asset.removed"]
        manifest = ScanCompleted.model_validate(next(body for topic, body in said if topic == "scan.completed"))
        assert (gone, manifest.complete, manifest.left_out) == (["drop.%2F.hr"], True, ())

    in_house(work)
