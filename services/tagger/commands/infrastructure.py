"""Terraform for a job: `pursight run --config FILE --mode plan | apply | outputs`.

A plan waits in the job's own folder under PURSIGHT_HOME, with its digest. An apply is of exactly those bytes, by the digest that
a person looked at, and only where what the rules refuse was accepted by name. Each step is on record before and after.
"""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from os.path import normpath
from pathlib import Path
from time import monotonic
from typing import Any

from services.tagger.commands.documents import refused, written_at
from services.tagger.commands.measured import tell
from services.tagger.domain.declared import Where
from services.tagger.domain.job import DerivedJob
from services.tagger.domain.outputs import as_environment, outputs_of
from services.tagger.domain.planned import CODES, Judged, judge_plan, needs_encryption
from services.tagger.domain.surroundings import environment
from services.tagger.domain.variables import Variables, as_hcl, as_json, carried, declared_in, variables_of
from services.tagger.gateway.runs import BACKEND, Record, Run, run_of, write_private
from services.tagger.gateway.terraform import Limits, Terraform, found_program
from shared.cli.output import plain, stderr, stdout, table
from shared.contracts.job import JobConfig
from shared.errors import PurSightError, UsageError
from shared.settings import default_home

FORMS = {"json": ("pursight.auto.tfvars.json", as_json), "hcl": ("pursight.auto.tfvars", as_hcl)}
APPLY_SECONDS = "pursight_infrastructure_terraform_apply_duration_seconds"
OUTPUTS = ("outputs.json", "outputs.env")


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """One job, its tags, and the folder of its module."""

    job: JobConfig
    where: Where
    derived: DerivedJob
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.job.tenant_id}/{self.job.asset} {self.job.environment} {self.workspace}".strip()

    @property
    def workspace(self) -> str:
        return self.job.infrastructure.terraform.workspace

    @property
    def provider(self) -> str:
        runtime = self.job.infrastructure.runtime
        return runtime.provider if runtime else ""


_CALLER = (
    "A remote module is called from a folder here, which names it with its exact version, from git with a commit (?ref=), "
    "and whose providers and variables you see; name that folder."
)


def of_job(job: JobConfig, where: Where, derived: DerivedJob, config: str) -> Infrastructure | None:
    """The job's module; None where it names none, or is not Terraform's. Raises UsageError where its folder is not there."""
    source, version = job.infrastructure.terraform.module_source, job.infrastructure.terraform.module_version
    if not source or job.infrastructure.provider != "terraform":
        return None
    folder = Path(normpath(source if config == "-" else Path(config).parent / source)).absolute()
    if not folder.is_dir():
        remote = "://" in source or "::" in source or not source.startswith((".", "/"))
        raise UsageError(
            f"{where.of('infrastructure.terraform.module_source')} is no folder",
            why=f"there is no {folder}",
            remedy=_CALLER if remote else "Correct it.",
            code="module_missing",
        )
    if version:
        place = where.of("infrastructure.terraform.module_version")
        raise UsageError(f"{place}: a folder has no versions", remedy=f"Remove it. {_CALLER}", code="module_unversioned")
    if job.infrastructure.terraform.workspace.startswith("-"):  # it would be read as an option
        place = where.of("infrastructure.terraform.workspace")
        raise UsageError(f"{place} begins with a dash", remedy="Name it otherwise.", code="bad_name")
    return Infrastructure(job, where, derived, folder)


def needed(infrastructure: Infrastructure | None, mode: str) -> Infrastructure:
    """Raises UsageError where there is nothing for Terraform to do."""
    if infrastructure is None:
        raise UsageError(
            f"there is nothing to {mode}" if mode == "apply" else "there are no outputs",
            why="the job names no Terraform module",
            remedy="Give infrastructure.provider: terraform and infrastructure.terraform.module_source.",
            code="no_module",
        )
    return infrastructure


def validated(given: Infrastructure | None, *, json_output: bool) -> None:
    """Raises UsageError where the module's folder or what it would be told is not right; runs nothing."""
    if given:
        _variables(given, json_output=json_output)


def planned(given: Infrastructure, *, form: str, json_output: bool) -> dict[str, Any]:
    """Write the variables, plan, judge, and keep the plan for an apply."""
    if form not in FORMS:
        raise UsageError(f"there is no form {form}", remedy=f"Known are {', '.join(FORMS)}.", code="unknown_form")
    variables = _variables(given, json_output=json_output)
    with _run(given, "plan") as run:
        run.forget_plan()
        file = _write_variables(given, variables, form)
        judged, digest = asyncio.run(_plan(given, run, variables, quiet=json_output))
        record = Record(
            "planned" if judged.changes or judged.outputs else "unchanged",
            given.name,
            given.workspace,
            _now().isoformat(timespec="seconds"),
            plan=digest,
            variables=_digest(variables),
            refused=judged.refused,
            counts=judged.counts,
        )
        run.keep(record)
    return _plan_told(record, judged, variables, file)


async def _plan(given: Infrastructure, run: Run, variables: Variables, *, quiet: bool) -> tuple[Judged, str]:
    terraform = await _ready(given, run, variables, make=True, quiet=quiet)
    fresh = run.path / "plan.new"
    try:
        await terraform.plan(fresh)
        shown = await terraform.show(fresh)
        fresh.chmod(0o600)
        digest = sha256(fresh.read_bytes()).hexdigest()
        fresh.replace(run.plan)
    finally:
        fresh.unlink(missing_ok=True)
    tags = {target: carried(given.derived, target) for target in ("aws", "gcp", "azure", "kubernetes")}
    return judge_plan(shown, tags, encrypt=needs_encryption(given.derived.tags)), digest


def _plan_told(record: Record, judged: Judged, variables: Variables, file: Path) -> dict[str, Any]:
    return {
        "digest": record.plan,
        "state": record.state,
        "counts": record.counts,
        "changes": [asdict(change) for change in judged.changes],
        "findings": [asdict(finding) for finding in judged.findings],
        "refused": list(record.refused),
        "outputs": list(judged.outputs),
        "variables": {"file": str(file), "not_declared": list(variables.unheard), "by_environment": sorted(variables.secrets)},
    }


def show_plan(told: dict[str, Any]) -> None:
    """The plan for people: what happens to which resource, what needs a word, and how to apply it."""
    if told["changes"]:
        rows = [(each["action"], each["address"], ", ".join(each["attributes"])) for each in told["changes"]]
        table("Terraform would", ("do", "resource", "changes"), rows)
    if told["findings"]:
        found = [(each["code"], each["address"], each["message"], each["remedy"]) for each in told["findings"]]
        table("Look at", ("what", "resource", "because it", "what helps"), found)
    if told["variables"]["not_declared"]:
        names = ", ".join(told["variables"]["not_declared"])
        stdout.print(plain(f"The module declares no variable {names}: its resources cannot carry our tags."))
    if told["state"] == "unchanged":
        return stdout.print("Nothing to do: everything is as the module says.")
    accept = "".join(f" --accept {code}" for code in told["refused"])
    stdout.print(plain(f"To apply exactly this: --mode apply --approve {told['digest'][:16]}{accept}"))


def applied(given: Infrastructure, *, approve: str, accept: Sequence[str], out: str, json_output: bool) -> dict[str, Any]:
    """Apply the plan that waits, if its digest is the approved one and nothing else changed; then hand over its outputs."""
    if unknown := set(accept) - set(CODES):
        raise UsageError(
            f"there is nothing like {', '.join(sorted(unknown))} to accept", remedy=f"Known are {', '.join(CODES)}.", code="unknown_code"
        )
    variables = _variables(given, json_output=json_output)
    with _run(given, "apply") as run:
        record = _approved(run, variables, approve, accept)
        file = run.approved_plan(record, approve)
        begun, started = record.become("applying", _now(), approved_by=_who()), monotonic()
        run.keep(begun)
        try:
            outputs = asyncio.run(_apply(given, run, variables, file, quiet=json_output))
        except BaseException as error:
            code = error.code if isinstance(error, PurSightError) else "interrupted"
            run.keep(begun.become("failed", _now(), code=code))
            tell(given.job, APPLY_SECONDS, monotonic() - started, outcome=code)
            raise
        finally:
            file.unlink(missing_ok=True)
            run.forget_plan()
        seconds = monotonic() - started
        run.keep(begun.become("applied", _now()))
    tell(given.job, APPLY_SECONDS, seconds, outcome="applied")
    told = _handed_over(given, run, outputs, out, json_output=json_output)
    return {"state": "applied", "digest": record.plan, "counts": record.counts, "terraform_apply_duration": round(seconds, 3), **told}


def _approved(run: Run, variables: Variables, approve: str, accept: Sequence[str]) -> Record:
    """The plan that waits. Raises UsageError with a code where there is none, or this apply is not what was approved."""
    record = run.record()
    if record is not None and record.state == "applying":
        raise UsageError(
            "the last apply came to no end that we saw", why=f"it began {record.at}", remedy="Run --mode plan.", code="apply_unfinished"
        )
    if record is None or record.state != "planned":
        why = {"applied": "the last one was applied", "unchanged": "there was nothing to do"}.get(record.state if record else "", "")
        raise UsageError("no plan waits for this job", why=why, remedy="Run --mode plan.", code="no_plan")
    if not approve:
        raise UsageError("nobody approved the plan", remedy=f"Look at it, then give --approve {record.plan[:16]}.", code="not_approved")
    if record.variables != _digest(variables):
        raise UsageError("the job is not what it was when it was planned", remedy="Run --mode plan again.", code="job_changed")
    if left := [code for code in record.refused if code not in accept]:
        raise UsageError(
            f"the rules refuse this plan: {', '.join(left)}",
            remedy=f"Change the module, or accept it: {' '.join(f'--accept {code}' for code in left)}.",
            code="plan_refused",
        )
    return record


async def _apply(given: Infrastructure, run: Run, variables: Variables, file: Path, *, quiet: bool) -> dict[str, Any]:
    terraform = await _terraform(given, run, variables, quiet=quiet)
    await terraform.apply(file)
    return await terraform.outputs()


def exported(given: Infrastructure, *, out: str, json_output: bool) -> dict[str, Any]:
    """The outputs of what was applied, in files and in the answer."""
    variables = _variables(given, json_output=json_output)
    with _run(given, "outputs") as run:

        async def read() -> dict[str, Any]:
            terraform = await _ready(given, run, variables, make=False, quiet=json_output)
            return await terraform.outputs()

        return _handed_over(given, run, asyncio.run(read()), out, json_output=json_output)


def _handed_over(given: Infrastructure, run: Run, outputs: dict[str, Any], out: str, *, json_output: bool) -> dict[str, Any]:
    found = outputs_of(outputs, given.job.infrastructure.outputs)
    if found.problems:
        raise refused(written_at(given.where), found.problems, "job", json_output=json_output)
    folder = Path(out) if out else run.path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(OUTPUTS, (as_json(found.values), as_environment(found.values)), strict=True):
            write_private(folder / name, text)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written", why=error.strerror or "", code="not_writable") from None
    return {"outputs": found.values, "kept_back": list(found.kept_back), "files": [str(folder / name) for name in OUTPUTS]}


def show_outputs(told: dict[str, Any]) -> None:
    """The outputs for people, and how a shell takes them."""
    if told.get("state") == "applied":
        stdout.print(plain(f"Applied in {told['terraform_apply_duration']:.1f} s."))
    if told["outputs"]:
        table("Outputs", ("name", "value"), told["outputs"].items())
        stdout.print(plain(f"For a shell: . {told['files'][1]}"))
    if told["kept_back"]:
        stdout.print(plain(f"Kept back, because the module calls them sensitive: {', '.join(told['kept_back'])}."))


def _variables(given: Infrastructure, *, json_output: bool) -> Variables:
    texts = [file.read_text("utf-8", "replace") for file in sorted((*given.folder.glob("*.tf"), *given.folder.glob("*.tofu")))]
    found = variables_of(given.job, given.derived, declared_in("\n".join(texts)))
    if found.problems:
        raise refused(written_at(given.where), found.problems, "job", json_output=json_output)
    return found


def _write_variables(given: Infrastructure, variables: Variables, form: str) -> Path:
    """The file that Terraform reads by itself; the other form's goes, because it would be read too."""
    name, spelled = FORMS[form]
    try:
        for other, _ in FORMS.values():
            if other != name:
                (given.folder / other).unlink(missing_ok=True)
        write_private(given.folder / name, spelled(variables.values))
    except OSError as error:
        raise UsageError(f"{given.folder} cannot be written", why=error.strerror or "", code="not_writable") from None
    return given.folder / name


def _digest(variables: Variables) -> str:
    return sha256((as_json(variables.values) + as_json(variables.secrets)).encode()).hexdigest()


async def _ready(given: Infrastructure, run: Run, variables: Variables, *, make: bool, quiet: bool) -> Terraform:
    """Terraform with its providers, its state's place and its workspace."""
    terraform = await _terraform(given, run, variables, quiet=quiet)
    file = run.path / BACKEND
    written = given.job.infrastructure.terraform.backend_config
    settings = await _resolved(written)
    terraform.hidden |= {value for name, value in settings.items() if value != written[name]}
    try:
        if settings:
            write_private(file, _backend(settings))
        await terraform.init(file if settings else None)
    finally:
        file.unlink(missing_ok=True)
    if given.workspace:
        await terraform.workspace(given.workspace, make=make)
    return terraform


def _backend(settings: dict[str, str]) -> str:
    try:
        return as_hcl(settings)
    except ValueError as error:
        why = str(error)
        raise UsageError("infrastructure.terraform.backend_config cannot be written", why=why, code="bad_name") from None


async def _terraform(given: Infrastructure, run: Run, variables: Variables, *, quiet: bool) -> Terraform:
    besides = [name.strip() for name in os.environ.get("PURSIGHT_TERRAFORM_ENV", "").split(",") if name.strip()]
    around = environment(os.environ, given.provider, besides=besides, secrets=await _resolved(variables.secrets))
    tell: Callable[[str], None] = _nothing if quiet else _said
    program = found_program(os.environ.get("PURSIGHT_TERRAFORM", ""))
    return Terraform(program, given.folder, run.data, around, _limits(), run.lock, tell)


def _nothing(_: str) -> None:
    return


def _said(line: str) -> None:
    stderr.print(plain(line), style="dim")


def _limits() -> Limits:
    given, usual = os.environ.get("PURSIGHT_TERRAFORM_SECONDS", ""), Limits()
    if not given:
        return usual
    if not given.isascii() or not given.isdecimal() or not int(given):
        raise UsageError("PURSIGHT_TERRAFORM_SECONDS is no number of seconds", remedy="Give a whole number.", code="bad_setting")
    return Limits(float(given), min(usual.grace, float(given)))


async def _resolved(given: dict[str, str]) -> dict[str, str]:
    """References replaced by what they lead to; other texts as they are. Raises as secret stores do."""
    from shared.contracts.judging.secrecy import is_reference
    from shared.secrets.resolvers import Secrets

    secrets = Secrets(_home())
    return {name: await secrets.resolve(text) if is_reference(text) else text for name, text in given.items()}


def _home() -> Path:
    return Path(os.environ.get("PURSIGHT_HOME") or default_home())


def _run(given: Infrastructure, doing: str) -> AbstractContextManager[Run]:
    return run_of(_home(), given.folder, given.name, doing)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"user {os.getuid()}"


def _now() -> datetime:
    return datetime.now(UTC)
