"""Records put aside: a table in each service's schema, with the bytes as they came, where, why and how often.

Bytes of request topics are sealed, and no list shows them. A replay sends the record to this group's own retry topic; because the
dead letter was written together with its inbox mark, the replay takes the mark away in the same transaction in which it is asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

import asyncpg

from shared.bus.outgoing import Outgoing, pack_headers, unpack_headers
from shared.bus.received import Cause
from shared.bus.seal import Seal
from shared.bus.unit import Unit, inbox_mark, unit
from shared.contracts.names import DEFAULT_TENANT
from shared.contracts.topics import retry_topic_of
from shared.errors import UsageError
from shared.observe import tracing

ID_HEADER, ATTEMPT_HEADER, LINK_HEADER = "pursight-dead-letter", "pursight-attempt", "pursight-link"
_OURS = frozenset({ID_HEADER, ATTEMPT_HEADER, LINK_HEADER, "traceparent"})
_SIZES = struct.Struct(">iii")
_COLUMNS = """id, group_name, topic, partition, "offset", shown_key, event_id, size, sealed, error_code, why, attempts, state, parks,
    trace, tenant, created_at, changed_at"""


@dataclass(frozen=True, slots=True)
class Raw:
    """A record's bytes as they came."""

    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    body: bytes | None

    def pack(self) -> bytes:
        headers = pack_headers(self.headers)
        sizes = (-1 if self.key is None else len(self.key), len(headers), -1 if self.body is None else len(self.body))
        return _SIZES.pack(*sizes) + (self.key or b"") + headers + (self.body or b"")

    @classmethod
    def unpack(cls, packed: bytes) -> Raw:
        key, headers, body = _SIZES.unpack_from(packed)
        start = _SIZES.size
        middle = start + max(key, 0)
        end = middle + headers
        return cls(None if key < 0 else packed[start:middle], tuple(unpack_headers(packed[middle:end])), None if body < 0 else packed[end:])


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that is to be put aside. `id` is the one it had before where this is a replay. `parks`: later records of its key wait."""

    id: str
    topic: str
    partition: int
    offset: int
    raw: Raw
    event_id: str
    tenant: str
    traceparent: str
    code: str
    why: str
    attempts: int = 1
    parks: bool = False
    scan_id: str = ""

    @property
    def key_mark(self) -> bytes:
        return key_mark(self.raw.key)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a list shows: never the bytes, and the key only where it is a fact's."""

    id: str
    group_name: str
    topic: str
    partition: int
    offset: int
    shown_key: str
    event_id: str
    size: int
    sealed: bool
    error_code: str
    why: str
    attempts: int
    state: str
    parks: bool
    trace: str
    tenant: str
    created_at: datetime
    changed_at: datetime


def key_mark(key: bytes | None) -> bytes:
    """A digest of the key, so that parking needs no key in clear text."""
    return blake2b(key or b"", digest_size=16).digest()


def _missing() -> UsageError:
    return UsageError("no such dead letter", remedy="See `pursight dlq list`.", code="no_dead_letter")


class DeadLetters:
    """What a person may do with a service's dead letters. `seal` is needed to replay requests only.

    `actor` is whom the ledger names for a replay or a drop, in the same transaction; a service's own steps are in no ledger.
    """

    def __init__(self, pool: asyncpg.Pool, service: str, seal: Seal | None = None, *, actor: str = "") -> None:
        self._pool, self._service, self._seal, self._actor = pool, service, seal, actor

    async def list(self, *, topic: str = "", code: str = "", tenant: str = "", limit: int = 100) -> list[DeadLetter]:
        """The newest first."""
        rows = await self._pool.fetch(
            f"""select {_COLUMNS} from dead_letter
            where ($1 = '' or topic = $1) and ($2 = '' or error_code = $2) and ($3 = '' or tenant = $3)
            order by created_at desc, id limit $4""",
            topic,
            code,
            tenant,
            limit,
        )
        return [DeadLetter(*row) for row in rows]

    async def show(self, id: str) -> tuple[DeadLetter, Raw | None]:
        """One of them; its bytes only where it is a fact's. Raises UsageError where there is none."""
        row = await self._pool.fetchrow(f"select {_COLUMNS}, record from dead_letter where id = $1", id)
        if row is None:
            raise _missing()
        letter = DeadLetter(*tuple(row)[:-1])
        return letter, None if letter.sealed else Raw.unpack(row["record"])

    async def replay(self, ids: Iterable[str]) -> int:
        """Send these again to this group only, together with what parked behind them, in their order; returns how many.

        The handler meets them as new events with the old id; what is newer (`sequence`) still wins. Raises UsageError, and sends
        nothing, where one of them is not there.
        """
        wanted = sorted(set(ids))
        async with unit(self._pool, service=self._service) as work:
            rows = await work.connection.fetch(_REPLAY, wanted)
            if not {row["id"] for row in rows}.issuperset(wanted):
                raise _missing()
            self._audit(work, "dlq.replay", [row for row in rows if row["id"] in wanted])
            return await self._forward(work, rows)

    async def drop(self, ids: Iterable[str]) -> int:
        """Forget these for good; what parked behind them goes on. Returns how many."""
        async with unit(self._pool, service=self._service) as work:
            rows = await work.connection.fetch(_DROP, sorted(set(ids)))
            self._audit(work, "dlq.drop", rows)
            await self._release(work, rows)
            return len(rows)

    async def resolved(self, ids: Iterable[str]) -> None:
        """The replays of these were handled: the dead letters are done with, and what still waits behind them goes on."""
        async with unit(self._pool, service=self._service) as work:
            await self._release(work, await work.connection.fetch(_RESOLVE, sorted(set(ids))))

    def _audit(self, work: Unit, action: str, rows: Sequence[asyncpg.Record]) -> None:
        for row in rows if self._actor else ():
            tenant = row["tenant"] or DEFAULT_TENANT
            work.audit(tenant, self._actor, action, row["id"], Cause.new(tenant=tenant))

    async def _release(self, work: Unit, gone: Sequence[asyncpg.Record]) -> None:
        parked = [row for row in gone if row["parks"]]
        if parked:
            topics, marks = [row["topic"] for row in parked], [row["key_mark"] for row in parked]
            await self._forward(work, await work.connection.fetch(_RELEASE, topics, marks))

    async def _forward(self, work: Unit, rows: Sequence[asyncpg.Record]) -> int:
        marks = [inbox_mark(row["topic"], row["event_id"]) for row in rows]
        await work.connection.execute("delete from inbox where mark = any($1::bytea[])", marks)
        for row in rows:
            work.forward(self._again(row))
        return len(rows)

    def _again(self, row: asyncpg.Record) -> Outgoing:
        packed = row["record"]
        if row["sealed"]:
            packed = (self._seal or Seal.load()).open(packed, place=row["id"])
        raw = Raw.unpack(packed)
        kept = [(name, value or b"") for name, value in raw.headers if name not in _OURS]
        if not any(name == "ce_id" for name, _ in kept):
            kept.append(("ce_id", row["event_id"].encode()))
        ours = {
            ID_HEADER: row["id"],
            ATTEMPT_HEADER: str(row["attempts"] + 1),
            LINK_HEADER: row["trace"],
            "traceparent": tracing.root(),
        }
        headers = kept + [(name, value.encode()) for name, value in ours.items() if value]
        return Outgoing(retry_topic_of(self._service, row["topic"]), raw.key, raw.body, headers)


_ROW = """id, topic, partition, "offset", event_id, record, sealed, attempts, trace, tenant"""
_ORDER = """order by topic, created_at, partition, "offset" """
_REPLAY = f"""with head as (
        update dead_letter set state = 'replaying', changed_at = now() where id = any($1::text[])
        returning {_ROW}, created_at, key_mark, parks
    ), behind as (
        update dead_letter as later set state = 'replaying', changed_at = now()
        where error_code = 'parked' and not id = any($1::text[])
            and (topic, key_mark) in (select topic, key_mark from head where parks)
        returning {_ROW}, created_at
    )
    select {_ROW} from (select {_ROW}, created_at from head union all select {_ROW}, created_at from behind) as both_of_them {_ORDER}"""
_DROP = "delete from dead_letter where id = any($1::text[]) returning id, tenant, topic, key_mark, parks"
_FORGET = """delete from dead_letter where created_at <= $3
    and (key_mark = $2 or shown_key = $1 or starts_with(shown_key, $1 || '/'))"""
_RESOLVE = "delete from dead_letter where id = any($1::text[]) and state = 'replaying' returning topic, key_mark, parks"
_RELEASE = f"""with free as (
        select * from unnest($1::text[], $2::bytea[]) as wanted(topic, key_mark) where not exists (
            select from dead_letter as other where other.topic = wanted.topic and other.key_mark = wanted.key_mark and other.parks
                and (other.state = 'replaying' or other.error_code <> 'parked'))
    ), behind as (
        update dead_letter set state = 'replaying', changed_at = now() where (topic, key_mark) in (select topic, key_mark from free)
            and parks and error_code = 'parked' returning {_ROW}, created_at
    )
    select {_ROW} from behind {_ORDER}"""


async def waiting_keys(pool: asyncpg.Pool, topic: str, marks: Sequence[bytes]) -> dict[bytes, tuple[int, bool]]:
    """Of these keys those that wait behind a dead letter of this topic: how many records wait, and whether their first is open."""
    rows = await pool.fetch(
        """select key_mark, count(*), bool_or(state = 'open' and error_code <> 'parked') from dead_letter
        where topic = $1 and key_mark = any($2::bytea[]) and parks group by key_mark""",
        topic,
        list(set(marks)),
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def forget_source(database: asyncpg.Pool | asyncpg.Connection, source_key: str, until: datetime) -> None:
    """Drop a service's dead letters of a source that was removed at `until`, by the keys of its facts and requests."""
    await database.execute(_FORGET, source_key, key_mark(source_key.encode()), until)
