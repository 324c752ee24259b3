"""Terraform for a job: what it is told, how its plan is judged, and how its process is led. The child is a script; see test_tofu.py."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tagger.commands.job import run
from services.tagger.domain.outputs import outputs_of
from services.tagger.domain.planned import Judged, judge_plan
from services.tagger.domain.redacted import redacted
from services.tagger.domain.surroundings import environment
from services.tagger.domain.variables import as_hcl, as_json, quoted
from services.tagger.gateway.runs import Record, run_of, write_private
from services.tagger.gateway.terraform import Limits, Terraform, found_program
from shared.errors import Failed, PurSightError, UsageError

# ---- what a module is told

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
TRICKY = st.lists(st.sampled_from(['"', "\\", "$", "%", "{", "}", "$${", "%%{", "\n", "\r", "\t", "\x00", "é", "𝄞", "\u2028", "u0024"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.map(lambda text: normalize("NFC", text)), inner, max_size=3),
    max_leaves=8,
)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_PART = re.compile(r'\\u([0-9a-fA-F]{4})|\\([nrt"\\])|(\$\$|%%)\{|([$%]\{)|([^"\\\n\r])', re.DOTALL)


def read_quoted(text: str) -> str:
    """What a quoted template of HCL stands for, by its grammar; a template's begin is an error."""
    assert text[0] == text[-1] == '"'
    found, at = [], 1
    while at < len(text) - 1:
        part = _PART.match(text, at)
        assert part is not None, text[at:]
        assert not part[4], "a template begins here"
        found.append(chr(int(part[1], 16)) if part[1] else _ESCAPED[part[2]] if part[2] else f"{part[3][0]}{{" if part[3] else part[5])
        at = part.end()
    return "".join(found)


@given(TEXTS | TRICKY.map("".join))
def test_any_text_stands_for_itself_in_hcl(text: str) -> None:
    """No template begins, nothing ends the quotes, and reading gives the text back."""
    assert read_quoted(quoted(text)) == text


@settings(max_examples=25)
@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True), VALUES, max_size=4))
def test_variables_are_one_line_each_and_the_same_bytes_in_any_order(values: dict[str, Any]) -> None:
    """Sorted by name, so that a file changes only when a value does; JSON is read back as it was."""
    backwards = dict(reversed(values.items()))
    assert as_hcl(values) == as_hcl(backwards)
    assert len(as_hcl(values).splitlines()) >= len(values)
    assert json.loads(as_json(values)) == values
    assert as_json(values) == as_json(backwards)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"a": object()}, {1: "x"}, b"x", {"é": 1, "e\u0301": 2}])
def test_what_terraform_does_not_have_is_an_error(value: Any) -> None:
    """Not a file that it cannot read."""
    for form in (as_hcl, as_json):
        with pytest.raises(ValueError, match=r"."):
            form({"a": value})


def test_what_reaches_the_child() -> None:
    """The provider's credentials and the usual names; nothing that steers Terraform, nothing of other clouds or of ours."""
    ours = {
        "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "k",
        "ARM_CLIENT_SECRET": "a",
        "TF_LOG": "trace",
        "TF_CLI_ARGS_apply": "-auto-approve",
        "TF_VAR_x": "1",
        "PURSIGHT_TOKEN": "t",
        "VAULT_ADDR": "v",
    }
    found = environment(ours, "aws", besides=["VAULT_ADDR"], secrets={"password": "p"})
    own = {"TF_IN_AUTOMATION", "TF_INPUT", "CHECKPOINT_DISABLE"}
    assert found.keys() - own == {"PATH", "AWS_SECRET_ACCESS_KEY", "VAULT_ADDR", "TF_VAR_password"}


@pytest.mark.parametrize(
    "line",
    [
        "Error: HUNTER22 refused",
        'db_password = "HUNTER22"',
        "postgres://me:HUNTER22@db:5432/x",
        "secret_access_key: HUNTER22",
        '+ "api_key" = "HUNTER22"',
        "Authorization token=HUNTER22",
    ],
)
def test_no_secret_in_what_is_shown(line: str) -> None:
    """Neither one that we handed over, nor one that is named like one; and no colours."""
    assert "HUNTER22" not in redacted(f"\x1b[31m{line}\x1b[0m", {"HUNTER22"} if "refused" in line else ())
    assert "\x1b" not in redacted(f"\x1b[31m{line}\x1b[0m")


# ---- how a plan is judged

TAGS = {"aws": {"TenantId": "acme", "CostCenter": "x"}, "gcp": {"tenant_id": "acme"}, "azure": {}, "kubernetes": {}}


def plan(kind: str, after: Any, *, actions: tuple[str, ...] = ("create",), before: Any = None, unknown: Any = None) -> dict[str, Any]:
    """`show -json` of a plan of one resource."""
    change = {"actions": list(actions), "before": before, "after": after, "after_unknown": unknown or {}}
    return {"resource_changes": [{"address": f"{kind}.it", "type": kind, "mode": "managed", "change": change}]}


def judged(*arguments: Any, encrypt: bool = True, **given: Any) -> Judged:
    return judge_plan(plan(*arguments, **given), TAGS, encrypt=encrypt)


def test_a_vaults_key_carries_as_many_as_it_has_room_for() -> None:
    """Azure gives it 15 where others have 50: the most important ones are asked for, and no more."""
    tags = {"azure": {f"k{number}": "x" for number in range(20)}}
    first = dict(list(tags["azure"].items())[:15])
    assert not judge_plan(plan("azurerm_key_vault_key", {"tags": first}), tags, encrypt=True).findings
    assert judge_plan(plan("azurerm_key_vault", {"tags": first}), tags, encrypt=True).refused == ("tags_missing",)
    assert judge_plan(plan("azurerm_key_vault_key", {"tags": {"k19": "x"}}), tags, encrypt=True).refused == ("tags_missing",)


INBOUND = {"direction": "Inbound", "access": "Allow"}


@pytest.mark.parametrize(
    ("kind", "after", "code"),
    [
        ("aws_security_group", {"ingress": [{"cidr_blocks": ["10.0.0.0/8", "0.0.0.0/0"]}]}, "public"),
        ("aws_security_group", {"ingress": [{"ipv6_cidr_blocks": ["::/0"]}]}, "public"),
        ("aws_security_group", {"ingress": [{"cidr_blocks": ["10.0.0.0/8"]}], "egress": [{"cidr_blocks": ["0.0.0.0/0"]}]}, ""),
        ("aws_security_group_rule", {"type": "ingress", "cidr_blocks": ["0.0.0.0/0"]}, "public"),
        ("aws_security_group_rule", {"type": "egress", "cidr_blocks": ["0.0.0.0/0"]}, ""),
        ("aws_s3_bucket_acl", {"acl": "public-read"}, "public"),
        ("aws_s3_bucket_public_access_block", {"block_public_acls": True}, "public"),
        ("aws_s3_bucket_policy", {"policy": json.dumps({"Statement": {"Effect": "Allow", "Principal": {"AWS": ["*"]}}})}, "public"),
        ("aws_s3_bucket_policy", {"policy": json.dumps({"Statement": [{"Effect": "Deny", "Principal": "*"}]})}, ""),
        ("aws_db_instance", {"publicly_accessible": True, "storage_encrypted": True}, "public"),
        ("aws_db_instance", {"publicly_accessible": False, "storage_encrypted": None}, "unencrypted"),
        ("aws_ebs_volume", {"encrypted": False}, "unencrypted"),
        ("aws_ebs_volume", {"encrypted": True}, ""),
        ("aws_instance", {"root_block_device": [{"encrypted": False}]}, "unencrypted"),
        ("aws_emr_cluster", {"name": "x"}, "unencrypted"),
        ("google_compute_firewall", {"direction": "INGRESS", "source_ranges": ["0.0.0.0/0"]}, "public"),
        ("google_compute_firewall", {"direction": "INGRESS", "source_ranges": ["0.0.0.0/0"], "deny": [{"protocol": "all"}]}, ""),
        ("google_container_cluster", {"private_cluster_config": [{"enable_private_nodes": False}]}, "public"),
        ("google_compute_firewall", {"direction": None, "source_ranges": ["0.0.0.0/0"]}, "public"),
        (
            "google_container_cluster",
            {"private_cluster_config": [{"enable_private_nodes": True, "enable_private_endpoint": False}]},
            "public",
        ),
        ("google_container_cluster", {"private_cluster_config": [{"enable_private_nodes": True, "enable_private_endpoint": True}]}, ""),
        ("google_container_cluster", {"private_cluster_config": []}, "public"),
        ("google_container_cluster", {"private_cluster_config": [], "control_plane_endpoints_config": [{"dns_endpoint_config": []}]}, ""),
        ("google_storage_bucket_iam_member", {"member": "allUsers"}, "public"),
        ("azurerm_storage_account", {"allow_nested_items_to_be_public": True}, "public"),
        ("azurerm_network_security_rule", {"direction": "Inbound", "access": "Allow", "source_address_prefix": "*"}, "public"),
        ("azurerm_network_security_rule", {"direction": "Inbound", "access": "Deny", "source_address_prefix": "*"}, ""),
        ("azurerm_network_security_rule", {**INBOUND, "source_address_prefixes": ["10.0.0.0/8", "0.0.0.0/0"]}, "public"),
        ("azurerm_network_security_group", {"security_rule": [{**INBOUND, "source_address_prefix": "Internet"}]}, "public"),
        ("azurerm_network_security_group", {"security_rule": [{**INBOUND, "source_address_prefix": "VirtualNetwork"}]}, ""),
        (
            "azurerm_network_security_group",
            {
                "security_rule": [
                    {**INBOUND, "access": "Deny", "source_address_prefix": "*"},
                    {**INBOUND, "source_address_prefix": "10.0.0.1"},
                ]
            },
            "",
        ),
        ("aws_s3_bucket", {"tags_all": {"TenantId": "acme", "CostCenter": "x", "Theirs": "y"}}, ""),
        ("aws_s3_bucket", {"tags": {"TenantId": "acme"}}, "tags_missing"),
        ("aws_s3_bucket", {"tags": None}, "tags_missing"),
        ("aws_s3_bucket", {"tags": {"TenantId": "other", "CostCenter": "x"}}, "tags_differ"),
        ("google_storage_bucket", {"labels": {}}, "tags_missing"),
        ("google_sql_database_instance", {"settings": [{"user_labels": {"tenant_id": "acme"}}]}, ""),
        ("aws_iam_role_policy_attachment", {"role": "x"}, ""),
        ("somebody_thing", {"tags": {}}, ""),
    ],
)
def test_what_a_planned_resource_may_not_be(kind: str, after: Any, code: str) -> None:
    """Public, unencrypted where the data needs it, or without our tags: each refused by its code."""
    found = judged(kind, after)
    assert found.refused == ((code,) if code else ())
    assert judged(kind, after, actions=("no-op",)).findings == ()


def test_storage_need_not_be_encrypted_for_data_that_does_not_ask() -> None:
    """The rule follows the tags."""
    assert judged("aws_ebs_volume", {"encrypted": False}, encrypt=False).refused == ()


def test_what_only_the_apply_brings_is_a_note() -> None:
    """Not known is neither right nor wrong."""
    found = judged("aws_db_instance", {}, unknown={"storage_encrypted": True, "publicly_accessible": True, "tags_all": True})
    assert {finding.code for finding in found.findings} == {"unknown"}
    assert found.refused == ()
    rules = {"security_rule": [{**INBOUND, "access": "Deny"}, INBOUND]}
    found = judged("azurerm_network_security_group", rules, unknown={"security_rule": [{}, {"source_address_prefix": True}]})
    assert {finding.code for finding in found.findings} == {"unknown"}


def test_what_is_open_by_itself_is_no_secret_of_the_apply() -> None:
    """A cluster of which nobody says that it is private becomes a public one, though only the provider knows."""
    assert judged("google_container_cluster", {}, unknown={"private_cluster_config": True}).refused == ("public",)


@pytest.mark.parametrize(
    ("actions", "code"),
    [
        (("delete",), "delete"),
        (("delete", "create"), "replace"),
        (("create", "delete"), "replace"),
        (("update",), ""),
        (("explode",), "delete"),
    ],
)
def test_what_takes_data_away_needs_a_word(actions: tuple[str, ...], code: str) -> None:
    """An action that is new to us counts as the worst."""
    assert judged("terraform_data", {"input": "b"}, actions=actions, before={"input": "a"}).refused == ((code,) if code else ())


@settings(max_examples=25)
@given(st.recursive(st.just("CANARY"), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "tags", "policy"]), inner)))
def test_no_value_of_a_plan_is_repeated(value: Any) -> None:
    """A plan holds secrets; what is told of it are names."""
    after = {"input": value, "tags": {"TenantId": "CANARY"}, "policy": value, "acl": "public-CANARY"}
    found = judge_plan(plan("aws_s3_bucket", after, actions=("update",), before={"input": None}), TAGS, encrypt=True)
    assert found.findings
    assert "CANARY" not in repr(found)


def test_outputs_by_the_jobs_names() -> None:
    """Sensitive ones stay; a name that the module does not have, and two that are one variable, are told."""
    given = {"emr_cluster_id": {"value": "j-1"}, "key": {"value": "s", "sensitive": True}}
    assert outputs_of(given, {}).values == {"emr_cluster_id": "j-1"}
    found = outputs_of(given, {"a-b": "emr_cluster_id", "a_b": "emr_cluster_id", "secret": "key", "x": "emr_cluster"})
    assert found.kept_back == ("secret",)
    assert [(problem.field, problem.code) for problem in found.problems] == [
        ("infrastructure.outputs.x", "output_missing"),
        ("infrastructure.outputs.a_b", "output_twice"),
    ]


# ---- how the process is led

TOFU = r"""#!/bin/sh
folder=${1#-chdir=}; step=$2
echo "$@" >> "$folder/steps"; env > "$folder/environment.$step"
. "$folder/behave"
case $step in
  plan) for each in "$@"; do case $each in -out=*) cp "$folder/main.tf" "${each#-out=}";; esac; done; exit 2;;
  show) cat "$folder/shown.json";;
  output) cat "$folder/outputs.json";;
  *) exit 0;;
esac
"""
HANG = 'if [ $step = apply ]; then trap "echo released; exit 1" INT; echo begun; while :; do sleep 0.02; done; fi'
DEAF = 'if [ $step = apply ]; then trap "" INT; sleep 300 & echo $! > "$folder/child"; echo begun; while :; do sleep 0.02; done; fi'


class Module:
    """A module's folder, and a program that does what `behave` says before it does the usual."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, list[str]()
        self.program = folder / "tofu.sh"
        self.program.write_text(TOFU)
        self.program.chmod(0o700)
        (folder / "main.tf").write_text('variable "tags" {}\nvariable "enable_spot_instances" {}\n')
        (folder / "outputs.json").write_text(json.dumps({"emr_cluster_id": {"value": "j-1"}}))
        self.behave()
        self.show("terraform_data", {"input": 1})

    def behave(self, script: str = "") -> None:
        (self.folder / "behave").write_text(script + "\n")

    def show(self, kind: str, after: Any, **given: Any) -> None:
        (self.folder / "shown.json").write_text(json.dumps(plan(kind, after, **given)))

    def steps(self) -> list[str]:
        return [line.split()[1] for line in (self.folder / "steps").read_text().splitlines()]

    def terraform(self, *, step: float = 60.0, grace: float = 60.0, held: int = -1) -> Terraform:
        around = {"PATH": os.environ["PATH"], "TF_VAR_password": "HUNTER22\nHUNTER33"}
        return Terraform(str(self.program), self.folder, self.folder / "data", around, Limits(step, grace), held, self.said.append)


@pytest.fixture
def module(tmp_path: Path) -> Module:
    return Module(tmp_path)


async def refusal(work: Any) -> PurSightError:
    with pytest.raises(PurSightError) as told:
        await work
    return told.value


async def test_arguments_are_a_list_and_the_environment_is_ours(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with blanks and quotes stays one argument; nothing is inherited; no output holds a secret."""
    monkeypatch.setenv("TF_LOG", "trace")
    module.behave("echo \"$4 $(printenv TF_VAR_password | tail -1)\"; printf 'no end'")
    await module.terraform().plan(module.folder / "it's a; $(plan)")
    assert (module.folder / "it's a; $(plan)").is_file()
    names = {line.partition("=")[0] for line in (module.folder / "environment.plan").read_text().splitlines()}
    assert {name for name in names if name.startswith("TF_")} == {"TF_VAR_password", "TF_DATA_DIR"}
    assert module.said == ["-no-color (hidden)", "no end"]


async def test_a_hung_terraform_is_asked_to_stop_and_releases_its_lock(module: Module) -> None:
    """After its time it gets SIGINT, and time to end by itself."""
    module.behave(HANG)
    told = await refusal(module.terraform(step=2.0).apply(Path("plan")))  # time for the shell to begin
    assert (told.code, module.said) == ("terraform_hung", ["begun", "released"])


async def test_one_that_does_not_listen_is_killed_with_its_children(module: Module) -> None:
    """Nothing outlives it, and the state's lock is spoken of."""
    module.behave(DEAF)
    work = asyncio.ensure_future(module.terraform(grace=0.1).apply(Path("plan")))
    while "begun" not in module.said:  # before that it has not stopped listening
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    told = await refusal(work)
    assert told.code == "terraform_killed"
    assert "force-unlock" in told.remedy
    status = Path(f"/proc/{(module.folder / 'child').read_text().strip()}/stat")
    async with asyncio.timeout(30):
        while runs(status):
            await asyncio.sleep(0.01)  # a signal that is sent takes its time


def runs(status: Path) -> bool:
    try:
        return status.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # it may go between opening and reading
        return False


async def test_our_interrupt_is_passed_on_once(module: Module) -> None:
    """Ctrl-C ends the step gracefully, not us; afterwards signals are as they were."""
    module.behave(HANG)
    before = signal.getsignal(signal.SIGINT)
    work = asyncio.ensure_future(module.terraform().apply(Path("plan")))
    while "begun" not in module.said:
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    assert (await refusal(work)).code == "interrupted"
    assert module.said[-1] == "released"
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("printed", "code"),
    [
        ("Error: Error acquiring the state lock", "state_locked"),
        ("Error: Saved plan is stale", "plan_stale"),
        ("│ Error: creating EMR Cluster: operation error EMR: RunJobFlow, ExpiredTokenException: …", "credentials_expired"),
        ("Error: No valid credential sources found", "no_credentials"),
        ("Error: ... AccessDeniedException: User is not authorized to perform", "access_denied"),
        ("Error: Cycle: a, b", "terraform_failed"),
    ],
)
async def test_a_complaint_has_a_code(module: Module, printed: str, code: str) -> None:
    """And a remedy; one that is new to us is told in its first line."""
    module.behave(f"echo '{printed}' >&2; exit 1")
    told = await refusal(module.terraform().init())
    assert told.code == code
    assert told.remedy


def test_two_at_once_are_refused_while_any_child_lives(tmp_path: Path) -> None:
    """Who holds it is told; where the first was killed, its Terraform still holds the lock until it ends."""
    with run_of(tmp_path, tmp_path / "m", "acme/orders", "apply") as first:
        with pytest.raises(Failed) as told, run_of(tmp_path, tmp_path / "m", "acme/other", "plan"):
            pass
        assert (told.value.code, "--mode apply of acme/orders" in told.value.why) == ("run_in_progress", True)
        with run_of(tmp_path, tmp_path / "another", "acme/orders", "plan"):
            pass
        child = subprocess.Popen(["sleep", "300"], pass_fds=(first.lock,))
    with pytest.raises(Failed), run_of(tmp_path, tmp_path / "m", "acme/orders", "plan"):
        pass
    child.kill()
    child.wait()
    with run_of(tmp_path, tmp_path / "m", "acme/orders", "plan"):
        pass


def test_a_private_file_is_whole_or_the_former_one(tmp_path: Path) -> None:
    """For its owner alone from its first moment, and nothing is left over where writing fails."""
    write_private(tmp_path / "a", "one")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    with pytest.raises(UnicodeEncodeError):
        write_private(tmp_path / "a", "\ud800")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a", "one")]


def test_a_program_that_is_not_there() -> None:
    """Told with where to get one."""
    with pytest.raises(UsageError) as told:
        found_program("/nowhere/tofu")
    assert told.value.code == "terraform_missing"


# ---- a job from plan to outputs


class Job(Module):
    """A job whose module is this folder, run in this process."""

    def __init__(self, folder: Path, home: Path, out: Any) -> None:
        super().__init__(folder)
        self.home, self._out = home, out
        self.file = folder / "job.yaml"
        self.write()

    def write(self, **changes: Any) -> None:
        infrastructure = {
            "terraform": {"module_source": ".", "workspace": "prod"},
            "runtime": {"platform": "emr", "region": "eu-central-1"},
            "metadata": {"variables": {"enable_spot_instances": True, **changes}},
        }
        document = {"tenant_id": "acme", "source_connector": "postgres", "target_connector": "iceberg", "asset": "orders"}
        self.file.write_text(json.dumps({**document, "infrastructure": infrastructure}))

    def run(self, mode: str, **given: Any) -> dict[str, Any]:
        run(str(self.file), mode, json_output=True, **given)
        return dict(json.loads(self._out.readouterr().out.splitlines()[-1]))

    def plan(self) -> str:
        return str(self.run("plan")["terraform"]["digest"])

    def refused(self, mode: str, **given: Any) -> str:
        with pytest.raises(PurSightError) as told:
            self.run(mode, **given)
        self._out.readouterr()
        return told.value.code

    @property
    def record(self) -> Record:
        return Record(**json.loads(next(self.home.glob("terraform/*/*/run.json")).read_text()))


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Job]:
    (tmp_path / "module").mkdir()
    made = Job(tmp_path / "module", tmp_path / "home", capsys)
    monkeypatch.setenv("PURSIGHT_HOME", str(made.home))
    monkeypatch.setenv("PURSIGHT_TERRAFORM", str(made.program))
    with asyncio.Runner() as runner:  # `run` makes a loop of its own, and the session's stays the current one
        monkeypatch.setattr("services.tagger.commands.infrastructure.asyncio.run", runner.run)
        yield made


def test_planned_approved_applied_handed_over(job: Job) -> None:
    """The whole way, each step on record, outputs in files for programs and shells, and the plan gone."""
    digest = job.plan()
    variables = json.loads((job.folder / "pursight.auto.tfvars.json").read_text())
    assert variables["tags"]["TenantId"] == "acme"
    assert "LastModified" not in variables["tags"]
    assert job.record.state == "planned"
    done = job.run("apply", approve=digest[:16])
    assert (done["state"], done["outputs"], job.record.state) == ("applied", {"emr_cluster_id": "j-1"}, "applied")
    assert job.steps() == ["init", "workspace", "plan", "show", "apply", "output"]
    assert Path(done["files"][1]).read_text() == "export EMR_CLUSTER_ID=j-1\n"
    assert not list(job.home.glob("**/plan.bin*"))
    assert job.refused("apply", approve=digest) == "no_plan"
    assert job.run("outputs")["outputs"] == {"emr_cluster_id": "j-1"}


def test_a_module_that_is_not_there(job: Job) -> None:
    """Told with the line of the field; a remote one needs a folder that calls it."""
    job.file.write_text(job.file.read_text().replace('"module_source": "."', '"module_source": "git::https://example.com/modules.git"'))
    for mode in ("validate", "plan", "apply", "outputs"):
        assert job.refused(mode) == "module_missing"
    job.file.write_text(job.file.read_text().replace('"module_source": "git::https://example.com/modules.git", ', ""))
    assert job.refused("apply") == job.refused("outputs") == "no_module"
    job.write()
    job.file.write_text(job.file.read_text().replace('"workspace": "prod"', '"workspace": "-help"'))
    assert job.refused("plan") == "bad_name"


def test_a_version_is_no_folders(job: Job) -> None:
    """It would be passed over without a word."""
    job.file.write_text(job.file.read_text().replace('"module_source": "."', '"module_source": ".", "module_version": "1.2.3"'))
    assert job.refused("validate") == "module_unversioned"


def test_what_is_kept_is_for_its_owner_alone(job: Job) -> None:
    """Folders and files: a plan holds secrets."""
    job.plan()
    found = [*(job.home / "terraform").rglob("*"), job.home / "terraform", job.folder / "pursight.auto.tfvars.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o700, 0o600}


def test_nothing_is_applied_but_what_was_approved(job: Job) -> None:
    """No digest, another, too little of it, a plan or a job that changed since: nothing runs."""
    assert job.refused("apply") == "no_plan"
    digest = job.plan()
    assert job.refused("apply") == "not_approved"
    assert job.refused("apply", approve="0" * 64) == "plan_changed"
    assert job.refused("apply", approve=digest[:8]) == "plan_changed"
    job.write(enable_spot_instances=False)
    assert job.refused("apply", approve=digest) == "job_changed"
    job.write()
    next(job.home.glob("terraform/*/*/plan.bin")).write_text("another plan")
    assert job.refused("apply", approve=digest) == "plan_changed"
    assert "apply" not in job.steps()


def test_what_the_rules_refuse_needs_its_name(job: Job) -> None:
    """And no other name does."""
    job.show("aws_ebs_volume", None, actions=("delete",), before={"encrypted": True})
    digest = job.plan()
    assert job.refused("apply", approve=digest) == "plan_refused"
    assert job.refused("apply", approve=digest, accept=("public",)) == "plan_refused"
    assert job.run("apply", approve=digest, accept=("delete",))["state"] == "applied"


def test_an_apply_that_failed_half_way_is_completed_by_the_next(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is on record with its code, and measured; its plan serves no more, and a second run does the rest."""
    monkeypatch.setenv("PURSIGHT_METRICS_FOLDER", str(job.folder))
    digest = job.plan()
    job.behave("if [ $step = apply ]; then echo 'Error: ExpiredToken' >&2; exit 1; fi")
    assert job.refused("apply", approve=digest) == "credentials_expired"
    assert (job.record.state, job.record.code) == ("failed", "credentials_expired")
    measured = next(job.folder.glob("*.prom"))
    assert 'terraform_apply_duration_seconds{job="acme/orders",outcome="credentials_expired"}' in measured.read_text()
    job.behave()
    assert job.refused("apply", approve=digest) == "no_plan"
    assert job.run("apply", approve=job.plan())["state"] == "applied"
    assert 'outcome="applied"' in measured.read_text()


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"enable_spot_instance": True}, "variable_unknown"),
        ({"tags": {}}, "variable_reserved"),
        ({"nested": {"key": "env:KEY"}}, "secret_nested"),
    ],
)
def test_wrong_variables_are_told_by_place_before_anything_runs(
    job: Job, capsys: pytest.CaptureFixture[str], variables: dict[str, Any], code: str
) -> None:
    """Field, line, remedy; and nothing is written."""
    job.write(**variables)
    for mode in ("validate", "plan"):
        with pytest.raises(UsageError):
            run(str(job.file), mode, json_output=True)
        told = json.loads(capsys.readouterr().out)["problems"]
        assert code in {problem["code"] for problem in told}
        assert all(problem["line"] for problem in told)
    assert not (job.folder / "steps").exists()
    assert not (job.folder / "pursight.auto.tfvars.json").exists()


def test_a_secret_goes_by_the_environment_and_stands_in_no_file(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference as a variable's value: the child gets what it leads to."""
    monkeypatch.setenv("PLANTED", "HUNTER22")
    (job.folder / "main.tf").write_text((job.folder / "main.tf").read_text() + 'variable "master_key_ref" {}\n')
    job.write(master_key_ref="env:PLANTED")
    job.plan()
    told = job.run("plan", form="hcl")["terraform"]  # the other form's file goes, else both would be read
    assert told["variables"]["by_environment"] == ["master_key_ref"]
    assert "TF_VAR_master_key_ref=HUNTER22" in (job.folder / "environment.plan").read_text()
    files = [file for file in (*job.folder.glob("*.tfvars*"), *job.home.rglob("*")) if file.is_file()]
    assert files
    assert not [file for file in files if b"HUNTER22" in file.read_bytes()]
    assert not (job.folder / "pursight.auto.tfvars.json").exists()


def test_the_same_plan_for_other_tools(job: Job, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Tags of a CloudFormation stack and configuration of a Pulumi stack, with nothing run."""
    run(str(job.file), "plan", export="cloudformation")
    tags = {tag["Key"]: tag["Value"] for tag in json.loads(capsys.readouterr().out)}
    assert (tags["TenantId"], tags["Platform"]) == ("acme", "emr")
    run(str(job.file), "plan", export="pulumi", out=str(tmp_path / "Pulumi.prod.yaml"))
    text = (tmp_path / "Pulumi.prod.yaml").read_text()
    assert "aws:region: eu-central-1" in text
    assert "pursight:enable_spot_instances: true" in text
    assert not (job.folder / "steps").exists()
