"""What Terraform gets of our environment, and what its complaints mean."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

# Handed on as they are; nothing else of our environment reaches the child, so no TF_LOG, TF_CLI_ARGS or TF_VAR_ of ours either.
_USUAL = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK"),
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR"),
)
_CREDENTIALS = {
    "aws": (
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"),
        *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED"),
    ),
    "gcp": (
        *("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_PROJECT", "GOOGLE_REGION"),
        *("GOOGLE_CLOUD_PROJECT", "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT", "CLOUDSDK_CONFIG", "KUBECONFIG", "KUBE_CONFIG_PATH"),
    ),
    "azure": (
        *("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID", "ARM_SUBSCRIPTION_ID", "ARM_USE_OIDC", "ARM_OIDC_TOKEN"),
        *("ARM_OIDC_TOKEN_FILE_PATH", "ARM_OIDC_REQUEST_TOKEN", "ARM_OIDC_REQUEST_URL", "ARM_USE_MSI", "ARM_CLIENT_CERTIFICATE_PATH"),
        *("ARM_CLIENT_CERTIFICATE_PASSWORD", "ARM_ENVIRONMENT", "AZURE_CONFIG_DIR", "KUBECONFIG", "KUBE_CONFIG_PATH"),
    ),
    "kubernetes": ("KUBECONFIG", "KUBE_CONFIG_PATH", "KUBE_CTX", "KUBE_TOKEN", "KUBE_HOST", "KUBE_CLUSTER_CA_CERT_DATA"),
}
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY|CREDENTIALS\Z|\ATF_VAR_", re.IGNORECASE)
_PLACES = re.compile(r"_(?:FILE|PATH|URI|URL)\Z|\AGOOGLE_APPLICATION_CREDENTIALS\Z")  # say where, not what


def environment(
    ours: Mapping[str, str], provider: str, *, besides: Collection[str] = (), secrets: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The usual names, this provider's credentials, the names that the operator added, and secret variables by their name.

    >>> sorted(environment({"HOME": "/h", "TF_LOG": "trace", "ARM_CLIENT_ID": "x"}, "aws", secrets={"key": "k"}))
    ['CHECKPOINT_DISABLE', 'HOME', 'TF_INPUT', 'TF_IN_AUTOMATION', 'TF_VAR_key']
    """
    names = {*_USUAL, *_CREDENTIALS.get(provider, ()), *besides}
    kept = {name: value for name, value in ours.items() if name in names}
    own = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
    return {**kept, **own, **{f"TF_VAR_{name}": value for name, value in (secrets or {}).items()}}


def secrets_in(environment: Mapping[str, str]) -> set[str]:
    """The values of it that no line of output may hold, each of their lines for itself."""
    values = [value for name, value in environment.items() if _SECRET.search(name) and not _PLACES.search(name)]
    return {line.strip() for value in values for line in value.splitlines()}


class Complaint(NamedTuple):
    """What the program prints, our code for it, what it means, what helps."""

    printed: str
    code: str
    meaning: str
    remedy: str


_IN_STATE = "then plan and apply: what was done is in the state."
_VARIABLES = "infrastructure.metadata.variables."
# The first that fits counts.
COMPLAINTS = (
    Complaint(
        "Error acquiring the state lock|Error locking state",
        "state_locked",
        "another run holds the state's lock",
        "Wait for it; where it died, `force-unlock` opens it.",
    ),
    Complaint("Saved plan (is stale|does not match)", "plan_stale", "the state changed since the plan was made", "Run --mode plan again."),
    Complaint(
        "ExpiredToken|RequestExpired|expired token|token.{0,40}expired",
        "credentials_expired",
        "the credentials have ended",
        f"Sign in again, {_IN_STATE}",
    ),
    Complaint(
        "No valid credential sources|could not find default credentials|[Uu]nable to (find|locate) credentials",
        "no_credentials",
        "no credentials were found",
        "Sign in to the cloud in this shell, or name the variable in PURSIGHT_TERRAFORM_ENV.",
    ),
    Complaint(
        "AccessDenied|UnauthorizedOperation|AuthorizationFailed|PERMISSION_DENIED|is not authorized",
        "access_denied",
        "the credentials may not do this",
        f"Grant it, {_IN_STATE}",
    ),
    Complaint("No value for required variable", "variable_missing", "a variable of the module has no value", f"Give it in {_VARIABLES}"),
    Complaint(
        "Invalid value for (input )?variable", "variable_invalid", "the module refuses a variable's value", f"Correct it in {_VARIABLES}"
    ),
    Complaint(
        "Unsupported (Terraform|OpenTofu) Core version",
        "version_unsupported",
        "the module asks for another version of the program",
        "Install that version.",
    ),
    Complaint(
        "[Ii]nconsistent dependency lock file|[Pp]rovider dependency changes",
        "lock_file_differs",
        "the module's lock file does not fit its providers",
        "Run `init -upgrade` in the module and commit the lock file.",
    ),
    Complaint(
        "Failed to query available provider|Failed to install provider|could not connect to registry",
        "providers_unreachable",
        "a provider cannot be fetched",
        "Check network and proxy, or fill TF_PLUGIN_CACHE_DIR or a mirror.",
    ),
    Complaint(
        "Backend (initialization required|configuration changed|type changed)",
        "backend_changed",
        "the state's place is another than before",
        "Move the state by hand with `init -migrate-state`.",
    ),
    Complaint("Workspace .{1,90} doesn't exist", "workspace_missing", "nothing was ever applied there", "Run --mode plan first."),
    Complaint(
        "No configuration files", "module_empty", "there is no module in that folder", "Correct infrastructure.terraform.module_source."
    ),
    Complaint(
        "Throttling|Rate exceeded|TooManyRequests|RESOURCE_EXHAUSTED", "throttled", "the cloud asks to slow down", f"Wait, {_IN_STATE}"
    ),
)


def complaint_of(text: str) -> Complaint:
    """What the output of a step that failed means; where it is new to us, its own first complaint.

    >>> complaint_of("Error: Error acquiring the state lock").code, complaint_of("Error: Cycle: a, b").meaning
    ('state_locked', 'Cycle: a, b')
    """
    flat = " ".join(text.split())
    for each in COMPLAINTS:
        if re.search(each.printed, flat):
            return each
    found = re.search(r"Error: ([^\n]+)", text)
    return Complaint(
        "", "terraform_failed", found[1].strip().rstrip(".") if found else "see what it printed", "Correct that, then plan again."
    )
