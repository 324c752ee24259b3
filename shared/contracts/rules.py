"""Versioned rules, and contracts that owners declare."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from shared.contracts.base import AssetKey, Contract, Name, SourceKey
from shared.contracts.source import Problem


class ValuePattern(Contract):
    """A form of values that people wrote. `name` is how evidence tells of it."""

    name: str = Field(pattern="^own_[a-z][a-z0-9_]*$", max_length=67)
    pattern: str = Field(max_length=200)


class RulesetPublished(Contract):
    """Rules of classification as they stand now."""

    name: Name
    version: str
    digest: str
    rules: int = Field(ge=0)
    classes: tuple[str, ...] = ()
    patterns: tuple[ValuePattern, ...] = Field(default=(), description="what discovery looks for in values besides its own detectors")


class PolicyControl(Contract):
    """What is the same of a control wherever it is judged."""

    control: str = Field(examples=["pci-dss:3.5.1"], description="framework:official id")
    title: str
    severity: str
    remedy: str
    facts: tuple[str, ...] = Field(default=(), description="names of the facts it reads")


class PolicyPublished(Contract):
    """A pack of controls as it stands now."""

    name: Name
    version: str
    digest: str
    framework: str
    controls: tuple[str, ...] = ()
    texts: tuple[PolicyControl, ...] = Field(default=(), description="one for each of the controls")


class ContractPublished(Contract):
    """An asset's data contract, in ODCS or its simple form. Any object is taken; one that is no contract is answered contract.rejected."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def document(self) -> dict[str, Any]:
        """The contract as it came."""
        return dict(self.__pydantic_extra__ or {})


class ContractRejected(Contract):
    """The contract was understood and refused: every problem, by field. What was published before still holds."""

    contract: str = Field(examples=["acme/orders"])
    problems: tuple[Problem, ...] = Field(min_length=1)
    request_id: str = Field(default="", description="id of the event that published it")


class ContractFinding(Contract):
    """One thing that the data shows and the contract does not say."""

    code: str = Field(
        examples=["column_undeclared", "category_undeclared", "sensitivity_too_low", "regulation_undeclared", "encryption_undeclared"]
    )
    column: str = ""
    declared: str = ""
    detected: str
    path: str = Field(description="where the contract could say it", examples=["schema.0.properties.3"])
    remedy: str = ""


class ContractCompared(Contract):
    """What scans found in one asset beyond its contract; no finding: the contract says it all."""

    asset: AssetKey
    source: SourceKey
    contract: str = Field(examples=["acme/orders"])
    sequence: int = Field(ge=1)
    findings: tuple[ContractFinding, ...] = ()
