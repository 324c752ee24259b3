"""Settings that every process understands, read once from the environment by `app.py` and handed down as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
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
