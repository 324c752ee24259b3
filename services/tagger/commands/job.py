"""`pursight run --config FILE`: validate a job, show the tags of all that it runs on, and bring that about by Terraform."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os.path import normpath
from pathlib import Path
from typing import Any

import typer
import yaml

from services.tagger.commands import checks, infrastructure
from services.tagger.commands.documents import contract_from, job_from, refused, written_at
from services.tagger.commands.house import house
from services.tagger.domain.declared import Where
from services.tagger.domain.job import DerivedJob, derive_job
from services.tagger.domain.odcs import Normal
from services.tagger.domain.targets import job_targets
from shared.cli.output import as_json, plain, stdout, table
from shared.contracts.job import JobConfig
from shared.errors import UsageError

FOUND = 3  # exit code where something is not as the job says
MODES = ("validate", "plan", "apply", "outputs")


@dataclass(frozen=True, slots=True)
class Options:
    """What `run` was told besides. `approve` and `accept` are for apply, `form` and `export` for plan, `out` for what is written."""

    approve: str = ""
    accept: Sequence[str] = ()
    form: str = "json"
    export: str = ""
    out: str = ""


def run(config: str, mode: str, *, asset: str = "", json_output: bool = False, **given: Any) -> None:
    """`given` as in `Options`. Raises UsageError where the job, its contract or the mode is not right, and as Terraform's steps do."""
    if mode not in MODES:
        raise UsageError(f"there is no mode {mode}", remedy=f"Known are {', '.join(MODES)}.", code="unknown_mode")
    options = Options(**given)
    job, where = job_from(config, json_output=json_output)
    contract = _contract(job, config, asset, json_output=json_output)
    derived = derive_job((job, where), contract, (), now=datetime.now(UTC), cause="pursight run", house=house())
    if derived.problems:
        raise refused(written_at(where), derived.problems, "job", json_output=json_output)
    if mode == "validate":
        infrastructure.validated(infrastructure.of_job(job, where, derived, config), json_output=json_output)
        return _valid(job, contract, derived, json_output=json_output)
    if options.export:
        return _exported(job, derived, options)
    _by_terraform(job, where, derived, config, mode, options, json_output=json_output)


def _by_terraform(
    job: JobConfig, where: Where, derived: DerivedJob, config: str, mode: str, options: Options, *, json_output: bool
) -> None:
    found = infrastructure.of_job(job, where, derived, config)
    if mode == "plan":
        told = infrastructure.planned(found, form=options.form, json_output=json_output) if found else None
        if json_output:
            return as_json({**plan_as_dict(job, derived), "terraform": told})
        _show_tags(job, derived)
        if told:
            infrastructure.show_plan(told)
        return
    module = infrastructure.needed(found, mode)
    if mode == "apply":
        told = infrastructure.applied(module, approve=options.approve, accept=options.accept, out=options.out, json_output=json_output)
    else:
        told = infrastructure.exported(module, out=options.out, json_output=json_output)
    if json_output:
        as_json(told)
    else:
        infrastructure.show_outputs(told)


def _exported(job: JobConfig, derived: DerivedJob, options: Options) -> None:
    """The plan in the form of another tool, to standard output or into a file."""
    from services.tagger.domain.exports import FORMS, cloudformation_tags, pulumi_configuration
    from services.tagger.domain.variables import variables_of
    from services.tagger.gateway.runs import write_private

    provider = job.infrastructure.runtime.provider if job.infrastructure.runtime else ""
    if options.export not in FORMS:
        raise UsageError(f"there is no export {options.export}", remedy=f"Known are {', '.join(FORMS)}.", code="unknown_form")
    if options.export == "cloudformation":
        if provider != "aws":
            raise UsageError("CloudFormation is of AWS", why="the job runs elsewhere", remedy="Use --export pulumi.", code="wrong_cloud")
        text = json.dumps(cloudformation_tags(derived), indent=2, ensure_ascii=False) + "\n"
    else:
        configuration = pulumi_configuration(provider, derived, variables_of(job, derived))
        text = yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True)
    if not options.out:
        sys.stdout.write(text)
        return
    try:
        write_private(Path(options.out), text)
    except OSError as error:
        raise UsageError(f"{options.out} cannot be written", why=error.strerror or "", code="not_writable") from None


def _contract(job: JobConfig, config: str, asset: str, *, json_output: bool) -> tuple[Normal, Where] | None:
    """The asset's contract: the file that was given, else the one that the job names, beside its own file where that is relative."""
    if asset:
        return contract_from(asset, json_output=json_output, name=job.asset)
    if not job.asset_path:
        return None
    path = Path(normpath(job.asset_path if config == "-" else Path(config).parent / job.asset_path))
    if not path.is_file():
        raise UsageError(
            "the job's asset is missing",
            why=f"there is no file {path}",
            remedy="Correct asset_path, or give --asset FILE.",
            code="asset_missing",
        )
    return contract_from(str(path), json_output=json_output, name=job.asset)


def _valid(job: JobConfig, contract: tuple[Normal, Where] | None, derived: DerivedJob, *, json_output: bool) -> None:
    """Raises typer.Exit with FOUND where the infrastructure is not as the job says."""
    told = checks.validate_infrastructure(job, derived)
    if json_output:
        named = contract[1].name if contract else None
        as_json({"job": job.model_dump(mode="json", exclude_unset=True), "contract": named, "problems": [], "infrastructure": told})
    else:
        stdout.print("This job is fine." if contract else "This job is fine. It names no asset_path, so no contract was looked at.")
        if "infrastructure" in job.model_fields_set:
            checks.show_checks(told)
    if checks.wrong(told):
        raise typer.Exit(FOUND)


def _show_tags(job: JobConfig, derived: DerivedJob) -> None:
    table("Tags", ("key", "value", "from"), [(tag.key, tag.value, tag.origin) for tag in derived.tags])
    if derived.conflicts:
        rows = [(conflict.key, conflict.reason, conflict.origin) for conflict in derived.conflicts]
        table("Left out", ("key", "why", "from"), rows)
    same = list[str]()
    for target in job_targets(job):
        found = derived.for_target(target)
        changed = [(key, value) for key, value in found.converted.tags.items() if found.converted.origins[key] != (key, value)]
        if changed:
            table(f"Spelled otherwise on {target}", ("key", "value"), changed)
        if found.left_out:
            stdout.print(plain(f"{target} has no room for {', '.join(found.left_out)}."))
        if not changed and not found.left_out:
            same.append(target)
    if same:
        stdout.print(plain(f"The same on {', '.join(same)}."))


def plan_as_dict(job: JobConfig, derived: DerivedJob) -> dict[str, Any]:
    """The plan as one object: tags with origins, what lost, and the form on each kind of target."""
    forms = {target: derived.for_target(target) for target in job_targets(job)}
    return {
        "tags": [tag.model_dump() for tag in derived.tags],
        "conflicts": [{"key": each.key, "reason": each.reason, "origin": each.origin} for each in derived.conflicts],
        "digest": derived.digest,
        "targets": {name: {"tags": form.converted.tags, "left_out": list(form.left_out)} for name, form in forms.items()},
    }
