"""Events about data sources: asked for, registered, refused, removed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from shared.contracts.base import Contract, Known, Name, SourceKey
from shared.contracts.cloud import AwsConfig, AzureConfig, CloudConfig, GcpConfig
from shared.contracts.engines import default_host, default_port
from shared.contracts.names import DEFAULT_TENANT, SourceName

__all__ = [
    "AwsConfig",
    "AzureConfig",
    "CloudConfig",
    "DataSource",
    "GcpConfig",
    "Problem",
    "ReplicaConfig",
    "ScanBudget",
    "Scope",
    "SourceRegistered",
    "SourceRejected",
    "SourceRemoved",
    "SourceSubmitted",
    "SourceWithdrawn",
    "SslConfig",
]


class SslConfig(Contract):
    """TLS to the source, by paths or references. `mode` has libpq's meaning; empty means verify-full for cloud and hybrid and
    wherever a file is named, prefer on premises."""

    mode: Known[Literal["", "disable", "prefer", "require", "verify-ca", "verify-full"]] = ""
    ca: str = Field(default="", description="path of a PEM file with the authorities to trust")
    cert: str = Field(default="", description="our own certificate, where the server asks for one")
    key: str = Field(default="", description="its key: a path or a reference, never the key itself")


class ReplicaConfig(Contract):
    """Read replicas, and the second endpoint of a hybrid source, each as host or host:port."""

    replica_members: tuple[str, ...] = ()
    replica_set: str = Field(default="", description="name of a MongoDB replica set")
    secondary: str = Field(default="", description="what a hybrid source fails over to")
    read_preference: Known[Literal["primary", "primary_preferred", "secondary", "secondary_preferred", "nearest"]] = Field(
        default="secondary_preferred", description="who is read from where there are replicas"
    )
    max_lag_seconds: float = Field(default=30.0, ge=0, allow_inf_nan=False, description="a replica further behind is not read from")
    failback: Known[Literal["auto", "manual"]] = Field(default="auto", description="who returns to the primary after a failover")
    failback_after_seconds: float = Field(
        default=300.0, ge=0, allow_inf_nan=False, description="how long the primary is healthy before that"
    )


class Scope(Contract):
    """What a scan looks at. Empty `schemas` and `tables` mean all; system schemas never belong."""

    schemas: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = Field(default=(), description="schema.table")


class ScanBudget(Contract):
    """What one scan may cost the source; 0 is no limit. A scan that reaches one ends there, says so, and the next one goes on."""

    statements: int = Field(default=0, ge=0)
    bytes: int = Field(default=0, ge=0, description="of the values that are read")
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class DataSource(Contract):
    """One place where data lives. Identity is tenant and name; everything else may change, and then `version` grows."""

    name: Name = Field(examples=["crm"])
    tenant: Name = DEFAULT_TENANT
    engine: Known[Literal["postgresql", "mysql", "mariadb", "mongodb", "s3", "gcs", "azure_blob", "folder"]] = "postgresql"
    location: Known[Literal["on_prem", "cloud", "hybrid"]] = "on_prem"
    host: str = Field(default_factory=default_host, max_length=255, description="empty: the store's own address in its cloud")
    port: int = Field(default_factory=default_port, ge=0, le=65535, description="the engine's own where it is left out; 0: none")
    database: Name = Field(examples=["shop"], description="the database, bucket or container; of a folder, what to call it")
    path: str = Field(default="", max_length=1024, description="prefix inside a bucket or container; absolute path of a folder")
    username: str = Field(default="", max_length=255)
    password_secret: str = Field(
        default="", description="where the password is, never the password", examples=["env:CRM_PASSWORD", "local:crm"]
    )
    auth_database: str = Field(default="", max_length=255, description="where MongoDB keeps this user; empty: admin")
    srv: bool = Field(default=False, description="host is a DNS seed list (mongodb+srv)")
    cloud_config: CloudConfig | None = None
    ssl_config: SslConfig = SslConfig()
    replica_config: ReplicaConfig = ReplicaConfig()
    pool_size: int = Field(default=2, ge=1, le=64)
    max_overflow: int = Field(default=2, ge=0, le=64)
    pool_timeout: float = Field(default=30.0, gt=0, le=600, description="seconds to wait for a free connection")
    sampling: Known[Literal["none", "statistics", "sample"]] = Field(default="sample", description="consent: may values be looked at?")
    sample_rows: int = Field(default=200, ge=1, le=10_000)
    pace: Known[Literal["conservative", "balanced", "aggressive"]] = Field(
        default="balanced", description="how much a scan may take of a server that has other work, and how soon it gives way"
    )
    scan_budget: ScanBudget = ScanBudget()
    scope: Scope = Scope()
    slo_percent: float = Field(
        default=99.0, ge=50, lt=100, allow_inf_nan=False, description="how many of a hundred checks in 30 days should be answered"
    )
    owner: str = Field(default="", max_length=255)
    description: str = Field(default="", max_length=2000)
    environment: str = Field(default="", max_length=63, examples=["prod"])
    labels: dict[str, str] = Field(default_factory=dict, max_length=50)
    schedule: str = Field(
        default="", max_length=63, description="empty: only when asked; an interval such as 24h, or five cron fields in UTC"
    )

    @property
    def key(self) -> str:
        return SourceName(self.tenant, self.name).key

    @property
    def cloud_provider(self) -> str:
        """aws, azure, gcp, or empty on premises."""
        return self.cloud_config.provider if self.cloud_config else ""


class Problem(Contract):
    """One thing that is wrong with a request. `field` is its path; the value is never repeated."""

    field: str = Field(examples=["ssl_config.mode"])
    code: str = Field(examples=["unknown_field"])
    message: str
    remedy: str = ""


class SourceSubmitted(Contract):
    """A request: register or change this source. Any JSON object is taken; the registry answers registered or rejected."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def document(self) -> dict[str, Any]:
        """The request as it came."""
        return dict(self.__pydantic_extra__ or {})


class SourceWithdrawn(SourceSubmitted):
    """A request: forget this source. The object names `tenant` and `name`."""


class SourceRegistered(Contract):
    """The source as it stands now. `version` starts at 1 and grows with each real change."""

    source: SourceKey
    version: int = Field(ge=1)
    change: Known[Literal["created", "updated"]]
    spec: DataSource
    changed_fields: tuple[str, ...] = ()
    actor: str = ""
    notes: tuple[str, ...] = Field(default=(), description="which other spellings were understood, and what to know")


class SourceRejected(Contract):
    """The request was understood and refused: every problem, by field."""

    source: str
    problems: tuple[Problem, ...] = Field(min_length=1)
    request_id: str = Field(default="", description="id of the event that asked")
    notes: tuple[str, ...] = Field(default=(), description="which other spellings were understood")


class SourceRemoved(Contract):
    """Drain and forget: state, topics and dead letters of this source."""

    source: SourceKey
    version: int = Field(ge=1)
    actor: str = ""
