"""Settings of the tagger."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.tagger.domain.claims import as_it_is
from services.tagger.domain.house import House
from services.tagger.domain.privacy import handle_of, holds_personal
from services.tagger.gateway.policies import load_policy
from shared.settings import ServiceSettings


class HouseSettings(BaseSettings):
    """The operator's decisions about tags, which hold for the service and for `pursight run` and `pursight cost` alike."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="PURSIGHT_", populate_by_name=True)

    owner_mail: bool = Field(default=False, description="whether an owner's mail address may be a tag as it is; else it becomes a handle")
    tag_prefix: str = Field(
        default="", pattern=r"^([a-z][a-z0-9]{0,14})?$", description="how all our keys on resources begin; empty: as they are"
    )
    tag_drift: Literal["restore", "raise"] = Field(
        default="restore", description="what is done where somebody changed a tag of ours: put it back, or only say so"
    )

    tag_policy: str = Field(
        default="",
        description="file with the tags that a job must have, each with the values that it may have; empty: none",
        examples=["/etc/pursight/tags.yaml"],
    )

    def house(self) -> House:
        """As the domain takes them. Raises UsageError where the policy's file is wrong."""
        owner = as_it_is if self.owner_mail else handle_of
        return House(holds_personal, owner, self.tag_prefix, self.tag_drift, load_policy(self.tag_policy))


class TaggerSettings(HouseSettings, ServiceSettings):
    """What the tagger needs besides."""

    aws_endpoints: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="addresses that a source may name instead of AWS's own, comma separated",
        examples=["http://127.0.0.1:5000"],
    )
    egress_private: str = Field(
        default="", description="private ranges that cloud APIs may be in, comma separated; empty: all", examples=["10.0.0.0/8"]
    )
    job_clouds: str = Field(
        default="",
        description="file that says in which clouds and as whom the resources of jobs are tagged; empty: a local stack as who runs it",
        examples=["/etc/pursight/clouds.yaml"],
    )
    drift_look_seconds: float = Field(default=3600.0, gt=0, description="after how long a resource with tags of ours is looked at again")
    apply_concurrency: int = Field(default=8, ge=1, le=64, description="cloud resources that are written at the same time")
    scan_wait_seconds: float = Field(
        default=300.0, gt=0, description="how long a completed scan waits for assets that are not derived before its resource is tagged"
    )
    overdue_check_seconds: float = Field(default=5.0, gt=0, description="seconds between two looks for scans that waited too long")

    @field_validator("aws_endpoints", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return frozenset(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
