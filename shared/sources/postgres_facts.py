"""What a PostgreSQL server says of itself and of our role: facts, privileges, posture, warnings. Settings' values stay here
unless they are plain switches.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from time import perf_counter, time
from typing import Any

import asyncpg

from shared.contracts.connection import Posture, Privileges, ServerFacts
from shared.sources.advice import warnings
from shared.sources.base import Dial, Probe
from shared.sources.postgres_release import supported
from shared.sources.postgres_sample import quoted
from shared.sources.postgres_standing import LAG
from shared.sources.tls import line_facts, verified

STATEMENTS = 6
_GRANTS_SHOWN = 20

_SERVER = f"""
select current_setting('server_version') as version, current_setting('server_version_num')::int4 as number,
  current_setting('server_encoding') as encoding, d.datcollate as collation, pg_is_in_recovery() as replica,
  {LAG} as lag,
  current_setting('max_connections')::int4 as connections,
  (select sum(numbackends)::int4 from pg_stat_database) as sessions,
  current_setting('ssl') as ssl_on,
  coalesce(current_setting('rds.force_ssl', true), current_setting('require_secure_transport', true)) as forced,
  has_table_privilege('pg_catalog.pg_hba_file_rules', 'select')
    and has_function_privilege('pg_catalog.pg_hba_file_rules()', 'execute') as rules_told,
  coalesce(current_setting('password_encryption', true), '') as hashing,
  current_setting('log_connections', true) as log_connections, coalesce(current_setting('log_statement', true), '') as log_statement,
  case when has_database_privilege(d.oid, 'connect') then pg_database_size(d.oid) end as bytes,
  (select version from pg_stat_ssl where pid = pg_backend_pid()) as tls
from pg_database d where d.datname = current_database()"""

_ROLE = """
select current_user::text as role, r.rolsuper as superuser,
  exists (select from pg_namespace n where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and has_schema_privilege(n.oid, 'create')) as creates
from pg_roles r where r.rolname = current_user"""

_TABLES = """
select count(distinct n.oid)::int4 as schemas, count(*)::int4 as tables,
  count(*) filter (where has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))::int4 as readable,
  coalesce(bool_or(has_table_privilege(c.oid, 'insert') or has_table_privilege(c.oid, 'update') or has_table_privilege(c.oid, 'delete')),
    false) as writes
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"""

_MISSING = """
select n.nspname::text as schema, has_schema_privilege(n.oid, 'usage') as usage,
  count(*) filter (where not has_table_privilege(c.oid, 'select'))::int4 as unreadable, count(*)::int4 as tables
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
group by n.oid, n.nspname having not has_schema_privilege(n.oid, 'usage') or bool_or(not has_table_privilege(c.oid, 'select'))
order by 1 limit 50"""


# Does a rule let anybody in over the network without encryption? Rules for this very machine do not count.
_OPEN_RULE = """
select exists (select from pg_hba_file_rules where type in ('host', 'hostnossl', 'hostnogssenc') and auth_method <> 'reject'
  and coalesce(address, '') not in ('127.0.0.1', '::1', 'localhost', 'samehost'))"""


async def probe(connection: asyncpg.Connection, dial: Dial, dialled_seconds: float) -> Probe:
    """Inside an open read-only transaction. Raises the driver's errors."""
    started = perf_counter()
    clock = await connection.fetchval("select extract(epoch from clock_timestamp())::float8")
    round_trip = perf_counter() - started
    skew = clock - time() + round_trip / 2
    server = await connection.fetchrow(_SERVER)
    role = await connection.fetchrow(_ROLE)
    open_rule = await connection.fetchval(_OPEN_RULE) if server["rules_told"] else None
    tables = await connection.fetchrow(_TABLES)
    missing = await connection.fetch(_MISSING) if tables["readable"] < tables["tables"] else []
    facts = _facts(connection, server, round_trip, skew)
    privileges = _privileges(role, tables, missing)
    return Probe(facts, privileges, _posture(dial, server, role, open_rule, facts, privileges), warnings(dial, facts, privileges))


def _facts(connection: asyncpg.Connection, server: Any, round_trip: float, skew: float) -> ServerFacts:
    line = line_facts(connection._transport.get_extra_info("ssl_object"))  # our own end: behind a pooler the server's view is another line
    return ServerFacts(
        version=re.split(r"\s", server["version"])[0],
        version_number=server["number"],
        tls_version=line.version,
        tls_issuer=line.issuer,
        tls_expires=line.expires,
        encoding=server["encoding"],
        collation=server["collation"] or "",
        is_replica=server["replica"],
        replica_lag_seconds=server["lag"],
        max_connections=server["connections"],
        connections=server["sessions"],
        database_bytes=server["bytes"] or 0,
        round_trip_seconds=round(round_trip, 6),
        clock_skew_seconds=round(skew, 3),
    )


def _privileges(role: Any, tables: Any, missing: list[Any]) -> Privileges:
    return Privileges(
        role=role["role"],
        superuser=role["superuser"],
        can_write=tables["writes"] or role["creates"] or role["superuser"],
        schemas_visible=tables["schemas"],
        tables_visible=tables["tables"],
        tables_readable=tables["readable"],
        missing=_grants(role["role"], missing),
    )


def _grants(role: str, missing: list[Any]) -> tuple[str, ...]:
    """What an owner can run so that every table can be read."""
    to = quoted(role)
    usage = [f"GRANT USAGE ON SCHEMA {quoted(row['schema'])} TO {to};" for row in missing if not row["usage"]]
    select = [f"GRANT SELECT ON ALL TABLES IN SCHEMA {quoted(row['schema'])} TO {to};" for row in missing if row["unreadable"]]
    return tuple((usage + select)[:_GRANTS_SHOWN])


def _posture(dial: Dial, server: Any, role: Any, open_rule: bool | None, facts: ServerFacts, privileges: Privileges) -> Posture:
    hashing, forced = server["hashing"], _switch(server["forced"])
    return Posture(
        tls_in_transit=bool(facts.tls_version),
        tls_forced=False if server["ssl_on"] == "off" else forced if forced is not None or open_rule is None else not open_rule,
        tls_verified=verified(dial.tls_mode) and bool(facts.tls_version),
        password_hash_strong=(hashing == "scram-sha-256") if hashing else None,
        logging_connections=_switch(server["log_connections"]),
        logging_statements=(server["log_statement"] in ("ddl", "mod", "all")) if server["log_statement"] else None,
        superuser_used=role["superuser"],
        read_only_role=not privileges.can_write,
        version_supported=supported(facts.version_number, datetime.now(UTC).date()),
        row_security_available=True,
    )


def _switch(value: str | None) -> bool | None:
    """PostgreSQL 18 lists aspects, none of them meaning off, where older ones say on and off."""
    return None if value is None else value not in ("", "off", "false", "no", "0")
