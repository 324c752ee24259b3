"""Tells what a run of a job measured: to a file where PURSIGHT_METRICS_FOLDER is set, to its cloud where PURSIGHT_CLOUD_METRICS is true."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shared.cli.output import plain, stderr
from shared.errors import PurSightError

if TYPE_CHECKING:
    from shared.contracts.job import JobConfig, Runtime

MONITORING = "https://monitoring.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/monitoring.write"


def tell(job: JobConfig, name: str, seconds: float, **labels: str) -> None:
    """Never raises what a run would fail by: who watches is told on standard error that a measure is missing."""
    folder = os.environ.get("PURSIGHT_METRICS_FOLDER", "")
    in_cloud = os.environ.get("PURSIGHT_CLOUD_METRICS", "").lower() == "true"
    if not folder and not in_cloud:
        return
    from services.tagger.gateway.measures import to_textfile

    known = {"job": f"{job.tenant_id}/{job.asset}", **labels}
    try:
        if folder:
            to_textfile(Path(folder), name, known, seconds)
        if in_cloud and job.infrastructure.runtime:
            asyncio.run(_to_cloud(job.infrastructure.runtime, name, known, seconds))
    except PurSightError as error:
        stderr.print(plain(f"The run was not measured. {error}"))


async def _to_cloud(runtime: Runtime, name: str, labels: dict[str, str], seconds: float) -> None:
    from services.tagger.gateway.measures import to_cloudwatch, to_monitoring

    if runtime.provider == "aws":
        from shared.cloud.aws import AwsSessions, AwsSignIn

        region = runtime.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
        await to_cloudwatch(AwsSessions(), AwsSignIn(region, ours=True), name, labels, seconds)
    elif runtime.provider == "gcp":
        from services.tagger.gateway.rest import Edge, client, kept
        from shared.cloud import gcp
        from shared.contracts.cloud import GcpConfig

        async with client() as http:
            edge = Edge(http, MONITORING, kept(lambda: gcp.fetch(GcpConfig(provider="gcp"), SCOPE)), "monitoring.timeSeries.create")
            await to_monitoring(edge, getattr(runtime, "project_id", ""), name, labels, seconds, datetime.now(UTC))
