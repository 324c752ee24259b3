"""What a job and a data contract say about tags, each with the place where they say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.tagger.domain.claims import Claim, Owner, Strength, label_claims, listed, managed, owner_claims
from services.tagger.domain.odcs import Normal
from services.tagger.domain.privacy import handle_of
from services.tagger.domain.vocabulary import FLAGS, SENSITIVITIES, declared_label
from shared.contracts.job import JobConfig
from shared.contracts.judging.contract import CLASSIFIED, custom_value

_UNITS = {1: ("d", "day", "days"), 7: ("w", "week", "weeks"), 30: ("m", "mo", "month", "months"), 365: ("y", "yr", "year", "years")}
DAYS = {word: days for days, words in _UNITS.items() for word in words}


@dataclass(frozen=True, slots=True)
class Where:
    """Where a document came from: a file with its lines, or an event.

    >>> Where("jobs/orders.yaml", {"finops.cost_center": 9}).of("finops.cost_center")
    'jobs/orders.yaml:9 finops.cost_center'
    """

    name: str
    lines: Mapping[str, int] = field(default_factory=dict)

    def of(self, path: str) -> str:
        """The origin of what stands at `path`, with the line of the nearest part that has one."""
        at = path
        while at and at not in self.lines:
            at = at.rpartition(".")[0]
        return f"{self.name}:{self.lines[at]} {path}" if at else f"{self.name} {path}"


def job_claims(job: JobConfig, where: Where, owner: Owner = handle_of) -> Iterator[Claim]:
    """Tags that a job asks for: its identity, who pays, what it runs on, and what it adds freely."""
    yield managed()
    identity = {
        "TenantId": "tenant_id",
        "Environment": "environment",
        "SourceConnector": "source_connector",
        "TargetConnector": "target_connector",
        "Asset": "asset",
    }
    for key, name in identity.items():
        yield Claim(key, getattr(job, name), where.of(name), Strength.IDENTITY)
    finops = {"CostCenter": (job.finops.cost_center,), "Project": (job.finops.project,), "BusinessTags": job.finops.business_tags}
    names = {"CostCenter": "cost_center", "Project": "project", "BusinessTags": "business_tags"}
    for key, values in finops.items():
        yield from (Claim(key, value, where.of(f"finops.{names[key]}"), Strength.JOB) for value in values if value)
    yield from _infrastructure(job, where)
    for name, value in job.infrastructure.metadata.tags.items():
        yield from label_claims(name, value, where.of(f"infrastructure.metadata.tags.{name}"), owner)


def _infrastructure(job: JobConfig, where: Where) -> Iterator[Claim]:
    if "infrastructure" not in job.model_fields_set:
        return
    block = job.infrastructure
    found = {
        "InfraProvider": (block.provider, "provider"),
        "Platform": (block.runtime.platform if block.runtime else "", "runtime.platform"),
        "TerraformWorkspace": (block.terraform.workspace, "terraform.workspace"),
    }
    for key, (value, path) in found.items():
        if value:
            yield Claim(key, value, where.of(f"infrastructure.{path}"), Strength.INFRASTRUCTURE)


def contract_claims(normal: Normal, where: Where, owner: Owner = handle_of, *, part: str = "") -> Iterator[Claim]:
    """Tags that a data contract asks for. What was only filled in to make it valid claims nothing.

    With `part`, the ODCS path of one object, those for this object alone: what is said of the others is left out.
    """
    contract = normal.contract
    for key, name in {"Domain": "domain", "DataProduct": "dataProduct", "Status": "status"}.items():
        if name not in normal.added and isinstance(value := contract.get(name), str) and value:
            yield _claim(normal, where, key, value, name)
    if found := owner_of(contract):
        path, name = found
        yield from owner_claims(name, where.of(normal.origin_of(path)), Strength.CONTRACT, owner)
    for path, word in classifications(contract):
        if part and path.startswith("schema.") and not path.startswith(f"{part}."):
            continue
        yield from _classified(normal, where, path, word)
    yield from _custom(normal, where)
    for number, sla in enumerate(contract.get("slaProperties") or ()):
        if sla.get("property") == "retention" and (days := retention_days(sla)):
            yield _claim(normal, where, "RetentionDays", str(days), f"slaProperties.{number}")


def _claim(normal: Normal, where: Where, key: str, value: str, path: str) -> Claim:
    return Claim(key, value, where.of(normal.origin_of(path)), Strength.CONTRACT)


def owner_of(contract: Mapping[str, Any]) -> tuple[str, str] | None:
    """ODCS path and name of the member who is owner and did not leave."""
    team = contract.get("team")
    members = team if isinstance(team, list) else team.get("members") or () if isinstance(team, dict) else ()
    prefix = "team" if isinstance(team, list) else "team.members"
    for number, member in enumerate(members):
        name = member.get("username") or member.get("name")
        if str(member.get("role", "")).lower() == "owner" and not member.get("dateOut") and isinstance(name, str):
            return f"{prefix}.{number}.username", name
    return None


def classifications(contract: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every word that classifies, with its ODCS path: tags `classification:…` of contract, object and column, and columns' own."""
    yield from _tagged(contract, "tags")
    for number, each in enumerate(contract.get("schema") or ()):
        yield from _tagged(each, f"schema.{number}.tags")
        yield from _columns(each.get("properties") or (), f"schema.{number}.properties")


def _columns(columns: Any, path: str) -> Iterator[tuple[str, str]]:
    for number, column in enumerate(columns):
        yield from column_words(column, f"{path}.{number}")
        yield from _columns(column.get("properties") or (), f"{path}.{number}.properties")


def column_words(column: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """What one column says of itself."""
    if isinstance(word := column.get("classification"), str) and word:
        yield from ((f"{path}.classification", part) for part in listed(word))
    yield from _tagged(column, f"{path}.tags")


def _tagged(part: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for number, tag in enumerate(part.get("tags") or ()):
        if tag.startswith(CLASSIFIED):
            yield f"{path}.{number}", tag.removeprefix(CLASSIFIED)


def _classified(normal: Normal, where: Where, path: str, word: str) -> Iterator[Claim]:
    if word.strip().lower() in SENSITIVITIES:
        yield _claim(normal, where, "Sensitivity", word.strip().lower(), path)
    elif label := declared_label(word):
        yield _claim(normal, where, "DataClassification", label, path)
        if f"Contains{label}" in FLAGS:
            yield _claim(normal, where, f"Contains{label}", "true", path)


_CUSTOM = {
    "regulations": "Regulations",
    "encryptionRequired": "EncryptionRequired",
    "costCenter": "CostCenter",
    "project": "Project",
    "businessTags": "BusinessTags",
}


def _custom(normal: Normal, where: Where) -> Iterator[Claim]:
    for number, each in enumerate(normal.contract.get("customProperties") or ()):
        key = _CUSTOM.get(each.get("property", ""))
        for value in _texts(each.get("value")) if key else ():
            yield _claim(normal, where, str(key), value, f"customProperties.{number}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, str | int | float):
        yield str(value)
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts(each))


def retention_days(sla: Mapping[str, Any]) -> int:
    """A retention in days; 0 where it is none that we can count.

    >>> retention_days({"value": 7, "unit": "y"}), retention_days({"value": "90"})
    (2555, 90)
    """
    factor, value = DAYS.get(str(sla.get("unit") or "d").lower(), 0), sla.get("value")
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value
    return int(number * factor) if isinstance(number, int | float) and not isinstance(number, bool) and 0 < number < 1e6 else 0


def regulations_of(contract: Mapping[str, Any]) -> set[str]:
    """The regulations that a contract names."""
    return set(_texts(custom_value(contract, "regulations")))
