"""What is worth a warning when a source's settings are laid beside what its server said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.connector.domain.plan import most
from shared.contracts.cautions import caution, ending
from shared.contracts.choices import tls
from shared.contracts.connection import Diagnosis, ServerFacts
from shared.contracts.source import DataSource

_KEPT_BACK = 3  # connections that servers usually keep for their administrators


def notes(spec: DataSource, server: ServerFacts, now: datetime) -> tuple[Diagnosis, ...]:
    """Pool, TLS, pooler and replication; nothing where all is well."""
    return (*_pool(spec, server), *_line(spec, server, now), *_members(server))


def _pool(spec: DataSource, server: ServerFacts) -> Iterator[Diagnosis]:
    room = server.max_connections - _KEPT_BACK
    if server.max_connections and most(spec) > room and not server.pooler:
        cause = f"pool_size and max_overflow allow {most(spec)} sessions, and the server has room for {max(room, 0)} in all"
        yield caution("pool_too_large", cause)
    if server.pooler_mode == "session":
        cause = f"the pooler keeps one of its server connections for each of up to {most(spec)} sessions"
        yield caution("pooler_by_session", cause)


def _line(spec: DataSource, server: ServerFacts, now: datetime) -> Iterator[Diagnosis]:
    mode, _ = tls(spec)
    if spec.location != "on_prem" and mode != "verify-full":
        cause = f"location is {spec.location} and ssl_config.mode {mode} turns off the proof of who the server is"
        yield caution("tls_opt_out", cause)
    yield from ending(server.tls_expires, now)


def _members(server: ServerFacts) -> Iterator[Diagnosis]:
    if server.is_replica and server.replica_lag_seconds is None:
        yield caution("lag_unknown")
