"""`pursight violations` against the real HTTP edge: what a person reads, how little of an id they write, what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from typer.testing import CliRunner, Result

from services.compliance import commands
from shared.cli.connect import Address, Edge
from shared.errors import PurSightError, UsageError
from tests.compliance.examples import SOURCE
from tests.compliance.test_api import Line, client, line

__all__ = ["client", "line"]
PAYMENTS = f"{SOURCE}/shop.public.payments"
Shell = Callable[..., Any]


class Through(httpx.BaseTransport):
    """The way from a shell in a thread to the edge in the loop. Tables are found by the catalog, which knows one here, sources by the
    registry, which knows one that was never scanned."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client, self._loop = client, asyncio.get_running_loop()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/search":
            return httpx.Response(200, json={"results": [{"asset": PAYMENTS}], "total": 1})
        if request.url.path.startswith("/sources"):
            known = request.url.path in ("/sources", "/sources/default/elsewhere")
            told = {"sources": [{"source": "default/elsewhere"}]} if known else {"title": "No such source", "code": "unknown_source"}
            return httpx.Response(200 if known else 404, json=told)
        asked = self._client.request(request.method, str(request.url), content=request.read())
        answer = asyncio.run_coroutine_threadsafe(asked, self._loop).result(10)
        return httpx.Response(answer.status_code, content=answer.content)


@pytest.fixture
async def shell(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """`pursight violations` with these words; gives what is printed, read where that is JSON. Raises what the command raises."""
    through = Through(client)

    @contextmanager
    def edge() -> Iterator[Edge]:
        line = Edge(Address("http://test", ""))
        line._http = httpx.Client(transport=through, base_url="http://test")
        yield line

    monkeypatch.setattr(commands, "edge", edge)

    async def run(*words: str) -> Any:
        done: Result = await asyncio.to_thread(CliRunner().invoke, commands.app, words)
        if done.exception:
            raise done.exception
        return orjson.loads(done.stdout) if "--json" in words else done.output

    return run


async def test_what_fails_is_listed_worst_first(shell: Shell) -> None:
    """Each with an id that other commands take; what is left out is counted; each option narrows."""
    lines = (await shell("list", "--limit", "2")).splitlines()
    assert lines[2].split()[1:4] == ["critical", "pci-dss:3.5.1", "crm/shop.public.payments"]
    everything = await shell("list", "--json")
    assert everything["violations"][0]["violation"].startswith(lines[2].split()[0])
    assert lines[-1] == f"… and {everything['total'] - 2} more: --limit {everything['total']} shows all."
    options = ("--framework", "pci-dss", "--severity", "critical", "--source", "crm", "--asset", "payments")
    narrowed = (await shell("list", *options, "--json"))["violations"]
    assert {(row["framework"], row["severity"], row["asset"]) for row in narrowed} == {("PCI DSS 4.0", "critical", PAYMENTS)}
    assert (await shell("list", "--state", "resolved", "--source", "elsewhere")).startswith("No resolved violations of that: ")


@pytest.mark.parametrize("words", [("list",), ("report", "soc2")])
@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_a_source_that_nobody_knows_is_no_empty_answer(words: tuple[str, ...], form: tuple[str, ...], shell: Shell) -> None:
    """Nothing is violated where nothing is: that would read like good news."""
    with pytest.raises(UsageError) as refused:
        await shell(*words, *form, "--source", "elsewhre")
    assert (refused.value.code, refused.value.line()) == ("unknown_source", "there is no source elsewhre. Did you mean elsewhere?")


async def test_controls_are_summed_up(shell: Shell) -> None:
    """One line for all tables of a source, and what helps; also of these it is told how many are not shown."""
    shown = (await shell("list", "--by-control", "--framework", "soc2", "--limit", "1")).splitlines()
    assert shown[2].split()[1:4] == ["soc2:CC6.7", "crm", "2"]
    assert shown[-1].startswith("… and ")


async def test_a_violation_is_shown_waived_and_shown_again(shell: Shell) -> None:
    """By the beginning of its id; the facts, what helps and since when; then who accepted it, until when and why."""
    worst = (await shell("list", "--json", "--limit", "1"))["violations"][0]
    id = worst["violation"][:8]
    before = await shell("show", id.upper())
    assert before.startswith("crm/shop.public.payments: critical, open, pci-dss:3.5.1\n")
    for told in (worst["remedy"], worst["message"], "plain.pan = true", f"waive {id}"):
        assert told in before
    day = str(datetime.now(UTC).date() + timedelta(days=90))
    words = ("--reason", "numbers are test cards", "--expires", day, "--owner", "payments-team")
    told = await shell("waive", id, *words)
    assert told.startswith(f"crm/shop.public.payments: pci-dss:3.5.1 is waived until {day} 23:59 UTC, by token:local for payments-team.")
    after = await shell("show", id)
    assert f"until {day} 23:59 UTC, by token:local for payments-team: numbers are test cards" in after
    assert f"waived until {day} 23:59 UTC" in await shell("list", "--state", "all")
    assert f"  {day} 23:59 UTC  " in await shell("list", "--state", "waived")
    assert (await shell("show", id, "--json"))["state"] == "waived"
    assert id not in await shell("list")
    told = await shell("unwaive", id, "--reason", "real numbers were found")
    assert told == "crm/shop.public.payments: pci-dss:3.5.1 is no longer waived: open.\n"
    assert id in await shell("list")
    assert "waiver" not in await shell("show", id)


async def test_a_waiver_that_ran_out_is_told(shell: Shell, line: Line) -> None:
    """Who looks at an open violation learns that it was accepted once, by whom and why."""
    id = (await shell("list", "--json", "--limit", "1"))["violations"][0]["violation"]
    await shell("waive", id, "--reason", "numbers are test cards", "--days", "3")
    await line.pool.execute("update violation set state = 'open', waived_until = '2026-01-31T18:00Z' where violation = $1", id)
    told = await shell("show", id)
    assert "  waiver    until 2026-01-31 18:00 UTC, by token:local, over: numbers are test cards\n" in told
    assert f"waive {id[:8]} --reason" in told


WAIVE = ("waive", "a", "--reason", "tested by hand")
REFUSED = [
    (("show", ""), "ambiguous_violation", "Give more of its id"),
    (("show", "00000000"), "unknown_violation", "`pursight violations list"),
    (("show", "../x"), "not_an_id", "`pursight violations list"),
    (WAIVE, "waiver_expiry", "Give --days or --expires."),
    ((*WAIVE, "--days", "3", "--expires", "2027-01-01"), "waiver_expiry", "Give --days or --expires."),
    (("list", "--severity", "awful"), "unknown_severity", "Known are: "),
    (("list", "--framework", "iso"), "unknown_framework", "Known are: CCPA, GDPR"),
    (("report", "iso"), "unknown_framework", "Known are: CCPA, GDPR"),
]


async def test_what_cannot_be_done_is_told(shell: Shell) -> None:
    """With a code, and what to do instead."""
    for words, code, told in REFUSED:
        with pytest.raises(PurSightError) as error:
            await shell(*words)
        assert (error.value.code, told in error.value.remedy) == (code, True)
    worst = (await shell("list", "--json", "--limit", "1"))["violations"][0]["violation"]
    for end in (("--reason", "short", "--days", "3"), ("--reason", "long enough", "--expires", "soon")):
        with pytest.raises(PurSightError, match="a waiver needs"):
            await shell("waive", worst, *end)


async def test_a_report_to_read_and_to_keep(shell: Shell) -> None:
    """The same numbers on a terminal, for programs and for spreadsheets."""
    report = await shell("report", "soc2", "--json")
    numbers = {row["control"]: [str(row[name]) for name in commands.OUTCOMES] for row in report["controls"]}
    shown = (await shell("report", "SOC2")).splitlines()
    assert next(row.split()[2:6] for row in shown if " CC6.7 " in row) == numbers["CC6.7"] == ["0", "2", "0", "0"]
    kept = (await shell("report", "soc2", "--csv")).splitlines()
    assert kept[0] == "control,title,severity,pass,fail,waived,unknown,missing,tables"
    assert "of no table there yet" in await shell("report", "soc2", "--source", "elsewhere")
