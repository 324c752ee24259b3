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
from services.tagger.domain.checks import Looked, Wanted, wanted_of
from services.tagger.domain.job import DerivedJob
from services.tagger.domain.variables import carried
from shared.cli.output import plain, stdout, table
from shared.contracts.job import JobConfig, Runtime
from shared.errors import PurSightError

_AWS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_FILES = {
    "aws": (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config")),
    "gcp": (("GOOGLE_APPLICATION_CREDENTIALS", "~/.config/gcloud/application_default_credentials.json"),),
}
SCOPE = "https://www.googleapis.com/auth/cloud-platform.read-only"


def validate_infrastructure(job: JobConfig, derived: DerivedJob) -> dict[str, Any]:
    """`checks`, one for each thing the job names, or why there was no look: `skipped`. Raises nothing but bugs."""
    wanted, runtime = list(wanted_of(job)), job.infrastructure.runtime
    if runtime is None or not wanted:
        return _skipped("the job names nothing that is there")
    if runtime.provider not in _FILES:
        return _skipped(f"only AWS and Google Cloud are looked at, and this job runs on {runtime.platform}")
    if not _signed_in(runtime.provider, os.environ):
        return _skipped(f"this shell has no credentials of {'AWS' if runtime.provider == 'aws' else 'Google Cloud'}")
    region = runtime.region or (_usual_region(os.environ) if runtime.provider == "aws" else "")
    if not region:
        return _skipped("no region is known: give infrastructure.runtime.region")
    if runtime.provider == "gcp" and not getattr(runtime, "project_id", ""):
        return _skipped("no project is known: give infrastructure.runtime.project_id")
    started = monotonic()
    try:
        found = asyncio.run((_at_aws if runtime.provider == "aws" else _at_google)(runtime, region, wanted, derived))
    except PurSightError as error:
        return _skipped(f"nobody could sign in ({error.code}): {error.why}. {error.remedy}".rstrip("."))
    seconds = monotonic() - started
    tell(job, "pursight_infrastructure_validation_duration_seconds", seconds)
    return {"checks": [_as_dict(each) for each in found], "skipped": "", "validation_duration": round(seconds, 3)}


def _skipped(why: str) -> dict[str, Any]:
    return {"checks": [], "skipped": why}


async def _at_aws(runtime: Runtime, region: str, wanted: list[Wanted], derived: DerivedJob) -> list[Looked]:
    from services.tagger.gateway.aws_checks import Around, AwsChecks
    from shared.cloud.aws import AwsSessions, AwsSignIn

    around = Around(runtime.platform, region, runtime.network.vpc_id, getattr(runtime, "account_id", ""), carried(derived, "aws"))
    return await AwsChecks(AwsSessions(), AwsSignIn(region, ours=True)).look(wanted, around)


async def _at_google(runtime: Runtime, region: str, wanted: list[Wanted], derived: DerivedJob) -> list[Looked]:
    from services.tagger.gateway.gcp_checks import Around, GcpChecks
    from services.tagger.gateway.rest import client
    from shared.cloud import gcp
    from shared.contracts.cloud import GcpConfig

    token = ""

    async def bearer(again: bool) -> str:
        nonlocal token
        if again or not token:
            token = (await gcp.fetch(GcpConfig(provider="gcp"), SCOPE)).value
        return token

    around = Around(runtime.platform, getattr(runtime, "project_id", ""), region, runtime.network.vpc_id, carried(derived, "gcp"))
    async with client() as http:
        return await GcpChecks(http, bearer).look(wanted, around)


def _usual_region(environment: Mapping[str, str]) -> str:
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or ""


def _signed_in(provider: str, environment: Mapping[str, str]) -> bool:
    """Credentials that can be seen; a machine's own identity is used only where the operator allows that, as everywhere."""
    own = environment.get("PURSIGHT_OWN_IDENTITY", "").lower() == "true"
    named = provider == "aws" and any(environment.get(name) for name in _AWS)
    return own or named or any(Path(environment.get(name, usual)).expanduser().is_file() for name, usual in _FILES[provider])


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
