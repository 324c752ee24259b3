"""What location, engine and identity lead to, row by row."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from shared.contracts.base import known_words
from shared.contracts.choices import CONNECTING, ENTRIES, IDENTITIES, endpoints, entry, explain, extras, identity, tls
from shared.contracts.engines import ENGINES, ONLY_FOR
from shared.contracts.source import DataSource


def source(**more: Any) -> DataSource:
    return DataSource.model_validate({"name": "x", "database": "d", "host": "h", **more})


def test_the_contract_and_the_table_know_the_same_engines() -> None:
    """One word more in either would be a source that nobody can explain."""
    assert known_words(DataSource)["engine"] == tuple(ENGINES)
    assert {name for names in ONLY_FOR.values() for name in names} <= set(ENGINES)


AWS, AZURE, GCP = ({"provider": name} for name in ("aws", "azure", "gcp"))
KEYS = {"access_key_id": "A", "secret_access_key_ref": "env:K"}


@pytest.mark.parametrize(
    ("cloud", "word"),
    [
        ({**AWS, "web_identity_token_file": "/t", "role_arn": "r"}, "web identity"),
        ({**AWS, **KEYS, "role_arn": "r"}, "role by keys"),
        ({**AWS, "profile": "p", "role_arn": "r"}, "role by profile"),
        ({**AWS, "role_arn": "r"}, "role"),
        ({**AWS, **KEYS}, "keys"),
        ({**AWS, "profile": "p"}, "profile"),
        (AWS, "surroundings"),
        ({**AZURE, "use_workload_identity": True, "client_id": "c"}, "workload identity"),
        ({**AZURE, "use_managed_identity": True, "client_id": "c"}, "user assigned identity"),
        ({**AZURE, "use_managed_identity": True}, "system assigned identity"),
        ({**AZURE, "client_secret_ref": "env:K", "client_id": "c"}, "service principal"),
        (AZURE, ""),
        ({**GCP, "impersonate_service_account": "a@b", "service_account_ref": "env:K"}, "impersonation"),
        ({**GCP, "service_account_ref": "env:K"}, "service account"),
        ({**GCP, "use_workload_identity": True}, "workload identity"),
        (GCP, "surroundings"),
    ],
)
def test_who_we_are_in_a_cloud(cloud: dict[str, Any], word: str) -> None:
    """The first row that holds."""
    assert identity(source(location="cloud", cloud_config=cloud)).word == word


def test_every_identity_is_reached() -> None:
    """The cases above name each row of the table."""
    marks = test_who_we_are_in_a_cloud.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {(cloud["provider"], word) for cloud, word in marks} == {(row.provider, row.word) for row in IDENTITIES}


@pytest.mark.parametrize(
    ("more", "sign_in", "row"),
    [
        ({"engine": "s3", "cloud_config": AWS}, "aws_keys", 0),
        ({"engine": "gcs", "cloud_config": GCP}, "gcp_token", 1),
        ({"engine": "azure_blob", "cloud_config": {**AZURE, "use_managed_identity": True}}, "azure_token", 4),
        ({"cloud_config": {**AWS, "use_iam_auth": True}}, "aws_iam", 2),
        ({"cloud_config": {**GCP, "use_iam_auth": True}}, "gcp_iam", 3),
        ({"cloud_config": {**AZURE, "use_managed_identity": True}}, "azure_token", 4),
        ({"cloud_config": {**AZURE, "client_secret_ref": "env:K", "client_id": "c"}, "password_secret": "env:P"}, "password", 5),
        ({"password_secret": "env:P"}, "password", 5),
        ({"cloud_config": {**AZURE, "client_secret_ref": "env:K", "client_id": "c"}}, "azure_token", 6),
        ({"ssl_config": {"cert": "/c", "key": "/k"}}, "none", 7),
        ({"cloud_config": AZURE}, "none", 8),
    ],
)
def test_how_to_sign_in(more: dict[str, Any], sign_in: str, row: int) -> None:
    """A token where the source says so, else the password, else the identity, else a certificate, else trust."""
    found = entry(source(location="cloud", **more))
    assert (found.sign_in, found) == (sign_in, ENTRIES[row])


@pytest.mark.parametrize(
    ("more", "mode"),
    [
        ({}, "prefer"),
        ({"location": "cloud"}, "verify-full"),
        ({"location": "hybrid"}, "verify-full"),
        ({"ssl_config": {"ca": "/c"}}, "verify-full"),
        ({"location": "cloud", "ssl_config": {"mode": "require"}}, "require"),
        ({"engine": "folder", "path": "/srv"}, "disable"),
    ],
)
def test_tls_follows_the_place_and_the_files(more: dict[str, Any], mode: str) -> None:
    """Outside one's own house, and wherever a TLS file is named, the server proves who it is."""
    assert tls(source(**more))[0] == mode


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"port": 1}, [("single", "h:1")]),
        (
            {"engine": "mysql", "location": "hybrid", "replica_config": {"secondary": "b:2", "replica_members": ["c"]}},
            [("primary", "h:3306"), ("secondary", "b:2"), ("replica", "c")],
        ),
        ({"engine": "mongodb", "srv": True}, [("members", "DNS seed list h")]),
        (
            {
                "engine": "mongodb",
                "location": "hybrid",
                "replica_config": {"secondary": "b:2", "replica_set": "rs", "replica_members": ["c"]},
            },
            [("member", "h:27017"), ("member", "b:2"), ("member", "c")],
        ),
        ({"engine": "folder", "path": "/srv"}, [("folder", "/srv")]),
        ({"engine": "s3", "host": "", "cloud_config": {**AWS, "region": "eu-west-1"}}, [("store", "s3.eu-west-1.amazonaws.com:443")]),
        ({"engine": "s3", "host": "", "cloud_config": AWS}, [("store", "s3.amazonaws.com:443")]),
        (
            {"engine": "azure_blob", "host": "", "cloud_config": {**AZURE, "storage_account": "a"}},
            [("store", "a.blob.core.windows.net:443")],
        ),
        ({"engine": "s3", "host": "minio", "port": 9000}, [("store", "minio:9000")]),
    ],
)
def test_endpoints(more: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Every address, with its role, the first dialled first."""
    assert list(endpoints(source(**more))) == expected


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("location", ["on_prem", "cloud", "hybrid"])
def test_every_engine_at_every_location_is_explained(engine: str, location: str) -> None:
    """A choice and a reason for each, whether or not the combination would be accepted."""
    answers = explain(source(engine=engine, location=location, path="/p"))
    assert all(answer.about and answer.choice and answer.why for answer in answers)
    assert {"connector", "connection", "endpoint", "TLS", "to install"} <= {answer.about for answer in answers}


@pytest.mark.parametrize("more", [{"srv": True}, {"replica_config": {"secondary": "b:2", "replica_set": "rs"}}])
def test_a_hybrid_replica_set_is_not_said_to_be_watched(more: dict[str, Any]) -> None:
    """It elects its primary by itself: nobody fails it over, and nobody says so."""
    answers = explain(source(engine="mongodb", location="hybrid", **more))
    assert {answer.choice for answer in answers if answer.about == "connection"} == {"replica set"}
    assert not {"watch", "return to the primary"} & {answer.about for answer in answers}
    assert "reads" in {answer.about for answer in answers}


def test_explaining_needs_no_secret_and_names_what_to_install() -> None:
    """References, and the extras of engine and cloud."""
    spec = source(engine="mysql", location="cloud", cloud_config={**AWS, **KEYS}, password_secret="env:P")
    told = {answer.about: answer.choice for answer in explain(spec) if answer.about == "to install"}
    assert told == {"to install": "pursight[mysql,aws]"}
    assert [answer.choice for answer in explain(spec) if answer.about == "secret"] == ["env:P", "env:K"]
    assert extras(source()) == ()
    assert set(get_args(type(spec).model_fields["location"].annotation)) == {place for _, place in CONNECTING}
