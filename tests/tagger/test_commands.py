"""`pursight run --config` and `pursight contract`: what they print, where they point, how they end. No stack."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from services.tagger.commands.contract import app
from shared.cli.commands import app as shell
from shared.errors import Failed, UsageError

EXAMPLES = Path(__file__).parents[2] / "examples"
VARIABLES = {
    "CLOUD_PLATFORM": "emr",
    "CLUSTER_ID": "j-2AXXXXXXGAPLF",
    "INSTANCE_TYPE": "r5.2xlarge",
    "DATA_BUCKET": "s3://acme-data-lake",
}


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example with its contract, its variables set."""
    shutil.copytree(EXAMPLES / "jobs", tmp_path / "jobs")
    shutil.copytree(EXAMPLES / "contracts", tmp_path / "contracts")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    return tmp_path / "jobs" / "postgres_orders.yaml"


def run(*arguments: str) -> str:
    """Output of a command of the shell. Raises what the command raised."""
    done = CliRunner().invoke(shell, list(arguments), catch_exceptions=False)
    return done.stdout


def contract(*arguments: str) -> str:
    """Output of `pursight contract`."""
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False).stdout


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_example_is_fine_and_its_plan_is_whole(job: Path) -> None:
    """Validated, then planned: tags with file and line, and the form on each kind of target."""
    assert "This job is fine." in run("run", "--config", str(job))
    plan = json.loads(run("run", "--config", str(job), "--mode", "plan", "--json"))
    tags = {tag["key"]: tag for tag in plan["tags"]}
    assert tags["DataClassification"]["value"] == "PII+Financial"
    assert tags["CostCenter"]["origin"] == f"{job}:11 finops.cost_center"
    assert tags["Owner"]["origin"] == f"{job.parent.parent / 'contracts' / 'postgres_orders.yaml'}:7 team.owner"
    assert plan["conflicts"] == []
    assert plan["targets"].keys() == {"emr", "s3"}
    assert plan["targets"]["emr"]["tags"]["TerraformWorkspace"] == "prod"


def test_the_operators_decisions_hold_in_the_shell_too(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix, in Terraform's tags as in all other forms, and whether an owner's mail may stand; by the service's own variables."""
    monkeypatch.setenv("PURSIGHT_TAG_PREFIX", "gov")
    monkeypatch.setenv("PURSIGHT_OWNER_MAIL", "true")
    plan = json.loads(run("run", "--config", str(job), "--mode", "plan", "--json"))
    assert next(tag["value"] for tag in plan["tags"] if tag["key"] == "Owner") == "data-team@acme.com"
    assert all(key.startswith("gov:") for target in plan["targets"].values() for key in target["tags"])
    assert (
        "gov:CostCenter"
        in yaml.safe_load(run("run", "--config", str(job), "--mode", "plan", "--export", "pulumi"))["config"]["aws:defaultTags"]["tags"]
    )
    monkeypatch.setenv("PURSIGHT_TAG_PREFIX", "Gov!")
    with pytest.raises(UsageError, match="PURSIGHT_TAG_PREFIX"):
        run("run", "--config", str(job))


def test_the_operators_tag_policy(job: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What must be there and what may stand in it, by line of the job; in every mode."""
    policy = tmp_path / "tags.yaml"
    policy.write_text("cost_center: [data-*]\nProject: []\nBusinessTags: [sales, analytics]\n")
    monkeypatch.setenv("PURSIGHT_TAG_POLICY", str(policy))
    assert "This job is fine." in run("run", "--config", str(job))
    policy.write_text("CostCenter: [team-*]\nBusinessTags: [sales]\nShift: []\n")
    for mode in ("validate", "plan", "apply"):
        done = CliRunner().invoke(shell, ["run", "--config", str(job), "--mode", mode, "--json"])
        assert isinstance(done.exception, UsageError)
        assert [(each["field"], each["code"], each["line"] > 0) for each in json.loads(done.stdout)["problems"]] == [
            ("finops.cost_center", "tag_not_allowed", True),
            ("finops.business_tags", "tag_not_allowed", True),
            ("infrastructure.metadata.tags.Shift", "tag_required", True),
        ]
    policy.write_text("- CostCenter")
    with pytest.raises(UsageError, match="PURSIGHT_TAG_POLICY"):
        run("run", "--config", str(job))


def test_the_same_file_on_another_cloud(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the environment differs."""
    for name, value in {"CLOUD_PLATFORM": "gke", "CLUSTER_ID": "etl", "DATA_BUCKET": "gs://acme-data-lake"}.items():
        monkeypatch.setenv(name, value)
    plan = json.loads(run("run", "--config", str(job), "--mode", "plan", "--json"))
    assert plan["targets"]["gcp"]["tags"]["cost_center"] == "data-engineering"
    assert plan["targets"]["kubernetes-annotation"]["tags"]["DataClassification"] == "PII+Financial"


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        pytest.param("  cost_center:", "  cost_centre:", 11, "finops.cost_centre", id="an unknown key"),
        pytest.param("${CLUSTER_ID}", "${NOT_THERE}", 22, "infrastructure.runtime.compute.cluster_id", id="an undefined variable"),
        pytest.param(
            "max_instances: 12", "max_instances: many", 24, "infrastructure.runtime.compute.auto_scaling.max_instances", id="a type"
        ),
        pytest.param("${CLOUD_PLATFORM}", "gke", 22, "", id="a bucket of another cloud"),
    ],
)
def test_a_problem_is_told_with_its_line(job: Path, old: str, new: str, line: int, field: str) -> None:
    """File, line, field, what helps; the exit code is that of wrong use."""
    change(job, old, new)
    with pytest.raises(UsageError) as told:
        run("run", "--config", str(job))
    assert (told.value.code, told.value.exit_code) == ("job_rejected", 2)
    if field:
        assert f"line {line}: {field} " in told.value.line()
    else:
        assert "is not a bucket that gke writes to. Write its name, or gs://NAME." in told.value.line()


def test_a_missing_asset_is_told(job: Path) -> None:
    """The contract that the job names is not there."""
    change(job, "../contracts/", "../nowhere/")
    with pytest.raises(UsageError, match=r"asset is missing.*nowhere/postgres_orders.yaml") as told:
        run("run", "--config", str(job))
    assert told.value.code == "asset_missing"


def test_a_contracts_problem_is_told_in_the_contract(job: Path) -> None:
    """Not in the job."""
    change(job.parent.parent / "contracts" / "postgres_orders.yaml", "tenant: acme", "tenant: 7")
    with pytest.raises(UsageError, match=r"contracts/postgres_orders.yaml is no contract: line 5: tenant "):
        run("run", "--config", str(job))


@pytest.mark.parametrize("arguments", [(), ("tagger", "--config", "x"), ("--config", "x", "--mode", "go")])
def test_a_service_or_a_job_in_a_mode_that_there_is(arguments: tuple[str, ...]) -> None:
    """`run` is never ambiguous."""
    with pytest.raises(UsageError) as told:
        run("run", *arguments)
    assert told.value.code in ("run_what", "unknown_mode")


def test_contract_lint_and_show(job: Path) -> None:
    """Shown in ODCS, and in the form in which it was written."""
    file = str(job.parent.parent / "contracts" / "postgres_orders.yaml")
    assert "This contract is fine." in contract("lint", file)
    shown: dict[str, Any] = yaml.safe_load(contract("show", file))
    assert (shown["apiVersion"], shown["id"]) == ("v3.1.0", "postgres_orders")
    assert yaml.safe_load(contract("show", "--simple", file)) == yaml.safe_load(Path(file).read_text())


def test_lint_tells_what_neither_form_knows(tmp_path: Path) -> None:
    """It is kept, and a slip is not taken for a wish: the nearest field, and the line."""
    file = tmp_path / "c.yaml"
    file.write_text(
        "name: o\nshema: 1\nstewards: [x]\ncompliance: {retension_days: 7}\nschema:\n  - {name: id, type: integer, uniqe: true}\n"
    )
    told = contract("lint", str(file))
    assert "This contract is valid." in told
    for line, field, near in ((2, "shema", "schema"), (4, "compliance.retension_days", "retention_days"), (6, "schema.0.uniqe", "unique")):
        assert f"c.yaml:{line} {field} is no field that is known here: kept as a custom property. Did you mean {near}?" in told
    assert "c.yaml:3 stewards is no field that is known here: kept as a custom property.\n" in told
    assert len(json.loads(contract("lint", str(file), "--json"))["notes"]) == 4


def test_a_contract_of_no_asset_is_told(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing compared is no agreement."""

    class Nobody:
        def send(self, *_: Any) -> dict[str, Any]:
            return {"assets": [], "findings": []}

    monkeypatch.setattr("services.tagger.commands.contract.edge", lambda: nullcontext(Nobody()))
    with pytest.raises(Failed) as told:
        contract("diff", str(job.parent.parent / "contracts" / "postgres_orders.yaml"))
    assert (told.value.code, told.value.exit_code) == ("no_asset", 1)


def test_a_contract_of_none_of_a_sources_tables_is_told_what_it_has(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the source that was named, also where nothing is known of it; --source is not asked for again."""

    class Files:
        def send(self, *_: Any) -> dict[str, Any]:
            return {"assets": [], "findings": []}

        def get(self, path: str) -> dict[str, Any]:
            if path != "/contracts/default/files/detected":
                raise UsageError("nothing", code="nothing_detected")
            return {"contract": {"schema": [{"name": f"file_{number}.csv"} for number in range(7)]}}

    monkeypatch.setattr("services.tagger.commands.contract.edge", lambda: nullcontext(Files()))
    file = str(job.parent.parent / "contracts" / "postgres_orders.yaml")
    with pytest.raises(Failed, match=r"files has file_0\.csv, .* and 2 more, and the contract's schema names none\.") as told:
        contract("diff", file, "--source", "files")
    assert "Give --source" not in told.value.line()
    with pytest.raises(Failed, match=r"nothing is known of the source elsewhere\. Scan it"):
        contract("diff", file, "--source", "elsewhere")


def test_a_plan_names_the_targets_whose_form_is_the_same(job: Path) -> None:
    """None of what the job runs on is passed over in silence; nothing trails when a program reads."""
    shown = run("run", "--config", str(job), "--mode", "plan")
    assert "The same on emr, s3." in shown
    assert [line for line in shown.splitlines() if line != line.rstrip()] == []
