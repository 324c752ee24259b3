"""A line to servers that speak MongoDB's wire, which knows no command that writes.

No engine of this kind has a read-only session, so the line itself is the wall: what is not in `_READS` is not sent. Reads go to one
member: the least-lagged that the source's read preference allows.

A line is one session at that member; where another one is least behind later, one there, too. Beside it, a connection to each member
asks who is primary and how far behind it is; that one does not sign in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from bson import CodecOptions, DatetimeConversion
from bson.binary import UuidRepresentation
from bson.errors import BSONError
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from pymongo.read_preferences import Nearest
from pymongo.server_description import ServerDescription

from shared.cloud.token import hush
from shared.contracts.choices import elects
from shared.contracts.source import DataSource
from shared.sources.base import Dial
from shared.sources.mongo_failures import mongo_failed, refusal
from shared.sources.mongo_knock import Answer

_READS = frozenset(
    {
        "buildInfo",
        "collStats",
        "connectionStatus",
        "dbStats",
        "find",
        "getMore",
        "getParameter",
        "hello",
        "listCollections",
        "listDatabases",
        "serverStatus",
    }
    | {"listIndexes"}
)
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    uuid_representation=UuidRepresentation.STANDARD,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_HEARTBEAT_MS = 10_000
_BATCH = 2_000
_TRIES = 3
_MEET_SECONDS, _LOOK_SECONDS = 2.0, 0.01
_WENT_AWAY = ("connection_reset", "not_primary", "shutting_down")


class Line:
    """The commands of one session. Raises Failed with a code of `failures`; the server's own words stay here."""

    def __init__(self, dial: Dial, answer: Answer) -> None:
        hush("pymongo")  # it logs commands and answers
        self.answer, self.statements = answer, 0
        self._context = copy_context()  # a further connection, opened when it is needed, obeys the guard that this one was opened under
        self._limit_ms = int(dial.statement_seconds * 1000)
        options = _options(dial, answer)
        self._choice: Choice | None = options["server_selector"]
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(**options)
        if answer.context is not None:
            self._client.options.pool_options._PoolOptions__ssl_context = answer.context  # type: ignore[attr-defined]

    async def met(self) -> None:
        """Wait until every member has answered, or failed, once: before that nobody can say who is least behind, and the first session
        might be one too many."""
        await asyncio.create_task(self._client.aconnect(), context=self._context)
        with suppress(TimeoutError):
            async with asyncio.timeout(_MEET_SECONDS):
                while any(not each.is_server_type_known and each.error is None for each in self._members()):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_SECONDS)

    def _members(self) -> list[ServerDescription]:
        return list(self._client.topology_description.server_descriptions().values())

    async def close(self) -> None:
        """Ends every connection and the watching of members."""
        await self._client.close()

    async def run(self, database: str, command: Mapping[str, Any]) -> dict[str, Any]:
        """One command, asked of another member where one went away. Raises Failed `not_read_only` before anything is sent, where it is not
        known to only read."""
        name = next(iter(command), "")
        if name not in _READS:
            raise refusal("not_read_only")
        tries = max(_TRIES, len(self._members()) + 1)
        try:
            for again in range(tries):
                self.statements += 1
                try:
                    return await asyncio.create_task(self._sent(database, command), context=self._context)
                except (PyMongoError, BSONError, OSError) as error:
                    found = mongo_failed(error)
                if found.code not in _WENT_AWAY or name == "getMore" or again == tries - 1:
                    raise found
                if self._choice:
                    self._choice.leave_out()
            raise AssertionError("not reached")
        finally:
            if self._choice:
                self._choice.left_out.clear()

    def lag(self) -> float | None:
        """Seconds that the member which is read from is behind; None where nobody is there to compare with."""
        members = [each for each in self._members() if each.is_readable]
        chosen = self._choice(members) if self._choice else []
        return round(Choice.lag(chosen[0], members), 3) if chosen else None

    async def _sent(self, database: str, command: Mapping[str, Any]) -> dict[str, Any]:
        return await self._client[database].command(dict(command), read_preference=Nearest(), codec_options=_CODEC)

    async def rows(self, database: str, command: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All that a command lists."""
        answer = await self.run(database, {**command, "cursor": {"batchSize": _BATCH}})
        found, cursor = list(answer["cursor"]["firstBatch"]), answer["cursor"]
        while cursor["id"]:
            about = cursor["ns"].partition(".")[2]
            cursor = (await self.run(database, {"getMore": cursor["id"], "collection": about, "batchSize": _BATCH}))["cursor"]
            found += cursor["nextBatch"]
        return found

    async def find(self, database: str, collection: str, *, most: int, **more: Any) -> list[dict[str, Any]]:
        """At most `most` documents, and no more than fit into one answer of the server, which is 16 MB."""
        command = {"find": collection, "limit": most, "batchSize": most, "singleBatch": True, "maxTimeMS": self._limit_ms, **more}
        return list((await self.run(database, command))["cursor"]["firstBatch"])


def _options(dial: Dial, answer: Answer) -> dict[str, Any]:
    """For the client. Seeds are those that were asked by name; a set is only looked for where the source says that there is one."""
    spec = dial.spec
    whole = bool(spec and elects(spec))
    milliseconds = int(dial.connect_seconds * 1000)
    options: dict[str, Any] = {
        "host": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in answer.seeds],
        "appname": dial.application_name[:128],
        "connectTimeoutMS": milliseconds,
        "serverSelectionTimeoutMS": milliseconds,
        "socketTimeoutMS": int(dial.quiet_seconds * 1000),
        "heartbeatFrequencyMS": _HEARTBEAT_MS,
        "serverMonitoringMode": "poll",
        "maxPoolSize": 1,
        "retryWrites": False,
        "tls": answer.context is not None,
        "server_selector": Choice(spec) if whole else None,
        **({"replicaSet": answer.hello["setName"]} if whole and "setName" in answer.hello else {}),
        **({} if whole else {"directConnection": True}),
    }
    if dial.password:
        source = (spec.auth_database if spec else "") or "admin"
        options |= {"username": dial.username, "password": dial.password, "authSource": source}
    elif dial.username and dial.cert:
        options |= {"username": dial.username, "authMechanism": "MONGODB-X509"}
    return options


class Choice:
    """Which member is read from: the least-lagged of those that the read preference allows.

    A member's lag is how far its last write is behind the primary's, each seen at its own moment.
    """

    def __init__(self, spec: DataSource | None) -> None:
        self._preference = spec.replica_config.read_preference if spec else "nearest"
        self._most = spec.replica_config.max_lag_seconds if spec else 0.0
        self.left_out = set[Any]()  # addresses that went away just now: the driver believes in them until it looks again
        self._last: Any = None

    def leave_out(self) -> None:
        """Whom the last command was sent to is not chosen again, for now."""
        self.left_out.add(self._last)

    def __call__(self, members: Sequence[ServerDescription]) -> list[ServerDescription]:
        """From all members that hold data, the one to read from; none where nobody fits."""
        members = [each for each in members if each.address not in self.left_out]
        first = [each for each in members if each.is_writable or each.server_type_name in ("Mongos", "Standalone")]
        behind = [(self.lag(each, members), each) for each in members if each not in first]
        fit = [each for lag, each in sorted(behind, key=lambda pair: pair[0]) if lag <= self._most]
        orders = {
            "primary": [first],
            "primary_preferred": [first, fit],
            "secondary": [fit],
            "secondary_preferred": [fit, first],
            "nearest": [sorted([*first, *fit], key=lambda each: each.round_trip_time or 0.0)],
        }
        found = next((some for some in orders.get(self._preference, [fit, first]) if some), [])[:1]
        self._last = found[0].address if found else self._last
        return found

    @staticmethod
    def lag(member: ServerDescription, members: Sequence[ServerDescription]) -> float:
        """Seconds behind the primary, or behind the member with the newest write where there is no primary."""
        ages = [_age(each) for each in members if each.is_writable] or [min(map(_age, members))]
        return max(0.0, _age(member) - ages[0])


def _age(member: ServerDescription) -> float:
    """How old the last write was when the member was last asked. Clocks of this machine and the member cancel out between two members."""
    if member.last_write_date is None:
        return 0.0
    return member.last_update_time - member.last_write_date
