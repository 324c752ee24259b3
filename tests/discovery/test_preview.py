"""Masked previews: what a column looks like, for who may see that, with nothing kept of it anywhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.discovery.domain.mask import HIDDEN, form, masked
from shared.contracts.connection import SourceConnected
from shared.contracts.source import Scope

SHOP = Scope(schemas=("shop",))
CUSTOMER = "/previews/default/shop/{database}.shop.customer"
SQL = """create schema shop; create table shop.customer (id int, mail text, result text, password text, note text);
insert into shop.customer
select g, 'kanarie' || g || '@voliere.org', case g % 2 when 0 then 'positief' else 'negatief' end, '!!#%%&/=?', 'zwaluw ' || md5(g::text)
from generate_series(10, 40) g;
create view shop.seen as select * from shop.customer; create table shop.empty (a text)"""
CANARIES = ("kanarie", "voliere", "zwaluw", "!!#%%&", "positief")


@given(st.lists(st.text(max_size=60), max_size=30))
def test_a_masked_value_is_its_form_or_hidden(values: list[str]) -> None:
    """No letter but a and A, no digit but 9; and only forms that five different values share."""
    for shown in masked(values, 50):
        assert shown == HIDDEN or len({value for value in values if form(value) == shown}) >= 5
        assert not any(char.isalnum() and char not in "aA9" for char in shown)


async def prepared(house: Any, url: str, event: SourceConnected) -> str:
    """Scanned, its outbox empty; the customer's address at the edge."""
    owner = await asyncpg.connect(url)
    await owner.execute(SQL)
    await owner.close()
    await house.connect(event)
    await house.scan()
    return CUSTOMER.format(database=event.spec.database)


def test_a_preview_shows_forms_and_leaves_no_trace_of_a_value(
    in_house: Any, connected: Callable[..., SourceConnected], door: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """In the answer, on the bus, in the state or in the log; who asked is in the ledger. What few values share is hidden."""

    async def work(house: Any, url: str) -> None:
        caplog.set_level(logging.DEBUG)
        path = await prepared(house, url, connected(url, scope=SHOP))
        async with door(house) as ask:
            answer = await ask("POST", f"{path}?rows=3")
        columns = {column["name"]: column for column in answer.json()["columns"]}
        assert answer.headers["cache-control"] == "no-store"
        assert columns["mail"]["values"] == ["aaaaaaa99@aaaaaaa.aaa"] * 3
        assert columns["id"]["values"] == ["99"] * 3
        assert {*columns["result"]["values"], *columns["password"]["values"]} == {HIDDEN}
        assert (columns["mail"]["sampled"], columns["mail"]["nulls"]) == (31, 0)
        said = await house.said()
        assert [(topic, body["actor"], body["object"], body["result"]) for topic, body in said] == [
            ("audit.recorded", "machine:steward", path.removeprefix("/previews/"), "allowed")
        ]
        rows = await house.pool.fetch("select to_jsonb(a)::text from asset a union all select to_jsonb(s)::text from scan s")
        everywhere = answer.text + str(said) + "".join(row[0] for row in rows if "mail" in row[0])
        assert not [canary for canary in CANARIES if canary in everywhere + caplog.text]

    in_house(work)


def test_who_may_not_see_or_what_may_not_be_shown_is_refused(in_house: Any, connected: Callable[..., SourceConnected], door: Any) -> None:
    """By role, by tenant, by consent, by kind; and nothing that no scan has found is looked for."""

    async def work(house: Any, url: str) -> None:
        path = await prepared(house, url, connected(url, scope=SHOP))
        owner = await asyncpg.connect(url)
        await owner.execute("create table shop.secret (a text); alter table shop.empty rename to void")
        await owner.close()
        async with door(house) as ask:
            assert [(await ask("POST", path, who)).status_code for who in ("viewer", "stranger")] == [403, 403]
            for table, code in (("secret", "unknown_asset"), ("seen", "not_sampled"), ("empty", "unknown_asset")):
                answer = await ask("POST", path.replace("customer", table))
                assert answer.json()["code"] == code
            assert (await ask("POST", "/previews/default/shop")).json()["code"] == "unknown_asset"
            for sequence, consent in enumerate(("none", "statistics"), 2):
                await house.connect(connected(url, scope=SHOP, sampling=consent, sequence=sequence))
                assert (await ask("POST", path)).json()["code"] == "no_consent"
        audited = [body["detail"] for topic, body in await house.said() if topic == "audit.recorded"]
        assert audited == ["not_sampled", "unknown_asset", "no_consent", "no_consent"]

    in_house(work)


def test_files_are_previewed_alike(in_house: Any, connected: Callable[..., SourceConnected], door: Any, tmp_path: Path) -> None:
    """A folder's CSV: its forms are shown, none of its words."""

    async def work(house: Any, url: str) -> None:
        (tmp_path / "people.csv").write_text("mail,note\n" + "".join(f"kanarie{n}@voliere.org,zwaluw\n" for n in range(10, 30)))
        spec = {"engine": "folder", "path": str(tmp_path), "host": "", "port": 0, "database": "drop", "username": ""}
        await house.connect(connected(url, **spec, secret=""))
        (asset,) = (body["asset"] for topic, body in await house.scan() if topic == "schema.discovered")
        async with door(house) as ask:
            answer = await ask("POST", f"/previews/{quote(asset)}?rows=1")
        assert [(column["name"], column["values"]) for column in answer.json()["columns"]] == [
            ("mail", ["aaaaaaa99@aaaaaaa.aaa"]),
            ("note", [HIDDEN]),
        ]
        assert not [canary for canary in CANARIES if canary in answer.text + str(await house.said())]

    in_house(work)
