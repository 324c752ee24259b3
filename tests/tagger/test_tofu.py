"""The same at OpenTofu itself (see test_terraform.py): what is written is read, what is planned is applied, what is stopped lets go."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from services.tagger.commands.job import run
from services.tagger.domain.planned import judge_plan
from services.tagger.domain.surroundings import environment
from services.tagger.domain.variables import as_hcl, as_json
from services.tagger.gateway.terraform import Limits, Terraform
from shared.errors import Failed, PurSightError
from tests.tagger.moto_server import client_of

pytestmark = pytest.mark.extended
PROGRAM = Path(sys.prefix) / "extended" / "tofu"
USUAL = Limits()
PIECES = [
    '"',
    "\\",
    "$",
    "%",
    "{",
    "}",
    "${",
    "%{",
    "$${",
    "%%{",
    "\n",
    "\r",
    "\t",
    "\x00",
    "\x7f",
    " ",
    "é",
    "e\u0301",
    "𝄞",
    "\u2028",
    "\\u0024",
    "a",
]


@pytest.fixture(autouse=True)
def installed() -> None:
    """The program is there."""
    assert PROGRAM.exists(), "OpenTofu is not installed: run `make extended`"


@pytest.fixture
def tofu(tmp_path: Path) -> Callable[..., Terraform]:
    """OpenTofu on a module of this text."""

    def made(text: str, *, limits: Limits = USUAL) -> Terraform:
        (tmp_path / "main.tf").write_text(text)
        (tmp_path / "rc").write_text("")
        around = environment({**os.environ, "TF_CLI_CONFIG_FILE": str(tmp_path / "rc")}, "")
        return Terraform(str(PROGRAM), tmp_path, tmp_path / "data", around, limits)

    return made


async def applied(terraform: Terraform) -> dict[str, Any]:
    await terraform.init()
    await terraform.plan(terraform.folder / "plan")
    await terraform.apply(terraform.folder / "plan")
    return await terraform.outputs()


@pytest.mark.parametrize(("form", "name"), [(as_hcl, "x.auto.tfvars"), (as_json, "x.auto.tfvars.json")])
async def test_what_is_written_is_what_is_read(tofu: Callable[..., Terraform], form: Callable[[Any], str], name: str) -> None:
    """A thousand texts of what is special to HCL, as values and as keys; numbers, lists, nothing. HCL composes what Unicode lets it."""
    chance = random.Random(1)
    texts = ["".join(chance.choices(PIECES, k=chance.randint(0, 7))) for _ in range(1000)]
    values = {
        "texts": texts,
        "keys": dict.fromkeys((normalize("NFC", text) for text in texts), 1),
        "rest": [1, -2.5, 1.5e-7, 2**70, True, None, {"a": [[], {}]}],
    }
    terraform = tofu('variable "v" { type = any }\noutput "v" { value = var.v }\n')
    (terraform.folder / name).write_text(form({"v": values}))
    found = (await applied(terraform))["v"]["value"]
    assert found["texts"] == [normalize("NFC", text) for text in texts]
    assert found["keys"].keys() == {normalize("NFC", text) for text in texts}
    assert found["rest"] == values["rest"]


async def test_a_plan_that_is_old_is_refused_by_its_state(tofu: Callable[..., Terraform]) -> None:
    """Applied once, it is stale."""
    terraform = tofu('resource "terraform_data" "a" { input = "x" }\n')
    await applied(terraform)
    with pytest.raises(PurSightError) as told:
        await terraform.apply(terraform.folder / "plan")
    assert told.value.code == "plan_stale"


async def test_what_a_plan_would_do_is_read_from_it(tofu: Callable[..., Terraform]) -> None:
    """Made, changed, replaced, deleted; no change is none."""
    one = 'resource "terraform_data" "{0}" {{\n input = "{1}"\n triggers_replace = "{2}"\n}}\n'
    terraform = tofu(one.format("a", 1, 1) + one.format("b", 1, 1) + one.format("c", 1, 1))

    async def planned() -> dict[str, str]:
        some = await terraform.plan(terraform.folder / "plan")
        found = judge_plan(await terraform.show(terraform.folder / "plan"), {}, encrypt=True)
        assert some is bool(found.changes)
        return {change.address: change.action for change in found.changes}

    await terraform.init()
    assert set((await planned()).values()) == {"create"}
    await terraform.apply(terraform.folder / "plan")
    assert await planned() == {}
    (terraform.folder / "main.tf").write_text(one.format("a", 2, 1) + one.format("b", 1, 2))
    assert await planned() == {"terraform_data.a": "update", "terraform_data.b": "replace", "terraform_data.c": "delete"}


SLOW = 'resource "terraform_data" "a" {\n  provisioner "local-exec" {\n    command = "touch begun; sleep %s"\n  }\n}\n'


async def test_a_hung_one_releases_the_states_lock(tofu: Callable[..., Terraform]) -> None:
    """Asked to stop after its time, it ends by itself; the next plan waits for nobody."""
    terraform = tofu(SLOW % 60, limits=Limits(step=6))
    with pytest.raises(PurSightError) as told:
        await applied(terraform)
    assert told.value.code == "terraform_hung"
    assert not list(terraform.folder.glob(".*.lock.info"))
    begun = time.monotonic()
    await terraform.plan(terraform.folder / "plan")
    assert time.monotonic() - begun < 30


async def test_two_at_once_are_told_by_the_states_lock(tofu: Callable[..., Terraform], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second has another caller, and still a clear answer."""
    monkeypatch.setattr("services.tagger.gateway.terraform.LOCK_SECONDS", 0)
    terraform = tofu(SLOW % 20)
    first = asyncio.ensure_future(applied(terraform))
    while not (terraform.folder / "begun").exists():
        await asyncio.sleep(0.05)
    with pytest.raises(PurSightError) as told:
        await terraform.plan(terraform.folder / "other")
    assert told.value.code == "state_locked"
    await first


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job whose module is beside it."""
    (tmp_path / "module").mkdir()
    (tmp_path / "rc").write_text("")
    monkeypatch.setenv("PURSIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PURSIGHT_TERRAFORM", str(PROGRAM))
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "rc"))
    infrastructure = {"terraform": {"module_source": "module", "workspace": "prod"}, "runtime": {"platform": "emr"}}
    document = {"tenant_id": "acme", "source_connector": "postgres", "target_connector": "iceberg", "asset": "orders"}
    (tmp_path / "job.yaml").write_text(json.dumps({**document, "infrastructure": infrastructure}))
    return tmp_path / "job.yaml"


def test_a_job_from_plan_to_outputs(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tags arrive in the state; a repeat finds nothing to do; taking a resource away needs a word."""

    def does(mode: str, **given: Any) -> dict[str, Any]:
        run(str(job), mode, json_output=True, **given)
        return dict(json.loads(capsys.readouterr().out))

    module = job.parent / "module" / "main.tf"
    module.write_text(
        'variable "tags" { type = map(string) }\nresource "terraform_data" "a" { input = var.tags }\n'
        'output "tags" { value = terraform_data.a.output }\noutput "key" {\n  value = "s"\n  sensitive = true\n}\n'
    )
    told = does("plan")["terraform"]
    done = does("apply", approve=told["digest"])
    assert done["outputs"]["tags"]["TenantId"] == "acme"
    assert done["kept_back"] == ["key"]
    assert does("plan")["terraform"]["state"] == "unchanged"
    assert does("outputs")["outputs"] == done["outputs"]
    module.write_text('variable "tags" {}\n')
    assert does("plan")["terraform"]["refused"] == ["delete"]


BUCKETS = """
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "9.0.0"
    }
  }
}
variable "tags" { type = map(string) }
variable "bucket" { type = string }
"""
ONE = """
resource "aws_s3_bucket" "data" {
  bucket = var.bucket
  tags = var.tags
}
output "data_bucket" { value = aws_s3_bucket.data.bucket }
"""


@pytest.fixture
def buckets(job: Path, moto: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The job's module makes a bucket, by a provider that speaks to moto."""
    place = job.parent / "mirror" / "registry.opentofu.org" / "hashicorp" / "aws" / "9.0.0" / "linux_amd64"
    place.mkdir(parents=True)
    shutil.copy(PROGRAM.with_name("bucket-provider"), place / "terraform-provider-aws")
    settings = f'provider_installation {{\n  filesystem_mirror {{\n    path = "{job.parent / "mirror"}"\n  }}\n}}\n'
    (job.parent / "rc").write_text(settings)
    document = json.loads(job.read_text())
    document["infrastructure"]["runtime"]["storage"] = {"bucket": f"made-by-terraform-{random.randrange(10**9)}"}
    job.write_text(json.dumps(document))
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    (job.parent / "module" / "main.tf").write_text(BUCKETS + ONE)
    return job


async def tags_at(moto: str, name: str) -> dict[str, str]:
    async with client_of(moto, "s3") as s3:
        return {each["Key"]: each["Value"] for each in (await s3.get_bucket_tagging(Bucket=name))["TagSet"]}


async def tagged_by_another(moto: str, name: str) -> None:
    async with client_of(moto, "s3") as s3:
        await s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "TenantId", "Value": "other"}]})


async def names_at(moto: str) -> set[str]:
    async with client_of(moto, "s3") as s3:
        return {each["Name"] for each in (await s3.list_buckets())["Buckets"]}


def test_a_bucket_with_its_whole_tag_set(buckets: Path, moto: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Made, found changed by somebody, brought back; without our tags refused; taken away only where that is accepted."""
    module = buckets.parent / "module" / "main.tf"

    def does(mode: str, **given: Any) -> dict[str, Any]:
        run(str(buckets), mode, json_output=True, **given)
        return dict(json.loads(capsys.readouterr().out))

    plan = does("plan")["terraform"]
    assert (plan["counts"], plan["refused"]) == ({"create": 1}, [])
    name = does("apply", approve=plan["digest"])["outputs"]["data_bucket"]
    tags = asyncio.run(tags_at(moto, name))
    assert (tags["TenantId"], tags["ManagedBy"], tags["Platform"]) == ("acme", "pursight", "emr")
    assert does("plan")["terraform"]["state"] == "unchanged"
    asyncio.run(tagged_by_another(moto, name))
    plan = does("plan")["terraform"]
    assert {finding["code"] for finding in plan["findings"]} == {"drift"}
    does("apply", approve=plan["digest"])
    assert asyncio.run(tags_at(moto, name)) == tags
    module.write_text(BUCKETS + ONE.replace("tags = var.tags", 'tags = { TenantId = "acme" }'))
    assert does("plan")["terraform"]["refused"] == ["tags_missing"]
    module.write_text(BUCKETS)
    plan = does("plan")["terraform"]
    assert plan["refused"] == ["delete"]
    does("apply", approve=plan["digest"], accept=("delete",))
    assert name not in asyncio.run(names_at(moto))


def test_our_sudden_death_ends_no_apply(job: Path) -> None:
    """Killed while it applies: Terraform goes on, saves its state, and holds our lock until then."""
    module = job.parent / "module"
    (module / "main.tf").write_text(SLOW % 15)
    shell = [sys.executable, "-c", "from shared.cli import main; main()", "run", "--config", str(job), "--json", "--mode"]
    digest = json.loads(subprocess.run([*shell, "plan"], capture_output=True, check=True).stdout)["terraform"]["digest"]
    ours = subprocess.Popen([*shell, "apply", "--approve", digest], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (module / "begun").exists():
        assert ours.poll() is None
        time.sleep(0.05)
    ours.send_signal(signal.SIGKILL)
    ours.communicate()
    with pytest.raises(Failed) as refused:
        run(str(job), "plan")
    assert refused.value.code == "run_in_progress"
    deadline = time.monotonic() + 120
    while (again := subprocess.run([*shell, "plan"], capture_output=True, text=True)).returncode:
        assert "another run works on this module" in again.stderr
        assert time.monotonic() < deadline
    assert json.loads(again.stdout)["terraform"]["state"] == "unchanged"
