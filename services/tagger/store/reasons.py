"""Why a resource is to be looked at: a scan that completed, or somebody's ask. One application answers all that are due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg

from shared.bus.unit import Cause, lock_number

_RIPEN = """
    update reason set due = true where not due and source = any($1)
        and (select count(*) from asset where asset.source = reason.source and asset.scan_id = reason.scan_id) >= expected"""
_HOMELESS = """
    delete from reason where due and target = '' and source = any($1)
        and not exists (select from source where key = reason.source and source.target <> '')"""
_TARGETS = """
    select distinct source.target from source join reason on reason.source = source.key
    where reason.due and reason.target = '' and source.key = any($1) order by 1"""

# A scan that still waits is answered together with a later one of its source: the later state contains the earlier.
_DUE = """
    with own as (
        select * from reason where target = $1 or (target = '' and source in (select key from source where source.target = $1))
    )
    select * from own where due or number < (select max(number) from own as later where later.due and later.source = own.source)
    order by number"""


Kind = Literal["", "asked", "look"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, and the event or request behind it. `source` may be a job's key. `kind`: asked by a person, or a look for drift."""

    number: int
    source: str
    scan_id: str
    cause: Cause
    kind: Kind = ""

    @property
    def trace_id(self) -> str:
        return self.cause.trace_id


class Reasons:
    """The reasons' part of a unit of work."""

    def __init__(self, connection: asyncpg.Connection, service: str) -> None:
        self._db, self._service = connection, service

    async def add_scan(self, source: str, scan_id: str, *, expected: int, deadline: datetime, cause: Cause) -> None:
        """A scan completed; it is due once `expected` of its assets are derived or removed, or at the deadline."""
        await self._insert(source, "", scan_id, expected, deadline, cause)

    async def ask(self, source: str, target: str, *, scan_id: str, cause: Cause, kind: Kind = "") -> None:
        """Look at this target, or with an empty one at the source's own, at once."""
        await self._insert(source, target, scan_id, 0, None, cause, kind)

    async def _insert(
        self, source: str, target: str, scan_id: str, expected: int, deadline: datetime | None, cause: Cause, kind: Kind = ""
    ) -> None:
        await self._db.execute(
            """insert into reason (source, target, scan_id, expected, due, deadline, cause_id, traceparent, tenant, kind)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
            *(source, target, scan_id, expected, deadline is None, deadline, cause.id, cause.traceparent, cause.tenant, kind),
        )

    async def ripen(self, sources: Iterable[str]) -> list[str]:
        """Targets to apply now, because of what this unit changed.

        The sources are locked until the commit: of two units that finish a scan together, the later one counts both.
        """
        names = sorted(set(sources))
        if not names:
            return []
        numbers = sorted(lock_number(self._service, name) for name in names)
        await self._db.execute("select pg_advisory_xact_lock(number) from unnest($1::bigint[]) as wanted(number)", numbers)
        await self._db.execute(_RIPEN, names)
        await self._db.execute(_HOMELESS, names)
        return [row["target"] for row in await self._db.fetch(_TARGETS, names)]

    async def overdue(self) -> list[str]:
        """Sources with a scan past its deadline; these reasons are due from now on."""
        rows = await self._db.fetch("update reason set due = true where not due and deadline < now() returning source")
        return sorted({row["source"] for row in rows})

    async def due(self, target: str) -> list[Reason]:
        """The reasons that one application to this target answers, oldest first."""
        return [
            Reason(row["number"], row["source"], row["scan_id"], Cause(row["cause_id"], row["traceparent"], row["tenant"]), row["kind"])
            for row in await self._db.fetch(_DUE, target)
        ]

    async def close(self, reasons: Sequence[Reason]) -> None:
        """They are answered."""
        await self._db.execute("delete from reason where number = any($1)", [reason.number for reason in reasons])

    async def forget(self, source: str) -> None:
        """Nothing of this source waits any more."""
        await self._db.execute("delete from reason where source = $1 and target = ''", source)
