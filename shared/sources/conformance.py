"""What every driver of `pursight.sources` must hold, as tests that anyone can run against a real server of their own.

A package that brings a driver subclasses `Conformance` in a test file, gives it a fixture `ship` that makes a `Ship`, and runs pytest
with pytest-asyncio in auto mode:

    class TestMyEngine(Conformance):
        @pytest.fixture
        async def ship(self): ...

A ship does to the server what the driver itself must never do: it makes tables, fills, changes and hides them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

from shared.contracts.engines import engine_of
from shared.contracts.source import Scope
from shared.errors import PurSightError
from shared.sources.base import Dial, Estimate, Member, Sample, SampleTask, SourceDriver, SourceSession, TableFacts, TableMark, Watched

CANARY = "canary7f31b"
_BIG_ROWS, _SCANS = 20_000, 5
_ODD_VALUES = ("x\x1fy", "line\nend", 'it\'s \\ "q"', "äöü ✉", "", "w" * 5_000)
_VALUE_CHARACTERS = 200
_WIDE, _HUGE = 1_000, 10_000_000

Kind = Literal["integer", "text"]


class Ship(Protocol):
    """A server with an empty place for the suite. `schema` is the schema whose tables the suite makes; `odd_names` are table names that
    only careful quoting survives, as far as the engine allows them; `failures` tell what to change in a good dial, by the code that
    must come of it. `key` is what the first column of each table is called; `keyed`: the engine knows that it is the key.
    `many` tables are more than the driver tells in one chunk."""

    driver: SourceDriver
    schema: str
    key: str
    keyed: bool
    many: int
    odd_names: Sequence[str]
    failures: Mapping[str, Mapping[str, Any]]

    def dial(self) -> Dial:
        """A user who may read every table of the schema that is not hidden, and nothing more; with a password."""
        ...

    async def make(self, table: str, columns: Mapping[str, Kind], rows: Sequence[Sequence[object]] = ()) -> None:
        """A table whose first column is its key, with these rows, its estimates up to date. What may have no structure without rows may
        have it declared."""
        ...

    async def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """More rows, and estimates up to date."""
        ...

    async def add_column(self, table: str, column: str) -> None:
        """A text column that may be null."""
        ...

    async def drop(self, table: str) -> None: ...

    async def hide(self, table: str) -> None:
        """The dial's user may no longer read it."""
        ...

    async def write_literals(self, canary: str) -> int:
        """`canary` as a literal in each place where the engine's structures can hold one; how many tables and views that made."""
        ...

    async def allow_writes(self) -> None:
        """From now on the dial's user may do anything in the schema."""
        ...

    async def try_to_write(self, session: SourceSession) -> bool:
        """Whether any of several writes through the driver's own line came through: a new table, a row in `kept`, an end to `kept`. Where
        no server refuses them to this user, because its engine has no read-only session, the line must."""
        ...

    async def sessions(self) -> int:
        """How many sessions the dial's user has now."""
        ...


def _scope(ship: Ship, **more: Any) -> Scope:
    return ship.driver.whole(ship.dial().database, Scope(schemas=(ship.schema,), **more))


async def _marks(ship: Ship, *, compare: bool = True, **scope: Any) -> dict[str, TableMark]:
    async with ship.driver.open(ship.dial()) as session, session.snapshot() as snapshot:
        return {mark.table: mark for mark in await snapshot.marks(_scope(ship, **scope), compare=compare)}


async def _described(ship: Ship) -> list[list[TableFacts]]:
    async with ship.driver.open(ship.dial()) as session, session.snapshot() as snapshot:
        return [chunk async for chunk in snapshot.describe(await snapshot.marks(_scope(ship), compare=False))]


def _task(mark: TableMark, columns: Sequence[str], *, token: int = 0, seed: int = 7, rows: int = 100) -> SampleTask:
    key = tuple(columns[:1])
    return SampleTask(token, mark.schema, mark.table, tuple(columns), rows, mark.pages, seed, False, key, estimated=mark.rows)


async def _sample(ship: Ship, *tasks: SampleTask) -> list[Sample]:
    async with ship.driver.open(ship.dial()) as session:
        return await session.sample(tasks)


class Conformance:
    """Each test stands for a promise of `base`."""

    async def test_a_session_only_reads(self, ship: Ship) -> None:
        """A write through the driver's own line is refused, by the server, or by the line where the engine has no read-only session."""
        await ship.make("kept", {ship.key: "integer"})
        await ship.allow_writes()
        async with ship.driver.open(ship.dial()) as session:
            assert not await ship.try_to_write(session)
        assert set(await _marks(ship)) == {"kept"}

    async def test_a_server_tells_how_busy_it_is(self, ship: Ship) -> None:
        """Each time it is asked, and as far as this user may know; a folder tells nothing."""
        await ship.make("one", {ship.key: "integer"})
        async with ship.driver.open(ship.dial()) as session:
            assert isinstance(session, Watched)
            before = session.statements
            for each in (await session.load(), await session.load()):
                assert all(told is None or 0 <= told < 1000 for told in each)
            assert session.statements >= before + 2 * (engine_of(ship.driver.engine).kind == "server")

    async def test_a_server_tells_of_itself(self, ship: Ship) -> None:
        """Version, encoding, privileges and posture are known, and a user who may only read is seen as that."""
        await ship.make("one", {ship.key: "integer"})
        async with ship.driver.open(ship.dial()) as session:
            found = await session.probe()
        assert found.server.version
        assert found.server.version_number > 0
        assert (found.privileges.tables_visible, found.privileges.tables_readable) == (1, 1)
        assert (found.privileges.can_write, found.privileges.superuser) == (False, False)
        assert found.posture.read_only_role is not False  # None: such a server does not tell
        assert abs(found.server.clock_skew_seconds) < 60

    async def test_where_it_stands(self, ship: Ship) -> None:
        """An engine that knows replicas tells whether this is one, and how far behind: in one statement, and as the probe does."""
        await ship.make("one", {ship.key: "integer"}, [(1,)])
        async with ship.driver.open(ship.dial()) as session:
            if not isinstance(session, Member):
                return
            facts, before = (await session.probe()).server, session.statements
            stands = await session.standing()
            assert stands.is_replica == facts.is_replica
            assert stands.lag_seconds is None or (stands.is_replica and stands.lag_seconds >= 0)
            assert session.statements - before <= 2

    async def test_names_come_back_as_they_are(self, ship: Ship) -> None:
        """Quotes, dots, spaces, letters of every script, the greatest length: told, and sampled under the same name."""
        for name in ship.odd_names:
            await ship.make(name, {ship.key: "integer", name: "text"}, [(1, name)])
        (chunk,) = await _described(ship)
        assert {facts.mark.table for facts in chunk} == set(ship.odd_names)
        assert all(list(facts.names) == [ship.key, facts.mark.table] for facts in chunk)
        samples = await _sample(ship, *(_task(facts.mark, facts.names, token=at) for at, facts in enumerate(chunk)))
        assert [list(sample.columns[1]) for sample in samples] == [[facts.mark.table] for facts in chunk]

    async def test_a_mark_changes_exactly_with_the_structure(self, ship: Ship) -> None:
        """Rows change no mark; a column changes its own table's; another session sees the same marks."""
        for name in ("still", "grows", "changes"):
            await ship.make(name, {ship.key: "integer", "word": "text"}, [(1, "a")])
        before = {name: mark.mark for name, mark in (await _marks(ship)).items()}
        await ship.insert("grows", [(number, "b") for number in range(2, 500)])
        assert {name: mark.mark for name, mark in (await _marks(ship)).items()} == before
        await ship.add_column("changes", "more")
        after = {name: mark.mark for name, mark in (await _marks(ship)).items()}
        assert {name for name in before if before[name] != after[name]} == {"changes"}
        assert len({*before.values()}) == len(before)
        assert {mark.mark for mark in (await _marks(ship, compare=False)).values()} == {0}

    async def test_a_scope_is_kept(self, ship: Ship) -> None:
        """A request for one table looks at one table, one for another schema at none."""
        for name in ("wanted", "other"):
            await ship.make(name, {ship.key: "integer"})
        assert set(await _marks(ship, tables=(f"{ship.schema}.wanted",))) == {"wanted"}
        assert await _marks(ship, exclude_schemas=(ship.schema,)) == {}

    async def test_facts_come_in_chunks(self, ship: Ship) -> None:
        """Many tables arrive in several bounded chunks, each table once, each with its columns."""
        for number in range(ship.many):
            await ship.make(f"t{number}", {ship.key: "integer", "word": "text", f"own{number}": "text"})
        chunks = await _described(ship)
        names = {facts.mark.table: list(facts.names) for chunk in chunks for facts in chunk}
        assert names == {f"t{number}": [ship.key, "word", f"own{number}"] for number in range(ship.many)}
        assert len(chunks) > 1
        assert sum(map(len, chunks)) == ship.many
        if ship.keyed:
            assert all(facts.primary_key == {1} and facts.nullable[0] is False for chunk in chunks for facts in chunk)

    async def test_a_sample_can_be_had_again(self, ship: Ship) -> None:
        """The same seed gives the same rows of a large table, another seed others, from all over it and none twice."""
        await ship.make("big", {ship.key: "integer", "pad": "text"}, [(number, "x" * 200) for number in range(_BIG_ROWS)])
        mark = (await _marks(ship))["big"]
        tasks = [_task(mark, [ship.key], token=at, seed=seed) for at, seed in enumerate((1, 1, 2))]
        first, again, other = [list(sample.columns[0]) for sample in await _sample(ship, *tasks)]
        (later,) = await _sample(ship, tasks[0])
        assert first == again == list(later.columns[0]) != other
        assert 50 <= len(first) == len(set(first)) <= 100
        numbers = sorted(map(int, first))
        assert numbers[0] < _BIG_ROWS / 4
        assert numbers[-1] > _BIG_ROWS * 3 / 4
        assert mark.rows is None or _BIG_ROWS / 2 < mark.rows < _BIG_ROWS * 2

    async def test_statistics_are_shares_and_counts(self, ship: Ship) -> None:
        """As far as the server keeps some and this user may know them; of a table that went away, none."""
        rows = [(number, f"word {number % 4}" if number % 2 else None) for number in range(400)]
        for name in ("counted", "dropped"):
            await ship.make(name, {ship.key: "integer", "half": "text"}, rows)
        facts = sorted((each for chunk in await _described(ship) for each in chunk), key=lambda each: each.mark.table)
        await ship.drop("dropped")
        async with ship.driver.open(ship.dial()) as session:
            counted, dropped = await session.estimates(facts)
        assert set(counted) <= set(facts[0].names)
        half = counted.get("half", Estimate())
        assert half.null_share is None or abs(half.null_share - 0.5) < 0.02
        assert half.distinct in (None, 2)
        key = counted.get(ship.key, Estimate())
        assert key.distinct is None or abs(key.distinct - 400) < 8
        assert all(part is None or isinstance(part, int | float) for each in (*counted.values(), *dropped.values()) for part in each)

    async def test_any_value_is_one_value(self, ship: Ship) -> None:
        """Nulls are counted, not told; separators, line ends, quotes and letters arrive; a huge value is cut."""
        rows = [(at, value, None) for at, value in enumerate(_ODD_VALUES)]
        await ship.make("odd", {ship.key: "integer", "word": "text", "nothing": "text"}, rows)
        (sample,) = await _sample(ship, _task((await _marks(ship))["odd"], [ship.key, "word", "nothing"]))
        assert (sample.rows, sample.failure) == (len(_ODD_VALUES), None)
        assert sorted(sample.columns[1]) == sorted(value[:_VALUE_CHARACTERS] for value in _ODD_VALUES)
        assert list(sample.columns[2]) == []

    async def test_a_hostile_table_is_read_or_says_why_not(self, ship: Ship) -> None:
        """A thousand columns, a value of 10 MB, endless numbers, nulls alone, detectors' names: read or skipped, its neighbour read."""
        numbers = {f"n{number}": "integer" for number in range(_WIDE - 5)}
        columns: dict[str, Kind] = {ship.key: "integer", "email": "text", "card_pan": "text", "endless": "text", "nothing": "text"}
        columns |= numbers  # type: ignore[arg-type]
        rows = [(at, "w" * _HUGE if at == 1 else "word", f"word {at}", "9" * 3_000, None, *range(len(numbers))) for at in range(3)]
        await ship.make("hostile", columns, rows)
        await ship.make("tame", {ship.key: "integer", "word": "text"}, [(1, "a")])
        marks, facts = await _marks(ship), {each.mark.table: each for chunk in await _described(ship) for each in chunk}
        assert len(facts["hostile"].names) in (0, _WIDE)  # of a store whose head holds no whole row, nothing is told
        hostile, tame = await _sample(
            ship, _task(marks["hostile"], list(facts["hostile"].names)), _task(marks["tame"], [ship.key, "word"], token=1)
        )
        assert (tame.rows, tame.failure) == (1, None)
        assert hostile.failure or hostile.rows == 3 or not facts["hostile"].names
        told = {name: list(values) for name, values in zip(facts["hostile"].names, hostile.columns, strict=False)}
        assert all(len(value) <= _VALUE_CHARACTERS for values in told.values() for value in values)
        assert told.get("nothing", []) == []

    async def test_one_table_fails_alone(self, ship: Ship) -> None:
        """A table that went away and one that may not be read each say so; their neighbours are read."""
        for name in ("good", "dropped", "hidden", "last"):
            await ship.make(name, {ship.key: "integer", "word": "text"}, [(1, "a")])
        marks = await _marks(ship)
        await ship.drop("dropped")
        await ship.hide("hidden")
        samples = await _sample(ship, *(_task(marks[name], [ship.key, "word"], token=at) for at, name in enumerate(marks)))
        found = {list(marks)[sample.token]: sample.failure.code if sample.failure else sample.rows for sample in samples}
        assert found == {"good": 1, "dropped": "gone", "hidden": "no_privilege", "last": 1}

    async def test_no_literal_leaves(self, ship: Ship) -> None:
        """Whatever a structure compares with or falls back to stays at the server, and so do private values in comments."""
        made = await ship.write_literals(CANARY)
        facts = [each for chunk in await _described(ship) for each in chunk]
        assert len(facts) == made
        assert CANARY not in repr(facts)

    async def test_nothing_stays_open(self, ship: Ship) -> None:
        """After scans, whole, broken off and failed ones, no session is left at the server."""
        await ship.make("one", {ship.key: "integer"}, [(1,)])
        for at in range(_SCANS):
            try:
                async with ship.driver.open(ship.dial()) as session, session.snapshot() as snapshot:
                    async for _ in snapshot.describe(await snapshot.marks(_scope(ship), compare=True)):
                        if at % 2:
                            raise LookupError  # the caller's own trouble, in the middle
            except LookupError:
                pass
        assert await _settles(ship) == 0

    async def test_a_failure_has_a_code_and_keeps_secrets(self, ship: Ship) -> None:
        """Each thing that is wrong with a dial has its own code; neither the password nor the server's words come along."""
        for code, change in ship.failures.items():
            dial = replace(ship.dial(), **change)
            error = await _refusal(ship, dial)
            assert error.code == code, (code, error.code)
            told = f"{error!r} {error} {error.__cause__!r} {dial!r}"
            assert not dial.password or dial.password not in told
            assert error.why
            assert error.remedy
            assert error.__cause__ is None
        assert await _settles(ship) == 0


async def _refusal(ship: Ship, dial: Dial) -> PurSightError:
    try:
        async with ship.driver.open(dial):
            raise AssertionError(f"this dial must not work: {dial!r}")
    except PurSightError as error:
        return error


async def _settles(ship: Ship) -> int:
    """A server takes a moment to see that a line is closed."""
    left = 0
    for _ in range(50):
        if not (left := await ship.sessions()):
            break
    return left
