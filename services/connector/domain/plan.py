"""The connection plan: endpoint, role, TLS and sign-in of a source, decided in one place and told to everybody."""

from __future__ import annotations

from typing import Literal

from shared.contracts.connection import ConnectionPlan
from shared.contracts.source import DataSource

SignIn = Literal["none", "password", "aws_iam", "azure_token", "gcp_iam"]
DIAL = "dial"  # the kind of job that reaches for a source
PERSON = 10  # its priority where somebody waits; a routine check can wait
TlsMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


def plan(spec: DataSource) -> ConnectionPlan:
    """How to dial `spec`. A hybrid source's first endpoint is its primary.

    >>> plan(DataSource(name="crm", host="db.example.org", database="shop", location="cloud")).tls_mode
    'verify-full'
    """
    return ConnectionPlan(
        host=spec.host,
        port=spec.port,
        database=spec.database,
        username=spec.username or "postgres",
        role="primary" if spec.replica_config.secondary else "single",
        tls_mode=tls_mode(spec),
        sign_in=sign_in(spec),
        secret=spec.password_secret,
    )


def tls_mode(spec: DataSource) -> TlsMode:
    """As asked for; unsaid means verify-full in clouds and between houses, prefer on premises."""
    asked = spec.ssl_config.mode
    if asked in ("disable", "prefer", "require", "verify-ca", "verify-full"):
        return asked
    return "prefer" if spec.location == "on_prem" else "verify-full"


def sign_in(spec: DataSource) -> SignIn:
    """By the cloud's own identity where the source says so, else by password, else by nothing (peer, certificate, trust)."""
    cloud = spec.cloud_config
    if cloud is not None and cloud.provider == "aws" and cloud.use_iam_auth:
        return "aws_iam"
    if cloud is not None and cloud.provider == "gcp" and cloud.use_iam_auth:
        return "gcp_iam"
    if cloud is not None and cloud.provider == "azure" and cloud.use_managed_identity:
        return "azure_token"
    return "password" if spec.password_secret else "none"
