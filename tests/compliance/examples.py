"""Classified assets for the tests of compliance."""

from __future__ import annotations

from functools import cache

from services.compliance.app import load_rules
from services.compliance.domain.assess import Assessment, Assessor, Wanted
from services.compliance.domain.evaluate import Finding
from services.compliance.domain.policy import Rules
from services.compliance.domain.violations import Standing
from shared.contracts.asset import AssetClassified, ColumnVerdict, Reason
from shared.contracts.connection import Posture
from shared.contracts.source import DataSource

SOURCE = "default/crm"
CATEGORIES = {
    "email": "personal",
    "full_name": "personal",
    "phone": "personal",
    "customer_id": "personal",
    "free_text": "personal",
    "card_pan": "payment",
    "card_cvv": "payment",
    "iban": "payment",
    "diagnosis": "health",
    "religion": "special",
    "password": "secret",
    "password_hash": "secret",
    "company_name": "organisation",
}
INTERNAL, CONFIDENTIAL = {"customer_id"}, {"email", "full_name", "phone", "free_text"}
GOOD = Posture(
    tls_in_transit=True,
    tls_forced=True,
    tls_verified=True,
    password_hash_strong=True,
    logging_connections=True,
    logging_statements=True,
    superuser_used=False,
    read_only_role=True,
    version_supported=True,
    row_security_available=True,
    encrypted_at_rest=True,
    public_access=False,
    backup_retention_days=14,
    multi_zone=True,
    iam_authentication=False,
    lasting_key=False,
    region="eu-central-1",
)
DECLARED = {"retention": "365d", "purpose": "selling"}


@cache
def rules() -> Rules:
    return load_rules()


def column(name: str, class_name: str = "none", *evidence: str, state: str = "", **more: object) -> ColumnVerdict:
    """A column; each `evidence` is a detector that its values fit, one with a minus in front speaks against."""
    sensitivity = "internal" if class_name in INTERNAL else "confidential" if class_name in CONFIDENTIAL else "restricted"
    reasons = tuple(Reason(rule=f"evidence:{name.lstrip('-')}", text="", weight=-3.0 if name.startswith("-") else 3.0) for name in evidence)
    fields: dict[str, object] = {
        "name": name,
        "type": "text",
        "class_name": class_name,
        "category": CATEGORIES.get(class_name, ""),
        "sensitivity": "internal" if class_name == "none" else sensitivity,
        "state": state or ("unclassified" if class_name == "none" else "classified"),
        "reasons": reasons,
        **more,
    }
    return ColumnVerdict.model_validate(fields)


def spec(**more: object) -> DataSource:
    fields: dict[str, object] = {"name": "crm", "database": "shop", "host": "db.example", "environment": "prod", **more}
    return DataSource.model_validate({"owner": "crm-team", "labels": DECLARED, **fields})


def asset(*columns: ColumnVerdict, table: str = "customers", posture: Posture = GOOD, **more: object) -> AssetClassified:
    fields: dict[str, object] = {
        "asset": f"{SOURCE}/shop.public.{table}",
        "source": SOURCE,
        "sequence": 1,
        "based_on": 1,
        "scan_id": "scan-1",
        "database": "shop",
        "schema_name": "public",
        "table": table,
        "rows_estimated": 1000,
        "comment": "people who buy",
        "sampling": "sample",
        "columns": columns,
        "spec": spec(),
        "posture": posture,
        **more,
    }
    return AssetClassified.model_validate(fields)


def assess(event: AssetClassified, standing: dict[str, Standing] | None = None) -> Assessment:
    from datetime import UTC, datetime

    assessor = Assessor(rules())
    wanted = Wanted(event, assessor.view(event.spec, event.posture), standing or {}, 1)
    return assessor.assess_all([wanted], now=datetime(2026, 1, 1, tzinfo=UTC))[0]


def results(event: AssetClassified) -> dict[str, Finding]:
    """What the rules say of the asset, by control."""
    return {result.control: result for result in assess(event).settled.results}
