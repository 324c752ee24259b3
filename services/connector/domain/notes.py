"""What is worth a warning when a source's settings are laid beside what its server said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.connector.domain.plan import most
from shared.contracts.cautions import caution, ending
from shared.contracts.choices import tls
from shared.contracts.cloud import AwsConfig, AzureConfig
from shared.contracts.connection import Diagnosis, ServerFacts
from shared.contracts.source import DataSource

_KEPT_BACK = 3  # connections that servers usually keep for their administrators


def notes(spec: DataSource, server: ServerFacts, now: datetime) -> tuple[Diagnosis, ...]:
    """Pool, TLS, pooler, replication and sign-in; nothing where all is well."""
    return (*_pool(spec, server), *_line(spec, server, now), *_members(server), *_key(spec))


def lasting_key(spec: DataSource) -> str:
    """The field that names a cloud's key which ends only when somebody ends it; empty where the source signs in without one.

    >>> lasting_key(DataSource(name="x", database="d", cloud_config={"provider": "gcp", "service_account_ref": "env:KEY"}))
    'service_account_ref'
    """
    cloud = spec.cloud_config
    if isinstance(cloud, AwsConfig):
        return "access_key_id" if cloud.access_key_id and not cloud.session_token_ref else ""
    if isinstance(cloud, AzureConfig):
        return "client_secret_ref" if cloud.client_secret_ref and not (cloud.use_managed_identity or cloud.use_workload_identity) else ""
    return "service_account_ref" if cloud and cloud.service_account_ref else ""


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


def _key(spec: DataSource) -> Iterator[Diagnosis]:
    if field := lasting_key(spec):
        yield caution("lasting_key", f"cloud_config.{field} is a key that does not end by itself")


def _members(server: ServerFacts) -> Iterator[Diagnosis]:
    if server.is_replica and server.replica_lag_seconds is None:
        yield caution("lag_unknown")
