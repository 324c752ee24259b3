"""Shared examples of the tagger's tests: a source, and what compliance said of one of its tables."""

from __future__ import annotations

from typing import Any

from shared.contracts.compliance import ClassCount, ComplianceEvaluated
from shared.contracts.names import encode
from shared.contracts.source import AwsConfig, DataSource

ARN = "arn:aws:rds:eu-central-1:123456789012:db:orders"


def make_source(name: str = "orders", *, arn: str = ARN, endpoint_url: str = "", **changes: Any) -> DataSource:
    cloud = AwsConfig(
        provider="aws",
        region="eu-central-1",
        resource_arn=arn,
        access_key_id="testing",
        secret_access_key_ref="env:TAGGER_TEST_SECRET",
        endpoint_url=endpoint_url,
    )
    fields: dict[str, Any] = {
        "name": name,
        "tenant": "acme",
        "database": "shop",
        "environment": "prod",
        "owner": "data-team@acme.com",
        "location": "cloud",
        "cloud_config": cloud if arn else None,
        "labels": {
            "domain": "sales",
            "data_product": "customer-analytics",
            "cost_center": "data-engineering",
            "project": "customer-analytics",
            "business_tags": "sales,analytics",
            "retention_days": "365",
            "CustomTag": "custom-value",
        },
    }
    return DataSource(**(fields | changes))


def make_evaluated(table: str = "orders", *, spec: DataSource | None = None, **changes: Any) -> ComplianceEvaluated:
    spec = spec or make_source()
    fields: dict[str, Any] = {
        "asset": f"{spec.key}/shop.public.{encode(table)}",
        "source": spec.key,
        "sequence": 1,
        "based_on": 1,
        "scan_id": "scan-1",
        "database": "shop",
        "schema_name": "public",
        "table": table,
        "classes": (
            ClassCount(class_name="email", category="personal", sensitivity="confidential", columns=("email", "email2")),
            ClassCount(class_name="card_pan", category="financial", sensitivity="restricted", columns=("card",)),
            ClassCount(class_name="none", category="", sensitivity="internal", columns=("note",)),
        ),
        "regulations": ("GDPR", "CCPA"),
        "obligations": ("encrypt_at_rest", "erase_on_request"),
        "sensitivity": "restricted",
        "policies": ("gdpr@1.0",),
        "spec": spec,
    }
    return ComplianceEvaluated(**(fields | changes))
