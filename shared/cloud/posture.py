"""What the cloud itself says of the managed database or bucket that a source is: encryption, public access, backups, zones, region.

AWS by `DescribeDBInstances` and `DescribeDBClusters` (rds:DescribeDBInstances, rds:DescribeDBClusters), for a bucket by its location,
encryption, block of public access and versions (s3:GetBucketLocation, s3:GetEncryptionConfiguration, s3:GetBucketPublicAccessBlock,
s3:GetBucketVersioning); Azure by Resource Manager (Microsoft.DBforPostgreSQL and DBforMySQL flexibleServers/read, Microsoft.Storage
storageAccounts/read and what is below it), Google by the Cloud SQL Admin API (cloudsql.instances.get) and Cloud Storage
(storage.buckets.get). All answers become the same facts; what an answer does not tell stays None. Addresses are the providers' own,
whatever the source says.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from shared.cloud.aws import AwsSessions, AwsSignIn, Resolve, region_of
from shared.cloud.failures import failure, refusal
from shared.cloud.gcp import CLOUD_SCOPE, GOOGLES_OWN, STORE_SCOPE
from shared.cloud.tokens import Tokens
from shared.contracts.cloud import AwsConfig, AzureConfig, GcpConfig
from shared.contracts.connection import Diagnosis, Posture
from shared.contracts.source import DataSource
from shared.egress import as_this_machine
from shared.errors import Failed, PurSightError, Transient

SECONDS = 8.0  # for all that one look asks
GOOGLE = "https://sqladmin.googleapis.com"
GOOGLE_STORES = "https://storage.googleapis.com"
AZURE = "https://management.azure.com"
# Resource Manager of the operator's cloud, by the authority that he signs in at.
_AZURES = {
    "login.microsoftonline.us": "https://management.usgovcloudapi.net",
    "login.chinacloudapi.cn": "https://management.chinacloudapi.cn",
}
_AZURE_KINDS = {
    "postgresql": ("Microsoft.DBforPostgreSQL", "2024-08-01", ".postgres.database."),
    "mysql": ("Microsoft.DBforMySQL", "2023-12-30", ".mysql.database."),
}
_STORAGE = ("Microsoft.Storage", "storageAccounts", "2023-05-01")
_STORAGE_ID = re.compile(r"/subscriptions/[\w\-]+/resourceGroups/[\w\-.()]+/providers/Microsoft\.Storage/storageAccounts/[a-z0-9]+", re.I)
_AZURE_ID = re.compile(r"/subscriptions/[\w\-]+/resourceGroups/[\w\-.()]+/providers/Microsoft\.DBfor\w+/flexibleServers/[\w\-]+", re.I)
_AWS_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9\-]{0,62}")
_AWS_ARN = re.compile(r"arn:aws[\w\-]*:rds:([a-z0-9\-]+):\d*:(db|cluster):([a-zA-Z][a-zA-Z0-9\-]{0,62})")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
_AWS_DOMAIN = ".amazonaws.com"
_USUAL_REGION = "us-east-1"  # where a bucket is that names none
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_PAGES = 20
_KEPT = 1000  # sources
_RIGHTS = {
    "aws": "Allow our identity rds:DescribeDBInstances and rds:DescribeDBClusters.",
    "s3": "Allow our identity s3:GetBucketLocation, GetEncryptionConfiguration, GetBucketPublicAccessBlock and GetBucketVersioning.",
    "gcs": "Give our identity storage.buckets.get on the bucket (the role Storage Legacy Bucket Reader has it).",
    "azure_blob": "Give our identity the role Reader on the storage account, or on its subscription.",
    "azure": "Give our identity the role Reader on the server, or on its subscription.",
    "gcp": "Give our identity the role Cloud SQL Viewer (cloudsql.instances.get), and enable the Cloud SQL Admin API.",
}
_IAM_FLAGS = ("cloudsql.iam_authentication", "cloudsql_iam_authentication")


class CloudPosture:
    """Asks the clouds, signed in as each source says. Used within one event loop."""

    def __init__(self, tokens: Tokens, resolve: Resolve) -> None:
        self._tokens, self._resolve, self._aws = tokens, resolve, AwsSessions()
        self._last: OrderedDict[str, Posture] = OrderedDict()

    async def facts(self, spec: DataSource) -> Posture | None:
        """What the cloud says; None where the source names no managed database of its cloud.

        Raises PurSightError: Failed or Transient with a code of `failures`, within `SECONDS`.
        """
        try:
            async with asyncio.timeout(SECONDS):
                return await self._asked(spec)
        except TimeoutError:
            raise failure("unreachable") from None

    async def told(self, spec: DataSource) -> tuple[Posture | None, Diagnosis | None]:
        """The same, never raising: what the cloud said last where it is away now, and one finding where it does not tell."""
        try:
            found = await self.facts(spec)
        except PurSightError as error:
            known = self._last.get(spec.key) if isinstance(error, Transient) else None
            return known, untold(spec, error)
        if found:
            self._last[spec.key] = found
            while len(self._last) > _KEPT:
                self._last.popitem(last=False)
        return found, None

    async def _asked(self, spec: DataSource) -> Posture | None:
        cloud = spec.cloud_config
        if isinstance(cloud, AwsConfig):
            return await self._of_aws(spec, cloud)
        if isinstance(cloud, AzureConfig):
            return await self._of_azure(spec, cloud)
        return await self._of_google(spec, cloud) if cloud else None

    async def _of_aws(self, spec: DataSource, cloud: AwsConfig) -> Posture | None:
        if spec.engine == "s3":
            return None if spec.host and not spec.host.endswith(_AWS_DOMAIN) else await self._of_bucket(spec.database, cloud)
        named = aws_name(cloud.resource_arn, spec.host)
        if named is None:
            return None
        kind, name, region = named
        region = region or cloud.region
        if not _REGION.fullmatch(region):
            raise failure("region_missing")
        with as_this_machine():
            async with self._aws.client(await AwsSignIn.of(cloud, self._resolve), "rds", region=region) as rds:
                if kind == "cluster":
                    return await _cluster(rds, name, region)
                found = (await rds.describe_db_instances(DBInstanceIdentifier=name)).get("DBInstances") or [{}]
                return _rds(found[0], region, public=found[0].get("PubliclyAccessible"))

    async def _of_bucket(self, bucket: str, cloud: AwsConfig) -> Posture:
        """An own server that speaks S3 is not asked: its answers would be its own word."""
        with as_this_machine():
            async with self._aws.client(await AwsSignIn.of(cloud, self._resolve), "s3", region=cloud.region or _USUAL_REGION) as s3:
                at = (await s3.get_bucket_location(Bucket=bucket)).get("LocationConstraint")
                encrypted = await _or_none(s3.get_bucket_encryption(Bucket=bucket), "ServerSideEncryptionConfigurationNotFoundError")
                block = await _or_none(s3.get_public_access_block(Bucket=bucket), "NoSuchPublicAccessBlockConfiguration")
                versions = await s3.get_bucket_versioning(Bucket=bucket)
        return _bucket(encrypted, block, versions, str(at or _USUAL_REGION))

    async def _of_azure(self, spec: DataSource, cloud: AzureConfig) -> Posture | None:
        if spec.engine == "azure_blob":
            return await self._of_container(spec, cloud)
        if spec.engine not in _AZURE_KINDS:
            return None
        kind, version, ending = _AZURE_KINDS[spec.engine]
        wanted = bool(_AZURE_ID.fullmatch(cloud.resource_id)) or (bool(cloud.subscription_id) and ending in spec.host.lower())
        if not wanted:
            return None
        token = await self._tokens.bearer(cloud, f"{resource_manager()}/.default", owner=spec.key)
        async with _http(resource_manager(), token.value) as http:
            server = await _azure_server(http, cloud, spec.host, kind, version)
            if server is None:
                return None
            admins = None
            if kind.endswith("MySQL"):
                admins = await _get(http, f"{server['id']}/administrators", {"api-version": version})
            return _flexible(server, admins)

    async def _of_container(self, spec: DataSource, cloud: AzureConfig) -> Posture | None:
        """An account that the subscription has, or that is named by its id; an own server that speaks like Azure's is not asked."""
        account = cloud.storage_account.lower()
        by_id = bool(_STORAGE_ID.fullmatch(cloud.resource_id)) and cloud.resource_id.lower().endswith(f"/{account}")
        if spec.host or not account or not (by_id or cloud.subscription_id):
            return None
        token = await self._tokens.bearer(cloud, f"{resource_manager()}/.default", owner=spec.key)
        query = {"api-version": _STORAGE[2]}
        async with _http(resource_manager(), token.value) as http:
            if by_id:
                found: dict[str, Any] | None = {"id": cloud.resource_id, **await _get(http, cloud.resource_id, query)}
            else:
                found = await _listed(http, cloud.subscription_id, _STORAGE, lambda each: str(each.get("name")).lower() == account)
            if found is None or not _STORAGE_ID.fullmatch(str(found.get("id"))):
                return None
            blobs = f"{found['id']}/blobServices/default"
            container = await _get(http, f"{blobs}/containers/{quote(spec.database, safe='')}", query)
            return _container(found, container, await _get(http, blobs, query))

    async def _of_google(self, spec: DataSource, cloud: GcpConfig) -> Posture | None:
        if spec.engine == "gcs":
            if spec.host and not spec.host.endswith(GOOGLES_OWN):
                return None
            token = await self._tokens.bearer(cloud, STORE_SCOPE, owner=spec.key)
            async with _http(GOOGLE_STORES, token.value) as http:
                return _google_bucket(await _get(http, f"/storage/v1/b/{quote(spec.database, safe='')}", {"projection": "noAcl"}))
        named = google_name(cloud)
        if named is None:
            return None
        project, instance = (quote(part, safe=":.") for part in named)
        token = await self._tokens.bearer(cloud, CLOUD_SCOPE, owner=spec.key)
        async with _http(GOOGLE, token.value) as http:
            return _cloud_sql(await _get(http, f"/v1/projects/{project}/instances/{instance}", {}))


def untold(spec: DataSource, error: PurSightError) -> Diagnosis:
    """One finding, for information: the source works all the same."""
    cause = f"the cloud does not tell how it keeps this source: {error.why or error.what}"
    return Diagnosis(
        code="cloud_facts_unknown", cause=cause, remedy=_RIGHTS.get(spec.engine) or _RIGHTS[spec.cloud_provider], severity="info"
    )


def merged(own: Posture, cloud: Posture) -> Posture:
    """The server's facts with the cloud's: the cloud fills in what the server does not tell, and knows better what lies outside of it."""
    told = {name: value for name, value in cloud.model_dump().items() if value not in (None, "")}
    known = {name for name, value in own.model_dump().items() if value is True and name in ("encrypted_at_rest", "tls_forced")}
    return own.model_copy(update={name: value for name, value in told.items() if name not in known})


def aws_name(arn: str, host: str) -> tuple[str, str, str] | None:
    """Kind (db or cluster), identifier and region of the RDS or Aurora database; None where neither tells.

    >>> aws_name("", "crm.abc123.eu-central-1.rds.amazonaws.com"), aws_name("", "crm.cluster-ro-abc.eu-west-1.rds.amazonaws.com")
    (('db', 'crm', 'eu-central-1'), ('cluster', 'crm', 'eu-west-1'))
    """
    if found := _AWS_ARN.fullmatch(arn):
        return found[2], found[3], found[1]
    region = region_of(host)
    labels = host.split(".")
    if not region or len(labels) < 3 or not _AWS_NAME.fullmatch(labels[0]):
        return None
    return "cluster" if labels[1].startswith("cluster-") else "db", labels[0], region


def google_name(cloud: GcpConfig) -> tuple[str, str] | None:
    """Project and instance; a connection name is project:region:instance, and an old project has a domain before it.

    >>> google_name(GcpConfig(provider="gcp", instance="example.com:shop:europe-west1:crm"))
    ('example.com:shop', 'crm')
    """
    if found := re.fullmatch(r"(.*/)?projects/([^/]+)/instances/([^/]+)", cloud.resource_name):
        return found[2], found[3]
    parts = cloud.instance.rsplit(":", 2)
    return (parts[0], parts[2]) if len(parts) == 3 else None


async def _or_none(call: Awaitable[dict[str, Any]], nothing: str) -> dict[str, Any] | None:
    """The answer; None where the bucket has no such setting, which AWS says by an error of this code."""
    try:
        return await call
    except Exception as error:
        if _at(getattr(error, "response", None), "Error", "Code") != nothing:
            raise
        return None


def _bucket(encrypted: Mapping[str, Any] | None, block: Mapping[str, Any] | None, versions: Mapping[str, Any], region: str) -> Posture:
    """Not public where all of it is blocked; where not, policies and lists of each object decide, and that stays unknown."""
    blocked = _at(block, "PublicAccessBlockConfiguration") or {}
    return Posture(
        encrypted_at_rest=bool(_at(encrypted, "ServerSideEncryptionConfiguration", "Rules")),
        public_access=False if all(blocked.get(name) is True for name in _BLOCKS) else None,
        versioned=versions.get("Status") == "Enabled",
        region={"EU": "eu-west-1"}.get(region, region),
    )


def _google_bucket(found: Mapping[str, Any]) -> Posture:
    """Google encrypts every bucket, and keeps all but zonal ones in more than one zone. Where prevention is not enforced, policies and
    lists of each object decide who may read, and that stays unknown."""
    kind = _at(found, "locationType")
    return Posture(
        encrypted_at_rest=True,
        public_access=False if _at(found, "iamConfiguration", "publicAccessPrevention") == "enforced" else None,
        multi_zone=kind != "zone" if isinstance(kind, str) else None,
        versioned=_at(found, "versioning", "enabled") is True,
        region=str(found.get("location") or "").lower(),
    )


def _container(account: Mapping[str, Any], container: Mapping[str, Any], blobs: Mapping[str, Any]) -> Posture:
    """Azure encrypts every account. A container is open to all where both it and its account allow that."""
    allowed, level = _bool(_at(account, "properties", "allowBlobPublicAccess")), _at(container, "properties", "publicAccess")
    open_itself = {"None": False, "Blob": True, "Container": True}.get(str(level))
    sku = str(_at(account, "sku", "name") or "").partition("_")[2].upper()
    return Posture(
        tls_forced=_bool(_at(account, "properties", "supportsHttpsTrafficOnly")),
        encrypted_at_rest=True,
        public_access=False if allowed is False else open_itself,
        multi_zone="ZRS" in sku if sku else None,
        versioned=_at(blobs, "properties", "isVersioningEnabled") is True,
        region=str(account.get("location") or "").lower().replace(" ", ""),
    )


async def _cluster(rds: Any, name: str, region: str) -> Posture:
    """A cluster is as public as the most public of its members."""
    found = ((await rds.describe_db_clusters(DBClusterIdentifier=name)).get("DBClusters") or [{}])[0]
    members = (await rds.describe_db_instances(Filters=[{"Name": "db-cluster-id", "Values": [name]}])).get("DBInstances") or []
    public = [each["PubliclyAccessible"] for each in members if isinstance(each.get("PubliclyAccessible"), bool)]
    return _rds(found, region, public=any(public) if public else found.get("PubliclyAccessible"))


def _rds(found: Mapping[str, Any], region: str, *, public: Any) -> Posture:
    return Posture(
        encrypted_at_rest=_bool(found.get("StorageEncrypted")),
        public_access=_bool(public),
        backup_retention_days=_int(found.get("BackupRetentionPeriod")),
        multi_zone=_bool(found.get("MultiAZ")),
        iam_authentication=_bool(found.get("IAMDatabaseAuthenticationEnabled")),
        region=region,
    )


async def _azure_server(http: httpx.AsyncClient, cloud: AzureConfig, host: str, kind: str, version: str) -> dict[str, Any] | None:
    """By its id, or by its name among the subscription's servers."""
    if _AZURE_ID.fullmatch(cloud.resource_id):
        return {"id": cloud.resource_id, **await _get(http, cloud.resource_id, {"api-version": version})}
    wanted = host.lower().rstrip(".")
    found = await _listed(
        http,
        cloud.subscription_id,
        (kind, "flexibleServers", version),
        lambda each: str(_at(each, "properties", "fullyQualifiedDomainName")).lower() == wanted,
    )
    return found if found and _AZURE_ID.fullmatch(str(found.get("id"))) else None


async def _listed(
    http: httpx.AsyncClient, subscription: str, kind: tuple[str, str, str], is_it: Callable[[Mapping[str, Any]], bool]
) -> dict[str, Any] | None:
    """The one of the subscription's resources of this provider, type and interface version."""
    path, query = f"/subscriptions/{quote(subscription, safe='')}/providers/{kind[0]}/{kind[1]}", {"api-version": kind[2]}
    for _ in range(_PAGES):
        page = await _get(http, path, query)
        for each in page.get("value") or ():
            if is_it(each):
                return dict(each)
        more = urlsplit(str(page.get("nextLink") or ""))
        if not more.path or f"{more.scheme}://{more.netloc}" != resource_manager():
            return None
        path, query = more.path, dict(httpx.QueryParams(more.query))
    return None


def _flexible(server: Mapping[str, Any], admins: Mapping[str, Any] | None) -> Posture:
    """A flexible server's storage is always encrypted, with the service's key where the customer brings none."""
    network, zones = _at(server, "properties", "network", "publicNetworkAccess"), _at(server, "properties", "highAvailability", "mode")
    directory = _at(server, "properties", "authConfig", "activeDirectoryAuth")
    by_admins = None if admins is None else bool(admins.get("value"))
    return Posture(
        encrypted_at_rest=True,
        public_access={"Enabled": True, "Disabled": False}.get(str(network)),
        backup_retention_days=_int(_at(server, "properties", "backup", "backupRetentionDays")),
        multi_zone={"ZoneRedundant": True, "SameZone": False, "Disabled": False}.get(str(zones)),
        iam_authentication={"Enabled": True, "Disabled": False}.get(str(directory), by_admins),
        region=str(server.get("location") or "").lower().replace(" ", ""),
    )


def _cloud_sql(found: Mapping[str, Any]) -> Posture:
    """Cloud SQL's storage is always encrypted. A backup a day: as many days as backups are kept."""
    backup = _at(found, "settings", "backupConfiguration") or {}
    flags = {str(_at(flag, "name")): str(_at(flag, "value")) for flag in _at(found, "settings", "databaseFlags") or ()}
    kept = _int(_at(backup, "backupRetentionSettings", "retainedBackups"))
    enabled = _bool(_at(backup, "enabled"))
    mode = _at(found, "settings", "ipConfiguration", "sslMode")
    return Posture(
        tls_forced={"ENCRYPTED_ONLY": True, "TRUSTED_CLIENT_CERTIFICATE_REQUIRED": True, "ALLOW_UNENCRYPTED_AND_ENCRYPTED": False}.get(
            str(mode)
        ),
        encrypted_at_rest=True,
        public_access=_bool(_at(found, "settings", "ipConfiguration", "ipv4Enabled")),
        backup_retention_days=0 if enabled is False else kept,
        multi_zone={"REGIONAL": True, "ZONAL": False}.get(str(_at(found, "settings", "availabilityType"))),
        iam_authentication=any(flags.get(name, "").lower() == "on" for name in _IAM_FLAGS),
        region=str(found.get("region") or ""),
    )


def resource_manager() -> str:
    """Address of Azure's Resource Manager, in the operator's cloud."""
    return _AZURES.get(os.environ.get("AZURE_AUTHORITY_HOST", "").removeprefix("https://").strip("/"), AZURE)


def _http(base: str, token: str) -> httpx.AsyncClient:
    """Follows no redirect: the token goes to the provider's own address, and nowhere else."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    return httpx.AsyncClient(base_url=base, headers=headers, timeout=SECONDS, follow_redirects=False)


async def _get(http: httpx.AsyncClient, path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """A JSON object. Raises Failed or Transient by the answer's status; the answer's words stay here."""
    try:
        answer = await http.get(path, params=dict(query))
    except (httpx.HTTPError, OSError):
        raise failure("unreachable") from None
    if answer.status_code == 401:
        raise failure("credentials_invalid")
    if answer.status_code != 200:
        raise refusal(str(answer.status_code), answer.status_code)
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Failed("the cloud's facts", why="the provider answered with something else", code="provider_error")
    return document


def _at(document: Any, *path: str) -> Any:
    """What is at this place; None where there is no such place."""
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def _bool(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _int(value: Any) -> int | None:
    """Google writes some numbers as text."""
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
