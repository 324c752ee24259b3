"""What the clouds say of a managed database: moto's RDS, and doubles of Resource Manager and the Cloud SQL Admin API, errors too.

The doubles check the token, its owner and the API's version, and answer in the published shapes. They prove that we speak these protocols,
not that the clouds agree.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from shared.cloud import posture
from shared.cloud.posture import CloudPosture, aws_name, google_name, merged
from shared.cloud.tokens import Tokens
from shared.contracts.cloud import AwsConfig, AzureConfig, CloudConfig, GcpConfig
from shared.contracts.connection import Posture
from shared.contracts.source import DataSource
from shared.errors import Failed, PurSightError, Transient
from tests.shared.cloud.doubles import AzureMetadata, Double, Google, redirect, served
from tests.tagger.moto_server import Line, line_to, moto_server

REGION = "eu-central-1"
CANARY = "posture-canary-3c1d"
SUBSCRIPTION = "00000000-aaaa-bbbb-cccc-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shop"


def source(cloud: CloudConfig, **more: Any) -> DataSource:
    return DataSource(**({"name": "crm", "database": "shop", "location": "cloud", "host": "db.example.org", "cloud_config": cloud} | more))


def asked() -> CloudPosture:
    async def resolve(reference: str) -> str:
        return {"env:KEY": CANARY}[reference]

    return CloudPosture(Tokens(resolve), resolve)


async def code_of(spec: DataSource) -> str:
    """The failure's code; and the same told, never raised: one finding for information, without the provider's words."""
    with pytest.raises(PurSightError) as caught:
        await asked().facts(spec)
    facts, finding = await asked().told(spec)
    assert (facts, finding and (finding.code, finding.severity, bool(finding.remedy))) == (None, ("cloud_facts_unknown", "info", True))
    assert CANARY not in f"{caught.value}{finding}"
    return caught.value.code


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture
async def rds(moto: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    """AWS is moto, by the operator's own environment; a source could not name it."""
    async with line_to(moto) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.address)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield line


KEYS = AwsConfig(provider="aws", region=REGION, access_key_id="AKIA", secret_access_key_ref="env:KEY")


async def _instance(name: str, **more: Any) -> None:
    spec = source(KEYS)
    assert isinstance(spec.cloud_config, AwsConfig)
    sign_in = await posture.AwsSignIn.of(spec.cloud_config, lambda _: _value())
    async with posture.AwsSessions().client(sign_in, "rds", region=REGION) as rds:
        usual = {"DBInstanceClass": "db.t3.micro", "Engine": "postgres", "MasterUsername": "someone", "AllocatedStorage": 20}
        await rds.create_db_instance(**usual, MasterUserPassword="unimportant", DBInstanceIdentifier=name, **more)


async def _value() -> str:
    return "x"


async def test_an_rds_instance_says_how_it_is_kept(rds: Line) -> None:
    """Found by its endpoint's name or by its ARN; good and bad are both told."""
    good = {"StorageEncrypted": True, "PubliclyAccessible": False, "BackupRetentionPeriod": 14, "MultiAZ": True}
    await _instance("good", **good, EnableIAMDatabaseAuthentication=True)
    await _instance("bad", StorageEncrypted=False, PubliclyAccessible=True, BackupRetentionPeriod=0, MultiAZ=False)
    found = await asked().facts(source(KEYS, host=f"good.abc.{REGION}.rds.amazonaws.com"))
    assert found == Posture(
        encrypted_at_rest=True, public_access=False, backup_retention_days=14, multi_zone=True, iam_authentication=True, region=REGION
    )
    arn = KEYS.model_copy(update={"resource_arn": f"arn:aws:rds:{REGION}:123456789012:db:bad"})
    found = await asked().facts(source(arn))
    assert found
    assert (found.encrypted_at_rest, found.public_access, found.backup_retention_days, found.multi_zone) == (False, True, 0, False)


async def test_a_cluster_is_as_public_as_its_members(rds: Line) -> None:
    spec = source(KEYS)
    assert isinstance(spec.cloud_config, AwsConfig)
    async with posture.AwsSessions().client(await posture.AwsSignIn.of(KEYS, lambda _: _value()), "rds", region=REGION) as api:
        await api.create_db_cluster(
            DBClusterIdentifier="herd", Engine="aurora-postgresql", MasterUsername="someone", MasterUserPassword="unimportant",
            StorageEncrypted=True, BackupRetentionPeriod=9, EnableIAMDatabaseAuthentication=True,
        )  # fmt: skip
        await api.create_db_instance(
            DBInstanceIdentifier="sheep", DBInstanceClass="db.r5.large", Engine="aurora-postgresql", DBClusterIdentifier="herd",
            PubliclyAccessible=True,
        )  # fmt: skip
    found = await asked().facts(source(KEYS, host=f"herd.cluster-abc.{REGION}.rds.amazonaws.com"))
    assert found
    assert (found.encrypted_at_rest, found.public_access, found.backup_retention_days) == (True, True, 9)


async def test_a_bucket_says_how_it_is_kept(rds: Line) -> None:
    """Encryption and region; not public where all is blocked, else unknown. An own server that speaks S3 is not asked."""
    block = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    key = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    async with posture.AwsSessions().client(await posture.AwsSignIn.of(KEYS, lambda _: _value()), "s3", region=REGION) as s3:
        for name in ("kept-well", "kept-badly"):
            await s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        await s3.put_public_access_block(Bucket="kept-well", PublicAccessBlockConfiguration=block)
        await s3.put_bucket_encryption(Bucket="kept-well", ServerSideEncryptionConfiguration={"Rules": [key]})
        await s3.put_public_access_block(Bucket="kept-badly", PublicAccessBlockConfiguration={**block, "BlockPublicPolicy": False})
        await s3.delete_bucket_encryption(Bucket="kept-badly")
        await s3.put_bucket_versioning(Bucket="kept-well", VersioningConfiguration={"Status": "Enabled"})
    bucket = source(KEYS, engine="s3", host="", database="kept-well")
    assert await asked().facts(bucket) == Posture(encrypted_at_rest=True, public_access=False, versioned=True, region=REGION)
    badly = bucket.model_copy(update={"database": "kept-badly"})
    assert await asked().facts(badly) == Posture(encrypted_at_rest=False, versioned=False, region=REGION)
    assert await code_of(bucket.model_copy(update={"database": "nobodys"})) == "not_found"
    assert await asked().facts(bucket.model_copy(update={"host": "minio.example"})) is None


async def test_aws_refusals_are_one_finding(rds: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, forbidden, unknown key, away: a code of ours, and the source works all the same."""
    spec = source(KEYS, host=f"nobody.abc.{REGION}.rds.amazonaws.com")
    assert await code_of(spec) == "not_found"
    for theirs, status, ours in (("AccessDenied", 403, "access_denied"), ("InvalidClientTokenId", 403, "credentials_invalid")):
        text = f"<ErrorResponse><Error><Code>{theirs}</Code><Message>{CANARY}</Message></Error></ErrorResponse>"
        rds.refuse = lambda _, text=text, status=status: web.Response(status=status, text=text, content_type="text/xml")  # type: ignore[misc]
        assert await code_of(spec) == ours
    monkeypatch.setattr(posture, "SECONDS", 0.3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Transient):
        await asked().facts(spec)


@dataclass
class ResourceManager(Double):
    """management.azure.com for flexible servers and storage accounts."""

    metadata: AzureMetadata = field(default_factory=AzureMetadata)
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    admins: list[dict[str, Any]] = field(default_factory=list)
    stores: dict[str, dict[str, Any]] = field(default_factory=dict)  # what each path answers

    @asynccontextmanager
    async def up(self) -> AsyncIterator[ResourceManager]:
        kinds = "{kind:Microsoft.DBfor(PostgreSQL|MySQL)}"
        one = "/subscriptions/{s}/resourceGroups/{g}/providers/" + kinds + "/flexibleServers/{name}"
        routes = [web.get("/subscriptions/{s}/providers/" + kinds + "/flexibleServers", self.list), web.get(one, self.show)]
        more = [web.get(one + "/administrators", self.administrators), web.get("/subscriptions/{rest:.*}", self.store)]
        async with served(self, [*routes, *more]):
            yield self

    def refusal(self, request: web.Request) -> web.Response | None:
        version = {"PostgreSQL": "2024-08-01", "MySQL": "2023-12-30"}[request.match_info["kind"].removeprefix("Microsoft.DBfor")]
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.metadata.given:
            return self.said(401, "InvalidAuthenticationToken")
        if request.match_info["s"] != SUBSCRIPTION:
            return self.said(403, "AuthorizationFailed")
        if request.query.get("api-version") != version:
            return self.said(400, "InvalidApiVersionParameter")
        return None

    def said(self, status: int, code: str) -> web.Response:
        return web.json_response({"error": {"code": code, "message": f"The client {CANARY} does not …"}}, status=status)

    async def list(self, request: web.Request) -> web.Response:
        """A page for each server, as a long list has them."""
        if refusal := self.refusal(request):
            return refusal
        names, page = sorted(self.servers), int(request.query.get("$skiptoken", "0"))
        more = {"nextLink": f"{self.address}{request.path}?{request.query_string}&$skiptoken={page + 1}"} if page + 1 < len(names) else {}
        return web.json_response({"value": [self.servers[names[page]]], **more})

    async def show(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return self.refusal(request) or (
            web.json_response(self.servers[name]) if name in self.servers else self.said(404, "ResourceNotFound")
        )

    async def store(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.metadata.given:
            return self.said(401, "InvalidAuthenticationToken")
        if request.query.get("api-version") != "2023-05-01":
            return self.said(400, "InvalidApiVersionParameter")
        found = self.stores.get(request.path)
        return web.json_response(found) if found is not None else self.said(404, "ResourceNotFound")

    async def administrators(self, request: web.Request) -> web.Response:
        return self.refusal(request) or web.json_response({"value": self.admins})

    def add(self, kind: str, name: str, **properties: Any) -> None:
        place = f"{GROUP}/providers/Microsoft.DBfor{kind}/flexibleServers/{name}"
        host = f"{name}.{kind.lower().replace('postgresql', 'postgres')}.database.azure.com"
        whole = {"fullyQualifiedDomainName": host, "version": "16"} | properties
        self.servers[name] = {"id": place, "name": name, "location": "West Europe", "properties": whole}


@pytest.fixture
async def manager(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ResourceManager]:
    async with AzureMetadata().up() as metadata, ResourceManager(metadata=metadata).up() as manager:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.address)
        monkeypatch.delenv("AZURE_AUTHORITY_HOST", raising=False)
        monkeypatch.setattr(posture, "AZURE", manager.address)
        yield manager


AZURE = AzureConfig(provider="azure", use_managed_identity=True, subscription_id=SUBSCRIPTION)
POSTGRES = {
    "backup": {"backupRetentionDays": 21, "geoRedundantBackup": "Disabled"},
    "highAvailability": {"mode": "ZoneRedundant", "state": "Healthy"},
    "network": {"publicNetworkAccess": "Disabled"},
    "authConfig": {"activeDirectoryAuth": "Enabled", "passwordAuth": "Disabled"},
    "dataEncryption": {"type": "SystemManaged"},
}


async def test_a_flexible_server_says_how_it_is_kept(manager: ResourceManager) -> None:
    """Found by its host among the subscription's pages, or by its id; MySQL tells its administrators apart."""
    manager.add("PostgreSQL", "aaa")
    manager.add("PostgreSQL", "crm", **POSTGRES)
    manager.add(
        "MySQL",
        "shop",
        backup={"backupRetentionDays": 1},
        network={"publicNetworkAccess": "Enabled"},
        highAvailability={"mode": "SameZone"},
    )
    manager.admins = [{"properties": {"administratorType": "ActiveDirectory"}}]
    found = await asked().facts(source(AZURE, host="CRM.postgres.database.azure.com"))
    good = Posture(
        encrypted_at_rest=True, public_access=False, backup_retention_days=21, multi_zone=True, iam_authentication=True, region="westeurope"
    )
    assert found == good
    by_id = AZURE.model_copy(update={"resource_id": manager.servers["shop"]["id"], "subscription_id": ""})
    found = await asked().facts(source(by_id, engine="mysql"))
    assert found
    assert (found.public_access, found.backup_retention_days, found.multi_zone, found.iam_authentication) == (True, 1, False, True)
    bare = await asked().facts(source(AZURE, host="aaa.postgres.database.azure.com"))
    assert bare == Posture(encrypted_at_rest=True, region="westeurope"), "what an answer does not tell stays unknown"


async def test_a_container_says_how_it_is_kept(manager: ResourceManager) -> None:
    """Open to all only where account and container both allow it; found by subscription or by id."""
    place = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/acme"
    account = {
        "id": place,
        "name": "acme",
        "location": "North Europe",
        "sku": {"name": "Standard_RAGZRS"},
        "properties": {"allowBlobPublicAccess": True, "supportsHttpsTrafficOnly": True},
    }
    manager.stores[f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Storage/storageAccounts"] = {"value": [{"name": "other"}, account]}
    manager.stores[place] = {**account, "properties": {"allowBlobPublicAccess": False}, "sku": {"name": "Standard_LRS"}}
    manager.stores[f"{place}/blobServices/default"] = {"properties": {"isVersioningEnabled": True}}
    manager.stores[f"{place}/blobServices/default/containers/lake"] = {"properties": {"publicAccess": "Blob"}}
    lake = source(AZURE.model_copy(update={"storage_account": "acme"}), engine="azure_blob", host="", database="lake")
    assert await asked().facts(lake) == Posture(
        tls_forced=True, encrypted_at_rest=True, public_access=True, multi_zone=True, versioned=True, region="northeurope"
    )
    by_id = AZURE.model_copy(update={"storage_account": "acme", "resource_id": place, "subscription_id": ""})
    found = await asked().facts(lake.model_copy(update={"cloud_config": by_id}))
    assert found
    assert (found.public_access, found.multi_zone, found.tls_forced) == (False, False, None)
    assert await code_of(lake.model_copy(update={"database": "lost"})) == "not_found"
    before = len(manager.requests)
    elsewhere = by_id.model_copy(update={"resource_id": place.replace("acme", "other")})
    for nobodys in (lake.model_copy(update={"host": "127.0.0.1"}), lake.model_copy(update={"cloud_config": elsewhere})):
        assert await asked().facts(nobodys) is None
    assert len(manager.requests) == before


async def test_azure_refusals_are_one_finding(manager: ResourceManager) -> None:
    spec = source(AZURE, host="crm.postgres.database.azure.com")
    manager.add("PostgreSQL", "other")
    assert await asked().facts(spec) is None, "not among the servers that we may see"
    elsewhere = AZURE.model_copy(update={"subscription_id": "other"})
    assert await code_of(source(elsewhere, host="crm.postgres.database.azure.com")) == "access_denied"
    lost = AZURE.model_copy(update={"resource_id": f"{GROUP}/providers/Microsoft.DBforPostgreSQL/flexibleServers/lost"})
    assert await code_of(source(lost)) == "not_found"
    manager.metadata.given.clear()
    for status, code in ((401, "credentials_invalid"), (429, "throttled"), (503, "unreachable"), (302, "provider_error")):
        manager.first = [status, status]
        assert await code_of(spec) == code


async def test_a_page_that_leads_elsewhere_is_not_followed(manager: ResourceManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token goes to the provider's own address only; an id that is a path to somewhere else is none."""
    manager.add("PostgreSQL", "a")
    manager.add("PostgreSQL", "b")
    there = "http://127.0.0.1:1"
    monkeypatch.setattr(manager, "address", there)
    assert await asked().facts(source(AZURE, host="b.postgres.database.azure.com")) is None
    before = len(manager.requests)
    for odd in (f"{GROUP}/providers/Microsoft.DBforPostgreSQL/flexibleServers/../../x", "//evil.example/x", f"{GROUP}?x"):
        wrong = AZURE.model_copy(update={"resource_id": odd, "subscription_id": ""})
        assert await asked().facts(source(wrong)) is None
    assert len(manager.requests) == before


class SqlAdmin(Double):
    """sqladmin.googleapis.com and storage.googleapis.com: one instance, one bucket, or the refusal that also a missing one gets."""

    google: Google
    instance: dict[str, Any]

    @asynccontextmanager
    async def up(self) -> AsyncIterator[SqlAdmin]:
        bucket = web.get("/storage/v1/b/{bucket}", self.bucket)
        async with served(self, [web.get("/v1/projects/{project}/instances/{name}", self.show), bucket]):
            yield self

    async def show(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.google.given:
            return self.said(401, "UNAUTHENTICATED")
        if (request.match_info["project"], request.match_info["name"]) != ("shop", "crm"):
            return self.said(403, "PERMISSION_DENIED")
        return web.json_response(self.instance)

    async def bucket(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.google.given:
            return self.said(401, "UNAUTHENTICATED")
        known = request.match_info["bucket"] == "lake"
        return web.json_response(self.instance) if known else self.said(403, "PERMISSION_DENIED")

    def said(self, status: int, code: str) -> web.Response:
        return web.json_response({"error": {"code": status, "status": code, "message": f"{CANARY} is not authorized"}}, status=status)


@pytest.fixture
async def admin(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlAdmin]:
    async with Google().up() as google, SqlAdmin().up() as admin:
        admin.google = google
        monkeypatch.setenv("GCE_METADATA_HOST", google.address.removeprefix("http://"))
        redirect(monkeypatch, google)
        monkeypatch.setattr(posture, "GOOGLE", admin.address)
        monkeypatch.setattr(posture, "GOOGLE_STORES", admin.address)
        yield admin


GCP = GcpConfig(provider="gcp", use_workload_identity=True, instance="shop:europe-west3:crm")


async def test_a_cloud_sql_instance_says_how_it_is_kept(admin: SqlAdmin) -> None:
    admin.instance = {
        "name": "crm",
        "region": "europe-west3",
        "settings": {
            "availabilityType": "REGIONAL",
            "ipConfiguration": {"ipv4Enabled": False, "sslMode": "ENCRYPTED_ONLY"},
            "backupConfiguration": {"enabled": True, "backupRetentionSettings": {"retainedBackups": "7", "retentionUnit": "COUNT"}},
            "databaseFlags": [{"name": "cloudsql.iam_authentication", "value": "on"}],
        },
    }
    good = Posture(
        tls_forced=True, encrypted_at_rest=True, public_access=False, backup_retention_days=7, multi_zone=True, iam_authentication=True,
        region="europe-west3",
    )  # fmt: skip
    assert await asked().facts(source(GCP)) == good
    settings = {"availabilityType": "ZONAL", "ipConfiguration": {"ipv4Enabled": True}, "backupConfiguration": {"enabled": False}}
    admin.instance = {"settings": settings}
    found = await asked().facts(source(GCP))
    assert found
    assert (found.public_access, found.backup_retention_days, found.multi_zone, found.iam_authentication) == (True, 0, False, False)
    assert found.tls_forced is None


async def test_a_google_bucket_says_how_it_is_kept(admin: SqlAdmin) -> None:
    """Not public where prevention is enforced, else unknown; one zone only where its kind says so."""
    lake = source(GCP.model_copy(update={"instance": ""}), engine="gcs", host="", database="lake")
    admin.instance = {
        "location": "EUROPE-WEST3",
        "locationType": "region",
        "versioning": {"enabled": True},
        "iamConfiguration": {"publicAccessPrevention": "enforced"},
    }
    good = Posture(encrypted_at_rest=True, public_access=False, multi_zone=True, versioned=True, region="europe-west3")
    assert await asked().facts(lake) == good
    admin.instance = {"locationType": "zone", "iamConfiguration": {"publicAccessPrevention": "inherited"}}
    assert await asked().facts(lake) == Posture(encrypted_at_rest=True, multi_zone=False, versioned=False)
    assert await code_of(lake.model_copy(update={"database": "other"})) == "access_denied"
    assert await asked().facts(lake.model_copy(update={"host": "gcs.example"})) is None


async def test_google_refusals_are_one_finding(admin: SqlAdmin) -> None:
    assert await code_of(source(GCP.model_copy(update={"instance": "shop:europe-west3:lost"}))) == "access_denied"
    admin.instance = {"settings": ["odd"], "region": 7}
    assert await asked().facts(source(GCP)) == Posture(encrypted_at_rest=True, iam_authentication=False, region="7")
    for status, code in ((429, "throttled"), (500, "unreachable")):
        admin.first = [status, status]
        assert await code_of(source(GCP)) == code


async def test_a_cloud_that_is_away_takes_nothing_back(admin: SqlAdmin) -> None:
    """What it said last still counts, with the finding beside; a refusal that lasts takes it back."""
    admin.instance = {"settings": {"availabilityType": "ZONAL"}}
    clouds = asked()
    first, nothing = await clouds.told(source(GCP))
    admin.first = [503]
    again, finding = await clouds.told(source(GCP))
    assert (again == first, nothing, finding and finding.severity) == (True, None, "info")
    admin.first = [403]
    assert (await clouds.told(source(GCP)))[0] is None


async def test_sources_without_a_managed_database_ask_nobody() -> None:
    for spec in (
        DataSource(name="x", database="d"),
        source(KEYS, host="db.example.org"),
        source(AzureConfig(provider="azure"), host="db.example.org"),
        source(GcpConfig(provider="gcp")),
    ):
        assert await asked().told(spec) == (None, None)


async def test_a_missing_secret_is_a_finding_too() -> None:
    async def gone(reference: str) -> str:
        raise Failed("the secret", why="it is not set", code="secret_missing")

    clouds = CloudPosture(Tokens(gone), gone)
    facts, finding = await clouds.told(source(KEYS, host=f"a.b.{REGION}.rds.amazonaws.com"))
    assert (facts, finding and finding.severity) == (None, "info")


def test_the_server_and_the_cloud_make_one_posture() -> None:
    """The cloud fills gaps and knows better what lies outside the server; what the server proves stays."""
    own = Posture(tls_in_transit=True, encrypted_at_rest=True, multi_zone=None, superuser_used=False)
    both = merged(own, Posture(encrypted_at_rest=False, multi_zone=True, region="x"))
    assert both == own.model_copy(update={"multi_zone": True, "region": "x"})


@pytest.mark.parametrize("arn", ["arn:aws:rds:eu-west-1:1:db:a b", "arn:aws:s3:::x", "arn:aws:rds:eu-west-1:1:db:../x", "x" * 5000])
def test_odd_names_are_none(arn: str) -> None:
    assert aws_name(arn, "db.example.org") is None
    assert google_name(GcpConfig(provider="gcp", instance="x")) is None
