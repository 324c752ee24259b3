"""Events about rules and what they say of assets."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.contracts.base import AssetKey, Contract, Known, SourceKey
from shared.contracts.source import DataSource

Severity = Known[Literal["low", "medium", "high", "critical"]]


class FactRead(Contract):
    """One fact a control looked at, and what it was: names and counts, never data."""

    name: str = Field(examples=["posture.tls_in_transit"])
    value: str = Field(examples=["false"])


class ControlResult(Contract):
    """One control on one asset. `unknown` means a fact was missing; it is neither a violation nor a pass.

    Title, remedy and the names of the facts it reads are the control's own: they stand once in policy.published.
    """

    control: str = Field(examples=["pci-dss:3.5.1"], description="framework:official id")
    framework: str = Field(examples=["PCI DSS 4.0"])
    result: Known[Literal["pass", "fail", "unknown", "waived", "not_applicable"]]
    severity: Severity = "medium"
    violation: str = Field(default="", description="id of the violation where it fails or is waived")
    message: str = Field(default="", description="what is wrong here, where it fails or is waived")
    columns: tuple[str, ...] = ()
    reads: tuple[str, ...] = Field(default=(), description="names of the facts behind a fail; what they were stands in the event's `facts`")
    missing: tuple[str, ...] = Field(default=(), description="facts that would settle an unknown")


class MissingFact(Contract):
    """A fact that is not known of one asset, told once for all controls that ask for it."""

    name: str = Field(examples=["source.owner"])
    says: str = Field(examples=["who answers for this source"], description="completes: it is not known …")
    remedy: str = ""
    declare: str = Field(default="", examples=["labels.retention"], description="field of the source's document that would tell it")


class ClassCount(Contract):
    """The columns of one asset that hold one class."""

    class_name: str
    category: str
    sensitivity: str
    columns: tuple[str, ...]


class ComplianceEvaluated(Contract):
    """Every control that applies to one asset has a result; the classes are rolled up for the tags."""

    asset: AssetKey
    source: SourceKey
    sequence: int = Field(ge=1)
    based_on: int = Field(ge=1, description="sequence of the AssetClassified that was judged")
    scan_id: str
    database: str
    schema_name: str
    table: str
    controls: tuple[ControlResult, ...] = ()
    facts: dict[str, str] = Field(default_factory=dict, description="every fact that these controls read, and what it was")
    missing: tuple[MissingFact, ...] = Field(default=(), description="what was not known, and who could tell")
    classes: tuple[ClassCount, ...] = ()
    regulations: tuple[str, ...] = Field(default=(), description="regulations that apply to what the asset holds")
    obligations: tuple[str, ...] = Field(default=(), examples=[("encrypt_at_rest", "erase_on_request")])
    sensitivity: Known[Literal["public", "internal", "confidential", "restricted"]] = "internal"
    risk: int = Field(default=0, ge=0, le=100)
    policies: tuple[str, ...] = Field(default=(), description="name@version of the packs that judged")
    truncated: bool = False
    spec: DataSource


class ViolationOpened(Contract):
    """A control failed on an asset that had passed, or was new."""

    violation: str = Field(description="stable id of control and asset")
    asset: AssetKey
    source: SourceKey
    scan_id: str
    control: str
    framework: str
    title: str
    severity: Severity
    message: str
    remedy: str
    facts: tuple[FactRead, ...] = ()
    columns: tuple[str, ...] = ()


class ViolationResolved(Contract):
    """An open violation holds no longer."""

    violation: str
    asset: AssetKey
    source: SourceKey
    scan_id: str = ""
    control: str
    reason: Known[Literal["passes_now", "asset_removed", "not_applicable", "unknown_now"]] = "passes_now"


class ViolationWaived(Contract):
    """A person takes the risk of an open violation until a date."""

    violation: str
    asset: AssetKey
    control: str
    actor: str
    reason: str
    expires: datetime
