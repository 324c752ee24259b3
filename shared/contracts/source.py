"""Events about data sources: asked for, registered, refused, removed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from shared.contracts.base import Contract, Known, Name, SourceKey
from shared.contracts.names import DEFAULT_TENANT, SourceName


class AwsConfig(Contract):
    """AWS sign-in and place. Secrets only by reference."""

    provider: Literal["aws"]
    region: str = Field(default="", examples=["eu-central-1"])
    account_id: str = ""
    role_arn: str = ""
    profile: str = ""
    access_key_id: str = ""
    secret_access_key_ref: str = Field(default="", description="reference, e.g. env:AWS_SECRET_ACCESS_KEY")
    use_iam_auth: bool = False
    resource_arn: str = Field(default="", description="the resource that holds this source; it carries the tags")
    endpoint_url: str = Field(default="", description="only an address the operator allows (PURSIGHT_AWS_ENDPOINTS)")


class AzureConfig(Contract):
    """Azure sign-in and place. Secrets only by reference."""

    provider: Literal["azure"]
    tenant_id: str = ""
    client_id: str = ""
    client_secret_ref: str = ""
    use_managed_identity: bool = False
    subscription_id: str = ""
    resource_id: str = ""


class GcpConfig(Contract):
    """GCP sign-in and place. Secrets only by reference."""

    provider: Literal["gcp"]
    project_id: str = ""
    region: str = ""
    service_account_ref: str = ""
    use_iam_auth: bool = False
    resource_name: str = ""


CloudConfig = Annotated[AwsConfig | AzureConfig | GcpConfig, Field(discriminator="provider")]


class SslConfig(Contract):
    """TLS to the source. `mode` has libpq's meaning; empty means: verify-full for cloud and hybrid, prefer on premises."""

    mode: Known[Literal["", "disable", "prefer", "require", "verify-ca", "verify-full"]] = ""
    ca: str = Field(default="", description="path of a PEM file with the authorities to trust")
    cert: str = ""
    key: str = ""


class ReplicaConfig(Contract):
    """Read replicas, or the second endpoint of a hybrid source, as host or host:port."""

    replica_members: tuple[str, ...] = ()
    replica_set: str = ""
    secondary: str = ""
    max_lag_seconds: float = Field(default=30.0, ge=0)


class Scope(Contract):
    """What a scan looks at. Empty `schemas` and `tables` mean all; system schemas never belong."""

    schemas: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = Field(default=(), description="schema.table")


class DataSource(Contract):
    """One place where data lives. Identity is tenant and name; everything else may change, and then `version` grows."""

    name: Name = Field(examples=["crm"])
    tenant: Name = DEFAULT_TENANT
    engine: Known[Literal["postgresql"]] = "postgresql"
    location: Known[Literal["on_prem", "cloud", "hybrid"]] = "on_prem"
    host: str = Field(default="localhost", min_length=1, max_length=255)
    port: int = Field(default=5432, ge=1, le=65535)
    database: Name = Field(examples=["shop"])
    username: str = Field(default="", max_length=255)
    password_secret: str = Field(
        default="", description="where the password is, never the password", examples=["env:CRM_PASSWORD", "local:crm"]
    )
    cloud_config: CloudConfig | None = None
    ssl_config: SslConfig = SslConfig()
    replica_config: ReplicaConfig = ReplicaConfig()
    pool_size: int = Field(default=2, ge=1, le=64)
    max_overflow: int = Field(default=2, ge=0, le=64)
    pool_timeout: float = Field(default=30.0, gt=0, le=600, description="seconds")
    sampling: Known[Literal["none", "statistics", "sample"]] = Field(default="sample", description="consent: may values be looked at?")
    sample_rows: int = Field(default=200, ge=1, le=10_000)
    scope: Scope = Scope()
    owner: str = Field(default="", max_length=255)
    description: str = Field(default="", max_length=2000)
    environment: str = Field(default="", max_length=63, examples=["prod"])
    labels: dict[str, str] = Field(default_factory=dict, max_length=50)
    schedule: str = Field(default="", description="empty: only when asked; else an interval such as 24h", max_length=63)

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


class SourceRejected(Contract):
    """The request was understood and refused: every problem, by field."""

    source: str
    problems: tuple[Problem, ...] = Field(min_length=1)
    request_id: str = Field(default="", description="id of the event that asked")


class SourceRemoved(Contract):
    """Drain and forget: state, topics and dead letters of this source."""

    source: SourceKey
    version: int = Field(ge=1)
    actor: str = ""
