"""Who did what, when, to what, with which result; also when it was denied."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.contracts.base import Contract, Known


class AuditRecorded(Contract):
    """One entry for the ledger, which the registry keeps."""

    tenant: str
    actor: str = Field(examples=["token:local", "service:tagger"])
    action: str = Field(examples=["source.register", "tags.apply"])
    object: str
    result: Known[Literal["allowed", "denied", "failed"]]
    detail: str = ""
    service: str = ""
