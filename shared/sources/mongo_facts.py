"""What a server that speaks MongoDB's wire says of itself and of our user: facts, privileges, posture, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from time import perf_counter
from typing import Any, NamedTuple

from shared.contracts.connection import Posture, Privileges, ServerFacts
from shared.errors import PurSightError
from shared.sources.advice import warnings
from shared.sources.base import Dial, Load, Probe
from shared.sources.mongo_line import Line
from shared.sources.tls import verified

_WRITES = frozenset(
    {"anyAction", "insert", "update", "remove", "createCollection", "dropCollection", "dropDatabase", "createIndex", "dropIndex", "collMod"}
)
_SUPERUSERS = frozenset({"root", "__system", "dbOwner", "dbAdminAnyDatabase", "userAdmin", "userAdminAnyDatabase"})
# The end of life of each release line, https://www.mongodb.com/legal/support-policy/lifecycles
_ENDS = {
    (4, 4): date(2024, 2, 29),
    (5, 0): date(2024, 10, 31),
    (6, 0): date(2025, 7, 31),
    (7, 0): date(2027, 8, 31),
    (8, 0): date(2029, 10, 31),
}


class Grants(NamedTuple):
    """What our user may do. `privileges`: database, collection (empty: all of them) and actions."""

    role: str
    roles: frozenset[str]
    privileges: Sequence[tuple[str, str, frozenset[str]]]
    known: bool

    def may(self, action: str, database: str, collection: str) -> bool:
        """True too where a server without sign-in has nobody to ask about."""
        return not self.known or any(
            (not place or place == database) and (not name or name == collection) and actions & {action, "anyAction"}
            for place, name, actions in self.privileges
        )

    @property
    def writes(self) -> bool:
        """Could change data or structure somewhere; anybody could where there is no sign-in."""
        return not self.known or any(actions & _WRITES for _, _, actions in self.privileges)

    @property
    def superuser(self) -> bool:
        return not self.known or bool(self.roles & _SUPERUSERS) or any("anyAction" in actions for _, _, actions in self.privileges)


async def grants_of(line: Line) -> Grants:
    """Raises Failed with a code of `failures`."""
    told = (await line.run("admin", {"connectionStatus": 1, "showPrivileges": True}))["authInfo"]
    users = [str(each["user"]) for each in told.get("authenticatedUsers", ())]
    privileges = [(*_place(each["resource"]), frozenset(map(str, each["actions"]))) for each in told.get("authenticatedUserPrivileges", ())]
    roles = frozenset(str(each["role"]) for each in told.get("authenticatedUserRoles", ()))
    return Grants(users[0] if users else "", roles, privileges, bool(users))


def _place(resource: Mapping[str, Any]) -> tuple[str, str]:
    """A cluster's own resource is no database: nothing is called like that."""
    if "cluster" in resource:
        return "\0", "\0"
    return str(resource.get("db", "")), str(resource.get("collection", ""))


async def probe(line: Line, dial: Dial) -> Probe:
    """Raises Failed with a code of `failures`."""
    build = await line.run("admin", {"buildInfo": 1})
    hello = await line.run("admin", {"hello": 1})
    grants = await grants_of(line)
    command = {"listCollections": 1, "nameOnly": True, "authorizedCollections": True}
    names = [str(each["name"]) for each in await line.rows(dial.database, command)]
    names = [name for name in names if not name.startswith("system.")]
    facts = _facts(line, build, hello, await _size(line, dial.database))
    privileges = _privileges(grants, dial.database, names)
    return Probe(facts, privileges, await _posture(line, dial, facts, privileges, build), warnings(dial, facts, privileges))


async def _size(line: Line, database: str) -> int:
    return int((await _if_allowed(line, database, {"dbStats": 1})).get("dataSize") or 0)


async def _if_allowed(line: Line, database: str, command: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing where the user may not ask, or the server does not know the question."""
    try:
        return await line.run(database, command)
    except PurSightError as error:
        if error.code not in ("no_privilege", "server_error"):
            raise
        return {}


Latencies = Mapping[str, tuple[int, int]]
"""By kind of operation: microseconds that all of them took since the server began, and how many they are."""


async def load(line: Line, before: Latencies) -> tuple[Load, Latencies]:
    """And what to give the next time. Raises Failed with a code of `failures`.

    How many operations are at work, and what they took, is told only to who may watch the cluster. How long this answer takes everybody
    sees.
    """
    started = perf_counter()
    told = await _if_allowed(line, "admin", {"serverStatus": 1, "metrics": 0, "wiredTiger": 0, "tcmalloc": 0})
    request = perf_counter() - started
    clients = (told.get("globalLock") or {}).get("activeClients") or {}
    active = int(clients["readers"]) + int(clients["writers"]) if "readers" in clients else None
    now = {kind: (int(each["latency"]), int(each["ops"])) for kind, each in (told.get("opLatencies") or {}).items()}
    found = Load(active, line.lag() or None, since(before, now), request_seconds=None if now else request)
    return found, now


def since(before: Latencies, now: Latencies) -> float | None:
    """Seconds an operation took on average, of the kind that was quickest: other work of one kind changes that kind alone, a server that
    has too much to do all of them. None where there were none.

    >>> since({"reads": (1_000, 10), "writes": (0, 0)}, {"reads": (91_000, 20), "writes": (4_000, 2)})
    0.002
    """
    means = [(took - was[0]) / (count - was[1]) for kind, (took, count) in now.items() if (was := before.get(kind)) and count > was[1]]
    return max(0.0, min(means)) / 1_000_000 if means else None


def _facts(line: Line, build: Mapping[str, Any], hello: Mapping[str, Any], size: int) -> ServerFacts:
    answer = line.answer
    major, minor, patch = (*build.get("versionArray", ()), 0, 0, 0)[:3]
    replica = bool(hello.get("secondary"))
    return ServerFacts(
        version=str(build["version"]),
        version_number=major * 10_000 + minor * 100 + patch,
        tls_version=answer.tls.version,
        tls_issuer=answer.tls.issuer,
        tls_expires=answer.tls.expires,
        encoding="UTF-8",
        is_replica=replica,
        replica_lag_seconds=line.lag() if replica else None,
        database_bytes=size,
        round_trip_seconds=answer.round_trip_seconds,
        clock_skew_seconds=answer.skew_seconds,
    )


def _privileges(grants: Grants, database: str, names: Sequence[str]) -> Privileges:
    readable = sum(grants.may("find", database, name) for name in names)
    role = f'db.getSiblingDB("admin").grantRolesToUser("{grants.role}", [{{role: "read", db: "{database}"}}])'
    return Privileges(
        role=grants.role,
        superuser=grants.superuser,
        can_write=grants.writes,
        schemas_visible=1 if names else 0,
        tables_visible=len(names),
        tables_readable=readable,
        missing=(role,) if grants.known and (readable < len(names) or not names) else (),
    )


async def _posture(line: Line, dial: Dial, facts: ServerFacts, privileges: Privileges, build: Mapping[str, Any]) -> Posture:
    told = await _if_allowed(
        line, "admin", {"getParameter": 1, "authenticationMechanisms": 1, "tlsMode": 1, "auditAuthorizationSuccess": 1}
    )
    mechanisms, mode = told.get("authenticationMechanisms"), told.get("tlsMode")
    end = _ENDS.get((facts.version_number // 10_000, facts.version_number // 100 % 100))
    return Posture(
        tls_in_transit=bool(facts.tls_version),
        tls_forced=None if mode is None else mode == "requireTLS",
        tls_verified=verified(dial.tls_mode) and bool(facts.tls_version),
        password_hash_strong=None if mechanisms is None else "SCRAM-SHA-256" in mechanisms and "SCRAM-SHA-1" not in mechanisms,
        superuser_used=privileges.superuser,
        read_only_role=not privileges.can_write,
        version_supported=None if end is None else datetime.now(UTC).date() <= end,
        row_security_available=False,
    )
