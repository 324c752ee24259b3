"""From a registered source, or the connector's plan for it, to a dial and the egress policy that guards it."""

from __future__ import annotations

from shared.contracts.connection import ConnectionPlan
from shared.contracts.source import DataSource
from shared.egress import EgressPolicy, Surroundings
from shared.errors import Failed
from shared.sources.base import Dial


def policy_for(spec: DataSource, around: Surroundings) -> EgressPolicy:
    """Raises Failed with `egress_denied` where the source is PurSight's own state."""
    own = around.own
    if spec.port == own.state_port and spec.database == own.state_database and own.state_database:
        ours = (
            {own.state_host, "localhost", "127.0.0.1", "::1"} if own.state_host in ("localhost", "127.0.0.1", "::1") else {own.state_host}
        )
        if spec.host in ours or spec.host.startswith("/"):
            raise Failed(
                "this address may not be dialled", why="it is PurSight's own state", remedy="Name another database.", code="egress_denied"
            )
    return EgressPolicy(location=spec.location, local=around.local, private=around.private, own_ports=own.ports, own_hosts=own.hosts)


def dial_for(
    spec: DataSource, plan: ConnectionPlan, password: str, *, application_name: str, connect_seconds: float, statement_seconds: float
) -> Dial:
    """The plan decides where, as whom and how safely; the spec brings the files of TLS."""
    return Dial(
        host=plan.host,
        port=plan.port,
        database=plan.database,
        username=plan.username,
        password=password,
        tls_mode=plan.tls_mode,
        ca=spec.ssl_config.ca,
        cert=spec.ssl_config.cert,
        key=spec.ssl_config.key,
        application_name=application_name,
        connect_seconds=connect_seconds,
        statement_seconds=statement_seconds,
    )
