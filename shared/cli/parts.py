"""Broker and database for the commands that talk to them directly: from the environment, else of the local stack."""

from __future__ import annotations

import os
import pwd

from shared.contracts.names import DEFAULT_TENANT
from shared.errors import UsageError
from shared.local.stack import Running, Stack
from shared.settings import BusSettings, ServiceSettings


def running() -> Running:
    """The local stack that is up. Raises UsageError where none is."""
    stack = Stack(ServiceSettings().home)
    if stack.home.load().supervised() is None:
        raise UsageError("the stack is not running", remedy="Start it with `pursight up`.", code="not_running")
    return stack.running()


def bus_settings() -> BusSettings:
    """How to reach Kafka. Raises UsageError where neither the environment nor a running stack says."""
    found = BusSettings()
    return found if found.bootstrap_servers else found.model_copy(update={"bootstrap_servers": running().bootstrap})


def database_url() -> str:
    """PostgreSQL that holds the services' state. Raises UsageError where neither the environment nor a running stack says."""
    return os.environ.get("PURSIGHT_DATABASE_URL") or running().database_url


def operator() -> str:
    """Who runs this shell, for the ledger: they reach database and broker themselves, so nobody asks for a permission."""
    try:
        return f"operator:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"operator:{os.getuid()}"


async def audit(settings: BusSettings, action: str, target: str, detail: str = "") -> None:
    """Say for the ledger what the operator did at the broker or in the database. Raises Transient where no broker answers."""
    from shared.bus.edge import Publisher
    from shared.contracts.audit import AuditRecorded

    entry = AuditRecorded(
        tenant=DEFAULT_TENANT, actor=operator(), action=action, object=target, result="allowed", detail=detail, service="cli"
    )
    async with Publisher.open(settings) as publisher:
        await publisher.publish(entry, key=DEFAULT_TENANT)
