"""The requirement's worked example, key for key, and the one precedence that settles what several say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.tagger.domain.claims import Owner, as_it_is
from services.tagger.domain.declared import Where, contract_claims
from services.tagger.domain.facts import Fact
from services.tagger.domain.house import House
from services.tagger.domain.job import DerivedJob, derive_job
from services.tagger.domain.odcs import judge_contract
from services.tagger.domain.privacy import handle_of, holds_personal
from services.tagger.gateway.standard import shape
from shared.contracts.judging.job import judge_job
from shared.contracts.tags import Tag

NOW = datetime(2025, 11, 25, 15, 30, tzinfo=UTC)
JOB: dict[str, Any] = {
    "tenant_id": "acme",
    "environment": "prod",
    "source_connector": "postgres",
    "target_connector": "iceberg",
    "asset": "postgres_orders",
    "finops": {"cost_center": "data-engineering", "project": "customer-analytics", "business_tags": ["sales", "analytics"]},
    "infrastructure": {
        "provider": "terraform",
        "terraform": {"workspace": "prod"},
        "runtime": {"platform": "emr"},
        "metadata": {"tags": {"CustomTag": "custom-value"}},
    },
}
ASSET: dict[str, Any] = {
    "domain": "sales",
    "dataProduct": "customer-analytics",
    "team": {"owner": "data-team@acme.com"},
    "compliance": {
        "classification": ["PII", "Financial"],
        "regulations": ["GDPR", "CCPA"],
        "retention_days": 365,
        "security": {"encryption_required": True},
    },
    "finops": {"cost_center": "data-engineering"},
}
EXPECTED = {
    "TenantId": "acme",
    "Environment": "prod",
    "SourceConnector": "postgres",
    "TargetConnector": "iceberg",
    "Asset": "postgres_orders",
    "Domain": "sales",
    "DataProduct": "customer-analytics",
    "Owner": "data-team",  # the handle of data-team@acme.com
    "DataClassification": "PII+Financial",  # a plus, because RDS and EMR refuse commas
    "ContainsPII": "true",
    "ContainsFinancial": "true",
    "Regulations": "CCPA+GDPR",
    "RetentionDays": "365",
    "EncryptionRequired": "true",
    "CostCenter": "data-engineering",
    "Project": "customer-analytics",
    "BusinessTags": "analytics+sales",
    "InfraProvider": "terraform",
    "Platform": "emr",
    "TerraformWorkspace": "prod",
    "ManagedBy": "pursight",
    "CustomTag": "custom-value",
    "LastModified": "2025-11-25T15:30:00Z",
    "CreatedAt": "2025-11-25T15:30:00Z",
}


def derived(
    job: dict[str, Any] = JOB,
    asset: dict[str, Any] | None = ASSET,
    facts: tuple[Fact, ...] = (),
    *,
    before: tuple[Tag, ...] = (),
    now: datetime = NOW,
    owner: Owner = handle_of,
    prefix: str = "",
) -> DerivedJob:
    config = judge_job(job).job
    normal = judge_contract(asset, shape=shape, name="postgres_orders").contract if asset else None
    assert config
    contract = (normal, Where("assets/orders.yaml", {"team.owner": 4, "compliance": 5})) if normal else None
    places = (config, Where("jobs/orders.yaml", {"tenant_id": 1, "finops": 6, "finops.cost_center": 7, "infrastructure": 11}))
    return derive_job(places, contract, facts, before=before, now=now, cause="asked", house=House(holds_personal, owner, prefix))


def values(found: DerivedJob) -> dict[str, str]:
    return {tag.key: tag.value for tag in found.tags}


def test_the_worked_example_key_for_key() -> None:
    """Every key of the requirement, with the safe form where a cloud would refuse the written one."""
    found = derived()
    assert values(found) == EXPECTED
    assert found.conflicts == ()


@pytest.mark.parametrize(
    ("key", "origin"),
    [
        ("TenantId", "jobs/orders.yaml:1 tenant_id"),
        ("CostCenter", "jobs/orders.yaml:7 finops.cost_center"),
        ("BusinessTags", "jobs/orders.yaml:6 finops.business_tags"),
        ("Platform", "jobs/orders.yaml:11 infrastructure.runtime.platform"),
        ("CustomTag", "jobs/orders.yaml:11 infrastructure.metadata.tags.CustomTag"),
        ("Owner", "assets/orders.yaml:4 team.owner"),
        ("ContainsPII", "assets/orders.yaml:5 compliance.classification.0"),
        ("RetentionDays", "assets/orders.yaml:5 compliance.retention_days"),
        ("EncryptionRequired", "assets/orders.yaml:5 compliance.security.encryption_required"),
        ("ManagedBy", "tagger"),
    ],
)
def test_each_tag_knows_where_it_came_from(key: str, origin: str) -> None:
    """File, line and field as somebody wrote them, whatever form they were put into meanwhile."""
    assert {tag.key: tag.origin for tag in derived().tags}[key] == origin


def test_the_job_pays_before_the_contract_and_a_free_tag_comes_last() -> None:
    """The precedence, with each loser told."""
    tags = {"CostCenter": "free", "Platform": "free", "ManagedBy": "terraform", "classification": "Health"}
    job = JOB | {"infrastructure": JOB["infrastructure"] | {"metadata": {"tags": tags}}}
    found = derived(job, ASSET | {"finops": {"cost_center": "contract"}})
    assert (values(found)["CostCenter"], values(found)["Platform"], values(found)["ManagedBy"]) == ("data-engineering", "emr", "pursight")
    assert values(found)["DataClassification"] == "PII+Financial+Health"
    assert {(conflict.key, conflict.reason) for conflict in found.conflicts} == {
        ("CostCenter", "outranked"),
        ("Platform", "outranked"),
        ("ManagedBy", "outranked"),
    }
    assert len([conflict for conflict in found.conflicts if conflict.key == "CostCenter"]) == 2


def test_evidence_adds_to_what_the_contract_declares() -> None:
    """What scans found is in the tags, and the origin says that a scan found it."""
    facts = (Fact("category", "Health", "compliance.evaluated:acme/crm/a.b.c#d class icd10"), Fact("sensitivity", "restricted", "x"))
    found = derived(facts=facts)
    assert values(found)["DataClassification"] == "PII+Financial+Health"
    assert (values(found)["ContainsHealth"], values(found)["Sensitivity"]) == ("true", "restricted")
    assert "compliance.evaluated:" in {tag.key: tag.origin for tag in found.tags}["DataClassification"]


def test_stamps_stay_while_the_content_does() -> None:
    """A run that changes nothing leaves every byte as it was."""
    first = derived()
    again = derived(before=first.tags, now=NOW + timedelta(days=1))
    assert (again, again.digest) == (first, first.digest)
    later = derived(JOB | {"environment": "dev"}, before=first.tags, now=NOW + timedelta(days=1))
    assert values(later)["LastModified"] == "2025-11-26T15:30:00Z"
    assert values(later)["CreatedAt"] == "2025-11-25T15:30:00Z"


def test_a_mail_is_a_tag_only_where_the_operator_says_so() -> None:
    """The owner alone; any other mail is refused whatever the operator says."""
    job = JOB | {"infrastructure": {"metadata": {"tags": {"contact": "ann@acme.com"}}}}
    found = derived(job, owner=as_it_is)
    assert values(found)["Owner"] == "data-team@acme.com"
    assert "contact" not in values(found)
    assert [conflict.reason for conflict in found.conflicts] == ["personal"]
    assert "ann@acme.com" not in repr(found)


def test_a_job_without_an_infrastructure_block_claims_no_provider() -> None:
    """A default is no statement."""
    job = {key: value for key, value in JOB.items() if key != "infrastructure"}
    assert not {"InfraProvider", "Platform", "TerraformWorkspace", "CustomTag"} & values(derived(job)).keys()


def test_fifty_one_tags_leave_the_least_important_out() -> None:
    """AWS carries fifty; what is left out is told, and it is never one of ours before a free one."""
    tags = {f"Free{number:02d}": "x" for number in range(50)}
    found = derived(JOB | {"infrastructure": JOB["infrastructure"] | {"metadata": {"tags": tags}}}).for_target("emr")
    assert len(found.converted.tags) == 50
    assert len(found.left_out) == 50 + 23 - 50
    assert all(key.startswith("Free") for key in found.left_out)


@pytest.mark.parametrize(
    ("target", "key", "value"),
    [
        ("gcp", "cost_center", "data-engineering"),
        ("gcp", "data_classification", "pii-financial"),
        ("azure", "CostCenter", "data-engineering"),
    ],
)
def test_the_same_set_on_other_clouds(target: str, key: str, value: str) -> None:
    """Converted by the target's rules, and led back by the map."""
    converted = derived().for_target(target).converted
    assert converted.tags[key] == value
    assert converted.origins[key][0] in EXPECTED


def test_a_contract_in_odcs_says_the_same_as_its_simple_form() -> None:
    """Normalising first or reading it straight gives the same claims."""
    simple = judge_contract(ASSET, shape=shape, name="x").contract
    assert simple
    again = judge_contract(simple.contract, shape=shape, name="x").contract
    assert again
    one, two = ([claim._replace(origin="") for claim in contract_claims(each, Where("a"))] for each in (simple, again))
    assert one == two
