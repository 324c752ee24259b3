"""Who did what, when, to what, with which result; also when it was denied."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.contracts.base import Contract, Known


class AuditRecorded(Contract):
    """One entry for the ledger, which the registry keeps. `action` is a permission, or a command of an operator's shell."""

    tenant: str
    actor: str = Field(examples=["token:local", "person:7f3a (eva)", "machine:ci", "service:tagger", "event:upstream"])
    action: str = Field(examples=["source.create", "tags.apply"])
    object: str
    result: Known[Literal["allowed", "denied", "failed"]]
    detail: str = ""
    service: str = ""


class AuditAnchored(Contract):
    """How far a tenant's ledger has come, said outside the database that holds it: what is missing or different there shows."""

    tenant: str
    number: int = Field(ge=1, description="of the newest entry")
    hash: str = Field(description="of that entry; it covers all before it")
