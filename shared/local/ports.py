"""Ports on loopback: free ones to choose, and who sits on one that is taken."""

from __future__ import annotations

import random
import socket

import psutil

from shared.errors import Failed

LOOPBACK = "127.0.0.1"
# Below the range that the kernel hands to outgoing connections, so a port chosen today is not lost to one tomorrow.
CHOICE = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether nobody listens there now. Connections that linger from an earlier run do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` different ports that are free now."""
    chosen = random.SystemRandom().sample(CHOICE, len(CHOICE))
    found = []
    for port in chosen:
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise Failed("No free port on 127.0.0.1", remedy="Stop something that listens there.", code="port_in_use")


def holder(port: int) -> str:
    """Name and pid of the process that listens on `port`, empty where the system does not tell."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and tuple(connection.laddr)[1:] == (port,):
                return f"{psutil.Process(connection.pid).name()}, pid {connection.pid}"
    except (psutil.Error, OSError):
        return ""
    return ""


def port_in_use(port: int, part: str) -> Failed:
    """The error to raise for a port that somebody else holds."""
    who = holder(port)
    return Failed(
        f"Port {port} of {part} is in use",
        why=f"by {who}" if who else "by another program",
        remedy="Stop that program, or move the stack with `pursight up --new-ports`.",
        code="port_in_use",
    )


def require_free(port: int, part: str) -> None:
    """Raises Failed (port_in_use) where somebody listens on `port`."""
    if not is_free(port):
        raise port_in_use(port, part)
