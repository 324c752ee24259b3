"""Who says what about a tag. Several may claim one key; `plan` settles it by the strength of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from services.tagger.domain.facts import Fact
from services.tagger.domain.privacy import handle_of
from services.tagger.domain.vocabulary import LISTS, MANAGED_BY, known_key
from shared.contracts.names import AssetName
from shared.contracts.source import DataSource


class Strength(IntEnum):
    """The precedence, strongest first. What is stronger wins; the loser is reported, never silently overwritten."""

    GOVERNANCE = 0  # ours: ManagedBy, trace, time stamps
    IDENTITY = 1  # fields of the registered source
    EVIDENCE = 2  # what scans found and compliance judged
    DECLARED = 3  # labels of the source


class Claim(NamedTuple):
    key: str
    value: str
    origin: str
    strength: Strength


def evidence_claims(facts: Iterable[Fact]) -> Iterator[Claim]:
    """Tags that the data itself calls for. Absence is no claim: a flag is `true` or not there."""
    for fact in facts:
        for key, value in _tags_of_fact(fact):
            yield Claim(key, value, _counted(fact), Strength.EVIDENCE)


def _tags_of_fact(fact: Fact) -> Iterator[tuple[str, str]]:
    if fact.kind == "category":
        yield "DataClassification", fact.value
        yield f"Contains{fact.value}", "true"
    elif fact.kind == "sensitivity":
        yield "Sensitivity", fact.value
    elif fact.kind == "regulation":
        yield "Regulations", fact.value
    elif fact.kind == "obligation" and fact.value.startswith("encrypt"):
        yield "EncryptionRequired", "true"


def _counted(fact: Fact) -> str:
    return fact.origin + (f" and {fact.assets - 1} more assets" if fact.assets > 1 else "")


def source_claims(spec: DataSource) -> Iterator[Claim]:
    """Tags that the registered source declares: its fields, then its labels."""
    fields = (
        ("TenantId", spec.tenant, "source:tenant"),
        ("Environment", spec.environment, "source:environment"),
        ("SourceConnector", spec.engine, "source:engine"),
        ("Owner", handle_of(spec.owner), "source:owner"),
    )
    yield Claim("ManagedBy", MANAGED_BY, "tagger", Strength.GOVERNANCE)
    yield from (Claim(key, value, origin, Strength.IDENTITY) for key, value, origin in fields if value)
    for label, value in spec.labels.items():
        yield from _label_claims(label, value)


def _label_claims(label: str, value: str) -> Iterator[Claim]:
    key, origin = known_key(label) or label, f"source:labels.{label}"
    if key == "Owner":
        value = handle_of(value)
    for part in _listed(value) if key in LISTS else (value,):
        yield Claim(key, part, origin, Strength.DECLARED)


def _listed(value: str) -> Iterator[str]:
    """`sales,analytics`, `sales+analytics` and `sales; analytics` are the same list."""
    for separator in ",;|":
        value = value.replace(separator, "+")
    yield from (part.strip() for part in value.split("+") if part.strip())


def asset_claims(asset: str) -> Iterator[Claim]:
    """The asset's own name, `schema.table`."""
    name = AssetName.parse(asset)
    yield Claim("Asset", f"{name.schema}.{name.table}", "asset", Strength.IDENTITY)
