"""What discovery touches outside: data sources. Samples are read and counted here; only counts leave."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg

from services.discovery import counting
from services.discovery.counting import Counted
from services.discovery.domain.mask import masked
from services.discovery.domain.pace import Signals
from services.discovery.domain.plan import FEW_PARTITIONS, may_sample, seed, why_not_sampled
from services.discovery.domain.scope import effective
from services.discovery.members import NoMember, Opened, at, chosen
from services.discovery.pacing import THROTTLED, Pacer
from services.discovery.recording import Names, Writer
from shared.contracts.connection import ConnectionPlan, SourceConnected
from shared.contracts.judging.allowed import Allowed
from shared.contracts.source import Scope, SslConfig
from shared.db import circuits
from shared.db.seats import PoolExhausted, Seats
from shared.egress import Surroundings, guarded
from shared.errors import PurSightError
from shared.secrets.sign_in import SignIn
from shared.sources.base import Dial, Sample, SampleTask, Snapshot, SourceSession, TableFacts, task_of
from shared.sources.dialling import dial_for, policy_for
from shared.sources.engines import driver_for
from shared.sources.failures import BY_CODE, circuit_open, failure_of

BY_TRANSACTION = ("transaction", "statement")
CONFLICT = "recovery_conflict"
_AFTER_REFUSAL_SECONDS = 0.1  # as if so long had been worked: at the slowest pace a rest of nearly a second
_OF_STATISTICS = frozenset({"statement_timeout", "lock_timeout", "no_privilege", "server_error"})  # the line is whole, the scan goes on


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds after which something is given up, and how many lines read samples."""

    connect_seconds: float
    statement_seconds: float
    sample_seconds: float
    sample_connections: int


class Sources:
    """Opens lines to data sources. No process holds more sessions at one than its pool allows, whoever else holds some."""

    def __init__(self, *, home: Path, around: Surroundings, patience: Patience, seats: Seats, pool: asyncpg.Pool) -> None:
        self._sign_in = SignIn(home, Allowed(around.secrets, around.endpoints))
        self._around, self._patience, self._seats = around, patience, seats
        self._pool = pool
        self._counting = ThreadPoolExecutor(1, thread_name_prefix="evidence")

    @asynccontextmanager
    async def open(
        self, connected: SourceConnected, trace_id: str, avoid: frozenset[str] = frozenset(), pacer: Pacer | None = None
    ) -> AsyncIterator[Line]:
        """Follows the connector's plan, away from the addresses in `avoid` where there are others; who does not scan needs no `pacer`.

        Raises PurSightError with a code of the failure catalogue, of the secret store or of the pool; `circuit_open` where nobody
        dials now.
        """
        async with AsyncExitStack() as stack:
            opened, door = await self._dialled(connected, trace_id, avoid)
            await stack.enter_async_context(opened.stack)
            pacer = pacer or Pacer.of(connected.spec)
            await pacer.told(Signals(wait_seconds=door.waited))
            samplers = 0 if connected.server.pooler_mode in BY_TRANSACTION else await door.more_seats(opened.plan, stack, pacer.most)
            yield Line(stack, opened, door, samplers, self._counting, pacer)

    async def _dialled(self, connected: SourceConnected, trace_id: str, avoid: frozenset[str]) -> tuple[Opened, _Door]:
        """As the source's circuit allows, which hears how it ended. Of a source with several members, where one is just missing, the
        connector decides that: it watches them, and the scan goes on with another."""
        key = connected.spec.key
        async with self._pool.acquire() as connection:
            asked = await circuits.ask(connection, key)
        if asked.wait_seconds:
            raise circuit_open(asked.circuit.code, asked.circuit.failures, asked.wait_seconds)
        try:
            door = _Door(self, connected, trace_id, await self._sign_in.tls_files(connected.spec))
            opened = await chosen(connected, door.open, avoid)
        except (PoolExhausted, NoMember):
            raise
        except PurSightError as error:
            found = failure_of(error)
            if found.lasting or not connected.plan.others:
                async with self._pool.acquire() as connection:
                    await circuits.not_answered(connection, key, code=found.code, lasting=found.lasting)
            raise
        await circuits.answered(self._pool, key)
        return opened, door

    async def preview(self, connected: SourceConnected, schema: str, table: str, most: int) -> list[dict[str, Any]]:
        """Up to `most` masked values of each column of one table. The values themselves end here.

        Raises as `open` does; PurSightError `unknown_asset`, `not_sampled` or the sample's own failure where there is nothing to show.
        """
        async with self.open(connected, "") as line:
            facts = await _facts_of(line, connected.spec.scope, schema, table)
            await line.prepare()
            sample = (await line.sample([(f"{schema}.{table}", facts)], connected.spec.sample_rows))[0]
        if sample is None or (sample.failure and not sample.rows):
            code = sample.failure.code if sample and sample.failure else "statement_timeout"
            raise BY_CODE.get(code, BY_CODE["server_error"]).error()
        sampled = compress(zip(facts.names, facts.types, strict=True), facts.sampled)
        return [
            {
                "name": name,
                "type": type_,
                "sampled": len(values),
                "nulls": max(0, sample.rows - len(values)),
                "values": masked(values, most),
            }
            for at, ((name, type_), values) in enumerate(zip(sampled, sample.columns, strict=False))
            if at not in sample.binary
        ]

    async def record(self, connected: SourceConnected, names: Names | None) -> bytes:
        """The structure of a whole source as a recording. A source that fails in the middle is one that tells of that.

        Raises as `open` does, and as `recording.Writer` does.
        """
        spec, started = connected.spec, monotonic()
        server = connected.server.model_dump(include={"version", "version_number", "encoding", "pooler", "pooler_mode", "is_replica"})
        writer = Writer({"engine": spec.engine, "pace": spec.pace, "sampling": spec.sampling, "server": server}, names)
        told = {"tables": 0, "failure": ""}
        async with self.open(connected, "") as line:
            try:
                async with line.snapshot() as snapshot:
                    marks = await snapshot.marks(line.whole(spec.scope), compare=True)
                    told |= {"tables": len(marks), "list_seconds": round(monotonic() - started, 3)}
                    async for chunk in snapshot.describe(marks):
                        writer.add(chunk)
            except PurSightError as error:
                told["failure"] = failure_of(error).code
            return writer.end(told | {"seconds": round(monotonic() - started, 3), "statements": line.statements})


async def _facts_of(line: Line, allowed: Scope, schema: str, table: str) -> TableFacts:
    scope = effective(line.whole(allowed), Scope(tables=(f"{schema}.{table}",)))
    async with line.snapshot() as snapshot:
        marks = [mark for mark in await snapshot.marks(scope, compare=False) if (mark.schema, mark.table) == (schema, table)]
        found = [facts async for chunk in snapshot.describe(marks) for facts in chunk] if marks else []
    if not found:
        raise PurSightError("this table is not there any more", code="unknown_asset", remedy="Ask for a scan.")
    if not may_sample(found[0].mark) or not any(found[0].sampled):
        why = why_not_sampled(found[0].mark) or "no column holds what can be shown"
        raise PurSightError("no values of this table are read", why=why, code="not_sampled")
    return found[0]


class _Door:
    """How lines to one source are opened during one scan."""

    def __init__(self, sources: Sources, connected: SourceConnected, trace_id: str, ssl: SslConfig) -> None:
        self._sources, self.connected, self._trace_id, self._ssl = sources, connected, trace_id, ssl
        self.driver = driver_for(connected.spec.engine)
        self._most = connected.spec.pool_size + connected.spec.max_overflow
        self.waited = 0.0  # seconds, for a seat

    async def open(self, plan: ConnectionPlan, stack: AsyncExitStack) -> SourceSession:
        """A session with a seat of its own, both given back by `stack`. Raises as `Sources.open` does."""
        spec = self.connected.spec
        dial = self.dial(plan, self._sources._patience.statement_seconds)
        asked = monotonic()
        await stack.enter_async_context(self._sources._seats.seat(spec.key, at(plan), self._most, patience=spec.pool_timeout))
        self.waited = max(self.waited, monotonic() - asked)
        return await self.open_seated(plan, dial, stack)

    async def open_seated(self, plan: ConnectionPlan, dial: Dial, stack: AsyncExitStack) -> SourceSession:
        """A session that somebody holds a seat for."""
        with guarded(policy_for(self.connected.spec, self._sources._around)):
            return await stack.enter_async_context(self.driver.open(dial))

    async def more_seats(self, plan: ConnectionPlan, stack: AsyncExitStack, most: int) -> int:
        """Seats for reading samples beside the catalogue, as many as are free now: the scan does not wait for them."""
        spec = self.connected.spec
        wanted = min(self._sources._patience.sample_connections, self._most - 1, most)
        for found in range(wanted):
            try:
                await stack.enter_async_context(self._sources._seats.seat(spec.key, at(plan), self._most, patience=0.0))
            except PoolExhausted:
                return found
        return wanted

    def dial(self, plan: ConnectionPlan, statement_seconds: float) -> Dial:
        spec = self.connected.spec
        return dial_for(
            spec,
            plan,
            self._sources._sign_in.lookup(spec, plan),
            application_name=f"pursight-discovery {self._trace_id}".strip(),
            connect_seconds=self._sources._patience.connect_seconds,
            statement_seconds=statement_seconds,
            ssl=self._ssl,
        )

    def sample_dial(self, plan: ConnectionPlan) -> Dial:
        return self.dial(plan, self._sources._patience.sample_seconds)


class Line:
    """An open source: one session reads the catalogue, further ones, opened at first need, read samples.

    `alone`: there is one session for both, in turns, and no transaction lasts longer than a group of tables. So it is where the pool has
    no second seat, and behind a pooler that may have only one server connection for all its clients.
    """

    def __init__(
        self, stack: AsyncExitStack, opened: Opened, door: _Door, samplers: int, counting: ThreadPoolExecutor, pacer: Pacer
    ) -> None:
        self._stack, self._session, self._plan, self._door, self._counting = stack, opened.session, opened.plan, door, counting
        self.pacer = pacer
        self._wanted, self._samplers = samplers, list[SourceSession]()
        self._turn = asyncio.Lock()
        self._spare: SourceSession | None = None

    @property
    def alone(self) -> bool:
        return not self._wanted

    @property
    def address(self) -> str:
        """Of the member that is read from."""
        return at(self._plan)

    def whole(self, allowed: Scope) -> Scope:
        """All that the source covers."""
        return self._door.driver.whole(self._plan.database, allowed)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        async with self._alone(), self._session.snapshot() as snapshot:
            yield snapshot

    async def prepare(self, *, only_one: bool = False) -> None:
        """Open the lines for samples, or one of them."""
        if self.alone:
            self._samplers.append(self._session)
        for _ in range(min(self._wanted, 1) if only_one else self._wanted):
            dial = self._door.sample_dial(self._plan)
            self._samplers.append(await self._door.open_seated(self._plan, dial, self._stack))

    def spent(self) -> str:
        """The limit of the scan's budget that is reached; empty while there is none."""
        return self.pacer.spent(self.statements)

    async def sample(self, wanted: Sequence[tuple[str, TableFacts]], rows: int) -> list[Sample | None]:
        """A sample for each table (asset key and facts), in their order, over as many lines and as many at a time as the pace allows.

        None where the budget was spent before.

        What the server refused for going too fast is read once more, slowly, after a rest. What a replica cancelled for its primary's
        sake is read again: there, then at the active endpoint.
        """
        tasks = [_task(at, key, facts, rows) for at, (key, facts) in enumerate(wanted)]
        todo, samples = deque(tasks), dict[int, Sample]()
        async with self._alone():
            await self.pacer.look(self._samplers[0])
            share = -(-len(tasks) // min(self.pacer.step.concurrency, len(self._samplers)))
            await asyncio.gather(*(self._share(number, todo, samples, share) for number in range(len(self._samplers))))
            if refused := _failed(samples, tasks, THROTTLED):
                await self.pacer.told(Signals(throttled=True))
                await self.pacer.rest(_AFTER_REFUSAL_SECONDS)
                await self._share(0, deque(refused), samples, len(refused))
            for reader in (self._samplers[0], None):
                if again := _failed(samples, tasks, {CONFLICT}):
                    session = reader or await self._elsewhere()
                    samples |= {sample.token: sample for sample in await session.sample(again)}
        self.pacer.bytes_read += sum(len(value) for sample in samples.values() for column in sample.columns for value in column)
        return [samples.get(token) for token in range(len(tasks))]

    async def estimate(self, tables: Sequence[TableFacts]) -> list[Counted] | list[None]:
        """What the server's own statistics say of each of these tables; None where the budget was spent before."""
        async with self._alone():
            await self.pacer.look(self._samplers[0])
            if self.spent():
                return [None for _ in tables]
            asked = monotonic()
            try:
                found = await self._samplers[0].estimates(tables)
            except PurSightError as error:
                if error.code not in _OF_STATISTICS:
                    raise
                return [Counted({}, 0, 0, whole=False, left_out=error.code) for _ in tables]
            finally:
                await self.pacer.rest(monotonic() - asked)
        return [counting.estimated(facts, known) for facts, known in zip(tables, found, strict=True)]

    async def _share(self, number: int, todo: deque[SampleTask], samples: dict[int, Sample], most: int) -> None:
        """One line's part, at most so many tables at a time: it stops where the pace has no room for it."""
        session, pacer = self._samplers[number], self.pacer
        while todo and number < pacer.step.concurrency and not self.spent():
            asked = monotonic()
            for sample in await session.sample([todo.popleft() for _ in range(min(pacer.step.batch, most, len(todo)))]):
                samples[sample.token] = sample
            await pacer.rest(monotonic() - asked)
            await pacer.look(session)

    async def count(self, samples: Sequence[Sample], facts: Sequence[TableFacts], rows: int) -> list[Counted]:
        """Values in, counts out, off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._counting, counting.counted, samples, facts, rows)

    @property
    def statements(self) -> int:
        own = {id(each): each for each in (self._session, *self._samplers, *((self._spare,) if self._spare else ()))}
        return sum(each.statements for each in own.values())

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        if not self.alone:
            yield
            return
        async with self._turn:
            yield

    async def _elsewhere(self) -> SourceSession:
        """A session with the active endpoint; the one there is where that is read from already, or cannot be reached."""
        active = self._door.connected.plan
        if self._spare is None and at(active) != self.address:
            try:
                self._spare = await self._door.open(active, self._stack)
            except PurSightError:
                return self._samplers[0]
        return self._spare or self._samplers[0]


def _task(token: int, key: str, facts: TableFacts, rows: int) -> SampleTask:
    place = facts.sample_from if facts.mark.partitions > FEW_PARTITIONS else None
    return task_of(facts, rows=rows, seed=seed(key), place=place, token=token)


def _failed(samples: Mapping[int, Sample], tasks: Sequence[SampleTask], codes: Container[str]) -> list[SampleTask]:
    return [tasks[token] for token, sample in samples.items() if sample.failure and sample.failure.code in codes]
