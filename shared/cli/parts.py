"""Broker and database for the commands that talk to them directly: from the environment, else of the local stack."""

from __future__ import annotations

import os

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
