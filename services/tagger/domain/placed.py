"""Which cloud resources a job names: each by its provider's own name, or with the reason why it cannot carry tags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from services.tagger.domain.targets import MAX_ARN, Arn, Provider, Resource
from shared.contracts.job import (
    AksRuntime,
    DataprocRuntime,
    EcsRuntime,
    EmrRuntime,
    FargateRuntime,
    GkeRuntime,
    JobConfig,
    KubernetesRuntime,
)

_WHY = {
    "region_missing": ("the job does not say in which region", "Set infrastructure.runtime.region."),
    "account_missing": ("the job does not say in which account", "Set infrastructure.runtime.account_id."),
    "project_missing": ("the job does not say in which project", "Set infrastructure.runtime.project_id."),
    "group_missing": (
        "the job does not say in which subscription and resource group",
        "Set infrastructure.runtime.subscription_id and resource_group, or give the whole resource id.",
    ),
    "cluster_missing": ("the job does not say in which cluster", "Set infrastructure.runtime.compute.cluster_id."),
    "not_taggable": ("its cloud has no tags or labels for this", "Nothing to do: what it belongs to carries them."),
    "name_unusable": ("this is no name that its cloud takes", "Correct it in the job."),
    "terraform_writes": (
        "the job's Terraform module makes it, and two writers of one tag would undo each other",
        "Run Terraform with the job's variables (pursight run --mode apply); they hold the same tags.",
    ),
}


_MADE = frozenset({"runtime.compute.cluster_id", "runtime.namespace"})


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that a job names and we do not write to. `path` is where the job names it."""

    provider: str
    path: str
    written: str
    code: str

    @property
    def cause(self) -> str:
        return _WHY[self.code][0]

    @property
    def remedy(self) -> str:
        return _WHY[self.code][1]

    def as_dict(self) -> dict[str, str]:
        """For people."""
        return {"path": self.path, "resource": self.written, "code": self.code, "cause": self.cause, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class _Named:
    """One thing that the job names, and what its cloud calls it; with `code` in place of an id, why it is skipped."""

    path: str
    written: str
    provider: Provider
    id: str = ""
    code: str = ""


def placed(job: JobConfig) -> tuple[tuple[Resource, ...], tuple[Skipped, ...]]:
    """The resources that carry the job's tags, each once, and what is skipped."""
    resources, skipped = dict[Resource, None](), list[Skipped]()
    for named in _named(job):
        code = named.code or _terraforms(job, named) or ("" if _usable(named) else "name_unusable")
        if code:
            skipped.append(Skipped(named.provider, named.path, named.written, code))
        else:
            resources[Resource(job.tenant_id, named.provider, named.id)] = None
    return tuple(resources), tuple(skipped)


def _usable(named: _Named) -> bool:
    if any(char <= " " or char == "\x7f" for char in named.id) or len(named.id) > MAX_ARN:
        return False
    return named.provider != "aws" or Arn.parse(named.id) is not None


def _terraforms(job: JobConfig, named: _Named) -> str:
    """The cluster and its namespace are what a module makes; buckets, networks and databases that a job names were there before."""
    block = job.infrastructure
    return "terraform_writes" if block.provider == "terraform" and block.terraform.module_source and named.path in _MADE else ""


def _named(job: JobConfig) -> Iterator[_Named]:
    runtime: Any = job.infrastructure.runtime
    if isinstance(runtime, EmrRuntime | EcsRuntime | FargateRuntime):
        yield from _aws(job, runtime)
    elif isinstance(runtime, GkeRuntime | DataprocRuntime):
        yield from _gcp(job, runtime)
    elif isinstance(runtime, AksRuntime):
        yield from _azure(job, runtime)
    if isinstance(runtime, GkeRuntime | KubernetesRuntime | AksRuntime):
        yield from _kubernetes(runtime)


def _arn(service: str, kind: str, name: str, path: str, runtime: Any, *, home: str = "") -> _Named:
    """An ARN of a name; of what is an ARN already, that one. `home` `account` alone for services without regions."""
    if name.startswith("arn:"):
        return _Named(path, name, "aws", name)
    if not runtime.account_id:
        return _Named(path, name, "aws", code="account_missing")
    if not runtime.region and home != "account":
        return _Named(path, name, "aws", code="region_missing")
    partition = _partition(runtime.region)
    region = "" if home == "account" else runtime.region
    return _Named(path, name, "aws", f"arn:{partition}:{service}:{region}:{runtime.account_id}:{kind}{name}")


def _partition(region: str) -> str:
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _aws(job: JobConfig, runtime: Any) -> Iterator[_Named]:
    compute, network, given = runtime.compute, runtime.network, job.infrastructure.resources
    service = "elasticmapreduce" if isinstance(runtime, EmrRuntime) else "ecs"
    if compute.cluster_id:
        yield _arn(service, "cluster/", compute.cluster_id, "runtime.compute.cluster_id", runtime)
    if runtime.storage.bucket:
        name = _bucket(runtime.storage.bucket)
        yield _Named("runtime.storage.bucket", runtime.storage.bucket, "aws", f"arn:{_partition(runtime.region)}:s3:::{name}")
    if runtime.storage.volume_id:
        yield _arn("ec2", "volume/", runtime.storage.volume_id, "runtime.storage.volume_id", runtime)
    if network.vpc_id:
        yield _arn("ec2", "vpc/", network.vpc_id, "runtime.network.vpc_id", runtime)
    for number, name in enumerate(network.subnet_ids):
        yield _arn("ec2", "subnet/", name, f"runtime.network.subnet_ids.{number}", runtime)
    for number, name in enumerate(network.security_group_ids):
        yield _arn("ec2", "security-group/", name, f"runtime.network.security_group_ids.{number}", runtime)
    if runtime.service_account:
        yield _arn("iam", "role/", runtime.service_account, "runtime.service_account", runtime, home="account")
    if given.database.instance_id:
        yield _arn("rds", "db:", given.database.instance_id, "resources.database.instance_id", runtime)
    if given.cache.cluster_id:
        yield _arn("elasticache", "cluster:", given.cache.cluster_id, "resources.cache.cluster_id", runtime)
    if given.queue.arn:
        yield _Named("resources.queue.arn", given.queue.arn, "aws", given.queue.arn)
    if given.secrets.secret_manager_arn:
        yield _Named("resources.secrets.secret_manager_arn", given.secrets.secret_manager_arn, "aws", given.secrets.secret_manager_arn)
    if given.secrets.kms_key_id and not given.secrets.kms_key_id.startswith("alias/"):
        yield _arn("kms", "key/", given.secrets.kms_key_id, "resources.secrets.kms_key_id", runtime)


def _bucket(text: str) -> str:
    """The bucket of a name or address: `s3://lake/raw` is `lake`."""
    return re.sub(r"^[a-z0-9]+://", "", text).partition("/")[0]


def _gcp(job: JobConfig, runtime: Any) -> Iterator[_Named]:
    cluster, bucket = runtime.compute.cluster_id, runtime.storage.bucket
    service, kind = ("container", "locations") if isinstance(runtime, GkeRuntime) else ("dataproc", "regions")
    if cluster:
        code = "" if "/" in cluster else "project_missing" if not runtime.project_id else "region_missing" if not runtime.region else ""
        whole = cluster if "/" in cluster else f"projects/{runtime.project_id}/{kind}/{runtime.region}/clusters/{cluster}"
        name = whole if whole.startswith("//") else f"//{service}.googleapis.com/{whole}"
        yield _Named("runtime.compute.cluster_id", cluster, "gcp", name, code)
    if bucket:
        yield _Named("runtime.storage.bucket", bucket, "gcp", f"//storage.googleapis.com/{_bucket(bucket)}")
    if runtime.storage.volume_id:
        volume = runtime.storage.volume_id
        yield _Named(
            "runtime.storage.volume_id", volume, "gcp", f"//compute.googleapis.com/{volume}", "" if "/" in volume else "name_unusable"
        )
    if database := job.infrastructure.resources.database.instance_id:
        code = "" if runtime.project_id else "project_missing"
        yield _Named(
            "resources.database.instance_id",
            database,
            "gcp",
            f"//cloudsql.googleapis.com/projects/{runtime.project_id}/instances/{database}",
            code,
        )
    for path, name in (("runtime.network.vpc_id", runtime.network.vpc_id), ("runtime.service_account", runtime.service_account)):
        if name:  # networks, subnets, firewall rules and accounts have no labels at Google
            yield _Named(path, name, "gcp", code="not_taggable")


def _azure(job: JobConfig, runtime: Any) -> Iterator[_Named]:
    def of(path: str, name: str, kind: str) -> _Named:
        found = azure_id(runtime, name, kind)
        return _Named(path, name, "azure", found, "" if found else "group_missing")

    if runtime.compute.cluster_id:
        yield of("runtime.compute.cluster_id", runtime.compute.cluster_id, AZURE_KINDS["cluster"])
    if runtime.storage.bucket:
        yield of("runtime.storage.bucket", azure_account(runtime.storage.bucket), AZURE_KINDS["bucket"])
    if runtime.network.vpc_id:
        yield of("runtime.network.vpc_id", runtime.network.vpc_id, AZURE_KINDS["network"])
    for number, name in enumerate(runtime.network.security_group_ids):
        yield of(f"runtime.network.security_group_ids.{number}", name, AZURE_KINDS["group"])
    if job.infrastructure.resources.database.instance_id:
        name = job.infrastructure.resources.database.instance_id
        yield of("resources.database.instance_id", name, "Microsoft.DBforPostgreSQL/flexibleServers")


AZURE_KINDS = {
    "cluster": "Microsoft.ContainerService/managedClusters",
    "bucket": "Microsoft.Storage/storageAccounts",
    "network": "Microsoft.Network/virtualNetworks",
    "group": "Microsoft.Network/networkSecurityGroups",
    "role": "Microsoft.ManagedIdentity/userAssignedIdentities",
}


def azure_id(runtime: Any, name: str, kind: str) -> str:
    """The whole id of what an AKS job names; empty where it does not say in which group."""
    if name.startswith("/"):
        return name
    home = f"/subscriptions/{runtime.subscription_id}/resourceGroups/{runtime.resource_group}/providers"
    return f"{home}/{kind}/{name}" if runtime.subscription_id and runtime.resource_group else ""


def azure_account(text: str) -> str:
    """The storage account of a name or address.

    >>> [azure_account(text) for text in ("abfss://raw@lake.dfs.core.windows.net/in", "https://lake.blob.core.windows.net/raw", "lake")]
    ['lake', 'lake', 'lake']
    """
    if text.startswith("/") or "://" not in text:
        return text
    return (urlsplit(text).hostname or "").partition(".")[0]


def _kubernetes(runtime: Any) -> Iterator[_Named]:
    cluster, namespace = runtime.compute.cluster_id.rpartition("/")[2], runtime.namespace
    code = "" if cluster else "cluster_missing"
    if namespace:
        yield _Named("runtime.namespace", namespace, "kubernetes", f"kubernetes://{cluster}/namespaces/{namespace}", code)
    for number, workload in enumerate(runtime.workloads):
        name = f"kubernetes://{cluster}/namespaces/{namespace or 'default'}/{workload}"
        yield _Named(f"runtime.workloads.{number}", workload, "kubernetes", name, code)
