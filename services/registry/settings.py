"""Settings of the registry."""

from __future__ import annotations

from pydantic import Field

from shared.settings import ServiceSettings


class RegistrySettings(ServiceSettings):
    """What the registry needs besides."""

    schedule_check_seconds: float = Field(default=15.0, gt=0, description="seconds between two looks for scans that are due")
