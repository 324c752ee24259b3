"""Targets: what can carry tags. An asset inside a source, or the cloud resource that holds the source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from services.tagger.domain.labels import RULES, Rules
from shared.contracts.job import JobConfig
from shared.contracts.names import encode
from shared.contracts.source import AwsConfig, AzureConfig, DataSource

Provider = Literal["aws", "azure", "gcp", "kubernetes"]
MAX_ARN = 1011  # characters; the tagging API takes no longer one


@dataclass(frozen=True, slots=True)
class Resource:
    """A cloud resource by its provider's own name (ARN, resource id)."""

    tenant: str
    provider: Provider
    id: str

    @property
    def target(self) -> str:
        """Key of everything said about this resource's tags; colons and slashes of the id stay legible."""
        return f"{encode(self.tenant)}/resource:{quote(self.id, safe=':/')}"


def job_target(job: str) -> str:
    """The target of a job's key: the tags of everything that it runs on.

    >>> job_target("acme/postgres_orders")
    'acme/job:postgres_orders'
    """
    tenant, _, rest = job.partition("/")
    return f"{tenant}/job:{rest}"


def asset_target(asset: str) -> str:
    """The target of an asset's key.

    >>> asset_target("acme/crm/shop.public.orders")
    'acme/asset:crm/shop.public.orders'
    """
    tenant, _, rest = asset.partition("/")
    return f"{tenant}/asset:{rest}"


def resource_of(spec: DataSource) -> Resource | None:
    """The cloud resource that holds this source, None where it names none."""
    cloud = spec.cloud_config
    if cloud is None:
        return None
    if isinstance(cloud, AwsConfig):
        name = cloud.resource_arn
    else:
        name = cloud.resource_id if isinstance(cloud, AzureConfig) else cloud.resource_name
    return Resource(spec.tenant, cloud.provider, name) if name else None


_ARN = re.compile(r"arn:(?P<partition>aws[a-z-]*):(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]*):(?P<account>\d*):(?P<name>.+)", re.DOTALL)
_AZURE = re.compile(r"/providers/Microsoft\.(\w+/\w+)", re.IGNORECASE)
_OF_AZURE = {
    "storage/storageaccounts": "azure-storage",
    "automation/automationaccounts": "azure-few",
    "cdn/profiles": "azure-few",
    "network/dnszones": "azure-dns",
    "network/privatednszones": "azure-dns",
    "network/trafficmanagerprofiles": "azure-dns",
    "network/frontdoors": "azure-front-door",
}
_RULES = {"rds": "rds", "s3": "s3", "elasticmapreduce": "emr"}


@dataclass(frozen=True, slots=True)
class Arn:
    """An Amazon resource name, taken apart."""

    text: str
    service: str
    region: str
    name: str
    account: str = ""

    @classmethod
    def parse(cls, text: str) -> Arn | None:
        """None where the text is no ARN.

        >>> Arn.parse("arn:aws:rds:eu-central-1:123456789012:db:orders").name
        'db:orders'
        """
        found = _ARN.fullmatch(text) if len(text) <= MAX_ARN else None
        return cls(text, found["service"], found["region"], found["name"], found["account"]) if found else None


def rules_of(resource: Resource) -> Rules:
    """The rules that tags of this resource obey."""
    if resource.provider == "azure":
        found = _AZURE.search(resource.id)
        return RULES[_OF_AZURE.get(found[1].lower(), "azure") if found else "azure"]
    if resource.provider != "aws":
        return RULES[resource.provider]  # of an object of Kubernetes these are the labels'; see `convert_for_object`
    arn = Arn.parse(resource.id)
    return RULES[_RULES.get(arn.service, "aws") if arn else "aws"]


_OF_PLATFORM = {
    "emr": ("emr", "s3"),
    "ecs": ("aws", "s3"),
    "fargate": ("aws", "s3"),
    "gke": ("gcp", "kubernetes", "kubernetes-annotation"),
    "dataproc": ("gcp",),
    "kubernetes": ("kubernetes", "kubernetes-annotation"),
    "aks": ("azure", "kubernetes", "kubernetes-annotation"),
}


def job_targets(job: JobConfig) -> tuple[str, ...]:
    """The kinds of target that carry a job's tags; none where it says not what it runs on."""
    runtime = job.infrastructure.runtime
    return _OF_PLATFORM[runtime.platform] if runtime else ()
