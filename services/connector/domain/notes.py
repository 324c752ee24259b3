"""What is worth a warning when a source's settings are laid beside what its server said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.connector.domain.plan import most
from shared.contracts.choices import tls
from shared.contracts.connection import Diagnosis, ServerFacts
from shared.contracts.source import DataSource

_KEPT_BACK = 3  # connections that servers usually keep for their administrators
_SOON_DAYS = 30


def notes(spec: DataSource, server: ServerFacts, now: datetime) -> tuple[Diagnosis, ...]:
    """Pool, TLS, pooler and replication; nothing where all is well."""
    return tuple(_warning(*each) for each in (*_pool(spec, server), *_line(spec, server, now), *_members(spec, server)))


def _pool(spec: DataSource, server: ServerFacts) -> Iterator[tuple[str, str, str]]:
    room = server.max_connections - _KEPT_BACK
    if server.max_connections and most(spec) > room and not server.pooler:
        cause = f"pool_size and max_overflow allow {most(spec)} sessions, and the server has room for {max(room, 0)} in all"
        yield "pool_too_large", cause, "Lower them, or raise the server's max_connections."
    if server.pooler_mode == "session":
        cause = f"the pooler keeps one of its server connections for each of up to {most(spec)} sessions"
        yield "pooler_by_session", cause, "Use pool_mode transaction, or keep pool_size and max_overflow within the pooler's pool."


def _line(spec: DataSource, server: ServerFacts, now: datetime) -> Iterator[tuple[str, str, str]]:
    mode, _ = tls(spec)
    if spec.location != "on_prem" and mode != "verify-full":
        cause = f"location is {spec.location} and ssl_config.mode {mode} turns off the proof of who the server is"
        yield "tls_opt_out", cause, "Leave ssl_config.mode out, or set it to verify-full."
    if server.tls_expires and (days := (datetime.fromisoformat(server.tls_expires) - now).days) < _SOON_DAYS:
        yield "tls_expires_soon", f"the server's certificate is valid for {max(days, 0)} more days", "Renew it."


def _members(spec: DataSource, server: ServerFacts) -> Iterator[tuple[str, str, str]]:
    if server.is_replica and server.replica_lag_seconds is None:
        remedy = "Check replication, and that the user may see it: REPLICATION CLIENT (MySQL), SLAVE MONITOR (MariaDB)."
        yield "lag_unknown", "the replica does not tell how far it is behind", remedy


def _warning(code: str, cause: str, remedy: str) -> Diagnosis:
    return Diagnosis(code=code, cause=cause, remedy=remedy, severity="warning")
