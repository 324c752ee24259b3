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
from shared.settings import default_home

CLOUDS = {"aws": "AWS", "gcp": "Google Cloud", "azure": "Azure"}
_VARIABLES = {
    "aws": (("AWS_ACCESS_KEY_ID",), ("AWS_PROFILE",), ("AWS_WEB_IDENTITY_TOKEN_FILE",), ("AWS_CONTAINER_CREDENTIALS_FULL_URI",)),
    "gcp": (),
    "azure": (("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"), ("AZURE_FEDERATED_TOKEN_FILE",)),
}
_FILES = {
    "aws": (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config")),
    "gcp": (("GOOGLE_APPLICATION_CREDENTIALS", "~/.config/gcloud/application_default_credentials.json"),),
    "azure": (),
}
SCOPE = "https://www.googleapis.com/auth/cloud-platform.read-only"


def validate_infrastructure(job: JobConfig, derived: DerivedJob) -> dict[str, Any]:
    """`checks`, one for each thing the job names, and `skipped`: why there was no look at some of it. Raises nothing but bugs."""
    wanted, runtime = list(wanted_of(job)), job.infrastructure.runtime
    if runtime is None or not wanted:
        return {"checks": [], "skipped": "the job names nothing that is there"}
    kinds = _IN_CLUSTER if runtime.provider != "kubernetes" else (*_IN_CLUSTER, "cluster", "role")
    inside = [each for each in wanted if each.kind in kinds]
    outside = [each for each in wanted if each.kind not in kinds]
    started, found, skipped = monotonic(), list[Looked](), list[str]()
    for those, look in ((outside, _in_cloud), (inside, _in_cluster)):
        try:
            found += asyncio.run(look(job, runtime, those, derived)) if those else ()
        except _NoLook as why:
            skipped.append(str(why))
        except PurSightError as error:
            skipped.append(f"nobody could sign in ({error.code}): {error.why}. {error.remedy}".rstrip("."))
    told = {"checks": [_as_dict(each) for each in found], "skipped": "; ".join(skipped)}
    if not found:
        return told
    seconds = monotonic() - started
    tell(job, "pursight_infrastructure_validation_duration_seconds", seconds)
    return {**told, "validation_duration": round(seconds, 3)}


_IN_CLUSTER = ("namespace", "workload")


class _NoLook(Exception):
    """Why nothing was asked."""


async def _in_cloud(job: JobConfig, runtime: Runtime, wanted: list[Wanted], derived: DerivedJob) -> list[Looked]:
    provider = runtime.provider
    if provider == "kubernetes":
        raise _NoLook(f"the job does not say in which cloud its {', '.join(dict.fromkeys(each.kind for each in wanted))} is")
    if not _signed_in(provider, os.environ):
        raise _NoLook(f"this shell has no credentials of {CLOUDS[provider]}")
    if provider == "azure":
        return await _at_azure(runtime, wanted, derived)
    region = runtime.region or (_usual_region(os.environ) if provider == "aws" else "")
    if not region:
        raise _NoLook("no region is known: give infrastructure.runtime.region")
    if provider == "gcp" and not getattr(runtime, "project_id", ""):
        raise _NoLook("no project is known: give infrastructure.runtime.project_id")
    return await (_at_aws if provider == "aws" else _at_google)(runtime, region, wanted, derived)


async def _at_aws(runtime: Runtime, region: str, wanted: list[Wanted], derived: DerivedJob) -> list[Looked]:
    from services.tagger.gateway.aws_checks import Around, AwsChecks
    from shared.cloud.aws import AwsSessions, AwsSignIn

    around = Around(runtime.platform, region, runtime.network.vpc_id, getattr(runtime, "account_id", ""), carried(derived, "aws"))
    return await AwsChecks(AwsSessions(), AwsSignIn(region, ours=True)).look(wanted, around)


async def _at_google(runtime: Runtime, region: str, wanted: list[Wanted], derived: DerivedJob) -> list[Looked]:
    from services.tagger.gateway.gcp_checks import Around, GcpChecks
    from services.tagger.gateway.rest import client, kept
    from shared.cloud import gcp
    from shared.contracts.cloud import GcpConfig

    bearer = kept(lambda: gcp.fetch(GcpConfig(provider="gcp"), SCOPE))
    around = Around(runtime.platform, getattr(runtime, "project_id", ""), region, runtime.network.vpc_id, carried(derived, "gcp"))
    async with client() as http:
        return await GcpChecks(http, bearer, around).look(wanted)


async def _at_azure(runtime: Any, wanted: list[Wanted], derived: DerivedJob) -> list[Looked]:
    from services.tagger.gateway.azure_checks import Around, AzureChecks
    from services.tagger.gateway.rest import Edge, client, kept
    from shared.cloud import azure
    from shared.cloud.posture import resource_manager
    from shared.contracts.cloud import AzureConfig

    bearer = kept(lambda: azure.fetch(AzureConfig(provider="azure"), f"{resource_manager()}/.default"))
    async with client() as http:
        return await AzureChecks(Edge(http, resource_manager(), bearer, ""), Around(runtime, carried(derived, "azure"))).look(wanted)


async def _in_cluster(job: JobConfig, runtime: Any, wanted: list[Wanted], _: DerivedJob) -> list[Looked]:
    """By the operator's file, which says where a cluster's API server is and as whom it is asked."""
    from services.tagger.gateway.aws import AwsTags
    from services.tagger.gateway.clouds import Clouds
    from services.tagger.gateway.estates import Estates
    from services.tagger.gateway.kubernetes_checks import KubernetesChecks
    from shared.cloud.aws import AwsSessions
    from shared.cloud.tokens import Tokens
    from shared.secrets.resolvers import Secrets

    if not (name := runtime.compute.cluster_id.rpartition("/")[2]):
        raise _NoLook("the job does not say in which cluster: give infrastructure.runtime.compute.cluster_id")
    resolve = Secrets(Path(os.environ.get("PURSIGHT_HOME") or default_home())).resolve
    estates = Estates.load(os.environ.get("PURSIGHT_JOB_CLOUDS", ""))
    if name not in estates.of(job.tenant_id).kubernetes:
        raise _NoLook(f"the operator's file of clouds (PURSIGHT_JOB_CLOUDS) names no cluster {name}")
    clouds = Clouds(AwsTags(AwsSessions(), resolve=resolve), Tokens(resolve), estates, resolve=resolve)
    try:
        return await KubernetesChecks(clouds.cluster(job.tenant_id, name), runtime.namespace).look(wanted)
    finally:
        await clouds.close()


def _usual_region(environment: Mapping[str, str]) -> str:
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or ""


def _signed_in(provider: str, environment: Mapping[str, str]) -> bool:
    """Credentials that can be seen; a machine's own identity is used only where the operator allows that, as everywhere."""
    own = environment.get("PURSIGHT_OWN_IDENTITY", "").lower() == "true"
    named = any(all(environment.get(name) for name in names) for names in _VARIABLES[provider])
    return own or named or any(Path(environment.get(name, usual)).expanduser().is_file() for name, usual in _FILES[provider])


def _as_dict(looked: Looked) -> dict[str, Any]:
    return {**asdict(looked.wanted), "code": looked.code or "ok", "why": looked.why, "remedy": looked.remedy, "sure": looked.sure}


def show_checks(told: dict[str, Any]) -> None:
    """For people: each thing with what the look came to."""
    if told["skipped"]:
        stdout.print(plain(f"{'Not all' if told['checks'] else 'Nothing'} of the infrastructure was looked at: {told['skipped']}."))
    if not told["checks"]:
        return
    head = ("what", "name", "is", "why", "what helps")
    table("Infrastructure", head, [(each["kind"], each["id"], each["code"], each["why"], each["remedy"]) for each in told["checks"]])


def wrong(told: dict[str, Any]) -> bool:
    """Is anything not as the job says, or not known to be?"""
    return any(each["code"] != "ok" for each in told["checks"])
