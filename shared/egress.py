"""Guards outgoing connections at the moment of connecting, when the address is final and no name can be rebound.

A tenant chooses hosts, so the loop asks, for each TCP connect, whether the address may be dialled under the policy that
the current task carries in a context variable. Without a policy (our own database, our own broker) nothing is asked.
Works for drivers that connect through asyncio; not under uvloop, and not for libraries that bring their own sockets.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Literal
from urllib.parse import urlsplit

from shared.errors import Failed, UsageError

Network = IPv4Network | IPv6Network
_OWN_PORT = "this is one of PurSight's own ports"
_CGNAT = ip_network("100.64.0.0/10")
_NAT64 = ip_network("64:ff9b::/96")
_METADATA = tuple(
    ip_network(text)
    for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32")
)


# Where a machine tells who it is: EC2 (both families), Azure and GCP; ECS; EKS Pod Identity.
WHO_AM_I = frozenset((address, 80) for address in ("169.254.169.254", "fd00:ec2::254", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"))


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Where this task may connect to. `private` empty means every private range; `own_ports` at `own_hosts` are PurSight's own; what a
    host is named is looked up when such a port is dialled. `identity` are the exact
    addresses at which the machine tells who it is, open only within `as_this_machine`, where the operator allowed `own_identity`.
    `operators`: what is dialled was chosen by the operator (secret stores, token servers), so nothing but that identity is guarded."""

    location: Literal["on_prem", "cloud", "hybrid"] = "on_prem"
    local: bool = False
    private: tuple[Network, ...] = ()
    own_ports: frozenset[int] = frozenset()
    own_hosts: frozenset[str] = frozenset()
    own_identity: bool = False
    identity: frozenset[tuple[str, int]] = frozenset()
    operators: bool = False


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
    """What the operator decided about dialling out. `private` empty: every private range. `own_identity`: a source without a key of its own
    signs in to its cloud as this machine. `secrets`: patterns of what a source may name; None: anything. `folders`: where folders of this
    machine may be read; empty: anywhere by a local stack, nowhere by others. `endpoints`: hosts besides the clouds' own that a source's
    cloud token may reach and where stores may be; None: any."""

    local: bool = False
    private: tuple[Network, ...] = ()
    own: OwnPlaces = OwnPlaces()
    own_identity: bool = False
    secrets: tuple[str, ...] | None = None
    folders: tuple[str, ...] = ()
    endpoints: tuple[str, ...] | None = None

    def may_read(self, folder: str) -> bool:
        """Whether a source may be this folder, an absolute path without `..`.

        >>> Surroundings(folders=("/srv/drop",)).may_read("/srv/drop/in"), Surroundings(folders=("/srv/drop",)).may_read("/srv/drops")
        (True, False)
        """
        if not self.folders:
            return self.local
        return any(f"{folder.rstrip('/')}/".startswith(f"{each.rstrip('/')}/") for each in self.folders)


def surroundings(
    *,
    mode: str,
    private: str,
    database_url: str,
    bootstrap: str,
    http_port: int,
    own_identity: bool = False,
    secrets: tuple[str, ...] | None = None,
    folders: str = "",
    endpoints: tuple[str, ...] | None = None,
) -> Surroundings:
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
    read = tuple(part.strip() for part in folders.split(",") if part.strip())
    return Surroundings(mode == "local", ranges, own, own_identity, secrets, read, endpoints)


def cloud_policy(around: Surroundings) -> EgressPolicy:
    """For the providers' own APIs: anywhere but at PurSight's own parts; a private range where the operator allows it."""
    own = around.own
    ports, hosts = own.ports | {own.state_port}, own.hosts | {own.state_host}
    return EgressPolicy(
        location="hybrid", local=around.local, private=around.private, own_ports=ports, own_hosts=hosts, own_identity=around.own_identity
    )


_steps: ContextVar[Callable[[str, str], None] | None] = ContextVar("steps", default=None)


@contextmanager
def told(listener: Callable[[str, str], None]) -> Iterator[None]:
    """Within, `listener` hears how far a connection has come: the step, and the address where it is known."""
    token = _steps.set(listener)
    try:
        yield
    finally:
        _steps.reset(token)


def reached(step: str, address: str = "") -> None:
    """Somebody who connects has come so far: `port` (the line is open), `tls` (the handshake is over), `identity` (signed in)."""
    if listener := _steps.get():
        listener(step, address)


_policy: ContextVar[EgressPolicy | None] = ContextVar("egress_policy", default=None)


@contextmanager
def guarded(policy: EgressPolicy) -> Iterator[None]:
    """Within, and in tasks started within, connects obey `policy`. Raises UsageError where the running loop cannot guard."""
    if not isinstance(asyncio.get_running_loop(), GuardedLoop):
        raise UsageError("outgoing connections are not guarded", remedy="Run this service on GuardedLoop.", code="loop_not_guarded")
    token = _policy.set(policy)
    try:
        yield
    finally:
        _policy.reset(token)


def for_operators() -> EgressPolicy | None:
    """The policy for what the current task asks of the operator's own servers; None where it has none at all."""
    policy = _policy.get()
    return EgressPolicy(operators=True, local=policy.local, own_identity=policy.own_identity) if policy else None


@contextmanager
def as_this_machine() -> Iterator[None]:
    """Within, the machine may be asked who it is, if the operator allowed that. For the libraries that sign in to a cloud, and for nothing
    that a tenant has chosen the address of."""
    policy = _policy.get()
    if policy is None or not policy.own_identity:
        yield
        return
    token = _policy.set(replace(policy, identity=WHO_AM_I))
    try:
        yield
    finally:
        _policy.reset(token)


def own_identity_allowed() -> bool:
    """For libraries that connect past the loop: may the current task ask the machine who it is?"""
    policy = _policy.get()
    return policy is None or policy.own_identity


def surroundings_lent() -> bool:
    """May what this process itself signs in with (variables, files, profiles) serve the source at hand? One person's stack lends it."""
    policy = _policy.get()
    return policy is None or policy.own_identity or policy.local


def refusal(address: str, port: int, policy: EgressPolicy) -> str:
    """Why this address must not be dialled; empty where it may."""
    ip = _ip(address)
    if (str(ip), port) in policy.identity:
        return ""
    if policy.operators:
        return "who this machine is, is told only where the operator allows it" if any(_within(ip, net) for net in _METADATA) else ""
    if ip.is_multicast or ip.is_unspecified or ip.is_reserved or any(_within(ip, net) for net in _METADATA) or ip.is_link_local:
        return "link-local, metadata and multicast addresses are never dialled"
    if ip.is_loopback:
        return _loopback(port, policy)
    if port in policy.own_ports and str(ip) in policy.own_hosts:
        return _OWN_PORT
    if ip.is_private or _within(ip, _CGNAT):
        return _private(ip, policy)
    return ""


def _loopback(port: int, policy: EgressPolicy) -> str:
    if not policy.local:
        return "loopback is dialled only by a local stack"
    return _OWN_PORT if port in policy.own_ports else ""


def _private(ip: IPv4Address | IPv6Address, policy: EgressPolicy) -> str:
    if policy.location == "cloud" and not policy.private:
        return "a private address needs location on_prem or hybrid, or the operator's list"
    if policy.private and not any(_within(ip, net) for net in policy.private):
        return "this private range is not on the operator's list"
    return ""


def _within(ip: IPv4Address | IPv6Address, network: Any) -> bool:
    return ip.version == network.version and ip in network


def _plain(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, NAT64), so that no rule is passed by spelling."""
    if not isinstance(ip, IPv6Address):
        return ip
    if _within(ip, _NAT64):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


class GuardedLoop(asyncio.SelectorEventLoop):
    """The standard loop, which asks the current policy before each TCP connect."""

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Raises Failed with `egress_denied` where the policy of the current task forbids the address."""
        if (policy := _policy.get()) and (why := _refused(sock.family, address, policy) or await self._own(address, policy)):
            raise Failed("this address may not be dialled", why=why, remedy="Correct the host, or ask the operator.", code="egress_denied")
        await super().sock_connect(sock, address)
        reached("port", str(address[0]) if isinstance(address, tuple) else "")

    async def _own(self, address: Any, policy: EgressPolicy) -> str:
        """Why not, where this is one of PurSight's own parts, whatever it is called here."""
        if not isinstance(address, tuple) or address[1] not in policy.own_ports or policy.identity:
            return ""
        for host in policy.own_hosts:
            with suppress(OSError, UnicodeError):  # a name that leads nowhere is nobody's address
                found = await self.getaddrinfo(host, address[1], type=socket.SOCK_STREAM)
                if _ip(address[0]) in {_ip(str(each[4][0])) for each in found}:
                    return _OWN_PORT
        return ""


def _ip(address: str) -> IPv4Address | IPv6Address:
    return _plain(ip_address(address.partition("%")[0]))


def _refused(family: int, address: Any, policy: EgressPolicy) -> str:
    if family in (socket.AF_INET, socket.AF_INET6):
        return refusal(address[0], address[1], policy)
    port = str(address).rpartition(".")[2]
    return _loopback(int(port) if port.isdigit() else 0, policy)
