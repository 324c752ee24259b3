"""To whom a cloud's token may be told: hosts that only the provider can give to somebody, and those that the operator lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.connector.domain.plan import plan
from shared.contracts.judging.allowed import SAFE, Allowed
from shared.contracts.judging.source import judge
from shared.contracts.source import DataSource
from shared.errors import Failed
from shared.secrets.sign_in import SignIn
from shared.sources import store_line
from shared.sources.base import Dial

SERVED = Allowed(SAFE, ())
AWS: dict[str, Any] = {"username": "u", "cloud_config": {"provider": "aws", "region": "eu-west-1", "use_iam_auth": True}}
AZURE: dict[str, Any] = {"username": "u", "cloud_config": {"provider": "azure", "use_managed_identity": True}}
GCP: dict[str, Any] = {"cloud_config": {"provider": "gcp", "use_iam_auth": True}}
S3: dict[str, Any] = {"engine": "s3", "cloud_config": {"provider": "aws", "region": "eu-west-1"}}
BLOB: dict[str, Any] = {
    "engine": "azure_blob",
    "cloud_config": {"provider": "azure", "use_managed_identity": True, "storage_account": "acme"},
}
GCS: dict[str, Any] = {"engine": "gcs", "cloud_config": {"provider": "gcp"}}


def _document(how: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "x", "database": "shop", "location": "cloud", **how, **more}


@pytest.mark.parametrize(
    ("how", "host", "own"),
    [
        (AWS, "crm.abc.eu-west-1.rds.amazonaws.com", True),
        (AWS, "crm.proxy-abc.eu-west-1.RDS.amazonaws.com.", True),
        (AWS, "crm.abc.rds.cn-north-1.amazonaws.com.cn", True),
        (AWS, "rds-1.eu-west-1.elb.amazonaws.com", False),
        (AWS, "crm.rds.amazonaws.com.evil.example", False),
        (AZURE, "crm.postgres.database.azure.com", True),
        (AZURE, "crm.privatelink.postgres.database.azure.com", True),
        (AZURE, "crm.mysql.database.usgovcloudapi.net", True),
        (AZURE, "crm.westeurope.cloudapp.azure.com", False),
        (AZURE, "evilpostgres.database.azure.com.example", False),
        (GCP, "abc.def.europe-west3.sql-psa.goog", True),
        (GCP, "10.1.2.3", False),
        (S3, "s3.eu-west-1.amazonaws.com", True),
        (S3, "bucket.vpce-1a-2b.s3.eu-west-1.vpce.amazonaws.com", True),
        (S3, "s3-1.eu-west-1.elb.amazonaws.com", False),
        (S3, "vpce-1.vpce-svc-2.eu-west-1.vpce.amazonaws.com", False),
        (S3, "minio.example", False),
        (BLOB, "acme.privatelink.blob.core.windows.net", True),
        (BLOB, "evil.example", False),
        (BLOB, "acme.z6.web.core.windows.net", False),
        (GCS, "storage-mine.p.googleapis.com", True),
        (GCS, "googleapis.com.evil.example", False),
    ],
)
async def test_a_clouds_token_goes_to_the_clouds_own_hosts(how: dict[str, Any], host: str, own: bool, tmp_path: Path) -> None:
    """Said at registration, by field, and again for the host that is really dialled."""
    document = _document(how, host=host)
    assert [(each.field, each.code) for each in judge(document, SERVED).problems] == ([] if own else [("host", "endpoint_not_allowed")])
    assert judge(document, Allowed.by("server", None, f"other.example, {host}")).spec
    spec = judge(document).spec
    assert spec
    if not own:
        with pytest.raises(Failed) as refused:
            SignIn(tmp_path, SERVED).lookup(spec, plan(spec))
        assert refused.value.code == "endpoint_not_allowed"


@pytest.mark.parametrize("engine", ["s3", "gcs", "azure_blob"])
def test_a_store_that_nobody_signs_in_to_is_no_way_into_the_house(engine: str) -> None:
    """It is asked by HTTP, and so might anything be: only the clouds' own hosts and listed ones, also without a token."""
    document = {"name": "x", "engine": engine, "database": "lake", "host": "wiki.corp", "port": 8080}
    document |= {"cloud_config": {"provider": "azure", "storage_account": "acme"}} if engine == "azure_blob" else {}
    assert [(each.field, each.code) for each in judge(document, SERVED).problems] == [("host", "endpoint_not_allowed")]
    assert judge(document, Allowed.by("server", None, ".corp")).spec
    if engine != "azure_blob":
        assert judge({"name": "x", "engine": engine, "database": "lake"}, SERVED).spec


async def test_the_host_that_is_dialled_counts(tmp_path: Path) -> None:
    """A redirection, a member or whatever else brought the dial there."""
    spec = judge(_document(AZURE, host="crm.postgres.database.azure.com"), SERVED).spec
    assert spec
    ask = SignIn(tmp_path, SERVED).lookup(spec, plan(spec))
    with pytest.raises(Failed) as refused:
        await ask("evil.example", 5432, False)
    assert refused.value.code == "endpoint_not_allowed"


def test_endings_are_listed_with_a_dot_and_a_laptop_has_emulators() -> None:
    """A password goes where its source says: it is the source's own."""
    assert judge(_document(S3, host="a.objects.example"), Allowed.by("server", None, ".objects.example")).spec
    assert not judge(_document(S3, host="evilobjects.example"), Allowed.by("server", None, ".objects.example")).spec
    assert judge(_document(S3, host="127.0.0.1"), Allowed.by("local", None)).spec
    assert not judge(_document(S3, host="127.0.0.1"), Allowed.by("server", None)).spec
    assert not judge(_document(BLOB, host="evil.example"), Allowed.by("local", None)).spec
    assert judge(_document({}, host="db.example", username="u", password_secret="local:default.crm"), SERVED).spec


def test_every_endpoint_is_looked_at() -> None:
    """A second endpoint gets the token, too."""
    replicas = {"secondary": "evil.example:5432", "replica_members": ["b.postgres.database.azure.com", "evil.example"]}
    document = _document(AZURE, host="a.postgres.database.azure.com", location="hybrid", replica_config=replicas)
    assert {each.field for each in judge(document, SERVED).problems} == {"replica_config.secondary", "replica_config.replica_members"}


@pytest.mark.parametrize(
    ("engine", "database", "cloud"),
    [
        ("azure_blob", "lake", {"provider": "azure", "storage_account": "evil.example/#"}),
        ("azure_blob", "lake", {"provider": "azure", "storage_account": "evil.example?"}),
        ("azure_blob", "lake", {"provider": "azure", "storage_account": "u@evil.example:443/"}),
        ("s3", "lake", {"provider": "aws", "region": "x@evil.example/#"}),
        ("s3", "evil#", {"provider": "aws", "region": "eu-west-1"}),
        ("s3", "evil.example/", {"provider": "aws", "region": "eu-west-1"}),
    ],
)
def test_no_field_ends_the_host_name(engine: Any, database: str, cloud: dict[str, Any]) -> None:
    """Also of a source that nobody judged: refused before anything is dialled, or escaped behind the cloud's own host."""
    spec = DataSource.model_validate({"name": "x", "engine": engine, "database": database, "location": "cloud", "cloud_config": cloud})
    dial = Dial("", 443, database, "", tls_mode="verify-full", spec=spec)
    if engine == "s3" and cloud["region"] == "eu-west-1":
        assert store_line.opened(dial, spec).base.host == "s3.eu-west-1.amazonaws.com"
        return
    with pytest.raises(Failed) as refused:
        store_line.opened(dial, spec)
    assert refused.value.code == "egress_denied"
