"""Where in a cloud a source lies, and as whom to sign in there: one block per provider. Secrets only by reference."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.base import Contract


class AwsConfig(Contract):
    """AWS sign-in and place. Who signs in: `web_identity_token_file` with `role_arn`, else keys, else `profile`, else what the
    process runs as; `role_arn` without a token file is assumed on top of that."""

    provider: Literal["aws"]
    region: str = Field(default="", examples=["eu-central-1"])
    account_id: str = ""
    role_arn: str = ""
    external_id: str = Field(default="", description="what the role's owner asks for besides")
    profile: str = ""
    web_identity_token_file: str = Field(default="", description="path of a token that `role_arn` trusts (EKS, OIDC)")
    access_key_id: str = ""
    secret_access_key_ref: str = Field(default="", description="reference, e.g. env:AWS_SECRET_ACCESS_KEY")
    session_token_ref: str = Field(default="", description="reference; only for temporary keys")
    use_iam_auth: bool = Field(default=False, description="sign in to the database by IAM token instead of a password")
    resource_arn: str = Field(default="", description="the resource that holds this source; it carries the tags")
    endpoint_url: str = Field(default="", description="only an address the operator allows (PURSIGHT_AWS_ENDPOINTS)")


class AzureConfig(Contract):
    """Azure sign-in and place. The identity signs in to the database too, unless `password_secret` is given."""

    provider: Literal["azure"]
    tenant_id: str = Field(default="", description="the directory")
    client_id: str = Field(default="", description="of the service principal, or of a user assigned identity")
    client_secret_ref: str = Field(default="", description="reference")
    use_managed_identity: bool = Field(default=False, description="system assigned; with client_id the user assigned one")
    use_workload_identity: bool = Field(default=False, description="a federated token (AKS), client_id and tenant_id")
    federated_token_file: str = Field(default="", description="path; empty: AZURE_FEDERATED_TOKEN_FILE")
    subscription_id: str = ""
    region: str = Field(default="", examples=["westeurope"])
    resource_id: str = ""
    storage_account: str = Field(default="", description="of a blob container")


class GcpConfig(Contract):
    """GCP sign-in and place. Who signs in: the service account's key, else workload identity, else what the process runs as;
    `impersonate_service_account` on top of that."""

    provider: Literal["gcp"]
    project_id: str = ""
    region: str = ""
    service_account_ref: str = Field(default="", description="reference to the key file's JSON")
    impersonate_service_account: str = Field(default="", description="mail of the account to act as")
    use_workload_identity: bool = Field(default=False, description="the metadata server's account (GKE, Cloud Run)")
    use_iam_auth: bool = Field(default=False, description="sign in to Cloud SQL by token instead of a password")
    instance: str = Field(default="", examples=["project:region:instance"], description="Cloud SQL connection name")
    resource_name: str = ""


CloudConfig = Annotated[AwsConfig | AzureConfig | GcpConfig, Field(discriminator="provider")]
CLOUDS: dict[str, type[Contract]] = {"aws": AwsConfig, "azure": AzureConfig, "gcp": GcpConfig}
