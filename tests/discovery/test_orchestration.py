"""Which scan goes when: paused, resumed, cancelled, overtaken by a person's, taken over after a kill; what likely changed comes first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from services.discovery import api, commands, handlers
from services.discovery.worker import tell
from shared.bus.jobs import Jobs, LostLease
from shared.bus.received import Received
from shared.contracts.connection import SourceConnected
from shared.contracts.source import Scope
from shared.errors import Failed
from shared.observe import tracing
from shared.web.server import bind, edge_app, server

SHOP = Scope(schemas=("shop",))
Chunk = Callable[[], Any]


class Died(BaseException):
    """The process ends here."""


async def tables(url: str, count: int, schema: str = "shop") -> None:
    """So many tables of one column."""
    made = "".join(f"create table {schema}.t{number} (a text);" for number in range(count))
    connection = await asyncpg.connect(url)
    await connection.execute(f"create schema {schema}; {made}")
    await connection.close()


def after_first_chunk(monkeypatch: pytest.MonkeyPatch, act: Chunk) -> None:
    """`act` happens once, when the first chunk has been told."""
    original = tell.Teller.tell

    async def told(self: Any, chunk: Any) -> None:
        await original(self, chunk)
        monkeypatch.setattr(tell.Teller, "tell", original)
        await act()

    monkeypatch.setattr(tell.Teller, "tell", told)


def facts(said: Any, topic: str = "schema.discovered") -> list[dict[str, Any]]:
    return [body for name, body in said if name == topic and body is not None]


async def worked(house: Any) -> Any:
    """What is said by whoever claims next, to the end."""
    job = await house.claim()
    await house.scanner.work(job)
    await house.jobs.finish(house.pool, job)
    return await house.said()


def test_a_person_pauses_and_resumes_a_scan(
    in_house: Any, connected: Callable[..., SourceConnected], door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops between two chunks and goes on there, each table said once; who may not decide is refused, who may not see sees none."""

    async def work(house: Any, url: str) -> None:
        await tables(url, 130)
        await house.connect(connected(url, scope=SHOP))
        await house.ask()
        async with door(house) as ask:
            assert (await ask("POST", "/scan-jobs/scan-1/resume")).json()["code"] == "scan_not_paused"

            async def pause() -> None:
                assert (await ask("POST", "/scan-jobs/scan-1/pause", "viewer")).status_code == 403
                assert (await ask("POST", "/scan-jobs/scan-1/pause", "stranger")).status_code == 404
                assert (await ask("POST", "/scan-jobs/scan-1/pause")).json() == {"scan_id": "scan-1", "state": "paused"}

            after_first_chunk(monkeypatch, pause)
            first = await worked(house)
            assert (len(facts(first)), facts(first, "scan.completed"), facts(first, "scan.failed")) == (100, [], [])
            assert (await ask("POST", "/scan-jobs/scan-1/pause")).json()["code"] == "scan_not_open"
            shown = (await ask("GET", "/scan-jobs/scan-1")).json()
            assert (shown["state"], shown["looked"], shown["tables"]) == ("paused", 100, 130)
            assert await house.jobs.claim("scan") is None
            assert (await ask("POST", "/scan-jobs/scan-1/resume")).json()["state"] == "waiting"
        second = await worked(house)
        assert len({body["asset"] for body in facts(first) + facts(second)}) == len(facts(first) + facts(second)) == 130
        assert facts(second, "scan.completed")[0]["tables"] == 130
        audited = [(each["action"], each["actor"], each["object"]) for each in facts(first + second, "audit.recorded")]
        assert audited == [(f"scan.{what}", "machine:steward", "default/shop") for what in ("pause", "resume")]

    in_house(work)


def test_a_paused_scan_can_be_cancelled(in_house: Any, connected: Callable[..., SourceConnected], door: Any) -> None:
    """It ends with scan.failed, and is not resumed any more."""

    async def work(house: Any, url: str) -> None:
        await house.connect(connected(url, scope=SHOP))
        await house.ask()
        async with door(house) as ask:
            for what, state in (("pause", "paused"), ("cancel", "cancelled")):
                assert (await ask("POST", f"/scan-jobs/scan-1/{what}")).json()["state"] == state
            assert (await ask("POST", "/scan-jobs/scan-1/resume")).status_code == 409
        said = await worked(house)
        assert [body["diagnosis"]["code"] for body in facts(said, "scan.failed")] == ["cancelled"]
        assert facts(said, "scan.completed") == []

    in_house(work)


def test_a_persons_scan_overtakes_a_bulk_one(
    in_house: Any, connected: Callable[..., SourceConnected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same source, asked for while the other runs: it is done first, then the rest of the other, and that has not lost a try."""

    async def work(house: Any, url: str) -> None:
        await tables(url, 130)
        await house.connect(connected(url, scope=SHOP))
        await house.ask(priority="bulk")

        async def person_asks() -> None:
            (told,) = await house.pool.fetchrow("select table_name from asset order by table_name limit 1")
            await house.pool.execute(f"comment on table shop.{told} is 'said already, and again'")
            await house.ask(priority="person", scope=Scope(tables=(f"shop.{told}", "shop.t129")))

        after_first_chunk(monkeypatch, person_asks)
        said = await worked(house)
        done = facts(said, "scan.completed")
        assert [(body["scan_id"], body["tables"], body["complete"]) for body in done] == [("scan-2", 2, False), ("scan-1", 130, True)]
        assert [(body["changed"], body.get("unchanged", 0)) for body in done] == [(2, 0), (129, 1)]
        assert (len({body["asset"] for body in facts(said)}), len(facts(said))) == (130, 131)
        assert await house.pool.fetchval("select tries from scan where id = 'scan-1'") == 1

    in_house(work)


def test_another_instance_goes_on_after_a_kill(
    in_house: Any, connected: Callable[..., SourceConnected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job's lease runs out, another worker takes it over where it was, and the first one, were it to wake, is refused."""

    async def work(house: Any, url: str) -> None:
        await tables(url, 130)
        await house.connect(connected(url, scope=SHOP))
        await house.ask()

        async def dies() -> None:
            raise Died

        killed = await Jobs(house.pool, service="discovery", lease=0.2).claim("scan")
        after_first_chunk(monkeypatch, dies)
        with pytest.raises(Died):
            await house.scanner.work(killed)
        async with asyncio.timeout(10):
            while (job := await house.jobs.claim("scan")) is None:
                await asyncio.sleep(0.02)
        assert killed is not None
        assert (job.id, job.fence, job.attempt) == (killed.id, killed.fence + 1, 2)
        await house.scanner.work(job)
        with pytest.raises(LostLease):
            await house.jobs.finish(house.pool, killed)
        said = await house.said()
        assert len({body["asset"] for body in facts(said)}) == len(facts(said)) == 130
        assert {body["scan_id"] for body in facts(said)} == {"scan-1"}
        assert facts(said, "scan.completed")[0]["changed"] == 130

    in_house(work)


def test_what_changed_before_is_looked_at_first(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """A full scan begins with the table that changed lately, wherever its name stands."""

    async def work(house: Any, url: str) -> None:
        await tables(url, 130)
        await house.connect(connected(url, scope=SHOP))
        await house.scan()
        owner = await asyncpg.connect(url)
        await owner.execute("alter table shop.t77 add b int")
        assert [body["table"] for body in facts(await house.scan())] == ["t77"]
        assert facts(await house.scan(mode="full"))[0]["table"] == "t77"
        await owner.execute("alter table shop.t99 add b int")  # what is seen to have changed comes before what is likely to have
        assert {body["table"] for body in facts(await house.scan(mode="full"))[:2]} == {"t77", "t99"}
        await owner.close()

    in_house(work)


@pytest.mark.parametrize("scope", [Scope(schemas=("shop",)), Scope(exclude_schemas=("more",)), Scope(tables=("shop.t1",))])
def test_a_part_of_a_source_stays_a_part(in_house: Any, connected: Callable[..., SourceConnected], scope: Scope) -> None:
    """It looks at no other schema or table, removes nothing, and is not called complete; the next whole one is."""

    async def work(house: Any, url: str) -> None:
        for schema in ("shop", "more"):
            await tables(url, 3, schema)
        await house.connect(connected(url, scope=Scope(exclude_schemas=("discovery",))))
        await house.scan()
        owner = await asyncpg.connect(url)
        await owner.execute("drop table shop.t2; drop table more.t2; alter table shop.t1 add b int; alter table more.t1 add b int")
        await owner.close()
        said = await house.scan(scope=scope)
        assert [(body["schema_name"], body["table"]) for body in facts(said)] == [("shop", "t1")]
        assert (facts(said, "asset.removed"), facts(said, "scan.completed")[0]["complete"]) == ([], False)
        said = await house.scan()
        assert [(body["schema_name"], body["table"]) for body in facts(said)] == [("more", "t1")]
        assert (len(facts(said, "asset.removed")), facts(said, "scan.completed")[0]["complete"]) == (2, True)

    in_house(work)


def test_scans_take_turns_by_tenant_and_host(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """Their jobs tell both, the tenant first; and a scheduled scan is less urgent than a person's."""

    async def work(house: Any, url: str) -> None:
        event = connected(url)
        heard = Received(event, "c", event.source, "source.connected", 0, 1, datetime.now(UTC), "default", "", tracing.root())
        await handlers.on_source_connected([heard], store=house.store, jobs=house.jobs)
        shares = await house.pool.fetchval("select shares from job")
        assert shares == ["tenant:default", f"host:{event.plan.host}:{event.plan.port}"]

    in_house(work)


def test_the_shell_lists_pauses_and_resumes(
    in_house: Any, connected: Callable[..., SourceConnected], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a person types it, against the edge; what cannot be done is one line with a code."""

    async def work(house: Any, url: str) -> None:
        await house.connect(connected(url, scope=SHOP))
        await house.ask()
        listener = bind("127.0.0.1", 0)
        http = server(edge_app(list(api.routes(house.store, house.jobs, house.sources)), token="t"))
        serving = asyncio.create_task(http.serve(sockets=[listener]))
        monkeypatch.setenv("PURSIGHT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("PURSIGHT_TOKEN", "t")

        async def typed(*words: str) -> str:
            await asyncio.to_thread(commands.app, list(words), standalone_mode=False)
            return capsys.readouterr().out

        try:
            assert json.loads(await typed("list", "--json"))["scans"][0]["state"] == "waiting"
            assert "is paused" in await typed("pause", "scan-1")
            assert "paused" in await typed("list", "--source", "shop")
            assert "shop: paused, tables: 0 of ?" in await typed("show", "scan-1")
            with pytest.raises(Failed) as caught:
                await typed("pause", "scan-1")
            assert caught.value.code == "scan_not_open"
            assert json.loads(await typed("resume", "scan-1", "--json")) == {"scan_id": "scan-1", "state": "waiting"}
            assert "is cancelled" in await typed("cancel", "scan-1")
        finally:
            http.should_exit = True
            await serving

    in_house(work)
