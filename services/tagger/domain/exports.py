"""The same plan for those who do not use Terraform: tags of a CloudFormation stack, configuration of a Pulumi stack."""

from __future__ import annotations

from typing import Any

from services.tagger.domain.job import DerivedJob
from services.tagger.domain.variables import Variables, carried

FORMS = ("cloudformation", "pulumi")


def cloudformation_tags(derived: DerivedJob) -> list[dict[str, str]]:
    """For `--tags file://…` of a stack, which hands them on to every resource in it. Most important first, within AWS's limits."""
    return [{"Key": key, "Value": value} for key, value in carried(derived, "aws").items()]


_REGION = {"aws": "aws:region", "gcp": "gcp:region", "azure": "azure-native:location"}


def pulumi_configuration(provider: str, derived: DerivedJob, variables: Variables) -> dict[str, Any]:
    """The content of `Pulumi.<stack>.yaml`: what the provider gives to every resource, and the job's own values under `pursight:`.

    Azure's provider gives nothing to all resources, and a cluster's neither, so there a program reads `pursight:tags` itself.
    A secret is none of it: set it with `pulumi config set --secret`.
    """
    values = dict(variables.values)
    found: dict[str, Any] = {}
    if provider == "aws":
        found["aws:defaultTags"] = {"tags": values.pop("tags", {})}
    elif provider == "gcp":
        found["gcp:defaultLabels"] = values.pop("labels", {})
        found |= {"gcp:project": values.pop("project_id")} if "project_id" in values else {}
    if provider in _REGION and "region" in values:
        found[_REGION[provider]] = values.pop("region")
    return {"config": {**found, **{f"pursight:{name}": value for name, value in sorted(values.items())}}}
