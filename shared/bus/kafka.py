"""How our settings read in aiokafka's and FastStream's words, and whether a broker answers to them."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from shared.errors import UsageError
from shared.settings import BusSettings

MAX_RECORD_BYTES = 16 * 1024 * 1024  # replays of records larger than any event may be
BATCH_BYTES = 1024 * 1024
_SASL = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


def ssl_context(settings: BusSettings) -> ssl.SSLContext | None:
    """The context that verifies the broker's certificate and name; None where the line is not protected."""
    if settings.security_protocol not in ("SSL", "SASL_SSL"):
        return None
    try:
        return ssl.create_default_context(cafile=settings.ssl_cafile or None)
    except OSError as error:
        raise UsageError(
            "KAFKA_SSL_CAFILE cannot be read", why=type(error).__name__, remedy="Give a PEM file.", code="kafka_cafile"
        ) from error


def client_options(settings: BusSettings, client_id: str) -> dict[str, Any]:
    """Keyword arguments for any aiokafka client. Raises UsageError where no broker is named."""
    if not settings.bootstrap_servers:
        raise UsageError("KAFKA_BOOTSTRAP_SERVERS is not set", remedy="Set it, or run `pursight up`.", code="settings_missing")
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": client_id,
        "security_protocol": settings.security_protocol,
        "ssl_context": ssl_context(settings),
        "retry_backoff_ms": 200,
    }
    if settings.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password.get_secret_value(),
        }
    return options


def security(settings: BusSettings) -> BaseSecurity:
    """The same for FastStream's broker."""
    context = ssl_context(settings)
    if not settings.security_protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=context is not None)
    return _SASL[settings.sasl_mechanism](
        username=settings.sasl_username,
        password=settings.sasl_password.get_secret_value(),
        ssl_context=context,
        use_ssl=context is not None,
    )


def producer_options(settings: BusSettings, client_id: str) -> dict[str, Any]:
    """A producer that is acknowledged by all replicas in sync and does not repeat a batch by itself."""
    return client_options(settings, client_id) | {
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 0,
        "max_batch_size": BATCH_BYTES,
        "max_request_size": MAX_RECORD_BYTES + BATCH_BYTES,
        "request_timeout_ms": 15_000,
    }


async def answers(client: AIOKafkaClient, seconds: float) -> bool:
    """Whether a broker answers now, within so long."""
    try:
        async with asyncio.timeout(seconds):
            await client.fetch_all_metadata()
    except (KafkaError, OSError, TimeoutError):
        return False
    return True
