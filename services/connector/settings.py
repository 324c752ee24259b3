"""Settings of the connector."""

from __future__ import annotations

from pydantic import Field

from shared.settings import ServiceSettings


class ConnectorSettings(ServiceSettings):
    """What the connector needs besides."""

    dials_at_once: int = Field(default=4, ge=1, le=64, description="sources that this process dials at the same time")
    connect_seconds: float = Field(default=10.0, gt=0, description="a source that does not answer within this time is unreachable")
    statement_seconds: float = Field(default=30.0, gt=0, description="a statement about the server that takes longer is given up")
    preflight_seconds: float = Field(default=45.0, gt=0, le=50, description="a preflight that takes longer is given up")
    check_seconds: float = Field(default=30.0, gt=0, description="seconds between two looks at a source that can be reached")
    probe_seconds: float = Field(
        default=900.0,
        gt=0,
        description="a look asks no more than whether all is as before; after these seconds one finds out everything anew",
    )
    watch_seconds: float = Field(default=0.75, gt=0, description="seconds between two looks at the active endpoint of a hybrid source")
    watch_patience: float = Field(default=1.0, gt=0, description="seconds after which such a look has failed")
    watch_failures: int = Field(default=3, ge=1, description="failed looks in a row after which the other endpoint takes over")
    egress_folders: str = Field(
        default="",
        description="folders of this machine that sources may be, comma separated; empty: any for a local stack, none otherwise",
        examples=["/srv/drop"],
    )
    egress_private: str = Field(
        default="", description="private ranges that sources may be in, comma separated; empty: all", examples=["10.0.0.0/8,192.168.0.0/16"]
    )
