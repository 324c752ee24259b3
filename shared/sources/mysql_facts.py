"""What a server of the MySQL family says of itself and of our user: facts, privileges, posture, warnings. Settings' values stay here
unless they are plain switches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter, time
from typing import Any

from asyncmy.errors import MySQLError

from shared.contracts.cautions import caution
from shared.contracts.connection import Diagnosis, Posture, Privileges, ServerFacts
from shared.sources.advice import warnings
from shared.sources.base import Dial, Load, Probe, Standing
from shared.sources.mysql_grants import Grants, parse
from shared.sources.mysql_line import Line, literal, quoted
from shared.sources.mysql_release import Release, release
from shared.sources.tls import line_facts, verified

_SERVER = """select version(), @@character_set_database, @@collation_database, @@max_connections, @@read_only, current_user(),
  cast(unix_timestamp(now(6)) as char)"""
_SWITCHES = """show global variables where variable_name in ('require_secure_transport', 'default_authentication_plugin',
  'authentication_policy', 'general_log', 'server_audit_logging', 'server_audit_events', 'innodb_encrypt_tables')"""
_TABLES = """select table_schema, table_name, coalesce(data_length + index_length, 0) from information_schema.tables
  where table_schema = {database} and table_type <> 'SEQUENCE'"""
_STRONG, _WEAK = frozenset({"caching_sha2_password", "sha256_password", "client_ed25519"}), frozenset({"mysql_native_password"})
# Behind work that is always the same, how long the server took so far: `now` is when the statement began, `sysdate` when it is read.
_EASE = "select @@global.event_scheduler, benchmark(4000, sha1('')), timestampdiff(microsecond, now(6), sysdate(6))"
_ON = frozenset({"ON", "1", "FORCE"})


async def probe(line: Line, dial: Dial, engine: str) -> tuple[Probe, int]:
    """The answer, and how many statements it took. Inside an open read-only transaction. Raises the driver's errors."""
    started = perf_counter()
    (row,) = await line.rows(_SERVER)
    round_trip = perf_counter() - started
    switches = dict(await line.rows(_SWITCHES))
    ((_, sessions),) = await line.rows("show global status like 'Threads_connected'")
    standing, asked = await standing_of(line, release(row[0]))
    grants = await grants_of(line, release(row[0]))
    tables = await line.rows(_TABLES.format(database=literal(dial.database)))
    facts = _facts(line, row, round_trip, standing, sum(int(size) for _, _, size in tables))
    facts = facts.model_copy(update={"connections": int(sessions)})
    privileges = _privileges(row[5], dial.database, [(schema, table) for schema, table, _ in tables], grants)
    notes = warnings(dial, facts, privileges) + _other_engine(engine, release(row[0]))
    return Probe(facts, privileges, _posture(line, dial, switches, facts, privileges, release(row[0])), notes), 5 + asked


async def standing_of(line: Line, server: Release) -> tuple[Standing, int]:
    """And how many statements it took. Told only to who may watch replication; others see no more than whether the server takes writes."""
    new = server.number >= (100_501 if server.mariadb else 80_022)
    try:
        status = await line.names_and_row("show replica status" if new else "show slave status")
    except MySQLError:
        ((read_only,),) = await line.rows("select @@read_only")
        return Standing(read_only in _ON, None), 2
    behind = status.get("seconds_behind_source", status.get("seconds_behind_master"))
    return Standing(bool(status), float(behind) if behind is not None else None), 1


async def load_of(line: Line, server: Release) -> tuple[Load, int]:
    """And how many statements it took. Of the threads at work, one is this session's, and one the server's own that waits for events to be
    due, where it has been told to have one."""
    ((_, running),) = await line.rows("show global status like 'Threads_running'")
    ((scheduler, _, microseconds),) = await line.rows(_EASE)
    standing, asked = await standing_of(line, server)
    seconds = max(0, int(microseconds)) / 1_000_000 or None  # none from a server that takes both for the same, or whose clock was set back
    return Load(max(0, int(running) - 1 - (scheduler in _ON)), standing.lag_seconds, seconds), 2 + asked


async def grants_of(line: Line, server: Release) -> Grants:
    """With the privileges of the roles in force; MySQL names these only when asked."""
    using = ""
    if not server.mariadb and server.number >= 80_000:
        ((roles,),) = await line.rows("select current_role()")
        using = "" if roles in (None, "NONE") else f" using {roles}"
    return parse([row[0] for row in await line.rows(f"show grants for current_user(){using}")])


def _facts(line: Line, row: Sequence[Any], round_trip: float, standing: Standing, size: int) -> ServerFacts:
    version, encoding, collation, connections, _, _, clock = row
    tls, server = line_facts(line.tls), release(version)
    return ServerFacts(
        version=server.version,
        version_number=server.number,
        tls_version=tls.version,
        tls_issuer=tls.issuer,
        tls_expires=tls.expires,
        encoding=encoding,
        collation=collation,
        is_replica=standing.is_replica,
        replica_lag_seconds=standing.lag_seconds,
        max_connections=int(connections),
        database_bytes=size,
        round_trip_seconds=round(round_trip, 6),
        clock_skew_seconds=round(float(clock) - time() + round_trip / 2, 3),
    )


def _privileges(user: str, database: str, tables: Sequence[tuple[str, str]], grants: Grants) -> Privileges:
    readable = sum(grants.may("SELECT", schema, table) for schema, table in tables)
    missing = readable < len(tables) or not tables
    name, _, host = user.rpartition("@")
    return Privileges(
        role=user,
        superuser=grants.superuser,
        can_write=grants.writes,
        schemas_visible=len({schema for schema, _ in tables}),
        tables_visible=len(tables),
        tables_readable=readable,
        missing=(f"GRANT SELECT, SHOW VIEW ON {quoted(database)}.* TO {quoted(name)}@{quoted(host)};",) if missing else (),
    )


def _posture(line: Line, dial: Dial, switches: Mapping[str, str], facts: ServerFacts, privileges: Privileges, server: Release) -> Posture:
    audited = switches.get("server_audit_logging") in _ON
    general = switches.get("general_log") in _ON
    forced = switches.get("require_secure_transport")
    return Posture(
        tls_in_transit=bool(facts.tls_version),
        tls_forced=None if forced is None else forced in _ON,
        tls_verified=verified(dial.tls_mode) and bool(facts.tls_version),
        password_hash_strong=_strong(switches, line.sign_in),
        logging_connections=general or audited,
        logging_statements=general or audited,
        superuser_used=privileges.superuser,
        read_only_role=not privileges.can_write,
        version_supported=server.supported(datetime.now(UTC).date()),
        row_security_available=False,
        encrypted_at_rest=True if switches.get("innodb_encrypt_tables") in _ON else None,
    )


def _strong(switches: Mapping[str, str], sign_in: str) -> bool | None:
    """How the server keeps new passwords, where it says so, else how it keeps ours."""
    policy = switches.get("default_authentication_plugin") or switches.get("authentication_policy", "").split(",")[0].strip("* ")
    plugin = policy or sign_in
    return True if plugin in _STRONG else False if plugin in _WEAK else None


def _other_engine(engine: str, server: Release) -> tuple[Diagnosis, ...]:
    if server.engine == engine:
        return ()
    cause = f"the source says {engine}, the server is {server.engine}"
    return (caution("other_engine", cause, f"Set engine to {server.engine}."),)
