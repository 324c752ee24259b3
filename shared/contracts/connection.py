"""Events about reaching a data source: connected, unreachable, failed over, health."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.contracts.base import Contract, Known, Ratio, SourceKey
from shared.contracts.source import DataSource

CircuitState = Literal["closed", "open", "half_open"]


class Endpoint(Contract):
    """One of several servers that hold the same data."""

    host: str
    port: int
    role: Known[Literal["single", "primary", "secondary", "replica"]]


class ConnectionPlan(Contract):
    """How discovery is to dial. A password is only a reference; its reader resolves it itself."""

    host: str
    port: int
    database: str
    username: str
    role: Known[Literal["single", "primary", "secondary", "replica"]] = "single"
    tls_mode: Known[Literal["disable", "prefer", "require", "verify-ca", "verify-full"]] = "prefer"
    sign_in: Known[Literal["none", "password", "aws_iam", "azure_token", "gcp_iam", "aws_keys", "gcp_token"]] = "password"
    secret: str = ""
    others: tuple[Endpoint, ...] = Field(
        default=(), description="who may be read from besides: replicas, and the warm secondary while the primary is active"
    )


class ServerFacts(Contract):
    """What the server said of itself and of us."""

    version: str = Field(examples=["18.4"])
    version_number: int = Field(default=0, examples=[180004])
    tls_version: str = Field(default="", description="empty: the line is not encrypted")
    tls_issuer: str = ""
    tls_expires: str = Field(default="", description="ISO 8601")
    encoding: str = ""
    collation: str = ""
    is_replica: bool = False
    replica_lag_seconds: float | None = None
    max_connections: int = 0
    connections: int | None = Field(default=None, description="sessions of clients now, ours included")
    database_bytes: int = 0
    round_trip_seconds: float = 0.0
    clock_skew_seconds: float = 0.0
    pooler: str = Field(default="", examples=["pgbouncer"])
    pooler_mode: Known[Literal["", "session", "transaction", "statement"]] = Field(
        default="", description="how long a client keeps a server connection; empty: no pooler, or it could not be told"
    )


class Privileges(Contract):
    """What our role may do. A role that could write is a warning and a posture fact."""

    role: str
    superuser: bool = False
    can_write: bool = False
    schemas_visible: int = 0
    tables_visible: int = 0
    tables_readable: int = 0
    missing: tuple[str, ...] = Field(default=(), description="statements an owner can run to grant what is missing")


class Posture(Contract):
    """Facts of the server that controls judge. None means: could not be found out."""

    tls_in_transit: bool | None = None
    tls_forced: bool | None = None
    tls_verified: bool | None = None
    password_hash_strong: bool | None = None
    logging_connections: bool | None = None
    logging_statements: bool | None = None
    superuser_used: bool | None = None
    read_only_role: bool | None = None
    version_supported: bool | None = None
    row_security_available: bool | None = None
    encrypted_at_rest: bool | None = None
    public_access: bool | None = None
    backup_retention_days: int | None = None
    multi_zone: bool | None = None
    iam_authentication: bool | None = None
    versioned: bool | None = Field(default=None, description="of a store: what is overwritten or deleted can be had back")
    lasting_key: bool | None = Field(default=None, description="we sign in with a cloud's key that ends only when somebody ends it")
    region: str = ""


class Diagnosis(Contract):
    """One finding about a connection: a stable code, the cause in our words, what to do."""

    code: str = Field(examples=["wrong_password"])
    cause: str
    remedy: str = ""
    severity: Known[Literal["error", "warning", "info"]] = "error"


class SourceConnected(Contract):
    """We can reach it: as whom, how safely, by which endpoint. `based_on` is the registered version that was dialled."""

    source: SourceKey
    sequence: int = Field(ge=1)
    based_on: int = Field(ge=1)
    spec: DataSource
    plan: ConnectionPlan
    server: ServerFacts
    privileges: Privileges
    posture: Posture = Posture()
    warnings: tuple[Diagnosis, ...] = ()


class SourceUnreachable(Contract):
    """We cannot reach it; `diagnosis` says why and what helps. Tried again later."""

    source: SourceKey
    sequence: int = Field(ge=1)
    based_on: int = Field(ge=1)
    diagnosis: Diagnosis
    attempts: int = Field(default=1, ge=1)
    will_retry: bool = True


class SourceFailedOver(Contract):
    """The active endpoint changed."""

    source: SourceKey
    sequence: int = Field(ge=1)
    active: Known[Literal["primary", "secondary"]]
    cause: Diagnosis
    endpoint: str = Field(default="", description="host:port that is read from now")


class SourceHealth(Contract):
    """How the source does, said on change."""

    source: SourceKey
    sequence: int = Field(ge=1)
    status: Known[Literal["healthy", "degraded", "down"]]
    latency_p50_seconds: float | None = None
    latency_p95_seconds: float | None = None
    error_rate: Ratio = 0.0
    uptime: Ratio = Field(default=1.0, description="share of the checks of the last 30 days that were answered")
    slo: Ratio = Field(default=0.99, description="the share that should be, as the source says")
    error_budget_left: float | None = Field(
        default=None, description="of the failures that the objective allows in 30 days; below 0: it is missed. Unknown of few checks"
    )
    trend: Known[Literal["better", "steady", "worse", "unknown"]] = Field(
        default="unknown", description="the last day beside the week before"
    )
    circuit: Known[CircuitState] = Field(default="closed", description="open: nobody dials until a while is over")
    database_bytes: int | None = None
    growth_bytes_per_day: int | None = None
    connections_used: Ratio | None = Field(default=None, description="share of the server's max_connections that somebody has")
    pool_used: Ratio | None = Field(default=None, description="share of the sessions that the source's own pool allows that somebody has")
    certificate_days: float | None = Field(default=None, description="until the server's certificate ends; negative: it has")
    token_age_seconds: float | None = Field(default=None, description="since the cloud's token that signed in last was fetched")
    advice: tuple[str, ...] = ()
