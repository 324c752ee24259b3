"""Settings of the connector."""

from __future__ import annotations

from pydantic import Field

from shared.settings import ServiceSettings


class ConnectorSettings(ServiceSettings):
    """What the connector needs besides."""

    dials_at_once: int = Field(default=4, ge=1, le=64, description="sources that this process dials at the same time")
    connect_seconds: float = Field(default=10.0, gt=0, description="a source that does not answer within this time is unreachable")
    statement_seconds: float = Field(default=30.0, gt=0, description="a statement about the server that takes longer is given up")
    check_seconds: float = Field(default=60.0, gt=0, description="seconds between two looks at a source that can be reached")
    egress_private: str = Field(
        default="", description="private ranges that sources may be in, comma separated; empty: all", examples=["10.0.0.0/8,192.168.0.0/16"]
    )
