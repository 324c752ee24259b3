"""Settings that every process understands, read once from the environment by `app.py` and handed down as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_home() -> Path:
    """The data directory of the local stack."""
    return Path.home() / ".pursight"


class BusSettings(BaseSettings):
    """How to reach Kafka. The names without prefix are those that Kafka's own tools use."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    bootstrap_servers: str = Field(
        default="", validation_alias="KAFKA_BOOTSTRAP_SERVERS", description="host:port, comma separated", examples=["127.0.0.1:9092"]
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", validation_alias="KAFKA_SECURITY_PROTOCOL", description="how the line is protected"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", validation_alias="KAFKA_SASL_MECHANISM", description="how we sign in, where the protocol says SASL"
    )
    sasl_username: str = Field(default="", validation_alias="KAFKA_SASL_USERNAME", description="our name at the broker")
    sasl_password: SecretStr = Field(
        default=SecretStr(""), validation_alias="KAFKA_SASL_PASSWORD", description="our password at the broker"
    )
    ssl_cafile: str = Field(
        default="", validation_alias="KAFKA_SSL_CAFILE", description="PEM file with the authorities to trust; empty: the system's"
    )
    replication_factor: int = Field(
        default=1, ge=1, validation_alias="PURSIGHT_REPLICATION_FACTOR", description="for topics that we create"
    )


Role = Literal["viewer", "auditor", "steward", "service", "admin"]


class Machine(BaseModel):
    """A service token: what it may do, and the digest that it is known by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9A-Fa-f]{64}$")
    roles: tuple[Role, ...]
    tenant: str = Field(min_length=1)


class Signer(BaseModel):
    """An upstream system that signs its requests: its public Ed25519 key, and what it may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(pattern="^[A-Za-z0-9+/]{43}=$")
    roles: tuple[Role, ...] = ("service",)
    tenant: str = Field(min_length=1)


class ServiceSettings(BaseSettings):
    """What each service process needs. Sub-classes add their own."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="PURSIGHT_", populate_by_name=True)

    database_url: SecretStr = Field(
        default=SecretStr(""), description="PostgreSQL that holds our state", examples=["postgresql://pursight@127.0.0.1:5432/pursight"]
    )
    token: SecretStr = Field(default=SecretStr(""), description="bearer token that every HTTP route but the health ones asks for")
    home: Path = Field(default_factory=default_home, description="data directory of the local stack")
    http_host: str = Field(default="127.0.0.1", description="address that the service's HTTP edge binds to")
    http_port: int = Field(default=0, ge=0, le=65535, description="port of the service's HTTP edge; 0 picks a free one")
    mode: Literal["local", "server"] = Field(default="server", description="local: sources on loopback may be registered")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="least severe log record written")
    otlp_endpoint: str = Field(
        default="",
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT", "PURSIGHT_OTLP_ENDPOINT"),
        description="where spans go; empty: context is carried, spans are not recorded",
    )

    access_policies: Path | None = Field(
        default=None, description="folder with Cedar policies (*.cedar) of your own, besides the shipped ones"
    )
    service_tokens: dict[str, Machine] = Field(
        default_factory=dict,
        description="tokens of machines by name, as JSON: the token's sha256 in hexadecimal, roles, tenant (* for all)",
        examples=['{"ci": {"sha256": "…", "roles": ["service"], "tenant": "acme"}}'],
    )
    upstream_roles: tuple[Role, ...] | None = Field(
        default=None,
        description="as JSON: roles, in every tenant, of who writes to a request topic without signing; service in local mode, else none",
        examples=['["service"]'],
    )
    signers: dict[str, Signer] = Field(
        default_factory=dict,
        description="upstream systems that sign their events, by name, as JSON: public Ed25519 key in base64, roles, tenant",
    )
    own_identity: bool = Field(
        default=False, description="may a source without a key of its own sign in to its cloud as the process or machine of PurSight?"
    )
    secrets_allowed: tuple[str, ...] | None = Field(
        default=None,
        description="as JSON: which references to secrets sources may name, {tenant} is the source's tenant, a * at the end anything; "
        "all in local mode, else file:/run/secrets/pursight/{tenant}/* and local:{tenant}.*",
        examples=['["vault:secret/{tenant}/*", "env:CRM_PASSWORD"]'],
    )
    cloud_endpoints: str = Field(
        default="",
        description="hosts, or endings such as .objects.example, besides the clouds' own, to which tokens may go and where stores may be",
        examples=["minio.example,.objects.example"],
    )
    oidc_issuer: str = Field(default="", description="address of the OpenID Connect issuer whose tokens are taken; empty: none")
    oidc_audience: str = Field(default="", description="what `aud` must say in its access tokens")
    oidc_tenant: str = Field(default="", description="tenant of everybody who signs in there, * for all; empty: a claim tells")
    oidc_tenant_claim: str = Field(default="tenant", description="the claim that names the tenant")
    oidc_roles_claim: str = Field(
        default="roles", description="the claim that lists the roles; dots lead down", examples=["realm_access.roles"]
    )
    oidc_roles: dict[str, Role] = Field(default_factory=dict, description="their words for our roles, as JSON; empty: ours are used")
    oidc_ca_file: str = Field(default="", description="PEM file with the authorities to trust for the issuer; empty: the system's")
    oidc_client_id: str = Field(default="", description="our name at the issuer, for signing in to the pages; empty: one-time links only")
    oidc_client_secret: SecretStr = Field(default=SecretStr(""), description="our secret at the issuer, where the client has one")
    public_url: str = Field(default="", description="address that browsers know the front door by", examples=["https://pursight.example"])
