"""Settings of discovery."""

from __future__ import annotations

from pydantic import Field

from shared.settings import ServiceSettings


class DiscoverySettings(ServiceSettings):
    """What discovery needs besides."""

    scans_at_once: int = Field(
        default=2, ge=1, le=32, description="scans that this process works on at the same time, beside one that a person asked for"
    )
    sample_connections: int = Field(
        default=4,
        ge=1,
        le=16,
        description="at most so many connections to one source read samples, beside the one for the catalogue; its pace says how many",
    )
    statement_seconds: float = Field(default=60.0, gt=0, description="a source's statement that takes longer is given up")
    sample_seconds: float = Field(default=10.0, gt=0, description="a sample of a few tables that takes longer is given up")
    connect_seconds: float = Field(default=10.0, gt=0, description="a source that does not answer within this time is unreachable")
    scan_tries: int = Field(default=3, ge=1, description="attempts at a scan whose source went away, before scan.failed is said")
    egress_folders: str = Field(
        default="",
        description="folders of this machine that sources may be, comma separated; empty: any for a local stack, none otherwise",
        examples=["/srv/drop"],
    )
    egress_private: str = Field(
        default="", description="private ranges that sources may be in, comma separated; empty: all", examples=["10.0.0.0/8,192.168.0.0/16"]
    )
