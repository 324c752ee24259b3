"""The unit of work: one PostgreSQL transaction that holds keys' locks, inbox marks, the service's state and what it says.

    async with unit(pool, service="classifier", batch=batch) as work:
        fresh = list(compress(batch, work.is_new))
        ...                                # read and write own state on work.connection
        work.emit(event, key=key, cause=received)

The number of statements does not depend on the size of the batch: begin, lock, inbox, (state), outbox, commit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from time import time_ns
from typing import Any

import asyncpg

from shared.bus import failpoints, wakes
from shared.bus.outgoing import Composer, HeaderList, Outgoing, pack_headers, part_of
from shared.bus.received import AnyCause, Cause, Received
from shared.contracts.audit import AuditRecorded
from shared.contracts.base import Contract

duplicates: ContextVar[set[str] | None] = ContextVar("duplicates", default=None)
"""Where a committed unit notes the ids of events that had been seen before; the runtime reads it for its metrics."""

SealOf = Callable[[str, bytes | None, HeaderList, bytes | None], HeaderList]  # `Proofs.seal` for one actor

_LOCK = "select now() from (select count(pg_advisory_xact_lock(key)) from unnest($1::bigint[]) as wanted(key)) as locked"
_INBOX = """insert into inbox (mark, topic) select mark, topic from unnest($1::bytea[], $2::text[]) as heard(mark, topic)
    on conflict do nothing returning mark"""
_COLUMNS = ("part", "topic", "key", "body", "headers", "parent")


@lru_cache(maxsize=65_536)
def lock_number(service: str, key: str) -> int:
    """The advisory lock of a key: a signed 64-bit digest of service and key. A rare clash costs waiting, never correctness."""
    return int.from_bytes(blake2b(f"{service}\x1f{key}".encode(), digest_size=8).digest(), "big", signed=True)


def inbox_mark(topic: str, id: str) -> bytes:
    """What the inbox remembers of an event: 16 bytes of digest of topic and id, because upstream ids may be any text."""
    return blake2b(f"{topic}\x1f{id}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Unit:
    """An open unit of work. `connection` is inside the transaction; `now` is the transaction's time, the only clock for handlers.

    `is_new` has one entry per record of the batch: False where the event was done before (or comes twice in this batch).
    """

    def __init__(self, connection: asyncpg.Connection, service: str, now: datetime, is_new: Sequence[bool]) -> None:
        self.connection, self.now, self.is_new, self._service = connection, now, is_new, service
        self._said: list[Outgoing] = []
        self._composer = Composer(service, now, time_ns(), self._said.append)

    def emit(self, event: Contract, *, key: str, cause: AnyCause, trace: str | None = None) -> str:
        """Say `event` when this transaction commits; returns its id, which derives from service, cause, topic, key and ordinal.

        The span that says it is the cause's, or `trace` where another traceparent should be the parent. Raises KeyError where the
        class is no event of the topic table. Two units with one cause count ordinals anew, so a job that speaks in chunks needs a
        cause per chunk.
        """
        parent = cause.traceparent if trace is None else trace
        return self._composer.say(event, key=key, cause=cause.id, parent=parent, tenant=cause.tenant, after=_after(cause))

    def ask(self, event: Contract, *, key: str, cause: AnyCause, seal: SealOf) -> str:
        """`emit` for a request, with the headers that prove who asks."""
        id = self.emit(event, key=key, cause=cause)
        record = self._said[-1]
        record.headers += seal(record.topic, record.key, record.headers, record.body)
        return id

    def audit(self, tenant: str, actor: str, action: str, target: str, cause: AnyCause, result: str = "allowed", detail: str = "") -> None:
        """For the ledger: who did what, and what came of it."""
        entry = AuditRecorded(tenant=tenant, actor=actor, action=action, object=target, result=result, detail=detail, service=self._service)
        self.emit(entry, key=tenant, cause=cause)

    def emit_body(self, event: type[Contract], body: bytes, *, key: str, cause: AnyCause, trace: str | None = None) -> str:
        """`emit` for a caller that made the wire form itself, which must be what `event` would have given. Nothing is checked here."""
        parent = cause.traceparent if trace is None else trace
        return self._composer.say_body(event, body, key=key, cause=cause.id, parent=parent, tenant=cause.tenant, after=_after(cause))

    def tombstone(self, topic: type[Contract], *, key: str, cause: AnyCause) -> None:
        """Say on the compacted topic of this event class that the key is gone. Raises ValueError on other topics."""
        self._composer.clear(topic, key=key, cause=cause.id, parent=cause.traceparent, tenant=cause.tenant, after=_after(cause))

    def forward(self, record: Outgoing) -> None:
        """Say a finished record as it is (replays)."""
        self._said.append(record)

    async def _flush(self) -> None:
        if self._said:
            await self.connection.copy_records_to_table("outbox", columns=_COLUMNS, records=map(_row, self._said))


def _after(cause: AnyCause) -> str:
    return cause.after if isinstance(cause, Cause) else ""


def _row(record: Outgoing) -> tuple[Any, ...]:
    return part_of(record.key), record.topic, record.key, record.body, pack_headers(record.headers), record.parent


@asynccontextmanager
async def unit(pool: asyncpg.Pool, *, service: str, batch: Sequence[Received[Any]] = (), keys: Iterable[str] = ()) -> AsyncIterator[Unit]:
    """Open a unit of work for a batch. The batch's keys and `keys` are locked for this service, in one order, so that no two units
    wait for each other; then what this service has seen before is found by the inbox.

    On leaving, what was emitted goes to the outbox and everything commits together; any exception rolls all of it back.
    """
    wanted = {received.key for received in batch if received.key} | set(keys)
    async with pool.acquire() as connection:
        async with connection.transaction():
            now = await connection.fetchval(_LOCK, sorted({lock_number(service, key) for key in wanted}))
            is_new = await _claim(connection, batch) if batch else []
            work = Unit(connection, service, now, is_new)
            yield work
            await work._flush()
            failpoints.hit("unit.before_commit", service)
        failpoints.hit("unit.committed", service)
    wakes.ring(service)
    _note(batch, is_new)


async def _claim(connection: asyncpg.Connection, batch: Sequence[Received[Any]]) -> list[bool]:
    marks = [inbox_mark(received.topic, received.id) for received in batch]
    pairs = sorted({mark: received.topic for mark, received in zip(marks, batch, strict=True)}.items())
    rows = await connection.fetch(_INBOX, [mark for mark, _ in pairs], [topic for _, topic in pairs])
    fresh = {row[0] for row in rows}
    is_new = []
    for mark in marks:
        is_new.append(mark in fresh)
        fresh.discard(mark)
    return is_new


def _note(batch: Sequence[Received[Any]], is_new: Sequence[bool]) -> None:
    noted = duplicates.get()
    if noted is not None and not all(is_new):
        noted.update(received.id for received, new in zip(batch, is_new, strict=True) if not new)


__all__ = ["Cause", "Unit", "inbox_mark", "lock_number", "unit"]
