"""What discovery touches outside: data sources. Samples are read and counted here; only counts leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from services.discovery.domain.plan import seed
from shared.contracts.connection import SourceConnected
from shared.contracts.source import Scope
from shared.egress import Surroundings, guarded
from shared.evidence.count import count_columns
from shared.secrets.sign_in import SignIn
from shared.sources.base import Dial, ReadFrom, Sample, SampleTask, Snapshot, SourceSession, TableFacts
from shared.sources.dialling import dial_for, policy_for
from shared.sources.engines import driver_for

_FEW_PARTITIONS = 32  # planning a read over more of them costs more than the read


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds after which something is given up, and how many lines read samples."""

    connect_seconds: float
    statement_seconds: float
    sample_seconds: float
    sample_connections: int


@dataclass(frozen=True, slots=True)
class Counted:
    """The evidence of one table in wire form, by column index, or why there is none. `rows`: how many were looked at."""

    evidence: Mapping[int, bytes]
    rows: int
    values: int
    whole: bool
    left_out: str = ""


class Sources:
    """Opens lines to data sources."""

    def __init__(self, *, home: Path, around: Surroundings, patience: Patience) -> None:
        self._sign_in, self._around, self._patience = SignIn(home), around, patience
        self._counting = ThreadPoolExecutor(1, thread_name_prefix="evidence")

    @asynccontextmanager
    async def open(self, connected: SourceConnected, trace_id: str) -> AsyncIterator[Line]:
        """Follows the connector's plan. Raises PurSightError with a code of the failure catalogue, or of the secret store."""
        spec, plan = connected.spec, connected.plan
        dial = dial_for(
            spec,
            plan,
            self._sign_in.lookup(spec, plan),
            application_name=f"pursight-discovery {trace_id}".strip(),
            connect_seconds=self._patience.connect_seconds,
            statement_seconds=self._patience.statement_seconds,
        )
        async with AsyncExitStack() as stack:
            stack.enter_context(guarded(policy_for(spec, self._around)))
            session = await stack.enter_async_context(driver_for(spec.engine).open(dial))
            yield Line(stack, session, dial, spec.engine, self._patience, self._counting)


class Line:
    """An open source: one session reads the catalogue, further ones, opened at first need, read samples."""

    def __init__(
        self, stack: AsyncExitStack, session: SourceSession, dial: Dial, engine: str, patience: Patience, counting: ThreadPoolExecutor
    ) -> None:
        self._stack, self._session, self._engine, self._patience, self._counting = stack, session, engine, patience, counting
        self._dial = replace(dial, statement_seconds=patience.sample_seconds)
        self._samplers: list[SourceSession] = []

    def whole(self, allowed: Scope) -> Scope:
        """All that the source covers."""
        return driver_for(self._engine).whole(self._dial.database, allowed)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        async with self._session.snapshot() as snapshot:
            yield snapshot

    async def prepare(self) -> None:
        """Open the lines for samples."""
        driver = driver_for(self._engine)
        for _ in range(self._patience.sample_connections):
            self._samplers.append(await self._stack.enter_async_context(driver.open(self._dial)))

    async def sample(self, wanted: Sequence[tuple[str, TableFacts]], rows: int) -> list[Sample]:
        """A sample for each table (asset key and facts), in their order, read over all lines at once."""
        tasks = [_task(at, key, facts, rows) for at, (key, facts) in enumerate(wanted)]
        shares = [tasks[at :: len(self._samplers)] for at in range(len(self._samplers))]
        found = await asyncio.gather(*(each.sample(share) for each, share in zip(self._samplers, shares, strict=True) if share))
        return sorted((sample for some in found for sample in some), key=lambda sample: sample.token)

    async def count(self, samples: Sequence[Sample], facts: Sequence[TableFacts], rows: int) -> list[Counted]:
        """Values in, counts out, off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._counting, _count_all, samples, facts, rows)

    @property
    def statements(self) -> int:
        return self._session.statements + sum(each.statements for each in self._samplers)


def _task(token: int, key: str, facts: TableFacts, rows: int) -> SampleTask:
    mark = facts.mark
    part = facts.sample_from if mark.partitions > _FEW_PARTITIONS else None
    place = part or ReadFrom(mark.schema, mark.table)
    return SampleTask(
        token,
        place.schema,
        place.table,
        columns=tuple(name for name, sampled in zip(facts.names, facts.sampled, strict=True) if sampled),
        rows=rows,
        pages=mark.pages,
        seed=seed(key),
        plain=mark.kind == "partitioned_table" and part is None,
        key=next((key.columns for key in facts.keys if key.kind == "primary_key"), ()),
        part=place.part,
        estimated=mark.rows,
    )


def _count_all(samples: Sequence[Sample], facts: Sequence[TableFacts], rows: int) -> list[Counted]:
    columns = [column for sample in samples for column in sample.columns]
    nulls = [max(0, sample.rows - len(column)) for sample in samples for column in sample.columns]
    found = (evidence.to_json() for evidence in count_columns(columns, nulls))
    return [_told(sample, each, list(islice(found, len(sample.columns))), rows) for sample, each in zip(samples, facts, strict=True)]


def _told(sample: Sample, facts: TableFacts, evidence: Sequence[bytes], rows: int) -> Counted:
    if sample.failure:
        return Counted({}, 0, 0, whole=False, left_out=sample.failure.code)
    places = [at for at, sampled in enumerate(facts.sampled) if sampled]
    told = dict(zip(places, evidence, strict=True)) if sample.rows else {}
    whole = sample.rows < rows and facts.mark.partitions <= _FEW_PARTITIONS
    return Counted(told, sample.rows, sum(map(len, sample.columns)), whole=whole)
