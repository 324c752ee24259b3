"""The Terraform modules, parsed and resolved by their examples, resource by resource: tagged, encrypted, private, told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tfparse

from services.tagger.domain.labels import RULES
from services.tagger.domain.vocabulary import KEY_ORDER
from tests.terraform.estate import BARE, CARRIES, CLOUDS, FIRST, MODULES, TERRAFORM, at, carried, expected, laid_out, variables

Estate = dict[str, list[dict[str, Any]]]
NAMES = ("terraform.tfvars", "pursight.auto.tfvars.json")


@pytest.fixture(scope="module")
def estates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Estate]:
    """Every example as one would be planned: variables in, counts and references resolved."""
    folder = tmp_path_factory.mktemp("terraform")
    return {
        cloud: tfparse.load_from_path(str(laid_out(folder / cloud, cloud)), stop_on_hcl_error=True, vars_paths=list(NAMES))
        for cloud in CLOUDS
    }


@cache
def text_of(folder: str) -> str:
    return "".join(path.read_text() for path in sorted((TERRAFORM / folder).glob("*.tf")))


@cache
def declared(folder: str) -> dict[str, dict[str, Any]]:
    """A module's variables and outputs by name."""
    parsed = tfparse.load_from_path(str(TERRAFORM / folder), stop_on_hcl_error=True)
    own = [each for kind in ("variable", "output") for each in parsed.get(kind, []) if "/" not in each["__tfmeta"]["filename"]]
    return {f"{each['__tfmeta']['path'].replace('variable', 'var')}": each for each in own}


def resources(estate: Estate) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, address and content of everything that is made."""
    for kind, listed in estate.items():
        for each in listed:
            if each.get("__tfmeta", {}).get("type") == "resource":
                yield kind, each["__tfmeta"]["path"], each


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_resource_carries_the_whole_set_or_can_carry_none(estates: dict[str, Estate], cloud: str) -> None:
    """Key for key what PurSight's plan says, on each resource and each of its places."""
    seen = 0
    for kind, address, resource in resources(estates[cloud]):
        assert (kind in CARRIES) + (kind in BARE) + (kind in FIRST) == 1, f"{kind} is in no table of tests/terraform/estate.py"
        for place, found, wanted in carried(kind, resource, cloud) if kind in CARRIES else ():
            missing = {key: value for key, value in wanted.items() if found.get(key) != value}
            assert not missing, f"{address} {place}"
            seen += 1
    assert seen >= {"aws-emr": 30, "gcp-gke": 15, "azure-aks": 15}[cloud]


def test_tags_come_from_one_place() -> None:
    """No resource has a set of its own: each says the local one, whole."""
    allowed = {
        *("local.tags", "local.key_tags", "local.labels", "local.annotations", "var.kubernetes_labels"),
        'merge(local.labels, { "pod-security.kubernetes.io/enforce" = "restricted" })',
        "merge(local.annotations, var.service_account.annotations)",
        "merge(var.kubernetes_labels, local.spot_labels)",
    }
    for module in MODULES:
        bodies = re.findall(r'^resource "\w+" .*?^\}', text_of(f"modules/{module}"), re.DOTALL | re.MULTILINE)
        said = [
            value
            for body in bodies
            for value in re.findall(r"^\s*(?:tags|labels|resource_labels|node_labels|annotations)\s*=\s*(.+)$", body, re.M)
        ]
        assert said
        assert set(said) <= allowed


def test_a_vaults_key_has_the_most_important_ones() -> None:
    """Azure gives it room for 15; the order is that by which PurSight itself leaves tags out."""
    listed = re.search(r"importance = \[(.*?)\]", text_of("modules/azure-aks"), re.DOTALL)
    assert listed
    assert tuple(re.findall(r'"(\w+)"', listed[1])) == KEY_ORDER


def test_rooms_are_those_of_the_clouds() -> None:
    """What the modules take at most and add themselves comes to what PurSight's rules give each cloud."""
    most = {cloud: int(re.search(r"length\(var\.(?:tags|labels)\) <= (\d+)", text_of(f"modules/{cloud}"))[1]) for cloud in CLOUDS}  # type: ignore[index]
    assert most["aws-emr"] + 2 == RULES["emr"].most == RULES["s3"].most
    assert most["gcp-gke"] + 3 == RULES["gcp"].most
    assert most["azure-aks"] == RULES["azure"].most


# Kind, place, value; `=KIND` means a reference to the resource of that kind.
SAFE: dict[str, dict[str, Any]] = {
    "aws_kms_key": {"enable_key_rotation": True},
    "aws_s3_bucket_public_access_block": dict.fromkeys(
        ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"), True
    ),
    "aws_s3_bucket_server_side_encryption_configuration": {
        "rule.apply_server_side_encryption_by_default.sse_algorithm": "aws:kms",
        "rule.apply_server_side_encryption_by_default.kms_master_key_id": "=aws_kms_key",
    },
    "aws_s3_bucket_versioning": {"versioning_configuration.status": "Enabled"},
    "aws_s3_bucket_ownership_controls": {"rule.object_ownership": "BucketOwnerEnforced"},
    "aws_cloudwatch_log_group": {"kms_key_id": "=aws_kms_key", "retention_in_days": 365},
    "aws_emr_cluster": {
        "log_encryption_kms_key_id": "=aws_kms_key",
        "termination_protection": True,
        "applications": ["Hadoop", "Hive", "Spark"],
    },
    "aws_emr_managed_scaling_policy": {"compute_limits.minimum_capacity_units": 4, "compute_limits.maximum_capacity_units": 12},
    "aws_subnet": {"map_public_ip_on_launch": False},
    "google_container_cluster": {
        "private_cluster_config.enable_private_nodes": True,
        "private_cluster_config.enable_private_endpoint": True,
        "control_plane_endpoints_config.dns_endpoint_config.allow_external_traffic": False,
        "master_authorized_networks_config.gcp_public_cidrs_access_enabled": False,
        "master_auth.client_certificate_config.issue_client_certificate": False,
        "database_encryption.state": "ENCRYPTED",
        "database_encryption.key_name": "=google_kms_crypto_key",
        "in_transit_encryption_config": "IN_TRANSIT_ENCRYPTION_INTER_NODE_TRANSPARENT",
        "workload_identity_config.workload_pool": "acme-data-prod.svc.id.goog",
        "node_config.boot_disk_kms_key": "=google_kms_crypto_key",
        "enable_legacy_abac": False,
    },
    "google_container_node_pool": {
        "node_config.boot_disk_kms_key": "=google_kms_crypto_key",
        "node_config.workload_metadata_config.mode": "GKE_METADATA",
        "node_config.shielded_instance_config.enable_secure_boot": True,
        "management.auto_upgrade": True,
    },
    "google_kms_crypto_key": {"rotation_period": "7776000s"},
    "google_storage_bucket": {
        "public_access_prevention": "enforced",
        "uniform_bucket_level_access": True,
        "encryption.default_kms_key_name": "=google_kms_crypto_key",
        "versioning.enabled": True,
    },
    "google_compute_subnetwork": {"private_ip_google_access": True},
    "azurerm_kubernetes_cluster": {
        "private_cluster_enabled": True,
        "private_cluster_public_fqdn_enabled": False,
        "local_account_disabled": True,
        "run_command_enabled": False,
        "workload_identity_enabled": True,
        "disk_encryption_set_id": "=azurerm_disk_encryption_set",
        "default_node_pool.host_encryption_enabled": True,
        "default_node_pool.node_public_ip_enabled": False,
        "network_profile.outbound_type": "userDefinedRouting",
        "azure_active_directory_role_based_access_control.azure_rbac_enabled": True,
    },
    "azurerm_kubernetes_cluster_node_pool": {
        "host_encryption_enabled": True,
        "node_public_ip_enabled": False,
        "min_count": 4,
        "max_count": 12,
    },
    "azurerm_key_vault": {
        "public_network_access_enabled": False,
        "purge_protection_enabled": True,
        "rbac_authorization_enabled": True,
        "network_acls.default_action": "Deny",
    },
    "azurerm_disk_encryption_set": {"encryption_type": "EncryptionAtRestWithPlatformAndCustomerKeys"},
    "azurerm_storage_account": {
        "public_network_access_enabled": False,
        "allow_nested_items_to_be_public": False,
        "shared_access_key_enabled": False,
        "infrastructure_encryption_enabled": True,
        "min_tls_version": "TLS1_2",
        "https_traffic_only_enabled": True,
        "network_rules.default_action": "Deny",
    },
    "azurerm_storage_container": {"container_access_type": "private"},
    "azurerm_subnet": {"default_outbound_access_enabled": False},
    "kubernetes_service_account_v1": {"automount_service_account_token": False},
}


@pytest.mark.parametrize("kind", SAFE)
def test_encrypted_private_and_least(estates: dict[str, Estate], kind: str) -> None:
    found = [(estate, address, resource) for estate in estates.values() for each, address, resource in resources(estate) if each == kind]
    assert found
    for estate, address, resource in found:
        for place, wanted in SAFE[kind].items():
            value = at(resource, place)
            if isinstance(wanted, str) and wanted.startswith("="):
                assert value in {each["id"] for each in estate[wanted[1:]]}, f"{address} {place}"
            else:
                assert value == wanted, f"{address} {place}"


def test_emr_encrypts_at_rest_and_on_the_way(estates: dict[str, Estate]) -> None:
    (made,) = estates["aws-emr"]["aws_emr_security_configuration"]
    said = json.loads(made["configuration"])
    encryption = said["EncryptionConfiguration"]
    assert encryption["EnableAtRestEncryption"]
    assert encryption["EnableInTransitEncryption"]
    key = estates["aws-emr"]["aws_kms_key"][0]["id"]
    assert encryption["AtRestEncryptionConfiguration"]["S3EncryptionConfiguration"] == {"EncryptionMode": "SSE-KMS", "AwsKmsKey": key}
    disks = encryption["AtRestEncryptionConfiguration"]["LocalDiskEncryptionConfiguration"]
    assert disks == {"EncryptionKeyProviderType": "AwsKms", "AwsKmsKey": key, "EnableEbsEncryption": True}
    assert said["InstanceMetadataServiceConfiguration"] == {"MinimumInstanceMetadataServiceVersion": 2, "HttpPutResponseHopLimit": 1}
    assert estates["aws-emr"]["aws_emr_cluster"][0]["security_configuration"] == made["name"]


PUBLIC = re.compile(r"internet_gateway|nat_gateway|_eip\b|public_ip\b|compute_address|router_nat|load_?balancer|forwarding_rule|_lb\b")


def test_nothing_is_public(estates: dict[str, Estate]) -> None:
    """No door to the internet in either direction, and nobody whose name is everybody."""
    for estate in estates.values():
        assert not [kind for kind in estate if PUBLIC.search(kind)]
    for rule in estates["aws-emr"]["aws_vpc_security_group_ingress_rule"]:
        assert not {"cidr_ipv4", "cidr_ipv6"} & {name for name, value in rule.items() if value}
    for rule in estates["aws-emr"]["aws_vpc_security_group_egress_rule"]:
        assert rule.get("cidr_ipv4") in (None, "10.80.0.0/20")
    for module in MODULES:
        text = text_of(f"modules/{module}")
        assert not re.search(r"allUsers|allAuthenticatedUsers|system:unauthenticated\"\s*\]", text)
        assert "::/0" not in text
    (firewall,) = estates["gcp-gke"]["google_compute_firewall"]
    assert firewall["source_ranges"] == ["0.0.0.0/0"]
    assert "deny" in firewall
    assert "allow" not in firewall
    (route,) = estates["azure-aks"]["azurerm_route_table"]
    assert at(route, "route.next_hop_type") == "VirtualAppliance"
    rules = [each["security_rule"] for each in estates["azure-aks"]["azurerm_network_security_group"]]
    assert [rule["access"] for rule in rules] == ["Deny"]


BROAD = ("Owner", "Contributor", "roles/owner", "roles/editor", "roles/viewer", "AdministratorAccess", "cluster-admin")


def test_a_policy_names_acts_and_things(estates: dict[str, Estate]) -> None:
    """What a role may do names each act and the things that it is done to; what is open to more callers has a condition."""
    for document in estates["aws-emr"]["aws_iam_policy_document"]:
        of = document["__tfmeta"]["path"].rpartition("aws_iam_policy_document.")[2].partition("[")[0]
        for statement in listed(document["statement"]):
            if of in ("endpoint", "key", "logs", "s3_endpoint"):
                assert "condition" in statement or statement.get("sid") in ("Account", "Amazon"), of
            else:
                assert all(re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", act) for act in statement["actions"]), of
                assert "*" not in statement.get("resources", ()), of


def test_no_role_is_broad(estates: dict[str, Estate]) -> None:
    for estate in estates.values():
        for kind, address, resource in resources(estate):
            assert not [name for name in ("role_definition_name", "role", "policy_arn") if resource.get(name) in BROAD], address
            for rule in listed(resource["rule"]) if kind == "kubernetes_role_v1" else ():
                assert "*" not in (*rule["verbs"], *rule["resources"], *rule["api_groups"])
                assert "secrets" not in rule["resources"]


def listed(block: Any) -> list[Any]:
    return block if isinstance(block, list) else [block]


@pytest.mark.parametrize("module", MODULES)
def test_inputs_and_outputs_are_documented(module: str) -> None:
    """Each has a description that says something, and a type; every text and number is looked at before anything is made."""
    found = declared(f"modules/{module}")
    assert {name for name in found if name.startswith("output.")}
    for name, each in found.items():
        assert len(each.get("description", "")) >= 15, name
    types = re.findall(r'^variable "(\w+)" \{(.*?)^\}', text_of(f"modules/{module}"), re.DOTALL | re.MULTILINE)
    assert types
    for name, body in types:
        assert re.search(r"^  type\s+= ", body, re.M), name
        assert (
            name not in ("tags", "labels", "bucket", "instance_type", "min_instances", "max_instances", "admin_cidrs")
            or "validation" in body
        )


@pytest.mark.parametrize("folder", [*(f"modules/{module}" for module in MODULES), *(f"examples/{cloud}" for cloud in CLOUDS)])
def test_nothing_is_declared_for_nobody(folder: str) -> None:
    """Every variable and local is used somewhere else than where it is declared."""
    text = text_of(folder)
    code = re.sub(r'^variable "\w+" \{.*?^\}', "", text, flags=re.DOTALL | re.MULTILINE)
    assert not {name for name in re.findall(r'^variable "(\w+)"', text, re.M) if f"var.{name}" not in code}
    made = {
        name
        for body in re.findall(r"^locals \{(.*?)^\}", text, re.DOTALL | re.MULTILINE)
        for name in re.findall(r"^  (\w+)\s+= ", body, re.M)
    }
    assert not {name for name in made if not re.search(rf"local\.{name}\b", code)}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_example_takes_what_pursight_writes_and_hands_it_on(cloud: str) -> None:
    told = variables(cloud)
    assert not told.problems
    assert not told.unheard
    root, module = declared(f"examples/{cloud}"), declared(f"modules/{cloud}")
    inputs = {name.removeprefix("var.") for name in root if name.startswith("var.")}
    assert set(told.values) <= inputs
    call = re.search(r'^module "\w+" \{(.*?)^\}', text_of(f"examples/{cloud}"), re.DOTALL | re.MULTILINE)
    assert call
    passed = dict(re.findall(r"^  (\w+)\s+= var\.(\w+)$", call[1], re.M))
    assert all(name == value for name, value in passed.items())
    assert inputs - {"subscription_id", "region"} <= set(passed) | {"project_id", "region"}
    offered = {name.removeprefix("var."): each for name, each in module.items() if name.startswith("var.")}
    assert set(passed) <= set(offered)
    assert {name for name, each in offered.items() if "default" not in each} <= set(passed)
    assert {name.removeprefix("output.") for name in module if name.startswith("output.")} >= {
        "aws-emr": {"emr_cluster_id", "log_bucket", "kms_key_arn", "tags"},
        "gcp-gke": {"gke_cluster_name", "buckets", "kms_key", "namespace", "service_account", "labels"},
        "azure-aks": {"aks_cluster_name", "storage", "key_id", "namespace", "service_account", "tags"},
    }[cloud]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_whole_set_is_the_worked_example(cloud: str) -> None:
    """What must be on each resource is not empty by mistake."""
    keys = expected(cloud)["cloud"]
    assert len(keys) >= 20
    assert keys["cost_center" if cloud == "gcp-gke" else "CostCenter"] == "data-engineering"


def test_exceptions_from_checkov_have_reasons() -> None:
    for path in sorted(Path(TERRAFORM).rglob("*.tf")):
        for line in re.findall(r"^.*checkov:skip.*$", path.read_text(), re.M):
            assert re.fullmatch(r"\s*#checkov:skip=CKV2?_[A-Z]+_\d+:[A-Z].{10,}\.", line), f"{path.name}: {line}"
