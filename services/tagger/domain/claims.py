"""Who says what about a tag. Several may claim one key; `plan` settles it by the strength of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
    IDENTITY = 1  # fields of the registered source, or of the job
    EVIDENCE = 2  # what scans found and compliance judged
    JOB = 3  # who pays, as the job says
    CONTRACT = 4  # the asset's data contract
    INFRASTRUCTURE = 5  # provider, platform and workspace of the job
    DECLARED = 6  # labels of the source, tags that the job adds


class Claim(NamedTuple):
    """`cleared`: the operator lets this value out as it is."""

    key: str
    value: str
    origin: str
    strength: Strength
    cleared: bool = False


Owner = Callable[[str], str]


def as_it_is(owner: str) -> str:
    """The owner as declared, mail address and all: for operators who want that."""
    return owner


def owner_claims(owner: str, origin: str, strength: Strength, form: Owner) -> Iterator[Claim]:
    """Who answers for it: a handle, or what the operator lets out."""
    if value := form(owner):
        yield Claim("Owner", value, origin, strength, cleared=form is as_it_is)


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


def source_claims(spec: DataSource, owner: Owner = handle_of) -> Iterator[Claim]:
    """Tags that the registered source declares: its fields, then its labels. `owner` turns a mail address into a handle."""
    fields = (
        ("TenantId", spec.tenant, "source:tenant"),
        ("Environment", spec.environment, "source:environment"),
        ("SourceConnector", spec.engine, "source:engine"),
    )
    yield managed()
    yield from owner_claims(spec.owner, "source:owner", Strength.IDENTITY, owner)
    yield from (Claim(key, value, origin, Strength.IDENTITY) for key, value, origin in fields if value)
    for label, value in spec.labels.items():
        yield from label_claims(label, value, f"source:labels.{label}", owner)


def managed() -> Claim:
    """That the tags are ours."""
    return Claim("ManagedBy", MANAGED_BY, "tagger", Strength.GOVERNANCE)


def label_claims(label: str, value: str, origin: str, owner: Owner = handle_of) -> Iterator[Claim]:
    """What a freely named tag claims: one of our keys where it means one, a list where that key is one."""
    key = known_key(label) or label
    if key == "Owner":
        yield from owner_claims(value, origin, Strength.DECLARED, owner)
        return
    for part in listed(value) if key in LISTS else (value,):
        yield Claim(key, part, origin, Strength.DECLARED)


def listed(value: str) -> Iterator[str]:
    """`sales,analytics`, `sales+analytics` and `sales; analytics` are the same list."""
    for separator in ",;|":
        value = value.replace(separator, "+")
    yield from (part.strip() for part in value.split("+") if part.strip())


def asset_claims(asset: str) -> Iterator[Claim]:
    """The asset's own name, `schema.table`."""
    name = AssetName.parse(asset)
    yield Claim("Asset", name.place, "asset", Strength.IDENTITY)
