"""The part of `pursight run --mode validate` that looks at the cloud, where the shell has credentials for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

from services.tagger.commands.measured import tell
from services.tagger.domain.checks import Looked, wanted_of
from services.tagger.domain.job import DerivedJob
from services.tagger.domain.variables import carried
from shared.cli.output import plain, stdout, table
from shared.contracts.job import JobConfig
from shared.errors import PurSightError

_AWS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


def validate_infrastructure(job: JobConfig, derived: DerivedJob) -> dict[str, Any]:
    """`checks`, one for each thing the job names, or why there was no look: `skipped`. Raises nothing but bugs."""
    wanted = list(wanted_of(job))
    runtime = job.infrastructure.runtime
    if runtime is None or not wanted:
        return {"checks": [], "skipped": "the job names nothing that is there"}
    if runtime.provider != "aws":
        return {"checks": [], "skipped": f"only AWS is looked at, and this job runs on {runtime.platform}"}
    if not _signed_in(os.environ):
        return {"checks": [], "skipped": "this shell has no credentials of AWS"}
    region = runtime.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    if not region:
        return {"checks": [], "skipped": "no region is known: give infrastructure.runtime.region"}
    from services.tagger.gateway.aws_checks import Around, AwsChecks
    from shared.cloud.aws import AwsSessions, AwsSignIn

    around = Around(runtime.platform, region, runtime.network.vpc_id, getattr(runtime, "account_id", ""), carried(derived, "aws"))
    started = monotonic()
    try:
        found = asyncio.run(AwsChecks(AwsSessions(), AwsSignIn(region, ours=True)).look(wanted, around))
    except PurSightError as error:
        return {"checks": [], "skipped": f"nobody could sign in ({error.code}): {error.why}. {error.remedy}"}
    seconds = monotonic() - started
    tell(job, "pursight_infrastructure_validation_duration_seconds", seconds)
    return {"checks": [_as_dict(each) for each in found], "skipped": "", "validation_duration": round(seconds, 3)}


def _signed_in(environment: Mapping[str, str]) -> bool:
    """Credentials that can be seen; a machine's own identity is used only where the operator allows that, as everywhere."""
    files = [environment.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), environment.get("AWS_CONFIG_FILE", "~/.aws/config")]
    own = environment.get("PURSIGHT_OWN_IDENTITY", "").lower() == "true"
    return own or any(environment.get(name) for name in _AWS) or any(Path(file).expanduser().is_file() for file in files)


def _as_dict(looked: Looked) -> dict[str, Any]:
    return {**asdict(looked.wanted), "code": looked.code or "ok", "why": looked.why, "remedy": looked.remedy, "sure": looked.sure}


def show_checks(told: dict[str, Any]) -> None:
    """For people: each thing with what the look came to."""
    if told["skipped"]:
        return stdout.print(plain(f"The infrastructure was not looked at: {told['skipped']}."))
    head = ("what", "name", "is", "why", "what helps")
    table("Infrastructure", head, [(each["kind"], each["id"], each["code"], each["why"], each["remedy"]) for each in told["checks"]])


def wrong(told: dict[str, Any]) -> bool:
    """Is anything not as the job says, or not known to be?"""
    return any(each["code"] != "ok" for each in told["checks"])
