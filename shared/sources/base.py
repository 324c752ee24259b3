"""What every kind of data source must be able to do, and the values that pass between a driver and its caller.

A driver knows one engine. It opens a read-only session, says what the server is, streams the catalogue and reads
samples. It never resolves a secret, never writes, and never passes a server's own words on: comments are scrubbed,
literals in defaults, checks and view bodies are masked before a fact leaves the driver.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import compress
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from shared.contracts.connection import Diagnosis, Posture, Privileges, ServerFacts
from shared.contracts.source import DataSource, Scope
from shared.sources.failures import BY_CODE

CLOSE_SECONDS = 2.0  # that leave may be taken of a server
GRACE_SECONDS = 5.0  # beyond the server's own time limit for a statement, after which nobody waits for its answer

TlsMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
# Username and password, or token, for the host and port that are dialled; `True` where the last ones were refused.
Lookup = Callable[[str, int, bool], Awaitable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Dial:
    """How to reach one server. The password is never shown by repr; empty means none.

    `ca`, `cert` and `key` are paths or PEM text. `keepalive`: TCP asks whether the other end is still there.
    With a `lookup`, username and password are asked for anew at each physical connection (`dialling.signed_in`). `token`: the password
    is a bearer token; such a dial exists only over a line whose other end is proven, else Failed `token_needs_proof`. `spec`: the source
    as it is registered, for engines of which host and database do not say all (replica sets, buckets, folders).
    """

    host: str
    port: int
    database: str
    username: str
    password: str = field(default="", repr=False)
    tls_mode: TlsMode = "prefer"
    ca: str = ""
    cert: str = ""
    key: str = field(default="", repr=False)
    application_name: str = "pursight"
    connect_seconds: float = 10.0
    statement_seconds: float = 60.0
    lookup: Lookup | None = field(default=None, repr=False, compare=False)
    token: bool = False
    keepalive: bool = False
    spec: DataSource | None = field(default=None, repr=False)

    @property
    def quiet_seconds(self) -> float:
        """For so long a server may take to answer what it was asked; then it is given up. Where it was told how long a statement may take,
        it would have ended that by itself."""
        return self.statement_seconds + GRACE_SECONDS

    def __post_init__(self) -> None:
        if self.token and self.tls_mode != "verify-full":
            raise BY_CODE["token_needs_proof"].error()


class Probe(NamedTuple):
    """What a server said of itself and of us."""

    server: ServerFacts
    privileges: Privileges
    posture: Posture
    warnings: tuple[Diagnosis, ...]


@dataclass(slots=True)
class TableMark:
    """One table at a glance. `mark` changes whenever the structure does (never equal by chance in practice: 64 bits).

    `id` tells the tables of one snapshot apart. `rows` is the server's own estimate, None where it has none; `pages` are the units in
    which its engine reads, `bytes` their size, both of the main data, partitions included. `unread`: the code of what kept its structure
    from being read, so that what was known of it still stands; empty where it was read, or where nobody looked. `written`: how many rows
    were ever written, or, where no more than that is known, a number far from the last one once any was; 0 where the server does not tell.
    """

    id: int
    schema: str
    table: str
    kind: str
    rows: int | None
    pages: int
    bytes: int
    partitions: int
    readable: bool
    mark: int
    unread: str = ""
    written: int = 0


class Key(NamedTuple):
    """A key, unique rule, check or exclusion; `expression` has its literals masked."""

    name: str
    kind: Literal["primary_key", "unique", "foreign_key", "check", "exclusion"]
    columns: tuple[str, ...]
    target: tuple[str, str] | None
    target_columns: tuple[str, ...]
    expression: str


class Index(NamedTuple):
    """An index that no key has. `method` is empty for a b-tree, and where it is not told; the literals of `expression` and `predicate` are
    masked."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    method: str = ""
    expression: str = ""
    predicate: str = ""


class ReadFrom(NamedTuple):
    """Where a sample of a table with many parts is read: another table that is a part of it, or a named part of the table itself, and how
    large that is; None where it is not known."""

    schema: str
    table: str
    part: str = ""
    rows: int | None = None
    pages: int | None = None


class Estimate(NamedTuple):
    """What is known of a column without reading its values, from the server's own statistics; None where it has none.

    `null_share`: of all rows, 0 to 1. `distinct`: how many different values. `mean_bytes`: the stored size of a value.
    """

    null_share: float | None = None
    distinct: float | None = None
    mean_bytes: float | None = None


BINARY = "binary"  # bytes, which are looked at as far as they are text
TOLD_BY_TYPE = "told_by_type"  # moments, switches, ids: values would say no more
NO_TEXT = "no_text"  # nothing that detectors could read


@dataclass(slots=True)
class TableFacts:
    """The structure of one table. Column facts are parallel sequences, because a database has many columns.

    `positions`, `names`, `types`, `nullable`, `generated` and `sampled` have one item a column; `defaults` and `comments`
    hold only those that exist, by position. `sampled` says whether a column's kind of type can be looked at as text,
    `textual` whether it is text in itself. `numbered`: a position is never given to another column, so it proves a rename.
    `estimates`, by name: what was counted already where the structure itself is inferred from rows. `kinds` has one item a column, or is
    empty where all are looked at as they are: why a column is not sampled (`TOLD_BY_TYPE`, `NO_TEXT`), or `BINARY`; else nothing.
    """

    mark: TableMark
    owner: str
    comment: str
    row_security: bool
    positions: Sequence[int]
    names: Sequence[str]
    types: Sequence[str]
    nullable: Sequence[bool]
    generated: Sequence[bool]
    sampled: Sequence[bool]
    textual: Sequence[bool]
    defaults: Mapping[int, str]
    comments: Mapping[int, str]
    primary_key: frozenset[int]
    unique: frozenset[int]
    indexed: frozenset[int]
    keys: Sequence[Key]
    view_definition: str = ""
    depends_on: Sequence[tuple[str, str]] = ()
    sample_from: ReadFrom | None = None
    numbered: bool = False
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    kinds: Sequence[str] = ()
    indexes: Sequence[Index] = ()


class SampleTask(NamedTuple):
    """Read about `rows` rows of these columns, the same ones each time while the data stays. `token` comes back with the result.

    `key` names the columns of the primary key, in its order; `part` a part of the table to read alone; `estimated` rows as the server
    thinks; `plain` a table of few partitions; `types` the columns' types as the server writes them, none where they are not known;
    `binary` columns of bytes.
    """

    token: int
    schema: str
    table: str
    columns: tuple[str, ...]
    rows: int
    pages: int
    seed: int
    plain: bool
    key: tuple[str, ...] = ()
    part: str = ""
    estimated: int | None = None
    types: tuple[str, ...] = ()
    binary: frozenset[str] = frozenset()


def task_of(facts: TableFacts, *, rows: int, seed: int, place: ReadFrom | None, token: int = 0) -> SampleTask:
    """About `rows` rows of the columns that can be looked at; of the part at `place` where there is one."""
    mark = facts.mark
    at = place or ReadFrom(mark.schema, mark.table)
    return SampleTask(
        token,
        at.schema,
        at.table,
        columns=tuple(compress(facts.names, facts.sampled)),
        rows=rows,
        pages=mark.pages if at.pages is None else at.pages,
        seed=seed,
        plain=mark.kind == "partitioned_table" and place is None,
        key=next((key.columns for key in facts.keys if key.kind == "primary_key"), ()),
        part=at.part,
        estimated=mark.rows if at.rows is None else at.rows,
        types=tuple(compress(facts.types, facts.sampled)),
        binary=frozenset(name for name, kind in zip(facts.names, facts.kinds, strict=False) if kind == BINARY),
    )


class Sample(NamedTuple):
    """The values of one table: how many rows were read, and by column those that are not null. `failure`: why there are none, or, beside
    rows, why parts of the table could not be read. `binary`: places of columns that were found to hold no text, and so have no values here.

    Never to leave this process.
    """

    token: int
    rows: int
    columns: Sequence[Sequence[str]]
    failure: Diagnosis | None = None
    binary: frozenset[int] = frozenset()


class Snapshot(Protocol):
    """One look at the catalogue: everything read through it is of one instant, where the engine's catalogue can give that."""

    async def marks(self, scope: Scope, *, compare: bool) -> list[TableMark]:
        """Every table in scope. `compare` False leaves `mark` 0, which is cheaper."""
        ...

    def describe(self, tables: Sequence[TableMark]) -> AsyncIterator[list[TableFacts]]:
        """The facts of these tables in chunks, in any order. A table that went away meanwhile is left out."""
        ...


@runtime_checkable
class Partial(Protocol):
    """What a snapshot can do besides where some of what it lists may be shut to us while the rest is not."""

    @property
    def shut(self) -> int:
        """How many parts could not be listed."""
        ...

    def hidden(self, schema: str, table: str) -> bool:
        """Whether this table may be there all the same, although it was not listed."""
        ...


class SourceSession(Protocol):
    """An open, verified read-only line to one server. Each method raises PurSightError with a code of `failures`."""

    async def probe(self) -> Probe: ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]: ...

    async def sample(self, tasks: Sequence[SampleTask]) -> list[Sample]:
        """A result for each task. One table's failure is its own, and does not raise."""
        ...

    async def estimates(self, tables: Sequence[TableFacts]) -> list[Mapping[str, Estimate]]:
        """By column name for each table; empty for a table of which the server has counted nothing, or tells us nothing. Reads no row, and
        no value that the server keeps among its statistics."""
        ...

    @property
    def statements(self) -> int:
        """How many statements this session has sent."""
        ...


class Standing(NamedTuple):
    """What a server is among those that hold the same data. `lag_seconds`: how far behind, None where it is not, or cannot be told."""

    is_replica: bool
    lag_seconds: float | None


@runtime_checkable
class Member(Protocol):
    """What a session can do besides where its engine knows replicas."""

    async def standing(self) -> Standing:
        """In one statement, cheap enough to ask every second. Raises PurSightError with a code of `failures`."""
        ...


class Load(NamedTuple):
    """How much a server has to do just now; None where it does not tell us. `active`: sessions that run a statement, beside the one
    that asks and, where the server can tell them apart, all of ours.

    `lag_seconds`: of the replica itself, or the worst of its own. `statement_seconds`: of a statement that is always the same, by the
    server's own clock. `request_seconds`: of requests of ours that are alike, the way there and back included, where it does not.
    `mean_active`: sessions that were at work on average since the last look, all of ours among them. `throttled`: somebody was told since
    to slow down, and was served later.
    """

    active: int | None = None
    lag_seconds: float | None = None
    statement_seconds: float | None = None
    mean_active: float | None = None
    request_seconds: float | None = None
    throttled: bool = False


@runtime_checkable
class Watched(Protocol):
    """What a session can do besides where its engine tells how busy it is."""

    async def load(self) -> Load:
        """In one or two statements, cheap enough to ask every second. Raises PurSightError with a code of `failures`."""
        ...


class SourceDriver(Protocol):
    """One engine, found by the entry-point group `pursight.sources`."""

    engine: str

    def whole(self, database: str, allowed: Scope) -> Scope:
        """All that a source of this database covers: `allowed`, with what it leaves open filled in where the engine needs it."""
        ...

    def open(self, dial: Dial) -> AbstractAsyncContextManager[SourceSession]:
        """Dial, sign in, make the session read-only and verify it. Raises PurSightError with a code of `failures`."""
        ...
