"""From a registered source, or the connector's plan for it, to a dial and the egress policy that guards it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from urllib.parse import urlsplit

from shared.contracts.connection import ConnectionPlan
from shared.contracts.source import DataSource
from shared.errors import Failed, UsageError
from shared.sources.base import Dial
from shared.sources.egress import EgressPolicy, Network


@dataclass(frozen=True, slots=True)
class OwnPlaces:
    """Where PurSight itself lives, so that no source can be one of its own parts. `state_port` may hold other databases."""

    state_host: str = ""
    state_port: int = 0
    state_database: str = ""
    ports: frozenset[int] = frozenset()
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the operator decided about dialling out. `private` empty: every private range."""

    local: bool = False
    private: tuple[Network, ...] = ()
    own: OwnPlaces = OwnPlaces()


def surroundings(*, mode: str, private: str, database_url: str, bootstrap: str, http_port: int) -> Surroundings:
    """From settings. Raises UsageError where a private range is none."""
    try:
        ranges = tuple(ip_network(part.strip()) for part in private.split(",") if part.strip())
    except ValueError:
        raise UsageError(
            "PURSIGHT_EGRESS_PRIVATE is not a list of networks", remedy="For example 10.0.0.0/8.", code="settings_wrong"
        ) from None
    url = urlsplit(database_url)
    brokers = [part.strip().rpartition(":") for part in bootstrap.split(",") if part.strip()]
    own = OwnPlaces(
        state_host=url.hostname or "",
        state_port=url.port or 5432,
        state_database=url.path.lstrip("/"),
        ports=frozenset({int(port) for _, _, port in brokers if port.isdigit()} | ({http_port} if http_port else set())),
        hosts=frozenset(host for host, _, _ in brokers),
    )
    return Surroundings(mode == "local", ranges, own)


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
