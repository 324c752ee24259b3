"""How a line reads samples at the pace of its scan."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from services.discovery.domain.pace import LADDER
from services.discovery.gateway import Line
from services.discovery.members import Opened
from services.discovery.pacing import Pacer
from shared.contracts.connection import ConnectionPlan
from shared.contracts.scan import PaceChange
from shared.contracts.source import DataSource, ScanBudget
from shared.errors import Failed
from shared.sources.base import Estimate, Load, Sample, SampleTask, TableFacts, TableMark
from shared.sources.failures import BY_CODE


def facts(table: str) -> TableFacts:
    """Of one text column."""
    mark = TableMark(1, "public", table, "table", 1, 1, 1, 0, readable=True, mark=1)
    one = {"positions": (1,), "names": ("a",), "types": ("text",), "nullable": (True,), "generated": (False,), "sampled": (True,)}
    keys = {"primary_key": frozenset[int](), "unique": frozenset[int](), "indexed": frozenset[int](), "keys": ()}
    more: dict[str, Any] = one | keys
    return TableFacts(mark, owner="", comment="", row_security=False, textual=(True,), defaults={}, comments={}, **more)


class Server:
    """A session that keeps what it is asked, and refuses its first `refusals` questions as a store does that is asked too much."""

    def __init__(self, refusals: int = 0, active: int = 0) -> None:
        self.asked: list[int] = []
        self.statements, self._refusals, self._active = 0, refusals, active

    async def load(self) -> Load:
        return Load(self._active)

    async def estimates(self, tables: Sequence[TableFacts]) -> list[dict[str, Estimate]]:
        if not self._refusals:
            return [{"a": Estimate(1 / 3, 1234.5, 7.77)} for _ in tables]
        raise BY_CODE["statement_timeout" if self._refusals == 1 else "connection_reset"].error()

    async def sample(self, tasks: Sequence[SampleTask]) -> list[Sample]:
        await asyncio.sleep(0)
        self.asked.append(len(tasks))
        self.statements += len(tasks)
        if len(self.asked) <= self._refusals:
            return [Sample(task.token, 0, (), BY_CODE["throttled"].diagnosis()) for task in tasks]
        return [Sample(task.token, 1, (("x",),)) for task in tasks]


def line_to(servers: Sequence[Server], stack: AsyncExitStack, pacer: Pacer) -> Line:
    plan = ConnectionPlan(host="h", port=1, database="d", username="u", secret="", tls_mode="disable")
    line = Line(stack, Opened(servers[0], plan, stack), None, len(servers), None, pacer)  # type: ignore[arg-type]
    line._samplers = list(servers)  # type: ignore[arg-type]
    return line


async def read(
    monkeypatch: pytest.MonkeyPatch, servers: Sequence[Server], tables: int, causes: list[str] | None = None, **spec: Any
) -> tuple[Pacer, list[Sample | None]]:
    """Samples of so many tables over these sessions; nobody rests in truth. `causes` gets those of the pace's changes."""
    rested: list[float] = []

    async def rest(self: Pacer, worked: float) -> None:
        rested.append(worked)

    monkeypatch.setattr(Pacer, "rest", rest)

    async def hear(change: PaceChange) -> None:
        if causes is not None:
            causes.append(change.cause)

    pacer = Pacer.of(DataSource(name="n", database="d", **spec), hear=hear)
    async with AsyncExitStack() as stack:
        line = line_to(servers, stack, pacer)
        samples = await line.sample([(f"t{number}", facts(f"t{number}")) for number in range(tables)], 10)
    return pacer, samples


async def test_who_is_refused_reads_again_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refused samples come after all, a few at a time, and the pace is the slowest from then on."""
    server = Server(refusals=1)
    causes: list[str] = []
    pacer, samples = await read(monkeypatch, [server], 6, causes)
    assert all(sample and sample.rows == 1 for sample in samples)
    assert server.asked == [6, 2, 2, 2]
    assert (causes, pacer.step) == (["throttled"], LADDER[0])


async def test_a_line_that_the_pace_has_no_room_for_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quiet, both lines share the work; busy, one does it, in smaller parts, and no table is lost."""
    for active, expected in ((0, [[20], [20]]), (9, [[16, 16, 8], []])):
        servers = [Server(active=active), Server(active=active)]
        _, samples = await read(monkeypatch, servers, 40)
        assert [server.asked for server in servers] == expected
        assert all(sample and sample.rows == 1 for sample in samples)


async def test_what_the_budget_does_not_reach_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """None for those tables, so that nothing is said of them."""
    server = Server(active=9)
    _, samples = await read(monkeypatch, [server], 40, scan_budget=ScanBudget(statements=20))
    assert [bool(sample) for sample in samples] == [True] * 32 + [False] * 8


@pytest.mark.parametrize(
    ("refusals", "budget", "expected"),
    [
        (0, {}, [("", {0: b'{"estimates":{"null_share":0.33,"distinct":1200,"mean_bytes":7.8}}'})] * 2),
        (1, {}, [("statement_timeout", {})] * 2),
        (0, {"statements": 1}, [None] * 2),
    ],
)
async def test_statistics_are_rough_or_say_why_not(refusals: int, budget: dict[str, int], expected: list[Any]) -> None:
    """Two digits, so that the next count of the same data says the same; what takes too long is left out, with its code; a budget holds."""
    pacer = Pacer.of(DataSource(name="n", database="d", scan_budget=ScanBudget(**budget)))
    server = Server(refusals=refusals)
    server.statements = 1
    async with AsyncExitStack() as stack:
        found = await line_to([server], stack, pacer).estimate([facts("a"), facts("b")])
    assert [each and (each.left_out, each.evidence) for each in found] == expected


async def test_a_line_that_breaks_is_no_missing_statistic() -> None:
    """It is the scan's matter, which goes on elsewhere."""
    pacer = Pacer.of(DataSource(name="n", database="d"))
    async with AsyncExitStack() as stack:
        with pytest.raises(Failed) as caught:
            await line_to([Server(refusals=2)], stack, pacer).estimate([facts("a")])
    assert caught.value.code == "connection_reset"
