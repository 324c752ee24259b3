"""The modules at OpenTofu, with the real providers' schemas and no cloud: valid, planned resource by resource, and bad input refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.tagger.commands.job import run
from tests.terraform.estate import BARE, CARRIES, CLOUDS, FIRST, MODULES, ROOT, TERRAFORM, carried, laid_out, variables
from tests.terraform.schemas import BINDINGS, VERSIONS, provider_schema

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("modules")]

EXTENDED = ROOT / ".venv" / "extended"
ANSWERS = {
    "aws_availability_zones": {"names": ["eu-central-1a", "eu-central-1b"]},
    "aws_caller_identity": {"account_id": "123456789012"},
    "aws_iam_policy_document": {"json": "{}"},
    "aws_partition": {"partition": "aws"},
    "aws_region": {"region": "eu-central-1"},
    "aws_vpc": {"cidr_block": "10.1.0.0/16"},
    "azurerm_client_config": {"subscription_id": "00000000-0000-0000-0000-000000000000"},
    "google_project": {"number": "123456789012"},
}


ROOM = {"tags", "labels", "resource_labels", "metadata"}


@dataclass(frozen=True)
class Tofu:
    """OpenTofu, which finds its providers in a folder."""

    settings: Path
    schemas: dict[str, dict[str, Any]]

    def run(self, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
        """The command's output, whatever its exit code."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TF_CLI_CONFIG_FILE": str(self.settings), "TF_IN_AUTOMATION": "1"}
        return subprocess.run(
            [EXTENDED / "tofu", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    def ready(self, folder: Path) -> None:
        done = self.run(folder, "init", "-input=false", "-no-color", "-backend=false")
        assert done.returncode == 0, done.stderr

    def planned(self, folder: Path, **given: Any) -> list[dict[str, Any]]:
        """Every resource that a first apply would make; `given` wins over what PurSight wrote."""
        (folder / "given.json").write_text(json.dumps(given))
        done = self.run(folder, "plan", "-input=false", "-no-color", "-var-file=given.json", "-out=plan")
        assert done.returncode == 0, done.stderr
        shown = json.loads(self.run(folder, "show", "-json", "plan").stdout)
        return list(_resources(shown["planned_values"]["root_module"]))


def _resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (each for each in module.get("resources", []) if each["mode"] == "managed")
    for child in module.get("child_modules", []):
        yield from _resources(child)


@cache
def kinds(word: str, provider: str) -> frozenset[str]:
    text = "".join(path.read_text() for path in sorted(TERRAFORM.rglob("*.tf")))
    return frozenset(re.findall(rf'^{word} "({provider}_\w+)"', text, re.MULTILINE))


@pytest.fixture(scope="module")
def tofu(tmp_path_factory: pytest.TempPathFactory) -> Tofu:
    """Providers are laid out as a mirror, so that `init` checks the versions that the modules ask for."""
    folder = tmp_path_factory.mktemp("providers")
    schemas = {}
    for provider, version in VERSIONS.items():
        archive = EXTENDED / "bindings" / f"cdktf-provider-{provider}-{BINDINGS[provider]}.tgz"
        schemas[provider] = provider_schema(archive, kinds("resource", provider), kinds("data", provider), ANSWERS)
        place = folder / "registry.opentofu.org" / "hashicorp" / provider / version / "linux_amd64"
        place.mkdir(parents=True)
        shutil.copy(EXTENDED / "terraform-provider", place / f"terraform-provider-{provider}")
        (place / "schema.json").write_text(json.dumps(schemas[provider]))
    settings = folder / "tofu.rc"
    settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{folder}"\n  }}\n}}\n')
    return Tofu(settings, schemas)


@pytest.fixture(scope="module")
def example(tofu: Tofu, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A copy of a cloud's example, ready to be planned; made once."""

    @cache
    def made(cloud: str) -> Path:
        folder = laid_out(tmp_path_factory.mktemp(cloud), cloud)
        tofu.ready(folder)
        return folder

    return made


def test_formatted(tofu: Tofu) -> None:
    assert tofu.run(TERRAFORM, "fmt", "-check", "-recursive", "-list=true").stdout == ""


@pytest.mark.parametrize("module", MODULES)
def test_valid_by_itself(tofu: Tofu, tmp_path: Path, module: str) -> None:
    shutil.copytree(TERRAFORM, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "modules" / module
    tofu.ready(folder)
    said = json.loads(tofu.run(folder, "validate", "-json").stdout)
    assert said["diagnostics"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("enable_key_rotation ", "enable_key_rotatoin "), "Unsupported argument"),
        (("deletion_window_in_days = 30", "deletion_window_in_days = []"), "number required"),
        (("aws_kms_key.this.key_id", "aws_kms_key.this.key_idd"), "no argument, nested block, or exported attribute"),
        (("target_key_id = aws_kms_key.this.key_id", ""), 'The argument "target_key_id" is required'),
        (("enable_key_rotation     = true", "rotation {}"), "Unsupported block type"),
    ],
)
def test_the_schemas_are_strict(tofu: Tofu, tmp_path: Path, change: tuple[str, str], words: str) -> None:
    """What the real provider would refuse in a module is refused here: otherwise the other tests say nothing."""
    folder = tmp_path / "modules" / "aws-emr"
    shutil.copytree(TERRAFORM / "modules" / "aws-emr", folder)
    text = (folder / "kms.tf").read_text()
    assert change[0] in text
    (folder / "kms.tf").write_text(text.replace(*change, 1))
    tofu.ready(folder)
    done = tofu.run(folder, "validate", "-no-color")
    assert done.returncode == 1
    assert words in re.sub(r"\s+", " ", done.stderr + done.stdout)


@pytest.mark.parametrize(("cloud", "least"), [("aws-emr", 61), ("gcp-gke", 27), ("azure-aks", 40)])
def test_planned_with_the_whole_set(tofu: Tofu, example: Callable[[str], Path], cloud: str, least: int) -> None:
    found = tofu.planned(example(cloud))
    assert len(found) >= least
    for each in found:
        for place, there, wanted in carried(each["type"], each["values"], cloud) if each["type"] in CARRIES else ():
            assert wanted.items() <= there.items(), f"{each['address']} {place}"
        if most := FIRST.get(each["type"]):
            assert len(each["values"]["tags"]) == most
            assert {"ManagedBy", "TenantId", "DataClassification", "Regulations", "Owner"} <= set(each["values"]["tags"])


@pytest.mark.parametrize("cloud", CLOUDS)
def test_pursight_plans_it_and_has_nothing_against_it(
    tofu: Tofu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cloud: str
) -> None:
    """From the job's file to a judged plan of a copied example, as the shell command does it."""
    folder = laid_out(tmp_path, cloud)
    (folder / "pursight.auto.tfvars.json").unlink()
    job = yaml.safe_load((ROOT / "examples/jobs/postgres_orders.yaml").read_text())
    job["infrastructure"]["terraform"]["module_source"] = str(folder)
    job["asset_path"] = str(ROOT / "examples/contracts/postgres_orders.yaml")
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    ours = {"PURSIGHT_TERRAFORM": EXTENDED / "tofu", "TF_CLI_CONFIG_FILE": tofu.settings, "PURSIGHT_HOME": tmp_path / "home"}
    for name, value in (CLOUDS[cloud] | ours).items():
        monkeypatch.setenv(name, str(value))
    run(str(tmp_path / "job.yaml"), "plan", json_output=True)
    told = json.loads(capsys.readouterr().out)["terraform"]
    assert told["state"] == "planned"
    assert told["refused"] == []
    assert not [finding for finding in told["findings"] if finding["code"] != "unknown"]
    assert told["counts"]["create"] >= 27
    assert json.loads((folder / "pursight.auto.tfvars.json").read_text()) == variables(cloud).values


def test_what_carries_no_tags_has_no_room_for_them(tofu: Tofu) -> None:
    """By the real schemas: a kind that gains a place for tags must get them."""
    kinds_made = {kind: block for schema in tofu.schemas.values() for kind, block in schema["Resources"].items()}
    room = {kind for kind, block in kinds_made.items() if ROOM & {*block["Attributes"], *block["Blocks"]}}
    assert set(kinds_made) >= BARE
    assert room & BARE == {"azurerm_storage_container"}  # `metadata` of its data, which is no tag
    assert set(kinds_made) - room - BARE == {"google_container_node_pool"}  # within its node_config


BAD: dict[str, list[tuple[dict[str, Any], str]]] = {
    "aws-emr": [
        ({"tags": {"a,b": "x"}}, "A tag has a character or length that EMR refuses"),
        ({"tags": {"aws:x": "x"}}, "begins with aws:"),
        ({"tags": {f"K{number}": "x" for number in range(49)}}, "tags must have 1 to 48 entries"),
        ({"tags": {}}, "tags must have 1 to 48 entries"),
        ({"min_instances": 5, "max_instances": 4}, "max_instances must not be less than min_instances"),
        ({"vpc_id": "vpc-0a1b2c3d"}, "given exactly where vpc_id is"),
        ({"bucket": "acme-*"}, "without wildcards"),
        ({"in_transit_certificates": "https://acme/certificates.zip"}, "in_transit_certificates must be s3://"),
        ({"instance_type": "large"}, "instance_type must be an EC2 instance type"),
    ],
    "gcp-gke": [
        ({"labels": {"Owner": "x"}}, "A label has a character or length that GCP refuses"),
        ({"labels": {"goog-x": "x"}}, "begins with goog"),
        ({"labels": {f"k{number}": "x" for number in range(62)}}, "labels must have 1 to 61 entries"),
        ({"admin_cidrs": {"all": "0.0.0.0/0"}}, "only private IPv4 ranges"),
        ({"admin_cidrs": {}}, "at least one entry"),
        ({"min_instances": 0, "max_instances": 0}, "max_instances must be at least 1"),
        ({"namespace": "kube-system"}, "none of Kubernetes' own"),
        ({"bucket": 'gs://acme/a"b'}, "the prefix of letters, digits"),
        ({"kubernetes_labels": {"a": "-"}}, "a letter or digit at both ends"),
    ],
    "azure-aks": [
        ({"tags": {"Owner": "x", "owner": "y"}}, "differ only in the case of their names"),
        ({"tags": {"windows-x": "y"}}, "begins with microsoft, azure or windows"),
        ({"tags": {"a/b": "y"}}, "has one of"),
        ({"tags": {f"k{number}": "x" for number in range(51)}}, "tags must have 1 to 50 entries"),
        ({"admin_group_ids": []}, "at least one object id"),
        ({"firewall_address": ""}, "firewall_address must be a private IPv4 address"),
        ({"firewall_address": "8.8.8.8"}, "firewall_address must be a private IPv4 address"),
    ],
}


@pytest.mark.parametrize(("cloud", "given", "words"), [(cloud, *case) for cloud, cases in BAD.items() for case in cases])
def test_bad_input_is_refused_before_anything_is_made(
    tofu: Tofu, example: Callable[[str], Path], cloud: str, given: dict[str, Any], words: str
) -> None:
    folder = example(cloud)
    (folder / "bad.json").write_text(json.dumps(given))
    done = tofu.run(folder, "plan", "-input=false", "-no-color", "-var-file=bad.json")
    assert done.returncode == 1
    assert words in re.sub(r"[\s│]+", " ", done.stderr)


@pytest.mark.parametrize(("cloud", "name", "most"), [("aws-emr", "tags", 48), ("gcp-gke", "labels", 61), ("azure-aks", "tags", 50)])
def test_as_many_tags_as_there_is_room_for(tofu: Tofu, example: Callable[[str], Path], cloud: str, name: str, most: int) -> None:
    found = tofu.planned(example(cloud), **{name: {f"k{number}": "ß" * 60 for number in range(most)}})
    (cluster,) = (each["values"] for each in found if each["type"] == NAMED[cloud])
    assert len(cluster[CARRIES[NAMED[cloud]][0]]) == most + (2 if cloud == "aws-emr" else 0)


NAMED = {"aws-emr": "aws_emr_cluster", "gcp-gke": "google_container_cluster", "azure-aks": "azurerm_kubernetes_cluster"}
LIMITS = {  # most characters of a name, at the strictest clouds
    "aws_s3_bucket": ("bucket", 63),
    "google_storage_bucket": ("name", 63),
    "google_service_account": ("account_id", 30),
    "azurerm_storage_account": ("name", 24),
    "azurerm_key_vault": ("name", 24),
}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_tenants_of_like_names_share_nothing(tofu: Tofu, example: Callable[[str], Path], cloud: str) -> None:
    """What is no name at the cloud becomes one, within its limits, and another one for each tenant."""
    tenants = ("a-b", "a_b", "A.B", "über", "9lives", "a" * 60 + "1", "a" * 60 + "2")
    names = []
    for tenant in tenants:
        found = tofu.planned(example(cloud), tenant_id=tenant, environment="prod")
        names.append(next(each["values"]["name"] for each in found if each["type"] == NAMED[cloud]))
        for each in found:
            field, most = LIMITS.get(each["type"], ("", 0))
            text = each.get("values", {}).get(field)
            assert not most or text is None or (3 <= len(text) <= most and re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", text)), (
                tenant,
                text,
            )
    assert names[0] == "a-b-prod"
    assert len(set(names)) == len(tenants)


def test_a_network_that_exists_is_used(tofu: Tofu, example: Callable[[str], Path]) -> None:
    """No second one is made, nor what belongs to it."""
    found = tofu.planned(example("aws-emr"), vpc_id="vpc-0a1b2c3d", subnet_ids=["subnet-0a", "subnet-0b"])
    assert not {each["type"] for each in found} & {"aws_vpc", "aws_subnet", "aws_vpc_endpoint", "aws_flow_log", "aws_route_table"}
    (cluster,) = (each["values"] for each in found if each["type"] == "aws_emr_cluster")
    assert cluster["ec2_attributes"][0]["subnet_ids"] == ["subnet-0a", "subnet-0b"]


@pytest.mark.parametrize("spot", [True, False])
def test_spot_nodes_are_as_azure_makes_them(tofu: Tofu, example: Callable[[str], Path], spot: bool) -> None:
    """Azure's own label and taint are said, because a difference of them would replace the pool at each apply."""
    found = tofu.planned(example("azure-aks"), enable_spot_instances=spot)
    (pool,) = (each["values"] for each in found if each["type"] == "azurerm_kubernetes_cluster_node_pool")
    assert (pool["priority"], pool.get("eviction_policy")) == (("Spot", "Delete") if spot else ("Regular", None))
    assert pool["node_taints"] == (["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"] if spot else [])
    assert (pool["node_labels"].get("kubernetes.azure.com/scalesetpriority") == "spot") is spot


def test_a_prefix_bounds_what_the_job_may_touch(tofu: Tofu, example: Callable[[str], Path]) -> None:
    found = tofu.planned(example("gcp-gke"), bucket="gs://acme-data-lake/raw/orders/")
    data, work = (each["values"] for each in found if each["type"] == "google_storage_bucket_iam_member" and ".job[" in each["address"])
    assert data["bucket"] == "acme-data-lake"
    assert 'startsWith("projects/_/buckets/acme-data-lake/objects/raw/orders/")' in data["condition"][0]["expression"]
    assert work["condition"] == []


@pytest.mark.parametrize("cloud", CLOUDS)
def test_checkov_is_content(tmp_path: Path, cloud: str) -> None:
    """With what PurSight writes, so that it sees values. Each exception stands in the module with its reason."""
    folder = laid_out(tmp_path, cloud)
    files = [f"--var-file={name}" for name in ("terraform.tfvars", "pursight.auto.tfvars.json")]
    command = [EXTENDED / "checkov" / "bin" / "checkov", "-d", ".", "--framework", "terraform", "--skip-download", "-o", "json", *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    said = json.loads(done.stdout)
    assert [f"{each['check_id']} {each['resource']}" for each in said["results"]["failed_checks"]] == []
    assert said["summary"]["passed"] >= 50
    assert said["summary"]["parsing_errors"] == 0
    assert all(each["check_result"]["suppress_comment"] for each in said["results"]["skipped_checks"])
