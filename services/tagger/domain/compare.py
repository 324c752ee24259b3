"""What a data contract declares against what scans found: where the data shows more than the contract says, that is a finding.

The reverse is none: a scan that did not find something proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.tagger.domain.declared import classifications, column_words, regulations_of
from services.tagger.domain.odcs import Normal
from services.tagger.domain.vocabulary import SENSITIVITIES, category_label, declared_label
from shared.contracts.compliance import ClassCount, ComplianceEvaluated
from shared.contracts.judging.contract import CLASSIFIED, Part, column_of, custom_value, object_of
from shared.contracts.names import AssetName
from shared.contracts.source import DataSource


@dataclass(frozen=True, slots=True)
class Detected:
    """What one asset holds, as compliance told it last."""

    asset: str
    classes: tuple[ClassCount, ...] = ()
    regulations: tuple[str, ...] = ()
    encrypt: bool = False

    @classmethod
    def of(cls, event: ComplianceEvaluated) -> Detected:
        """Of an evaluated asset."""
        encrypt = any(name.startswith("encrypt") for name in event.obligations)
        return cls(event.asset, event.classes, event.regulations, encrypt)

    @property
    def name(self) -> AssetName:
        return AssetName.parse(self.asset)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the data shows and the contract does not say. `path` is where the contract could say it."""

    code: str  # column_undeclared, category_undeclared, sensitivity_too_low, regulation_undeclared, encryption_undeclared
    asset: str
    column: str
    declared: str
    detected: str
    path: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def describes(contract: Mapping[str, Any], asset: str) -> bool:
    """Has the contract an object of this asset's name?"""
    return part_of(contract, asset) != ""


def part_of(contract: Mapping[str, Any], asset: str) -> str:
    """The ODCS path of the object that describes this asset; empty where there is none."""
    found = object_of(contract, AssetName.parse(asset))
    return found.path if found else ""


def compare(normal: Normal, assets: Iterable[Detected]) -> tuple[Finding, ...]:
    """Every finding on the assets that the contract describes, in their order."""
    found = [(asset, part) for asset in assets if (part := object_of(normal.contract, asset.name))]
    return tuple(finding for asset, part in found for finding in _of_asset(normal, asset, part))


def _of_asset(normal: Normal, asset: Detected, part: Part) -> Iterator[Finding]:
    contract = normal.contract
    whole = {label for path, word in classifications(contract) if not path.startswith("schema.") and (label := declared_label(word))}
    whole |= {label for _, word in column_words({"tags": part.body.get("tags")}) if (label := declared_label(word))}
    for columns in asset.classes:
        for column in columns.columns:
            yield from _of_column(normal, asset, part, columns, column, whole)
    known = {each.casefold() for each in regulations_of(contract)}
    for regulation in asset.regulations:
        if regulation.casefold() not in known:
            yield _finding(
                normal, "regulation_undeclared", asset, "", ", ".join(sorted(regulations_of(contract))), regulation, "customProperties"
            )
    if asset.encrypt and custom_value(contract, "encryptionRequired") is not True:
        yield _finding(normal, "encryption_undeclared", asset, "", "", "encryption is required", "customProperties")


def _of_column(normal: Normal, asset: Detected, part: Part, found: ClassCount, name: str, whole: set[str]) -> Iterator[Finding]:
    label = category_label(found.category)
    if not label and _height(found.sensitivity) <= _height("internal"):
        return
    column = column_of(part, name)
    if column is None:
        told = f"{found.class_name} ({found.sensitivity})"
        yield _finding(normal, "column_undeclared", asset, name, "", told, f"{part.path}.properties")
        return
    path, words = column.path, [word for _, word in column_words(column.body)]
    declared = {label for word in words if (label := declared_label(word))}
    if label and label not in declared | whole:
        yield _finding(normal, "category_undeclared", asset, name, "+".join(sorted(declared | whole)), label, path)
    height = max((_height(word.lower()) for word in words), default=-1)
    if 0 <= height < _height(found.sensitivity):
        yield _finding(normal, "sensitivity_too_low", asset, name, SENSITIVITIES[height], found.sensitivity, path)


def _height(word: str) -> int:
    return SENSITIVITIES.index(word) if word in SENSITIVITIES else -1


_REMEDIES = {
    "column_undeclared": "Describe the column, with its classification.",
    "category_undeclared": "Add the tag classification:{} to the column or the contract.",
    "sensitivity_too_low": "Raise the column's classification to {}.",
    "regulation_undeclared": "Add {} to the custom property regulations.",
    "encryption_undeclared": "Set the custom property encryptionRequired to true.",
}


def _finding(normal: Normal, code: str, asset: Detected, column: str, declared: str, detected: str, path: str) -> Finding:
    return Finding(code, asset.asset, column, declared, detected, normal.origin_of(path), _REMEDIES[code].format(detected))


def detected_contract(spec: DataSource, assets: Sequence[Detected]) -> dict[str, Any]:
    """The detected state of a source as valid ODCS 3.1: every asset, every column that a class was found for."""
    regulations = sorted({name for asset in assets for name in asset.regulations})
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": spec.key,
        "name": spec.name,
        "tenant": spec.tenant,
        "version": "1.0.0",
        "status": "draft",
        "description": {"purpose": "What scans found, as it stands; not what anybody promised."},
        "servers": [{"server": spec.name, "type": "custom", **({"host": spec.host} if spec.host else {}), "database": spec.database}],
        **({"team": {"members": [{"username": spec.owner, "role": "owner"}]}} if spec.owner else {}),
        "schema": [_detected_object(asset) for asset in assets],
        "customProperties": [
            {"property": "source", "value": spec.name},
            {"property": "detected", "value": True},
            {"property": "regulations", "value": regulations},
            {"property": "encryptionRequired", "value": any(asset.encrypt for asset in assets)},
        ],
    }


def _detected_object(asset: Detected) -> dict[str, Any]:
    columns: dict[str, list[ClassCount]] = {}
    for found in asset.classes:
        for column in found.columns:
            columns.setdefault(column, []).append(found)
    name = asset.name
    return {
        "name": name.table,
        "physicalName": f"{name.schema}.{name.table}",
        "properties": [_detected_column(column, found) for column, found in sorted(columns.items())],
    }


def _detected_column(name: str, found: Sequence[ClassCount]) -> dict[str, Any]:
    labels = sorted({label for each in found if (label := category_label(each.category))})
    return {
        "name": name,
        "classification": max((each.sensitivity for each in found), key=_height),
        **({"tags": [f"{CLASSIFIED}{label}" for label in labels]} if labels else {}),
        "customProperties": [{"property": "detectedClass", "value": "+".join(sorted({each.class_name for each in found}))}],
    }
