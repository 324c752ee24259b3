"""Publishes the outbox. A task inside each service; several instances may run.

The outbox is split into parts by hash of the key. A relay claims a part with a session lock, reads it in order, sends, and deletes
what Kafka acknowledged; no transaction is open while it waits for Kafka. So the order per key holds with any number of instances,
and what a crash leaves is sent again with the same id and the same bytes.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any

import asyncpg

from shared.bus import failpoints, wakes
from shared.bus.outgoing import PARTS, Outgoing, unpack_headers
from shared.bus.sender import Sender
from shared.bus.unit import lock_number
from shared.observe.names import counter

ROWS, BYTES = 1_000, 8 * 1024 * 1024  # one read: bounded memory
POLL_SECONDS, BUSY_SECONDS = 2.0, 0.05
BLOCK_SECONDS, LONGEST_SECONDS = 2.0, 30.0
log = logging.getLogger(__name__)

# A deletion that a crash of the database takes back is sent again with the same id and bytes, so it need not wait for the disk.
_CLAIM = """select part, set_config('synchronous_commit', 'off', false)
    from generate_series(0, $2::int - 1) as part where pg_try_advisory_lock($1::bigint + part)"""
_ANY = "select exists (select from outbox)"
_READ = f"""select id, topic, key, body, headers, parent, created_at from (
    select *, sum(octet_length(headers) + coalesce(octet_length(body), 0)) over (order by id)
        - coalesce(octet_length(body), 0) as before
    from (select * from outbox where part = any($1::smallint[]) and topic <> all($2::text[]) order by id limit {ROWS}) as head
) as bounded where before < {BYTES} order by id"""
_DELETE = "delete from outbox where id = any($1::bigint[])"


class Relay:
    """`run` until cancelled. `problem` says why nothing can be sent now, empty while all is well."""

    def __init__(self, pool: asyncpg.Pool, sender: Sender, service: str) -> None:
        self._pool, self._sender, self._service = pool, sender, service
        self._lock = lock_number(service, "\x1foutbox") >> 8 << 8  # room for the part's number
        self.bell = wakes.listener(service)
        self.problem = ""
        self._blocked: dict[str, float] = {}

    async def run(self) -> None:
        """Publish whatever is in the outbox, now and whenever the bell rings or some time has passed. Never raises but when cancelled."""
        failures, wait = 0, 0.0
        while True:
            await wakes.rung(self.bell, wait)
            try:
                wait = POLL_SECONDS if await self.drain() else BUSY_SECONDS
                failures, self.problem = 0, self.problem if self._blocked else ""
            except asyncio.CancelledError:
                raise
            except Exception as error:
                failures += 1
                wait = random.uniform(0.05, min(LONGEST_SECONDS, 0.1 * 2**failures))
                self.problem = f"the outbox cannot be published: {type(error).__name__}"
                log.warning("relay.failed", exc_info=True, extra={"error_type": type(error).__name__, "retry_seconds": round(wait, 2)})

    async def drain(self) -> bool:
        """Publish until nothing is left. False: another instance holds some parts, look again soon."""
        self._blocked = {topic: until for topic, until in self._blocked.items() if until > monotonic()}
        async with self._pool.acquire() as connection:
            if not await connection.fetchval(_ANY):
                return True
            claimed = [row[0] for row in await connection.fetch(_CLAIM, self._lock, PARTS)]
            try:
                while claimed and await self._round(connection, claimed):
                    pass
            finally:
                await connection.execute("select pg_advisory_unlock_all()")
        return len(claimed) == PARTS

    async def _round(self, connection: asyncpg.Connection, parts: Sequence[int]) -> bool:
        rows = await connection.fetch(_READ, parts, list(self._blocked))
        if not rows:
            return False
        failpoints.hit("relay.before_send", self._service)
        results = await self._sender.send([_outgoing(row) for row in rows])
        failpoints.hit("relay.sent", self._service)
        sent = [row for row, error in zip(rows, results, strict=True) if error is None]
        if sent:
            await connection.execute(_DELETE, [row["id"] for row in sent])
            failpoints.hit("relay.deleted", self._service)
        self._count(rows, results)
        return True

    def _count(self, rows: Sequence[Any], results: Sequence[Exception | None]) -> None:
        good = Counter(row["topic"] for row, error in zip(rows, results, strict=True) if error is None)
        bad = {row["topic"]: error for row, error in zip(rows, results, strict=True) if error is not None}
        for topic, count in good.items():
            counter("pursight_relay_published", self._service, topic).inc(count)
        for topic, error in bad.items():
            counter("pursight_relay_failed", self._service, topic).inc()
            self._blocked[topic] = monotonic() + random.uniform(BLOCK_SECONDS / 2, BLOCK_SECONDS)
            self.problem = f"{topic} cannot be published: {type(error).__name__}"
            log.warning("relay.failed", extra={"topic": topic, "error_type": type(error).__name__})


def _outgoing(row: Any) -> Outgoing:
    _, topic, key, body, headers, parent, created_at = row
    return Outgoing(topic, key, body, unpack_headers(headers), parent, int(created_at.timestamp() * 1e9) if parent else 0)
