"""Versioned rules, and contracts that owners declare."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from shared.contracts.base import Contract, Name


class RulesetPublished(Contract):
    """Rules of classification as they stand now."""

    name: Name
    version: str
    digest: str
    rules: int = Field(ge=0)
    classes: tuple[str, ...] = ()


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
    """An ODCS data contract from upstream; any object is taken."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: Name
    tenant: Name = "default"
