"""The connection plan: endpoint, role, TLS and sign-in of a source, decided in one place and told to everybody."""

from __future__ import annotations

from shared.contracts.choices import entry, tls
from shared.contracts.connection import ConnectionPlan
from shared.contracts.source import DataSource

DIAL = "dial"  # the kind of job that reaches for a source
PERSON = 10  # its priority where somebody waits; a routine check can wait


def plan(spec: DataSource) -> ConnectionPlan:
    """How to dial `spec`. A hybrid source's first endpoint is its primary.

    >>> plan(DataSource(name="crm", host="db.example.org", database="shop", location="cloud")).tls_mode
    'verify-full'
    """
    return ConnectionPlan(
        host=spec.host,
        port=spec.port,
        database=spec.database,
        username=spec.username or _usual_user(spec),
        role="primary" if spec.replica_config.secondary else "single",
        tls_mode=tls(spec)[0],
        sign_in=entry(spec).sign_in,
        secret=spec.password_secret,
    )


def _usual_user(spec: DataSource) -> str:
    """PostgreSQL's own; where Google's identity signs in, its account decides."""
    return "postgres" if spec.engine == "postgresql" and entry(spec).sign_in != "gcp_iam" else ""
