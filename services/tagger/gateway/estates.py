"""In which clouds, and as whom, the resources of a tenant's jobs are tagged: the operator's file, because a job brings no credentials.

acme:                                  # a tenant, or "*" for those that have none of their own
  aws: {role_arn: arn:aws:iam::123456789012:role/tagging}
  gcp: {service_account_ref: file:/run/secrets/tagging.json}
  azure: {tenant_id: ..., client_id: ..., client_secret_ref: env:AZURE_SECRET}
  only: ["arn:aws:s3:::acme-*"]        # where tenants share an account: what their jobs may have tagged
  kubernetes:
    main: {server: https://10.0.0.1:6443, ca_file: /etc/pursight/main.crt, token_ref: file:/run/secrets/main}
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.contracts.cloud import CLOUDS, AwsConfig, AzureConfig, GcpConfig
from shared.errors import UsageError

EVERYBODY = "*"


class Cluster(BaseModel):
    """How a cluster's API server is reached, and as whom: by a token of its own, or by the estate's identity at Google or Azure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: str = Field(pattern=r"^(https://[^\s/]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$")
    ca_file: str = Field(default="", description="path of the authority's certificate; empty: the system's")
    sign_in: Literal["token", "gcp", "azure"] = "token"
    token_ref: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Cluster:
        if (self.sign_in == "token") != bool(self.token_ref):
            raise ValueError("token_ref belongs to sign_in token, and to that alone")
        return self


class Estate(BaseModel):
    """A tenant's clouds. What is missing is not written to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    aws: AwsConfig | None = None
    gcp: GcpConfig | None = None
    azure: AzureConfig | None = None
    kubernetes: dict[str, Cluster] = Field(default_factory=dict)
    only: tuple[str, ...] = Field(
        default=(), description="patterns of the resources that jobs may have tagged; empty: all that the clouds allow"
    )

    def permits(self, resource: str) -> bool:
        """Whether jobs of this tenant may have this resource tagged.

        >>> Estate(only=("arn:aws:s3:::acme-*",)).permits("arn:aws:s3:::other"), Estate().permits("arn:aws:s3:::other")
        (False, True)
        """
        return not self.only or any(fnmatchcase(resource, pattern) for pattern in self.only)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """Each block's place says its provider. On the wire unknown fields are passed over; in the operator's file they are mistakes."""
        if not isinstance(given, dict):
            return given
        clouds = {name: block for name, block in given.items() if name in CLOUDS and isinstance(block, dict)}
        for name, block in clouds.items():
            if unknown := sorted(map(str, block.keys() - CLOUDS[name].model_fields.keys())):
                raise ValueError(f"{name} has no field {', '.join(unknown)}")
        return given | {name: {**block, "provider": name} for name, block in clouds.items()}


class Estates:
    """All tenants' clouds. Without a file a local stack signs in as who runs it, and others in none."""

    def __init__(self, by_tenant: dict[str, Estate]) -> None:
        self._by_tenant = by_tenant

    @classmethod
    def load(cls, path: str, *, local: bool = False) -> Estates:
        """Raises UsageError where the file is wrong."""
        if not path:
            every = Estate(aws=AwsConfig(provider="aws"), gcp=GcpConfig(provider="gcp"), azure=AzureConfig(provider="azure"))
            return cls({EVERYBODY: every} if local else {})
        try:
            given = yaml.safe_load(Path(path).read_text("utf-8"))
            return cls({str(tenant): Estate.model_validate(block) for tenant, block in dict(given or {}).items()})
        except ValidationError as error:
            places = "; ".join(f"{'.'.join(map(str, each['loc']))} {each['msg']}" for each in error.errors(include_input=False)[:3])
            raise _wrong(path, places) from None
        except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
            raise _wrong(path, type(error).__name__) from None

    def of(self, tenant: str) -> Estate:
        """The clouds of a tenant; an empty estate where nobody named any."""
        return self._by_tenant.get(tenant) or self._by_tenant.get(EVERYBODY) or Estate()


def _wrong(path: str, why: str) -> UsageError:
    return UsageError(
        f"PURSIGHT_JOB_CLOUDS: {path} cannot be used", why=why, remedy="README, 'Writing tags', has an example.", code="settings_wrong"
    )
