"""The connection plan: endpoint, role, TLS and sign-in of a source, decided in one place and told to everybody."""

from __future__ import annotations

from shared.contracts.choices import address, elects, entry, members, tls
from shared.contracts.connection import ConnectionPlan, Endpoint
from shared.contracts.engines import engine_of
from shared.contracts.source import DataSource, ReplicaConfig

DIAL = "dial"  # the kind of job that reaches for a source
PERSON = 10  # its priority where somebody waits; a routine check can wait


def watched(spec: DataSource) -> bool:
    """Whether the connector chooses between a primary and a warm secondary of this source. A MongoDB replica set moves by itself."""
    return (
        spec.location == "hybrid" and engine_of(spec.engine).kind == "server" and bool(spec.replica_config.secondary) and not elects(spec)
    )


def plan(spec: DataSource, active: str = "") -> ConnectionPlan:
    """How to dial `spec`. A hybrid source's first endpoint is its primary, unless `active` (host:port) is its secondary.

    While the primary is active, the secondary is among the others who may be read from. The other way round it is not so: a primary
    that was left may hold what nobody else has any more, or lack what everybody has.

    >>> plan(DataSource(name="crm", host="db.example.org", database="shop", location="cloud")).tls_mode
    'verify-full'
    """
    first = Endpoint(host=spec.host, port=spec.port, role="primary" if watched(spec) else "single")
    replicas = () if elects(spec) else spec.replica_config.replica_members
    others = [_endpoint(spec, member, "replica") for member in replicas]
    if watched(spec):
        second = _endpoint(spec, spec.replica_config.secondary, "secondary")
        if where(second) == active:
            first = second
        else:
            others.append(second)
    return ConnectionPlan(
        host=first.host,
        port=first.port,
        database=spec.database,
        username=spec.username or _usual_user(spec),
        role=first.role,
        tls_mode=tls(spec)[0],
        sign_in=entry(spec).sign_in,
        secret=spec.password_secret,
        others=tuple(others),
    )


def tried(spec: DataSource) -> list[tuple[DataSource, ConnectionPlan]]:
    """What a preflight walks to, the source itself first; each member of a replica set that the source names, by itself besides."""
    first = plan(spec)
    alone = spec.model_copy(update={"replica_config": ReplicaConfig(max_lag_seconds=spec.replica_config.max_lag_seconds)})
    found = [(spec, each) for each in first.others]
    if elects(spec):
        found = [(alone, _endpoint(spec, each, "replica")) for each in members(spec)]
    ends = [(each, first.model_copy(update={"host": end.host, "port": end.port, "role": end.role})) for each, end in found]
    return [(spec, first), *ends]


def where(endpoint: Endpoint | ConnectionPlan) -> str:
    """An endpoint's address as a text.

    >>> where(Endpoint(host="::1", port=5432, role="replica"))
    '[::1]:5432'
    """
    return f"[{endpoint.host}]:{endpoint.port}" if ":" in endpoint.host else f"{endpoint.host}:{endpoint.port}"


def most(spec: DataSource) -> int:
    """How many sessions its pool allows at one server."""
    return spec.pool_size + spec.max_overflow


def secondary(spec: DataSource) -> str:
    """The address of a hybrid source's secondary."""
    return where(_endpoint(spec, spec.replica_config.secondary, "secondary"))


def _endpoint(spec: DataSource, text: str, role: str) -> Endpoint:
    host, port = address(text, spec.port)
    return Endpoint(host=host, port=port, role=role)


def _usual_user(spec: DataSource) -> str:
    """PostgreSQL's own; where Google's identity signs in, its account decides."""
    return "postgres" if spec.engine == "postgresql" and entry(spec).sign_in != "gcp_iam" else ""
