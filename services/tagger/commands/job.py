"""`pursight run --config FILE`: validate a job, or show the complete tag set of what it runs on."""

from __future__ import annotations

from datetime import UTC, datetime
from os.path import normpath
from pathlib import Path
from typing import Any

from services.tagger.commands.documents import contract_from, job_from
from services.tagger.domain.declared import Where
from services.tagger.domain.job import DerivedJob, derive_job
from services.tagger.domain.odcs import Normal
from services.tagger.domain.privacy import holds_personal
from services.tagger.domain.targets import job_targets
from shared.cli.output import as_json, plain, stdout, table
from shared.contracts.job import JobConfig
from shared.errors import UsageError

MODES = ("validate", "plan")
LATER = ("apply", "outputs")


def run(config: str, mode: str, *, asset: str = "", json_output: bool = False) -> None:
    """Raises UsageError where the job, its contract or the mode is not right."""
    if mode in LATER:
        raise UsageError(
            f"--mode {mode} is not part of this version",
            why="Terraform is not run from here yet",
            remedy="Use --mode plan, and apply with your own tools.",
            code="mode_unsupported",
        )
    if mode not in MODES:
        raise UsageError(f"there is no mode {mode}", remedy=f"Known are {', '.join((*MODES, *LATER))}.", code="unknown_mode")
    job, where = job_from(config, json_output=json_output)
    contract = _contract(job, config, asset, json_output=json_output)
    if mode == "validate":
        _valid(job, contract, json_output=json_output)
    else:
        _planned(job, where, contract, json_output=json_output)


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


def _valid(job: JobConfig, contract: tuple[Normal, Where] | None, *, json_output: bool) -> None:
    if json_output:
        named = contract[1].name if contract else None
        return as_json({"job": job.model_dump(mode="json", exclude_unset=True), "contract": named, "problems": []})
    stdout.print("This job is fine." if contract else "This job is fine. It names no asset_path, so no contract was looked at.")


def _planned(job: JobConfig, where: Where, contract: tuple[Normal, Where] | None, *, json_output: bool) -> None:
    derived = derive_job((job, where), contract, (), now=datetime.now(UTC), cause="pursight run", personal=holds_personal)
    if json_output:
        return as_json(plan_as_dict(job, derived))
    table("Tags", ("key", "value", "from"), [(tag.key, tag.value, tag.origin) for tag in derived.tags])
    if derived.conflicts:
        rows = [(conflict.key, conflict.reason, conflict.origin) for conflict in derived.conflicts]
        table("Left out", ("key", "why", "from"), rows)
    for target in job_targets(job):
        found = derived.for_target(target)
        changed = [(key, value) for key, value in found.converted.tags.items() if found.converted.origins[key] != (key, value)]
        if changed:
            table(f"Spelled otherwise on {target}", ("key", "value"), changed)
        if found.left_out:
            stdout.print(plain(f"{target} has no room for {', '.join(found.left_out)}."))


def plan_as_dict(job: JobConfig, derived: DerivedJob) -> dict[str, Any]:
    """The plan as one object: tags with origins, what lost, and the form on each kind of target."""
    forms = {target: derived.for_target(target) for target in job_targets(job)}
    return {
        "tags": [tag.model_dump() for tag in derived.tags],
        "conflicts": [{"key": each.key, "reason": each.reason, "origin": each.origin} for each in derived.conflicts],
        "digest": derived.digest,
        "targets": {name: {"tags": form.converted.tags, "left_out": list(form.left_out)} for name, form in forms.items()},
    }
