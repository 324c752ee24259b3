"""What discovery touches outside: data sources. Samples are read and counted here; only counts leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from services.discovery.domain.plan import seed
from shared.contracts.connection import SourceConnected
from shared.evidence.count import count_columns
from shared.secrets.resolvers import resolve
from shared.sources.base import Dial, Sample, SampleTask, Snapshot, SourceSession, TableFacts
from shared.sources.dialling import Surroundings, dial_for, policy_for
from shared.sources.egress import guarded
from shared.sources.engines import driver_for

_REMEMBERED_COLUMNS = 4096
_counted: dict[bytes, bytes] = {}  # only the one counting thread touches it
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
        self._home, self._around, self._patience = home, around, patience
        self._counting = ThreadPoolExecutor(1, thread_name_prefix="evidence")

    @asynccontextmanager
    async def open(self, connected: SourceConnected, trace_id: str) -> AsyncIterator[Line]:
        """Follows the connector's plan. Raises PurSightError with a code of the failure catalogue, or of the secret store."""
        spec, plan = connected.spec, connected.plan
        password = await resolve(plan.secret, home=self._home) if plan.secret else ""
        dial = dial_for(
            spec,
            plan,
            password,
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
    many = mark.partitions > _FEW_PARTITIONS and facts.sample_from is not None
    schema, table = facts.sample_from if many and facts.sample_from else (mark.schema, mark.table)
    columns = tuple(name for name, sampled in zip(facts.names, facts.sampled, strict=True) if sampled)
    return SampleTask(token, schema, table, columns, rows, mark.pages, seed(key), plain=mark.kind == "partitioned_table" and not many)


def _known_by(column: Sequence[str], nulls: int) -> bytes:
    """Columns that hold the very same values, as numbers that count up and flags do in table after table, are counted once.

    What is remembered is a digest and counts, never a value.
    """
    digest = blake2b(b"%d\x1f" % nulls, digest_size=16)
    digest.update("\x1f".join(column).encode("utf-8", "replace"))
    return digest.digest()


def _count_all(samples: Sequence[Sample], facts: Sequence[TableFacts], rows: int) -> list[Counted]:
    keys = [[_known_by(column, sample.rows - len(column)) for column in sample.columns] for sample in samples]
    new: dict[bytes, tuple[Sequence[str], int]] = {}
    for sample, of_sample in zip(samples, keys, strict=True):
        for key, column in zip(of_sample, sample.columns, strict=True):
            if key not in _counted:
                new[key] = column, sample.rows - len(column)
    found = count_columns([column for column, _ in new.values()], [nulls for _, nulls in new.values()])
    fresh = {key: evidence.to_json() for key, evidence in zip(new, found, strict=True)}
    counted = [
        _told(sample, each, [fresh.get(key) or _counted[key] for key in of_sample], rows)
        for sample, each, of_sample in zip(samples, facts, keys, strict=True)
    ]
    if len(_counted) + len(fresh) > _REMEMBERED_COLUMNS:
        _counted.clear()
    _counted.update(islice(fresh.items(), _REMEMBERED_COLUMNS))
    return counted


def _told(sample: Sample, facts: TableFacts, evidence: Sequence[bytes], rows: int) -> Counted:
    if sample.failure:
        return Counted({}, 0, 0, whole=False, left_out=sample.failure.code)
    places = [at for at, sampled in enumerate(facts.sampled) if sampled]
    whole = sample.rows < rows and facts.mark.partitions <= _FEW_PARTITIONS
    told = dict(zip(places, evidence, strict=True)) if sample.rows else {}
    return Counted(told, sample.rows, sum(map(len, sample.columns)) if sample.rows else 0, whole=whole)
