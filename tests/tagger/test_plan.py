"""The tag set: the worked example of requirement document 002, and the laws of the precedence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.tagger.domain.claims import Claim, Strength, asset_claims, evidence_claims, source_claims
from services.tagger.domain.facts import Fact, facts_of
from services.tagger.domain.plan import Conflict, Plan, declare, digest, plan, stamped
from services.tagger.domain.privacy import handle_of, holds_personal
from services.tagger.domain.vocabulary import category_label
from shared.contracts.compliance import ComplianceEvaluated
from tests.tagger.examples import make_evaluated, make_source

NOW = datetime(2025, 11, 25, 15, 30, tzinfo=UTC)


def plan_of(event: ComplianceEvaluated) -> Plan:
    return plan((*source_claims(event.spec), *asset_claims(event.asset), *evidence_claims(facts_of(event))), personal=holds_personal)


def values(result: Plan) -> dict[str, str]:
    return {tag.key: tag.value for tag in result.tags}


def test_worked_example() -> None:
    """Document 002's example comes out key for key; the comma is a plus, the owner a handle, the product ours."""
    event = make_evaluated()
    tags = stamped(plan_of(event).tags, (), now=NOW, trace_id="ab" * 16, cause="compliance.evaluated")
    assert {tag.key: tag.value for tag in tags} == {
        "TenantId": "acme",
        "Environment": "prod",
        "SourceConnector": "postgresql",
        "Asset": "public.orders",
        "Domain": "sales",
        "DataProduct": "customer-analytics",
        "Owner": "data-team",
        "DataClassification": "PII+Financial",
        "ContainsPII": "true",
        "ContainsFinancial": "true",
        "Regulations": "CCPA+GDPR",
        "RetentionDays": "365",
        "EncryptionRequired": "true",
        "CostCenter": "data-engineering",
        "Project": "customer-analytics",
        "BusinessTags": "analytics+sales",
        "Sensitivity": "restricted",
        "ManagedBy": "pursight",
        "CustomTag": "custom-value",
        "PurSightTrace": "ab" * 16,
        "LastModified": "2025-11-25T15:30:00Z",
        "CreatedAt": "2025-11-25T15:30:00Z",
    }


def test_each_tag_knows_its_origin() -> None:
    """From a tag one gets back to the event, the column and its class, or to the field of the source."""
    origins = {tag.key: tag.origin for tag in plan_of(make_evaluated()).tags}
    assert origins["ContainsPII"] == "compliance.evaluated:acme/orders/shop.public.orders#email class email and 1 more"
    assert origins["ContainsFinancial"] == "compliance.evaluated:acme/orders/shop.public.orders#card class card_pan"
    assert origins["Owner"] == "source:owner"
    assert origins["CostCenter"] == "source:labels.cost_center"
    assert "gdpr@1.0" in origins["Regulations"]


def test_a_declaration_cannot_hide_what_the_data_shows() -> None:
    """Lists are united, a flag that evidence set stays, the highest sensitivity wins; what lost is reported."""
    spec = make_source(
        labels={"classification": "Secrets", "encryption_required": "false", "sensitivity": "public", "contains_pii": "false"}
    )
    result = plan_of(make_evaluated(spec=spec))
    tags = values(result)
    assert tags["DataClassification"] == "PII+Financial+Secrets"
    assert (tags["EncryptionRequired"], tags["Sensitivity"], tags["ContainsPII"]) == ("true", "restricted", "true")
    assert {conflict.key for conflict in result.conflicts} == {"EncryptionRequired", "Sensitivity", "ContainsPII"}


def test_a_field_outranks_a_label() -> None:
    """The registered field wins, the label is reported, not silently dropped."""
    result = plan_of(make_evaluated(spec=make_source(labels={"Environment": "dev", "ManagedBy": "terraform"})))
    assert (values(result)["Environment"], values(result)["ManagedBy"]) == ("prod", "pursight")
    assert set(result.conflicts) == {
        Conflict("Environment", "source:labels.Environment", "outranked"),
        Conflict("ManagedBy", "source:labels.ManagedBy", "outranked"),
    }


def test_two_sources_on_one_resource_are_listed_together() -> None:
    """Equally strong claims are joined; of retentions the longest wins."""
    two = make_source("crm", environment="dev", labels={"retention_days": "30"}, owner="crm-team")
    tags = values(plan((*source_claims(make_source()), *source_claims(two)), personal=holds_personal))
    assert (tags["Environment"], tags["Owner"], tags["RetentionDays"]) == ("dev+prod", "crm-team+data-team", "365")


@pytest.mark.parametrize(
    ("label", "value", "reason"),
    [
        pytest.param("contact", "anna@acme.com", "personal", id="a mail in a value"),
        pytest.param("anna@acme.com", "x", "personal", id="a mail in a key"),
        pytest.param("contact", "+49 170 1234567", "personal", id="a telephone number"),
        pytest.param("key", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "personal", id="a secret"),
        pytest.param("note", "x" * 5000, "too_long", id="too long"),
        pytest.param("LastModified", "yesterday", "invalid", id="time stamps are ours"),
        pytest.param("encryption_required", "maybe", "invalid", id="a flag is true or false"),
    ],
)
def test_what_may_not_become_a_tag_is_reported(label: str, value: str, reason: str) -> None:
    """It is left out and told, and the telling does not repeat personal text."""
    result = plan_of(make_evaluated(spec=make_source(labels={label: value})))
    assert [conflict.reason for conflict in result.conflicts] == [reason]
    assert "anna@" not in repr(result)


def test_a_number_may_be_a_cost_center() -> None:
    """Codes are numbers in many houses; one that happens to pass a checksum stays."""
    tags = values(plan_of(make_evaluated(spec=make_source(labels={"cost_center": "9434765919"}))))
    assert tags["CostCenter"] == "9434765919"


@pytest.mark.parametrize(
    ("category", "label"),
    [("personal", "PII"), ("payment", "Financial"), ("health", "Health"), ("special", "SpecialCategory"), ("secret", "Secrets")],
)
def test_the_classifiers_categories(category: str, label: str) -> None:
    """Each category of the taxonomy has its word; what says nothing about people or risk has none."""
    assert category_label(category) == label
    assert category_label("organisation") == ""


def test_an_unchanged_content_keeps_its_stamps() -> None:
    """Trace and times change only when the content does; the day of creation never."""
    tags = plan_of(make_evaluated()).tags
    first = stamped(tags, (), now=NOW, trace_id="aa", cause="one")
    again = stamped(tags, first, now=NOW + timedelta(days=1), trace_id="bb", cause="two")
    assert again == first
    changed = stamped(tags[1:], again, now=NOW + timedelta(days=2), trace_id="cc", cause="three")
    stamps = {tag.key: tag.value for tag in changed}
    assert (stamps["PurSightTrace"], stamps["LastModified"]) == ("cc", "2025-11-27T15:30:00Z")
    assert stamps["CreatedAt"] == "2025-11-25T15:30:00Z"
    assert digest(first) == digest(again) != digest(changed)


def test_an_asset_without_findings_says_nothing_about_people() -> None:
    """What was not found is not claimed absent."""
    keys = values(plan_of(make_evaluated(classes=(), regulations=(), obligations=(), sensitivity="internal")))
    assert not [key for key in keys if key.startswith("Contains")]
    assert "DataClassification" not in keys


CLAIMS = st.builds(
    Claim,
    st.sampled_from(["Environment", "DataClassification", "ContainsPII", "Sensitivity", "RetentionDays", "x"]),
    st.sampled_from(["a", "b", "true", "false", "restricted", "public", "30", "365"]),
    st.sampled_from(["one", "two"]),
    st.sampled_from(Strength),
)


@given(st.lists(CLAIMS, max_size=4))
def test_the_order_of_claims_does_not_matter(claims: list[Claim]) -> None:
    """The same claims give the same tags, in whatever order they come."""
    outcomes = {tuple(sorted(values(plan(order, personal=holds_personal)).items())) for order in permutations(claims)}
    assert len(outcomes) == 1


@given(st.lists(CLAIMS, max_size=5), st.lists(CLAIMS, max_size=5))
def test_settling_in_two_steps_changes_nothing(source: list[Claim], asset: list[Claim]) -> None:
    """What is settled once for all assets of a source gives the tags and conflicts of all claims at once."""
    at_once = plan([*source, *asset], personal=holds_personal)
    in_steps = plan(asset, personal=holds_personal, declared=declare(source, personal=holds_personal))
    assert in_steps.tags == at_once.tags
    assert set(in_steps.conflicts) == set(at_once.conflicts)


@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(max_size=5)), max_size=4, unique_by=lambda pair: pair[0]))
def test_digest_tells_sets_apart(pairs: list[tuple[str, str]]) -> None:
    """Equal content gives an equal digest in any order, and moving a letter from key to value another one."""
    from shared.contracts.tags import Tag

    tags = [Tag(key=key, value=value, origin="x") for key, value in pairs]
    assert digest(tags) == digest(reversed(tags))
    if tags and len(tags[0].key) > 1:
        moved = tags[0].model_copy(update={"key": tags[0].key[:-1], "value": tags[0].key[-1] + tags[0].value})
        assert digest([moved, *tags[1:]]) != digest(tags)


@example("000000000@a.ad")
@given(st.emails())
def test_no_mail_survives_as_owner(mail: str) -> None:
    """An owner's address becomes a handle without an address in it."""
    assert not holds_personal(handle_of(mail))
    assert not holds_personal(handle_of(f"Team <{mail}>"))


def test_facts_add_up() -> None:
    """One fact seen in many assets counts them in the origin."""
    tags = plan(evidence_claims([Fact("category", "PII", "compliance.evaluated:a#b class email", 12)]), personal=holds_personal).tags
    assert tags[0].origin == "compliance.evaluated:a#b class email and 11 more assets"
