"""A whole scan against a real PostgreSQL: what is said, what is not said again, what survives a crash, what never leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import asyncpg
import orjson
import pytest

from services.discovery import handlers
from services.discovery.worker import tell
from shared.bus.jobs import LostLease
from shared.bus.received import Received
from shared.contracts.asset import SchemaDiscovered
from shared.contracts.connection import SourceConnected
from shared.contracts.scan import PaceChange, ScanCompleted
from shared.contracts.source import Scope, SourceRemoved
from shared.db import circuits
from shared.sources.postgres import PostgresSession

SHOP = Scope(schemas=("shop",))
SQL = """create schema shop; set search_path = shop; create type mood as enum ('canary_enum');
create table customer (id int primary key, mail text not null, pan text default 'canary_default', note text check (note <> 'canary_check'));
comment on table customer is 'ask canary@example.org';
insert into customer select g, 'canary' || g || '@example.org', '4111111111111111', 'canary note' from generate_series(1, 80) g;
create table "o'dd.name 💾" (a int references customer (id), m mood); insert into "o'dd.name 💾" values (1, 'canary_enum');
create table empty (a text); create view seen as select * from customer where note = 'canary_view';"""
Said = list[tuple[str, dict[str, Any] | None]]


class Died(BaseException):
    """The process ends here."""


async def run_sql(url: str, sql: str) -> None:
    """As the owner of the source."""
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


def facts(said: Said, topic: str = "schema.discovered") -> list[dict[str, Any]]:
    """Bodies on one topic, tombstones left out."""
    return [body for name, body in said if name == topic and body is not None]


def changes(said: Said) -> dict[str, list[str]]:
    """Kinds of change by table."""
    return {body["table"]: [change["kind"] for change in body["change"]] for body in facts(said)}


def test_a_first_scan_says_everything(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """Every asset once, as its contract wants it, with evidence and a manifest that adds up; no value among the bytes."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        await house.connect(connected(url, scope=SHOP))
        said = await house.scan()
        bodies = facts(said)
        assert {body["table"] for body in bodies} == {"customer", "o'dd.name 💾", "empty", "seen"}
        for body in bodies:
            assert orjson.loads(SchemaDiscovered.model_validate(body).to_json()) == body
        customer = next(body for body in bodies if body["table"] == "customer")
        mail, pan = customer["columns"][1], customer["columns"][2]
        assert mail["evidence"]["sampled"] == 80
        assert {"detector": "email", "matched": 80} in mail["evidence"]["matches"]
        assert any(match["detector"] == "card_pan" and match["valid"] == 80 for match in pan["evidence"]["matches"])
        manifest = ScanCompleted.model_validate(facts(said, "scan.completed")[0])
        assert (manifest.tables, manifest.changed, manifest.complete, manifest.linked_traces) == (4, 4, True, False)
        assert manifest.text_columns == manifest.text_columns_with_evidence == 3
        assert [(each.why, each.count) for each in manifest.left_out] == [("not_sampled_view", 1)]
        everything = b"".join(orjson.dumps(body) for _, body in said)
        rows = await house.pool.fetch("select to_jsonb(a)::text from asset a union all select to_jsonb(s)::text from scan s")
        assert b"canary" not in everything
        assert "canary" not in "".join(row[0] for row in rows)

    in_house(work)


def test_a_rescan_says_only_what_changed(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """Nothing changed, nothing said. Then one table changes, one goes, one comes: each is said, with what changed, and no other."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        await house.connect(connected(url, scope=SHOP))
        first = await house.scan()
        again = await house.scan()
        assert [topic for topic, _ in again] == ["scan.completed"]
        assert facts(again, "scan.completed")[0]["digest"] == facts(first, "scan.completed")[0]["digest"]
        await run_sql(
            url,
            """set search_path = shop; alter table customer rename note to remark; alter table customer add born date;
            alter table "o'dd.name 💾" alter a type bigint; drop table empty; create table fresh (a int)""",
        )
        said = await house.scan()
        told = changes(said)
        assert told.pop("fresh") == ["created"]
        assert sorted(told.pop("customer")) == ["column_added", "column_renamed", "key_changed"]
        assert told.pop("o'dd.name 💾") == ["type_changed"]
        assert told == {"seen": ["view_changed"]}  # its body names the renamed column
        assert [body["asset"].rpartition(".")[2] for body in facts(said, "asset.removed")] == ["empty"]
        assert ("schema.discovered", None) in said
        sequences = {body["table"]: body["sequence"] for body in facts(said)}
        assert (sequences["customer"], sequences["fresh"]) == (2, 1)
        await run_sql(url, "create table shop.empty (a text)")
        back = await house.scan()
        assert (changes(back), [body["sequence"] for body in facts(back)]) == ({"empty": ["restored"]}, [3])

    in_house(work)


def test_a_full_scan_says_every_asset_again(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """Mode full repeats, with the next sequence; the sample is the same, so the evidence is."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        await house.connect(connected(url, scope=SHOP))
        first = {body["table"]: body for body in facts(await house.scan())}
        said = await house.scan(mode="full")
        assert set(map(tuple, changes(said).values())) == {("rescanned",)}
        for body in facts(said):
            assert body["sequence"] == 2
            assert (body["columns"], body["fingerprint"]) == (first[body["table"]]["columns"], first[body["table"]]["fingerprint"])

    in_house(work)


def test_grown_data_is_sampled_again(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """A table that was empty and now holds rows is looked at again, though its structure is the same."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        await house.connect(connected(url, scope=SHOP))
        await house.scan()
        await run_sql(url, "insert into shop.empty select 'a' || g || '@b.org' from generate_series(1, 30) g")
        assert changes(await house.scan()) == {"empty": ["evidence_changed"]}

    in_house(work)


def test_what_a_server_tidies_up_is_no_change(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """A first VACUUM finds how large a table is, and its sample would be another one; rows that are rewritten in place are seen."""

    async def work(house: Any, url: str) -> None:
        await run_sql(
            url,
            """create schema shop; set search_path = shop; create table large (a text, b text) with (autovacuum_enabled = false);
            create table small (like large) with (autovacuum_enabled = false); insert into small select g from generate_series(1, 20) g;
            insert into large select repeat('x', g % 97), md5(g::text) from generate_series(1, 9000) g;
            select pg_stat_force_next_flush()""",
        )
        await house.connect(connected(url, scope=SHOP))
        first = {body["table"]: body["columns"] for body in facts(await house.scan())}
        await run_sql(url, "vacuum analyze shop.large, shop.small")
        assert await house.scan() == [("scan.completed", ANY)]
        full = {body["table"]: body["columns"] for body in facts(await house.scan(mode="full"))}
        assert (full["small"] == first["small"], full["large"] == first["large"]) == (True, False)  # had it been looked at
        await run_sql(url, "update shop.small set b = 'ann' || a || '@example.org'; select pg_stat_force_next_flush()")
        assert changes(await house.scan()) == {"small": ["evidence_changed"]}

    in_house(work)


def test_a_file_that_is_written_anew_is_counted_anew(in_house: Any, connected: Callable[..., SourceConnected], tmp_path: Path) -> None:
    """Though its size and columns stay; one that was only touched says nothing."""

    async def work(house: Any, url: str) -> None:
        people = tmp_path / "people.csv"
        people.write_text("id,told\n" + "".join(f"{at},anna{at:02}\n" for at in range(20)))
        await house.connect(connected(url, engine="folder", path=str(tmp_path), database="drop"))
        await house.scan()
        people.touch()
        assert await house.scan() == [("scan.completed", ANY)]
        people.write_text("id,told\n" + "".join(f"{at},a@b.{at:02}\n" for at in range(20)))
        assert changes(await house.scan()) == {"people.csv": ["evidence_changed"]}

    in_house(work)


def test_without_consent_no_value_is_read(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """sampling none: structure only."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        await house.connect(connected(url, scope=SHOP, sampling="none"))
        said = await house.scan()
        assert all("evidence" not in column for body in facts(said) for column in body["columns"])
        assert facts(said, "scan.completed")[0].get("sampled_values", 0) == 0

    in_house(work)


def evidence_of(said: Said, table: str) -> dict[str, Any]:
    """By column, of those that have some."""
    (body,) = (body for body in facts(said) if body["table"] == table)
    return {column["name"]: column["evidence"] for column in body["columns"] if "evidence" in column}


def test_statistics_alone_are_the_servers_own(
    in_house: Any, connected: Callable[..., SourceConnected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares and counts out of the planner's own, none of the values beside them, and no row read. What is no longer agreed to is taken
    back from tables that did not change."""

    async def work(house: Any, url: str) -> None:
        await run_sql(
            url,
            SQL.replace("insert into customer", "alter table customer add born date, add gone text; insert into customer")
            + """create table parts (a int, mail text) partition by range (a);
            create table part partition of parts for values from (0) to (99);
            insert into parts select g, 'canary' from generate_series(1, 60) g; analyze""",
        )

        async def never(*_: Any) -> Any:
            raise AssertionError("a row was read")

        with monkeypatch.context() as patched:
            patched.setattr(PostgresSession, "sample", never)
            await house.connect(connected(url, scope=SHOP, sampling="statistics"))
            said = await house.scan()
            assert [topic for topic, _ in await house.scan()] == ["scan.completed"]
        customer = evidence_of(said, "customer")
        assert customer["mail"]["estimates"] == {"null_share": 0.0, "distinct": 80, "mean_bytes": pytest.approx(19, abs=2)}
        assert customer["pan"]["estimates"]["distinct"] == 1
        assert customer["gone"]["estimates"]["null_share"] == 1.0
        assert evidence_of(said, "parts")["mail"]["estimates"]["distinct"] == 1
        assert {
            body["table"]: (body.get("sampling", "none"), body.get("left_out"))
            for body in facts(said)
            if body["table"] in ("empty", "parts")
        } == {
            "parts": ("statistics", None),
            "empty": ("none", "no_statistics"),
        }
        assert b"canary" not in b"".join(orjson.dumps(body) for _, body in said)
        assert facts(said, "scan.completed")[0].get("sampled_values", 0) == 0
        await house.connect(connected(url, scope=SHOP, sampling="sample", sequence=2))
        assert changes(await house.scan())["customer"] == ["evidence_changed"]
        await house.connect(connected(url, scope=SHOP, sampling="none", sequence=3))
        said = await house.scan()
        assert changes(said)["customer"] == ["evidence_changed"]
        assert all("evidence" not in column for body in facts(said) for column in body["columns"])
        assert [topic for topic, _ in await house.scan()] == ["scan.completed"]

    in_house(work)


def test_a_busy_server_slows_a_scan_which_still_ends(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """Sessions at work beside us: the scan steps down, says so with the cause, and says every table all the same."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        busy = [await asyncpg.connect(url) for _ in range(7)]
        sleeping = [asyncio.ensure_future(each.execute("select pg_sleep(30)")) for each in busy]
        try:
            while await house.pool.fetchval("select count(*) from pg_stat_activity where query ~ '^select pg_sleep'") < len(busy):
                await asyncio.sleep(0.01)
            await house.connect(connected(url, scope=SHOP))
            said = await house.scan()
        finally:
            for each in busy:
                each.terminate()
            await asyncio.gather(*sleeping, return_exceptions=True)
        manifest = ScanCompleted.model_validate(facts(said, "scan.completed")[0])
        assert (manifest.complete, manifest.tables, manifest.sampled_values > 0) == (True, 4, True)
        assert manifest.pace[0].cause == "active_sessions"
        assert (manifest.pace[0].concurrency, manifest.pace[0].rest) == (1, 0.5)
        told = facts(said, "scan.paced")
        assert [topic for topic, _ in said].index("scan.paced") < [topic for topic, _ in said].index("schema.discovered")
        assert [PaceChange.model_validate(each) for each in told] == list(manifest.pace)
        assert told[0]["scan_id"] == manifest.scan_id
        shown = await house.store.scan(manifest.scan_id)
        assert [each["cause"] for each in shown["pace"]] == [each["cause"] for each in told]

    in_house(work)


@pytest.mark.parametrize(("budget", "why"), [({"statements": 12}, "statements_budget"), ({"bytes": 1}, "bytes_budget")])
def test_a_spent_budget_ends_a_scan_and_the_next_goes_on(
    in_house: Any, connected: Callable[..., SourceConnected], budget: dict[str, Any], why: str
) -> None:
    """What was not read is counted, nothing is removed, and further scans say the rest, each table once."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, "create schema shop;" + "".join(f"create table shop.t{number} as select 'x' a;" for number in range(120)))
        await house.connect(connected(url, scope=SHOP, scan_budget=budget))
        said = await house.scan()
        manifest = facts(said, "scan.completed")[0]
        seen = [body["table"] for body in facts(said)]
        assert 0 < len(seen) < 120
        assert (manifest["complete"], manifest["left_out"]) == (False, [{"what": "tables", "why": why, "count": 120 - len(seen)}])
        while not manifest["complete"]:
            said = await house.scan()
            manifest = facts(said, "scan.completed")[0]
            seen += [body["table"] for body in facts(said)]
        assert sorted(seen) == sorted(f"t{number}" for number in range(120))

    in_house(work)


async def asked_for_a_long_scan(house: Any, url: str, connected: Callable[..., SourceConnected]) -> None:
    """Of so many tables that they are told in several chunks."""
    tables = "".join(f"create table shop.t{number} (a text);" for number in range(250))
    await run_sql(url, f"create schema shop; {tables}")
    await house.connect(connected(url, scope=SHOP))
    await house.ask()


def test_a_crash_is_gone_on_from(in_house: Any, connected: Callable[..., SourceConnected], monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan that died between two chunks says the rest under the same id and nothing twice."""

    async def work(house: Any, url: str) -> None:
        await asked_for_a_long_scan(house, url, connected)
        original, told = tell.Teller.tell, []

        async def dies(self: Any, chunk: Any) -> None:
            if told:
                raise Died
            told.append(len(chunk))
            await original(self, chunk)

        monkeypatch.setattr(tell.Teller, "tell", dies)
        job = await house.claim()
        with pytest.raises(Died):
            await house.scanner.work(job)
        monkeypatch.setattr(tell.Teller, "tell", original)
        before = facts(await house.said())
        await house.scanner.work(job)
        after = await house.said()
        keys = [body["asset"] for body in before + facts(after)]
        assert (len(before), len(keys), len(set(keys))) == (100, 250, 250)
        assert {body["scan_id"] for body in before + facts(after)} == {"scan-1"}
        manifest = facts(after, "scan.completed")[0]
        assert (manifest["tables"], manifest["changed"], manifest["linked_traces"]) == (250, 250, True)

    in_house(work)


def test_a_worker_that_lost_its_lease_says_nothing(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """The fence refuses the old worker's writes."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        await house.connect(connected(url, scope=SHOP))
        await house.ask()
        job = await house.claim()
        await house.pool.execute("update job set fence = fence + 1")
        with pytest.raises(LostLease):
            await house.scanner.work(job)
        assert await house.said() == []

    in_house(work)


def test_mass_removal_is_kept_back(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """When most of a source is gone, it is reported, not said, until a second complete scan sees the same, or a person asks.

    What is there again meanwhile is missed anew.
    """

    async def work(house: Any, url: str) -> None:
        await run_sql(url, "create schema shop;" + "".join(f"create table shop.t{number} (a text);" for number in range(12)))
        await house.connect(connected(url, scope=SHOP))
        await house.scan()
        drop = "".join(f"drop table shop.t{number};" for number in range(7))
        await run_sql(url, drop)
        for mode in ("incremental", "full"):
            said = await house.scan(mode=mode, scope=SHOP if mode == "full" else Scope())  # the narrow one confirms nothing
            assert facts(said, "asset.removed") == []
            assert facts(said, "scan.completed")[0]["complete"] is False
        await run_sql(url, "".join(f"create table shop.t{number} (a text);" for number in range(7)))
        assert facts(await house.scan(), "asset.removed") == []
        await run_sql(url, drop)
        said = await house.scan(mode="full")
        manifest = facts(said, "scan.completed")[0]
        assert (facts(said, "asset.removed"), manifest["complete"]) == ([], False)
        assert {"what": "removals", "why": "mass_removal", "count": 7} in manifest["left_out"]
        said = await house.scan()
        assert (len(facts(said, "asset.removed")), facts(said, "scan.completed")[0]["complete"]) == (7, True)
        await run_sql(url, "drop table shop.t7; drop table shop.t8; drop table shop.t9")
        assert len(facts(await house.scan(), "asset.removed")) == 3

    in_house(work)


def test_a_person_confirms_a_mass_removal(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """Asked for by a person, one complete scan says it."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, "create schema shop;" + "".join(f"create table shop.t{number} (a text);" for number in range(12)))
        await house.connect(connected(url, scope=SHOP))
        await house.scan()
        await run_sql(url, "".join(f"drop table shop.t{number};" for number in range(7)))
        assert len(facts(await house.scan(priority="person"), "asset.removed")) == 7

    in_house(work)


def test_a_narrow_scan_removes_nothing(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """A look at one table tells nothing of the others, and its manifest counts that table."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        await house.connect(connected(url, scope=SHOP))
        await house.scan()
        await run_sql(url, "drop table shop.empty; alter table shop.customer add x int")
        said = await house.scan(scope=Scope(tables=("shop.customer",)))
        assert changes(said) == {"customer": ["column_added"]}
        manifest = facts(said, "scan.completed")[0]
        assert (manifest["tables"], manifest["complete"], facts(said, "asset.removed")) == (1, False, [])

    in_house(work)


@pytest.mark.parametrize(
    ("spec", "code"),
    [({"port": 1}, "refused"), ({"database": "nowhere"}, "no_such_database"), ({"secret": "env:NOT_THERE"}, "secret_missing")],
)
def test_a_scan_that_cannot_be_done_is_answered(
    in_house: Any, connected: Callable[..., SourceConnected], spec: dict[str, Any], code: str
) -> None:
    """scan.failed names the cause; nothing is removed."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        await house.connect(connected(url, **spec))
        said = await house.scan()
        assert [(topic, body and body["diagnosis"]["code"]) for topic, body in said] == [("scan.failed", code)]

    in_house(work, tries=1)


def test_a_source_whose_circuit_is_open_is_not_dialled(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """A scan's dials count in the circuit that the connector asks too; while it is open, scans end with what the last dial found."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        await house.connect(connected(url, sequence=1, secret="env:NOT_THERE"))
        assert (await house.scan())[0][1]["diagnosis"]["code"] == "secret_missing"  # lasts, so the circuit opens
        await house.connect(connected(url, sequence=2, scope=SHOP))  # repaired, and nobody has dialled since
        (failed,) = facts(await house.scan(), "scan.failed")
        assert failed["diagnosis"]["code"] == "circuit_open"
        assert "`secret_missing`" in failed["diagnosis"]["cause"]
        async with house.pool.acquire() as sql:
            circuit = await circuits.not_answered(sql, house.source, code="refused", lasting=False)
            assert (circuit.failures, circuit.state) == (2, "open")
            await circuits.press(sql, house.source)
        assert facts(await house.scan(), "scan.completed")
        assert await house.pool.fetchrow("select state, failures, code from sources.circuit") == ("closed", 0, "")

    in_house(work, tries=1)


def test_a_removed_source_is_drained(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """Every asset is said gone with a tombstone after it, and nothing of its structure stays."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, SQL)
        await house.connect(connected(url, scope=SHOP))
        await house.scan()
        async with house.store.unit(keys=[house.source]) as unit:
            drain = (await house.store.next_scan(house.source)) or _drain(house.source)
            await unit.forget(house.source, 2, drain)
            await house.jobs.enqueue(unit.bus.connection, "scan", house.source, "")
        await house.scanner.work(await house.claim())
        said = await house.said()
        assert {body["reason"] for body in facts(said, "asset.removed")} == {"source_removed"}
        assert (len(facts(said, "asset.removed")), said.count(("schema.discovered", None))) == (4, 4)
        assert await house.pool.fetchval("select count(*) from asset where outline <> '' or fingerprint <> ''") == 0
        assert await house.store.connected(house.source) is None

    in_house(work)


def test_a_removal_ends_a_running_scan_first(
    in_house: Any, connected: Callable[..., SourceConnected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removed between two chunks: nothing more is said of the source but that what was said is gone, each asset after its own facts."""

    async def work(house: Any, url: str) -> None:
        await asked_for_a_long_scan(house, url, connected)
        original, told = tell.Teller.tell, []

        async def removed_meanwhile(self: Any, chunk: Any) -> None:
            await original(self, chunk)
            if not told:
                told.append(len(chunk))
                gone = SourceRemoved(source=house.source, version=2)
                heard = Received(gone, "r", house.source, "source.removed", 0, 1, datetime.now(UTC), "default", "", "")
                await handlers.on_source_removed([heard], store=house.store, jobs=house.jobs)

        monkeypatch.setattr(tell.Teller, "tell", removed_meanwhile)
        running = await house.claim()
        assert await house.jobs.claim("scan") is None
        await house.scanner.work(running)
        await house.jobs.finish(house.pool, running)
        drain = await house.claim()
        await house.scanner.work(drain)
        await house.jobs.finish(house.pool, drain)
        said = await house.said()
        assert facts(said, "scan.completed") == []
        order = [(topic, body["asset"]) for topic, body in said if body and topic in ("schema.discovered", "asset.removed")]
        assert len({asset for _, asset in order}) == 100
        assert all(order.index(("schema.discovered", asset)) < order.index(("asset.removed", asset)) for _, asset in order)
        assert len(order) == 200
        assert [scan["state"] for scan in await house.store.scans(house.source)] == []

    in_house(work)


def test_an_update_while_a_scan_runs_is_scanned_after_it(
    in_house: Any, connected: Callable[..., SourceConnected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The running scan ends with what it began with; the new version has one of its own, and nothing is lost."""

    async def work(house: Any, url: str) -> None:
        await run_sql(url, "create schema shop; create table shop.a (x text); create schema more; create table more.b (x text)")
        await house.connect(connected(url, scope=SHOP))
        await house.ask()
        original = tell.Teller.tell
        newer = connected(url, sequence=2, scope=Scope(schemas=("shop", "more")))

        async def updated_meanwhile(self: Any, chunk: Any) -> None:
            monkeypatch.setattr(tell.Teller, "tell", original)
            heard = Received(newer, "u", house.source, "source.connected", 0, 1, datetime.now(UTC), "default", "", "")
            await handlers.on_source_connected([heard], store=house.store, jobs=house.jobs)
            await original(self, chunk)

        monkeypatch.setattr(tell.Teller, "tell", updated_meanwhile)
        running = await house.claim()
        await house.scanner.work(running)
        said = await house.said()
        assert [body["tables"] for body in facts(said, "scan.completed")] == [1, 2]
        assert [body["table"] for body in facts(said)] == ["a", "b"]

    in_house(work)


def _drain(source: str) -> Any:
    from services.discovery.store import Scan

    return Scan("removal", source, "running", "full", "normal", Scope(), "", "default", "")
