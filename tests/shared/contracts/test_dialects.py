"""Both spellings of every field give the same source; two values for one field give a problem, never the last one."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts.judging.source import judge

BASE: dict[str, Any] = {"name": "crm", "host": "db.example", "database": "shop", "username": "u", "location": "cloud"}

# theirs, ours: each over BASE
PAIRS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"source_type": "PostgreSQL"}, {"engine": "postgresql"}),
    ({"type": "Maria"}, {"engine": "mariadb"}),
    ({"tenant_id": "acme"}, {"tenant": "acme"}),
    ({"location": "HYBRID", "secondary_host": "b"}, {"location": "hybrid", "replica_config": {"secondary": "b"}}),
    ({"ssl_ca": "/a", "ssl_cert": "/c", "ssl_key": "/k"}, {"ssl_config": {"ca": "/a", "cert": "/c", "key": "/k"}}),
    ({"ssl": True}, {"ssl_config": {"mode": "verify-full"}}),
    ({"ssl_ca": "file:/a"}, {"ssl_config": {"ca": "/a"}}),
    ({"ssl_config": {"check_hostname": False, "ca_file": "/a"}}, {"ssl_config": {"mode": "verify-ca", "ca": "/a"}}),
    ({"ssl_config": {"ssl_mode": "VERIFY_IDENTITY", "enabled": True}}, {"ssl_config": {"mode": "verify-full"}}),
    (
        {"cloud_provider": "AWS", "aws_region": "eu-west-1", "use_iam_auth": True},
        {"cloud_config": {"provider": "aws", "region": "eu-west-1", "use_iam_auth": True}},
    ),
    (
        {"cloud_config": {"aws_access_key_id": "A", "aws_secret_access_key": "env:K"}},
        {"cloud_config": {"provider": "aws", "access_key_id": "A", "secret_access_key_ref": "env:K"}},
    ),
    (
        {"connection_properties": {"azure_tenant_id": "t", "azure_client_id": "c", "azure_client_secret": "vault:x"}},
        {"cloud_config": {"provider": "azure", "tenant_id": "t", "client_id": "c", "client_secret_ref": "vault:x"}},
    ),
    (
        {"cloud_provider": "Azure", "connection_properties": {"tenant_id": "t", "client_id": "c", "use_managed_identity": True}},
        {"cloud_config": {"provider": "azure", "tenant_id": "t", "client_id": "c", "use_managed_identity": True}},
    ),
    (
        {"cloud_config": {"gcp": {"project": "p", "service_account_json": "gcp-sm:x"}}},
        {"cloud_config": {"provider": "gcp", "project_id": "p", "service_account_ref": "gcp-sm:x"}},
    ),
    (
        {"replica_config": {"read_replicas": [{"host": "a", "port": 1}, "b"], "max_lag": 5, "readPreference": "primaryPreferred"}},
        {"replica_config": {"replica_members": ["a:1", "b"], "max_lag_seconds": 5, "read_preference": "primary_preferred"}},
    ),
    ({"owner": None, "ssl_config": None}, {}),
]


@pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=lambda pair: next(iter(pair), ""))
def test_both_spellings_mean_the_same(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Equal sources; only the strange spelling is noted, and no note holds a value."""
    read, plain = judge(BASE | theirs), judge(BASE | ours)
    assert (read.problems, plain.problems) == ((), ())
    assert read.spec == plain.spec
    assert not any(" is read as " in note for note in plain.notes)
    if ours:
        assert set(read.notes) - set(plain.notes) or theirs.get("cloud_config")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"hostname": "other"}, "hostname"),
        ({"connection_properties": {"host": "other"}}, "connection_properties.host"),
        ({"tenant": "a", "tenant_id": "b"}, "tenant_id"),
        ({"cloud_provider": "aws", "cloud_config": {"provider": "gcp"}}, "cloud_config.provider"),
        ({"aws_region": "a", "cloud_config": {"provider": "aws", "region": "b"}}, "cloud_config.region"),
        ({"cloud_config": {"provider": "azure", "tenant_id": "a", "azure_tenant_id": "b"}}, "cloud_config.azure_tenant_id"),
        ({"ssl_ca": "/a", "ssl_config": {"ca": "/b"}}, "ssl_config.ca"),
        ({"ssl_config": {"mode": "require", "check_hostname": True}}, "ssl_config.check_hostname"),
        ({"ssl": False, "ssl_config": {"mode": "verify-full"}}, "ssl"),
    ],
)
def test_two_values_for_one_field_are_a_problem(document: dict[str, Any], field: str) -> None:
    """Whichever comes last in the document."""
    for order in (document, dict(reversed(document.items()))):
        found = [problem for problem in judge(BASE | order).problems if problem.code == "contradiction"]
        assert len(found) == 1
        assert found[0].field == field or order is not document


@pytest.mark.parametrize(
    "more", [{"hostname": "db.example"}, {"connection_properties": {"database": "shop"}}, {"db": "shop", "port": "5432"}]
)
def test_the_same_value_twice_is_none(more: dict[str, Any]) -> None:
    """Said twice, meant once."""
    assert judge(BASE | more).spec == judge(BASE).spec


@pytest.mark.parametrize(
    "cloud",
    [
        {"provider": "azure", "role_arn": "r"},
        {"provider": "azure", "aws_region": "r"},
        {"provider": "azure", "aws": {"region": "r"}},
        {"provider": "azure", "profile": "r"},
    ],
)
def test_a_block_of_another_cloud_names_both(cloud: dict[str, Any]) -> None:
    """An AWS field in an Azure source."""
    found = [problem for problem in judge({**BASE, "cloud_config": cloud}).problems if problem.code == "wrong_provider"]
    assert found
    assert all("aws" in problem.message and "azure" in problem.message for problem in found)


@pytest.mark.parametrize(
    ("document", "spec"),
    [
        ({"name": "l", "engine": "s3", "bucket": "b", "prefix": "p/"}, {"database": "b", "path": "p/", "location": "cloud", "port": 443}),
        ({"name": "l", "engine": "folder", "directory": "/srv"}, {"database": "l", "path": "/srv", "location": "on_prem", "port": 0}),
        (
            {"name": "l", "engine": "azure_blob", "container": "c", "storage_account": "a"},
            {"database": "c", "location": "cloud", "cloud_provider": "azure"},
        ),
        ({"name": "l", "engine": "s3", "bucket": "b", "host": "minio.house"}, {"location": "on_prem", "host": "minio.house"}),
        ({"name": "m", "engine": "mysql", "database": "d"}, {"host": "localhost", "port": 3306}),
        ({"name": "m", "engine": "mongodb", "database": "d"}, {"port": 27017}),
        ({"name": "r", "database": "d", "host": "x.y.eu-west-1.rds.amazonaws.com"}, {"location": "cloud", "cloud_provider": "aws"}),
    ],
)
def test_what_follows_without_a_doubt_is_filled_in(document: dict[str, Any], spec: dict[str, Any]) -> None:
    """Ports, the place in a store, the cloud that a store or a managed host belongs to."""
    judged = judge(document)
    assert judged.spec, judged.problems
    assert {field: getattr(judged.spec, field) for field in spec} == spec


def test_a_bucket_of_a_server_is_unknown() -> None:
    """A spelling that belongs to another engine is not read as something else."""
    assert {(p.field, p.code) for p in judge({**BASE, "bucket": "b"}).problems} == {("bucket", "unknown_field")}


def test_a_second_endpoint_may_have_its_port_beside_it() -> None:
    """As the first one has; anything else that its container holds is unknown, and read as nothing."""
    at = {"name": "crm", "host": "a.example", "database": "shop", "location": "hybrid"}
    second = {"secondary_host": "b.example", "secondary_port": 5433}
    for document in ({**at, **second}, {**at, "additional_properties": second}, {**at, "replica_config": second}):
        spec = judge(document).spec
        assert spec
        assert spec.replica_config.secondary == "b.example:5433"
    judged = judge({**at, "additional_properties": {**second, "keepalives_idle": 30}})
    assert [(each.field, each.code) for each in judged.problems] == [("additional_properties.keepalives_idle", "unknown_field")]
    assert not any("keepalives_idle" in note for note in judged.notes)
