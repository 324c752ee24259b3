"""Masked previews: what a column looks like, for who may see that, with nothing kept of it anywhere."""

from __future__ import annotations

import logging
import secrets
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
from tests.mongo_server import SET
from tests.mysql_server import PASSWORD

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


@pytest.mark.parametrize("engine", ["mariadb", "mongodb"])
def test_other_servers_are_previewed_alike(
    in_house: Any, connected: Callable[..., SourceConnected], door: Any, engine: str, request: pytest.FixtureRequest, monkeypatch: Any
) -> None:
    """Tables and collections: their forms are shown, none of their words, and who asked is in the ledger."""
    name = f"kijk_{secrets.token_hex(4)}"
    spec = made(engine, request, name)
    monkeypatch.setenv("TEST_OTHER_PASSWORD", PASSWORD)

    async def work(house: Any, url: str) -> None:
        event = connected(url, **spec, engine=engine, host="127.0.0.1", database=name, secret="env:TEST_OTHER_PASSWORD")
        await house.connect(event.model_copy(update={"plan": event.plan.model_copy(update={"tls_mode": "verify-full"})}))
        (asset,) = (body["asset"] for topic, body in await house.scan() if topic == "schema.discovered")
        async with door(house) as ask:
            answer = await ask("POST", f"/previews/{quote(asset)}?rows=1")
        shown = {column["name"]: column["values"] for column in answer.json()["columns"]}
        assert (shown["mail"], shown["note"]) == (["aaaaaaa99@aaaaaaa.aaa"], [HIDDEN])
        said = await house.said()
        assert [(topic, body["action"], body["result"]) for topic, body in said] == [("audit.recorded", "data.preview", "allowed")]
        assert not [canary for canary in CANARIES if canary in answer.text + str(said)]

    in_house(work)


def made(engine: str, request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """Twenty people on the session's server of this engine, gone after the test; how to reach them."""
    rows = [(f"kanarie{number}@voliere.org", "zwaluw") for number in range(10, 30)]
    if engine == "mongodb":
        mongo = request.getfixturevalue("mongo")
        mongo.admin[name].people.insert_many([{"mail": mail, "note": note} for mail, note in rows])
        mongo.user(name, database=name)
        request.addfinalizer(lambda: mongo.admin.drop_database(name))
        request.addfinalizer(lambda: mongo.test("forget", user=name))
        config = {"replica_set": SET, "replica_members": [f"127.0.0.1:{port}" for port in mongo.ports[1:]]}
        return {"port": mongo.ports[0], "username": name, "ssl_config": {"ca": mongo.ca}, "replica_config": config}
    mariadb = request.getfixturevalue("mariadb")
    values = ",".join(f"('{mail}', '{note}')" for mail, note in rows)
    mariadb.run(
        f"create database {name}", f"use {name}", "create table people (mail text, note text)", f"insert into people values {values}"
    )
    request.addfinalizer(lambda: mariadb.run(f"drop database {name}"))
    return {"port": mariadb.port, "username": "root", "ssl_config": {"ca": mariadb.ca}}


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
