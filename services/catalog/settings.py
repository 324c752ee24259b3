"""What the catalog's process can be told."""

from __future__ import annotations

from pydantic import Field

from shared.settings import ServiceSettings


class CatalogSettings(ServiceSettings):
    """Settings of the catalog, by environment with the prefix PURSIGHT_."""

    catalog_stuck_after_seconds: float = Field(
        default=60.0, gt=0, description="a scan that nothing was heard of for so long is called stuck; seconds", examples=[60.0]
    )
    catalog_timeline_days: int = Field(default=30, ge=1, description="age at which lines of the timeline are dropped; days", examples=[30])
    catalog_timeline_rows: int = Field(
        default=2_000_000, ge=1_000, description="lines of the timeline that are kept at most; rows", examples=[2_000_000]
    )
