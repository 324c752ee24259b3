"""The examples of deploy/terraform, with the variables that PurSight writes for the worked example's job."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from services.tagger.domain.declared import Where
from services.tagger.domain.house import House
from services.tagger.domain.job import derive_job
from services.tagger.domain.odcs import judge_contract
from services.tagger.domain.privacy import holds_personal
from services.tagger.domain.variables import Variables, as_json, declared_in, variables_of
from services.tagger.gateway.standard import shape
from shared.contracts.judging.job import judge_job

ROOT = Path(__file__).parents[2]
TERRAFORM = ROOT / "deploy" / "terraform"
# What the shell's environment says of each cloud: the same job runs on all of them.
CLOUDS = {
    "aws-emr": {
        "CLOUD_PLATFORM": "emr",
        "CLUSTER_ID": "j-2AXXXXXXGAPLF",
        "INSTANCE_TYPE": "r5.2xlarge",
        "DATA_BUCKET": "s3://acme-data-lake",
    },
    "gcp-gke": {"CLOUD_PLATFORM": "gke", "CLUSTER_ID": "acme-prod", "INSTANCE_TYPE": "n2-standard-4", "DATA_BUCKET": "gs://acme-data-lake"},
    "azure-aks": {
        "CLOUD_PLATFORM": "aks",
        "CLUSTER_ID": "acme-prod",
        "INSTANCE_TYPE": "Standard_D8ds_v5",
        "DATA_BUCKET": "abfss://lake@acme.dfs.core.windows.net",
    },
}
MODULES = (*CLOUDS, "kubernetes-namespace")

# Where each kind of resource has its tags. What has a place for them must carry the whole set there.
CARRIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "aws_cloudwatch_log_group",
            "aws_default_security_group",
            "aws_emr_cluster",
            "aws_flow_log",
            "aws_iam_instance_profile",
            "aws_iam_role",
            "aws_kms_key",
            "aws_route_table",
            "aws_s3_bucket",
            "aws_security_group",
            "aws_subnet",
            "aws_vpc",
            "aws_vpc_endpoint",
            "aws_vpc_security_group_egress_rule",
            "aws_vpc_security_group_ingress_rule",
            "azurerm_disk_encryption_set",
            "azurerm_key_vault",
            "azurerm_kubernetes_cluster_node_pool",
            "azurerm_log_analytics_workspace",
            "azurerm_network_security_group",
            "azurerm_private_endpoint",
            "azurerm_resource_group",
            "azurerm_route_table",
            "azurerm_storage_account",
            "azurerm_user_assigned_identity",
            "azurerm_virtual_network",
        ),
        ("tags",),
    ),
    "azurerm_kubernetes_cluster": ("tags", "default_node_pool.tags"),
    "google_container_cluster": ("resource_labels", "node_config.resource_labels"),
    "google_container_node_pool": ("node_config.resource_labels",),
    "google_kms_crypto_key": ("labels",),
    "google_storage_bucket": ("labels",),
    **dict.fromkeys(
        (
            "kubernetes_namespace_v1",
            "kubernetes_network_policy_v1",
            "kubernetes_role_binding_v1",
            "kubernetes_role_v1",
            "kubernetes_service_account_v1",
        ),
        ("metadata.labels", "metadata.annotations"),
    ),
}
FIRST = {"azurerm_key_vault_key": 15}  # kinds with room for fewer: the most important ones
# Nodes carry the labels of Kubernetes besides.
NODE_LABELS = {
    "azurerm_kubernetes_cluster": "default_node_pool.node_labels",
    "azurerm_kubernetes_cluster_node_pool": "node_labels",
    "google_container_node_pool": "node_config.labels",
}
# Their clouds give these no tags; `test_tofu.py` asks the providers' schemas whether that is so.
BARE = frozenset(
    {
        "aws_emr_instance_fleet",
        "aws_emr_managed_scaling_policy",
        "aws_emr_security_configuration",
        "aws_iam_role_policy",
        "aws_iam_role_policy_attachment",
        "aws_kms_alias",
        "aws_route_table_association",
        "aws_s3_bucket_lifecycle_configuration",
        "aws_s3_bucket_ownership_controls",
        "aws_s3_bucket_policy",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_versioning",
        "azurerm_federated_identity_credential",
        "azurerm_monitor_diagnostic_setting",
        "azurerm_role_assignment",
        "azurerm_storage_container",
        "azurerm_storage_management_policy",
        "azurerm_subnet",
        "azurerm_subnet_network_security_group_association",
        "azurerm_subnet_route_table_association",
        "azurerm_virtual_network_peering",
        "google_compute_firewall",
        "google_compute_network",
        "google_compute_subnetwork",
        "google_kms_crypto_key_iam_member",
        "google_kms_key_ring",
        "google_project_iam_member",
        "google_service_account",
        "google_service_account_iam_member",
        "google_storage_bucket_iam_member",
    }
)


@cache
def variables(cloud: str) -> Variables:
    """What PurSight tells the example of a cloud, by the examples' job and contract."""
    job = judge_job(yaml.safe_load((ROOT / "examples/jobs/postgres_orders.yaml").read_text()), CLOUDS[cloud]).job
    contract = judge_contract(yaml.safe_load((ROOT / "examples/contracts/postgres_orders.yaml").read_text()), shape=shape, name="").contract
    assert job is not None
    assert contract is not None
    derived = derive_job(
        (job, Where("job")), (contract, Where("contract")), (), now=datetime.now(UTC), cause="test", house=House(holds_personal)
    )
    text = "".join(path.read_text() for path in sorted((TERRAFORM / "examples" / cloud).glob("*.tf")))
    return variables_of(job, derived, declared_in(text))


def laid_out(target: Path, cloud: str) -> Path:
    """A copy of the example, its modules beside it, with the operator's variables and ours."""
    shutil.copytree(TERRAFORM, target, dirs_exist_ok=True)
    example = target / "examples" / cloud
    shutil.copy(example / "terraform.tfvars.example", example / "terraform.tfvars")
    (example / "pursight.auto.tfvars.json").write_text(as_json(variables(cloud).values))
    return example


def expected(cloud: str) -> dict[str, dict[str, str]]:
    """The whole set by where it goes: at the cloud, on labels and on annotations of Kubernetes."""
    values = variables(cloud).values
    at_cloud = values["labels"] if cloud == "gcp-gke" else values["tags"]
    if cloud == "aws-emr":
        at_cloud = at_cloud | {"Name": "acme-prod", "for-use-with-amazon-emr-managed-policies": "true"}
    return {"cloud": at_cloud, **{name: values.get(f"kubernetes_{name}", {}) for name in ("labels", "annotations")}}


def carried(kind: str, resource: dict[str, Any], cloud: str) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """For each place of tags on a resource: the place, what is there, and what must be."""
    sets = expected(cloud)
    for place in CARRIES[kind]:
        yield place, at(resource, place), sets[place.rpartition(".")[2] if kind.startswith("kubernetes_") else "cloud"]
    if place := NODE_LABELS.get(kind):
        yield place, at(resource, place), sets["labels"]


def at(resource: dict[str, Any], place: str) -> Any:
    """The value at a dotted place; of a block that stands once, whether its reader makes a list of it or not."""
    found: Any = resource
    for part in place.split("."):
        found = found[0] if isinstance(found, list) else found
        found = found[part]
    return found
