"""What a source may not say: every row of the table is broken by a document here, and all are told at once."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts.judging.rules import RULES
from shared.contracts.judging.source import judge

SERVER = {"name": "crm", "host": "db.example", "database": "shop"}
CLOUD = {**SERVER, "location": "cloud", "username": "reader"}
AWS = {"provider": "aws", "region": "eu-central-1"}
AZURE = {"provider": "azure"}
GCP = {"provider": "gcp"}
ROLE = "arn:aws:iam::123456789012:role/reader"
REPLICA = {**SERVER, "location": "hybrid"}

# document, field of the problem, a piece of its words
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({**SERVER, "host": ""}, "host", "required"),
    ({**SERVER, "host": "db.example:5432/shop"}, "host", "one host name"),
    ({**SERVER, "host": "a.example,b.example"}, "host", "one host name"),
    ({**SERVER, "port": 0}, "port", "not a port"),
    ({"name": "f", "engine": "folder"}, "path", "has a path"),
    ({"name": "f", "engine": "folder", "path": "here/below"}, "path", "absolute"),
    ({"name": "f", "engine": "folder", "path": "/srv/../etc"}, "path", "absolute"),
    ({"name": "f", "engine": "folder", "path": "/srv", "location": "cloud"}, "location", "this machine"),
    ({"name": "s", "engine": "s3", "database": "lake", "location": "hybrid"}, "location", "no second endpoint"),
    ({**SERVER, "host": "x.y.eu-west-1.rds.amazonaws.com", "location": "on_prem"}, "location", "managed database"),
    ({**SERVER, "username": "u", "location": "on_prem", "cloud_config": {**AWS, "use_iam_auth": True}}, "location", "identity"),
    ({**CLOUD, "host": "x.mysql.database.azure.com", "cloud_config": AWS}, "cloud_config.provider", "whose managed"),
    (
        {"name": "s", "engine": "gcs", "database": "lake", "location": "cloud", "cloud_config": AWS},
        "cloud_config.provider",
        "kind of store",
    ),
    ({"name": "s", "engine": "azure_blob", "database": "lake"}, "cloud_config.storage_account", "belongs to a storage account"),
    (
        {"name": "s", "engine": "azure_blob", "database": "lake", "cloud_config": {**AZURE, "storage_account": "evil.example/#"}},
        "cloud_config.storage_account",
        "name",
    ),
    ({"name": "s", "engine": "azure_blob", "database": "../x", "storage_account": "acme"}, "database", "container"),
    ({"name": "s", "engine": "s3", "database": "evil#"}, "database", "bucket"),
    ({"name": "s", "engine": "s3", "database": "evil.example/"}, "database", "bucket"),
    ({"name": "s", "engine": "gcs", "database": "a..b"}, "database", "bucket"),
    (
        {"name": "s", "engine": "s3", "database": "lake", "cloud_config": {"provider": "aws", "region": "x@evil.example/#"}},
        "cloud_config.region",
        "region",
    ),
    ({**CLOUD, "cloud_config": {"provider": "aws", "region": "../../x"}}, "cloud_config.region", "region"),
    ({**CLOUD, "cloud_config": {"provider": "azure", "region": "west/europe"}}, "cloud_config.region", "region"),
    ({**CLOUD, "password_secret": "env:P", "cloud_config": {**AWS, "use_iam_auth": True}}, "password_secret", "both"),
    ({**SERVER, "location": "cloud", "cloud_config": {**AZURE, "use_managed_identity": True}}, "username", "database user"),
    ({**CLOUD, "cloud_config": {**AWS, "access_key_id": "AK"}}, "cloud_config.secret_access_key_ref", "belongs to"),
    ({**CLOUD, "cloud_config": {**AWS, "secret_access_key_ref": "env:K"}}, "cloud_config.access_key_id", "belongs to"),
    ({**CLOUD, "cloud_config": {**AWS, "session_token_ref": "env:K"}}, "cloud_config.session_token_ref", "temporary"),
    (
        {**CLOUD, "cloud_config": {**AWS, "profile": "p", "access_key_id": "A", "secret_access_key_ref": "env:K"}},
        "cloud_config.profile",
        "both",
    ),
    (
        {**CLOUD, "cloud_config": {**AWS, "web_identity_token_file": "/t", "role_arn": ROLE, "profile": "p"}},
        "cloud_config.web_identity_token_file",
        "both",
    ),
    ({**CLOUD, "cloud_config": {**AWS, "external_id": "7"}}, "cloud_config.role_arn", "for a role"),
    ({**CLOUD, "cloud_config": {"provider": "aws", "use_iam_auth": True}}, "cloud_config.region", "region"),
    (
        {
            **CLOUD,
            "cloud_config": {**AZURE, "use_managed_identity": True, "use_workload_identity": True, "client_id": "c", "tenant_id": "t"},
        },
        "cloud_config.use_managed_identity",
        "both",
    ),
    (
        {
            **CLOUD,
            "cloud_config": {**AZURE, "use_workload_identity": True, "client_secret_ref": "env:K", "client_id": "c", "tenant_id": "t"},
        },
        "cloud_config.use_workload_identity",
        "both",
    ),
    ({**CLOUD, "cloud_config": {**AZURE, "federated_token_file": "/t"}}, "cloud_config.federated_token_file", "workload"),
    ({**CLOUD, "cloud_config": {**AZURE, "client_secret_ref": "env:K", "tenant_id": "t"}}, "cloud_config.client_id", "names"),
    ({**CLOUD, "cloud_config": {**AZURE, "client_secret_ref": "env:K", "client_id": "t"}}, "cloud_config.tenant_id", "names"),
    (
        {**CLOUD, "cloud_config": {**GCP, "use_workload_identity": True, "service_account_ref": "file:/k"}},
        "cloud_config.use_workload_identity",
        "service account",
    ),
    ({**CLOUD, "cloud_config": {**GCP, "instance": "one"}}, "cloud_config.instance", "project:region:instance"),
    ({**CLOUD, "cloud_config": {**AWS, "use_iam_auth": True}, "ssl_config": {"mode": "require"}}, "ssl_config.mode", "not verified"),
    ({**SERVER, "ssl_config": {"ca": "house.pem"}}, "ssl_config.ca", "absolute path"),
    ({**SERVER, "ssl_config": {"cert": "c.pem", "key": "/k"}}, "ssl_config.cert", "absolute path"),
    ({**SERVER, "ssl_config": {"cert": "vault:c", "key": "MIIEvQIBADANBg"}}, "ssl_config.key", "absolute path"),
    ({**SERVER, "ssl_config": {"cert": "/c"}}, "ssl_config.key", "belongs to"),
    ({**SERVER, "ssl_config": {"key": "/c"}}, "ssl_config.cert", "belongs to"),
    ({**SERVER, "ssl_config": {"mode": "disable", "ca": "/c"}}, "ssl_config.mode", "is off"),
    ({**SERVER, "location": "hybrid"}, "replica_config.secondary", "has a second"),
    ({**SERVER, "replica_config": {"secondary": "b.example"}}, "replica_config.secondary", "only a hybrid"),
    ({**REPLICA, "engine": "mongodb", "srv": True, "replica_config": {"secondary": "b.example"}}, "srv", "names the members already"),
    ({**REPLICA, "replica_config": {"secondary": "DB.example:5432"}}, "replica_config.secondary", "primary itself"),
    ({**REPLICA, "replica_config": {"secondary": "b.example:99999"}}, "replica_config.secondary", "host or host:port"),
    ({**SERVER, "replica_config": {"replica_members": ["a b"]}}, "replica_config.replica_members", "host or host:port"),
    ({**SERVER, "replica_config": {"replica_members": ["a", "A"]}}, "replica_config.replica_members", "twice"),
    ({**SERVER, "replica_config": {"replica_members": [f"m{n}" for n in range(60)]}}, "replica_config.replica_members", "more than 50"),
    ({**SERVER, "engine": "mongodb", "srv": True, "replica_config": {"replica_members": ["a"]}}, "srv", "seed list"),
    *(({**SERVER, "host": host}, "host", "one host name") for host in ("a..b", "..", "-x", "x-.example", "/", "db:5432", "1::2::3", "u@h")),
    ({**CLOUD, "engine": "mongodb", "cloud_config": {**AWS, "use_iam_auth": True}}, "cloud_config", "MongoDB"),
    ({**CLOUD, "engine": "mongodb", "cloud_config": {**AZURE, "use_managed_identity": True}}, "cloud_config", "MongoDB"),
    ({**CLOUD, "engine": "mongodb", "cloud_config": {**GCP, "use_iam_auth": True}}, "cloud_config", "MongoDB"),
    ({**CLOUD, "engine": "mariadb", "cloud_config": {**AZURE, "use_managed_identity": True}}, "cloud_config", "MariaDB"),
    ({**CLOUD, "host": "a.b.us-east-1.rds.amazonaws.com", "cloud_config": AWS}, "cloud_config.region", "host's name"),
    ({**CLOUD, "cloud_config": {**AWS, "role_arn": "not-an-arn"}}, "cloud_config.role_arn", "ARN"),
    (
        {**CLOUD, "cloud_config": {**AWS, "role_arn": ROLE, "web_identity_token_file": "t"}},
        "cloud_config.web_identity_token_file",
        "absolute",
    ),
    (
        {**CLOUD, "cloud_config": {**AWS, "account_id": "9", "resource_arn": "arn:aws:rds:eu-central-1:1:db:crm"}},
        "cloud_config.account_id",
        "resource_arn",
    ),
    (
        {
            **CLOUD,
            "cloud_config": {**AZURE, "use_workload_identity": True, "client_id": "c", "tenant_id": "t", "federated_token_file": "t"},
        },
        "cloud_config.federated_token_file",
        "absolute",
    ),
    ({**CLOUD, "cloud_config": {**AZURE, "client_id": "c", "tenant_id": "t"}}, "cloud_config.client_id", "nothing proves it"),
    ({**CLOUD, "cloud_config": {**AZURE, "storage_account": "acme"}}, "cloud_config.storage_account", "blob container"),
    ({**CLOUD, "cloud_config": {**GCP, "impersonate_service_account": "x"}}, "cloud_config.impersonate_service_account", "mail"),
    ({**CLOUD, "cloud_config": {**GCP, "project_id": "p", "instance": "q:r:i"}}, "cloud_config.project_id", "project of instance"),
    (
        {"name": "s", "engine": "gcs", "database": "lake", "cloud_config": {**GCP, "instance": "p:r:i"}},
        "cloud_config.instance",
        "Cloud SQL",
    ),
    (
        {"name": "s", "engine": "gcs", "database": "lake", "cloud_config": {**GCP, "use_iam_auth": True}},
        "cloud_config.use_iam_auth",
        "store",
    ),
    (
        {"name": "s", "engine": "s3", "database": "lake", "cloud_config": {**AWS, "use_iam_auth": True}},
        "cloud_config.use_iam_auth",
        "store",
    ),
    ({**SERVER, "replica_config": {"replica_members": ["DB.example"]}}, "replica_config.replica_members", "primary or the secondary"),
    (
        {**REPLICA, "replica_config": {"secondary": "b.example", "replica_members": ["b.example:5432"]}},
        "replica_config.replica_members",
        "primary or the secondary",
    ),
    ({**SERVER, "password_secret": "file:relative"}, "password_secret", "reference"),
    ({**SERVER, "labels": {"k": "v" * 300}}, "labels", "255"),
    ({**SERVER, "name": " crm"}, "name", "white space"),
    ({**SERVER, "tenant": "acme "}, "tenant", "white space"),
    ({**SERVER, "name": "名" * 255}, "name", "makes a key"),
]


def test_a_cloud_without_a_name_is_asked_for() -> None:
    """A block whose fields could be of any provider."""
    (problem,) = judge({**CLOUD, "cloud_config": {"region": "r"}}).problems
    assert (problem.field, problem.code, problem.remedy) == ("cloud_config.provider", "missing", "One of aws, azure, gcp.")


@pytest.mark.parametrize(("document", "field", "words"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_a_source_that_contradicts_itself_is_refused(document: dict[str, Any], field: str, words: str) -> None:
    """At the right field, in words that say why, with something to do, and nothing else is said."""
    (problem,) = judge(document).problems
    assert problem.field == field
    assert words in problem.message
    assert problem.remedy


def test_every_rule_is_broken_by_some_document() -> None:
    """No row that cannot be reached, none that nothing here has tried."""
    told = {(problem.field, problem.message) for document, _, _ in CASES for problem in judge(document).problems}
    assert {(rule.field, rule.message) for rule in RULES} <= told


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {**CLOUD, "host": "x.y.eu-central-1.rds.amazonaws.com", "ssl_config": {"mode": "disable"}},
            "WARNING: with ssl_config.mode disable",
        ),
        ({**CLOUD, "cloud_config": AZURE}, "names no identity"),
        ({**CLOUD, "cloud_config": {**AWS, "account_id": "123456789012"}}, "nothing is decided by them"),
        ({**CLOUD, "cloud_config": {**GCP, "project_id": "shop"}}, "nothing is decided by them"),
        ({**CLOUD, "cloud_config": {**AZURE, "use_managed_identity": True, "tenant_id": "t"}}, "not looked at"),
    ],
)
def test_what_is_allowed_and_should_be_known(document: dict[str, Any], words: str) -> None:
    judged = judge(document)
    assert judged.spec
    assert any(words in note for note in judged.notes)


@pytest.mark.parametrize("engine", ["postgresql", "mysql", "mongodb"])
def test_an_ipv6_address_needs_no_brackets(engine: str) -> None:
    """A driver is given the address itself."""
    spec = judge({**SERVER, "engine": engine, "host": "[::1]"}).spec
    assert spec
    assert spec.host == "::1"
    assert judge({**SERVER, "host": "fe80::1%eth0"}).spec


def test_all_is_told_in_one_answer() -> None:
    """Missing, misspelt, impossible, contradictory and secret: none hides another."""
    found = {
        (problem.field, problem.code)
        for problem in judge(
            {
                "engine": "mysql",
                "location": "hybrid",
                "host": "db.example:3306",
                "port": "many",
                "hots": 1,
                "db_password": "hush",
                "pool_size": 0,
                "schedule": "0 0 31 2 *",
                "srv": True,
                "ssl_config": {"mode": "verify", "cert": "/c"},
                "cloud_config": {"provider": "azure", "role_arn": "r", "client_secret": "hush"},
                "description": "a\x07b",
            }
        ).problems
    }
    assert found == {
        ("name", "missing"),
        ("database", "missing"),
        ("username", "missing"),
        ("host", "invalid"),
        ("port", "invalid"),
        ("hots", "unknown_field"),
        ("db_password", "secret_in_document"),
        ("pool_size", "invalid"),
        ("schedule", "not_a_schedule"),
        ("srv", "not_for_engine"),
        ("ssl_config.mode", "invalid"),
        ("ssl_config.key", "missing"),
        ("cloud_config.role_arn", "wrong_provider"),
        ("cloud_config.client_secret", "secret_not_a_reference"),
        ("cloud_config.client_id", "missing"),
        ("cloud_config.tenant_id", "missing"),
        ("replica_config.secondary", "missing"),
        ("description", "control_character"),
    }


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (CLOUD, "cloud_provider is not given"),
        ({**SERVER, "cloud_config": AWS}, "location is on_prem"),
        ({**CLOUD, "cloud_config": AWS, "ssl_config": {"mode": "require"}}, "WARNING"),
        ({**SERVER, "ssl_config": {"mode": "require", "ca": "/c"}}, "not looked at"),
        ({**CLOUD, "cloud_config": {**AWS, "access_key_id": "AK", "secret_access_key_ref": "env:K"}}, "lasting key"),
    ],
)
def test_what_is_allowed_but_should_be_known_is_noted(document: dict[str, Any], words: str) -> None:
    """A note, not a refusal."""
    judged = judge(document)
    assert judged.spec
    assert any(words in note for note in judged.notes)
