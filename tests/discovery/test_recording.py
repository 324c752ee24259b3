"""A recording holds a source's structure and nothing of what is in it; elsewhere, discovery makes the same of it."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.discovery import replay
from services.discovery.recording import Names, Writer, hidden, read
from shared.contracts.connection import SourceConnected
from shared.contracts.source import Scope
from shared.errors import Failed
from shared.sources.base import Key, ReadFrom, TableFacts, TableMark

SHOP = Scope(schemas=("shop",))
SQL = """create schema shop; create type shop.kanarie_type as enum ('kanarie');
create table shop.kanarie (kanarie_id int primary key, mail text default 'kanarie', m shop.kanarie_type, n numeric(10,2)[]);
comment on column shop.kanarie.mail is 'kanarie'; insert into shop.kanarie values (1, 'kanarie@voliere.org');
create table shop.cage (id int references shop.kanarie (kanarie_id)); create view shop.seen as select mail from shop.kanarie"""


def recorded(tables: Iterable[TableFacts], key: str = "k") -> bytes:
    writer = Writer({"engine": "postgresql"}, Names(key))
    writer.add(list(tables))
    return writer.end({"tables": 1})


def bodies(said: Any) -> dict[str, dict[str, Any]]:
    return {body["table"]: body for topic, body in said if topic == "schema.discovered" and body}


def without_place(body: dict[str, Any]) -> list[Any]:
    """What of a table does not tell where it is, nor what was counted in it."""
    columns = [{name: each for name, each in column.items() if name not in ("evidence", "references")} for column in body["columns"]]
    return [columns, body.get("view_definition"), body.get("owner"), [(each["name"], each["kind"]) for each in body.get("constraints", ())]]


def test_a_source_is_recorded_without_a_name_or_a_value(
    in_house: Any, connected: Callable[..., SourceConnected], door: Any, tmp_path: Path
) -> None:
    """By who may, audited, kept nowhere. Replayed with its names, it says what the scan said; by its pseudonyms, what changed."""

    async def work(house: Any, url: str) -> None:
        owner = await asyncpg.connect(url)
        await owner.execute(SQL)
        await house.connect(connected(url, scope=SHOP))
        said = bodies(await house.scan())
        async with door(house) as ask:
            path = "/recordings/default/shop"
            assert [(await ask("POST", path, who)).status_code for who in ("viewer", "stranger")] == [403, 403]
            assert (await ask("POST", "/recordings/default/none")).json()["code"] == "unknown_source"
            first, named = await ask("POST", path, content="our key"), await ask("POST", f"{path}?names=keep")
            await owner.execute("alter table shop.kanarie rename mail to post; drop table shop.cage")
            second = await ask("POST", path, content="our key")
        await owner.close()
        assert first.headers["cache-control"] == "no-store"
        told = gzip.decompress(first.content)
        assert not [word for word in (b"kanarie", b"voliere", b"mail", b"shop", b"cage") if word in told]
        assert b"numeric(10,2)[]" in told
        head, facts = read(named.content)
        assert (head["names"], head["end"]["tables"], head["end"]["failure"]) == ("kept", 3, "")
        again = {body["table"]: body for body in replay.said(facts)}
        assert {table: without_place(body) for table, body in again.items()} == {table: without_place(body) for table, body in said.items()}
        changed = list(replay.said(read(second.content)[1], read(first.content)[1]))
        kinds = [[change["kind"] for change in body["change"]] for body in changed if "change" in body]
        assert kinds == [["column_renamed"]]
        assert len([body for body in changed if "removed" in body]) == 1
        noted = [(body["action"], body["result"]) for topic, body in await house.said() if topic == "audit.recorded"]
        assert noted == [("source.record", "allowed")] * 3
        (tmp_path / "now").write_bytes(second.content)
        assert replay.main([str(tmp_path / "now")]) == 0

    in_house(work)


NAME = st.text(st.characters(categories=["L"]), min_size=8, max_size=20).map("kanarie{}".format)


@given(st.lists(NAME, min_size=3, max_size=3, unique=True), NAME)
def test_no_name_is_left(names: list[str], other: str) -> None:
    """In no place of the facts; and what was the same is the same."""
    mark = TableMark(1, other, other, "table", 1, 1, 1, 0, readable=True, mark=1)
    keys = [Key(other, "foreign_key", (names[0],), (other, other), (names[1],), other)]
    flags = [True] * 3
    empty: dict[str, Any] = dict.fromkeys(("primary_key", "unique", "indexed"), frozenset[int]())
    told: dict[str, Any] = {
        "owner": other,
        "comment": other,
        "row_security": False,
        "positions": [1, 2, 3],
        "names": names,
        "types": [other, "text", "int"],
    }
    told |= {"nullable": flags, "generated": flags, "sampled": flags, "textual": flags, "defaults": {1: other}, "comments": {1: other}}
    facts = TableFacts(
        mark, **told, **empty, keys=keys, view_definition=other, depends_on=[(other, other)], sample_from=ReadFrom(other, other)
    )
    (found,) = read(recorded([facts]))[1]
    assert "kanarie" not in gzip.decompress(recorded([facts])).decode()
    assert (found.keys[0].columns[0], found.keys[0].target) == (found.names[0], (found.mark.schema, found.mark.table))
    assert hidden(facts, Names("k")).names == list(found.names) != hidden(facts, Names()).names
    assert replace(found, mark=mark).types[1:] == ["text", "int"]


@pytest.mark.parametrize(
    "packed",
    [b"", b"no gzip", gzip.compress(b""), gzip.compress(b"{}\n"), gzip.compress(b"[1]\n"), recorded([])[:-20]],
    ids=["empty", "no gzip", "no line", "no head", "a list", "cut"],
)
def test_what_is_no_recording_is_said(packed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    with pytest.raises(Failed) as caught:
        read(packed)
    assert caught.value.code == "no_recording"
    (tmp_path / "x").write_bytes(packed)
    assert replay.main([str(tmp_path / "x")]) == 1
    assert "no recording" in capsys.readouterr().err
