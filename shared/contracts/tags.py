"""Events about tags: derived from evidence, applied to resources, failed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from shared.contracts.base import Contract, Known
from shared.contracts.source import Problem

OfSource = Annotated[str, Field(max_length=2048, description="tenant/source; empty where jobs alone call for the tags")]
OfJob = Annotated[str, Field(max_length=2048, description="tenant/asset of a job that calls for the tags, the first by name; empty: none")]


class JobSubmitted(Contract):
    """A request: a job's configuration with its infrastructure block. Any object is taken; the tagger keeps it, or answers job.rejected."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def document(self) -> dict[str, Any]:
        """The request as it came."""
        return dict(self.__pydantic_extra__ or {})


class JobRejected(Contract):
    """The job was understood and refused: every problem, by field."""

    job: str = Field(examples=["acme/postgres_orders"])
    problems: tuple[Problem, ...] = Field(min_length=1)
    request_id: str = Field(default="", description="id of the event that asked")


class Tag(Contract):
    """One tag and where it came from."""

    key: str = Field(min_length=1, max_length=512, examples=["DataClassification"])
    value: str = Field(max_length=4096, examples=["PII:Financial"])
    origin: str = Field(description="what caused it", examples=["compliance.evaluated:orders#card_number", "source:owner"])


class TagsDerived(Contract):
    """The tags one target must carry. Target is asset:…, resource:…, or job:… for all that a job runs on."""

    target: str = Field(examples=["default/asset:crm/shop.public.customers"])
    source: OfSource = ""
    job: OfJob = ""
    asset: str = Field(default="", description="the asset's key where the target is an asset")
    resource: str = Field(default="", description="ARN or id where the target is a resource")
    provider: Known[Literal["", "aws", "azure", "gcp", "kubernetes"]] = ""
    sequence: int = Field(ge=1)
    based_on: int = Field(default=0, ge=0)
    scan_id: str = ""
    tags: tuple[Tag, ...] = ()
    removed_keys: tuple[str, ...] = ()
    digest: str = Field(description="sha256 over keys and values; equal means unchanged")
    trace_id: str = ""


class TagsApplied(Contract):
    """The resource carries the tags, read back after the write; or nobody is to write them there, and why."""

    target: str
    source: OfSource = ""
    job: OfJob = ""
    resource: str
    provider: str
    sequence: int = Field(ge=1)
    scan_id: str = ""
    outcome: Known[Literal["applied", "unchanged", "skipped"]]
    written: tuple[str, ...] = Field(default=(), description="keys that were set or changed")
    removed: tuple[str, ...] = ()
    kept: int = Field(default=0, ge=0, description="tags of others, left alone")
    drifted: tuple[str, ...] = Field(default=(), description="keys of ours that somebody had changed or taken away; written again")
    held: tuple[str, ...] = Field(default=(), description="keys that others hold with another value, left alone")
    left_out: tuple[str, ...] = Field(default=(), description="keys that the resource has no room for")
    digest: str = ""
    code: str = Field(default="", description="of `skipped`: why, for machines")
    cause: str = ""
    remedy: str = ""


class TagsFailed(Contract):
    """The tags could not be applied, or somebody else's stand where ours should; `remedy` says what helps."""

    target: str
    source: OfSource = ""
    job: OfJob = ""
    resource: str
    provider: str
    sequence: int = Field(ge=1)
    scan_id: str = ""
    code: str
    cause: str
    remedy: str = ""
    drifted: tuple[str, ...] = Field(default=(), description="keys of ours that somebody changed and that were not written again")
    attempts: int = Field(default=1, ge=1)
    will_retry: bool = False
