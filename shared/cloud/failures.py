"""What a cloud's refusal means: our code, our words, what helps. The provider's own message is never passed on.

Raises nothing; turns botocore's exceptions into `Transient` (waiting helps) or `Failed`. What azure-identity and google-auth
raise is read in `azure.py` and `gcp.py`, which know their answers; the words are here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.errors import Failed, PurSightError, Transient

_THROTTLED = (
    "Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException TooManyRequestsException "
    "RequestLimitExceeded SlowDown BandwidthLimitExceeded PriorRequestNotComplete LimitExceededException "
    "ConcurrentModificationException ConcurrentTagAccessException OperationAborted TransactionInProgressException"
)
_DENIED = "AccessDenied AccessDeniedException UnauthorizedOperation AuthorizationError NotAuthorized AllAccessDisabled Forbidden 403"
_MISSING = (
    "NoSuchBucket DBInstanceNotFound DBInstanceNotFoundFault DBClusterNotFoundFault DBSnapshotNotFound ResourceNotFoundException "
    "ResourceNotFoundFault NoSuchEntity NotFoundException EntityNotFoundException ClusterNotFound 404 NotFound"
)
_INVALID_KEY = (
    "InvalidClientTokenId UnrecognizedClientException SignatureDoesNotMatch InvalidAccessKeyId AuthFailure "
    "IncompleteSignature InvalidToken MissingAuthenticationToken"
)
_EXPIRED = "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired"
_REGION = "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException OptInRequired 301"
_REFUSED = (
    "InvalidTag InvalidTagError BadRequest ValidationException InvalidParameterValue InvalidParameterException InvalidParameter "
    "InvalidRequestException InvalidARN TagPolicyViolation MalformedXML"
)
_FULL = "TooManyTagsException TooManyTagsFault TagLimitExceeded TooManyTags"
_AWAY = "InternalFailure InternalError InternalServiceException ServiceUnavailable RequestTimeout RequestTimeoutException 500 502 503 504"

# code -> (what it is, why, what helps)
TEXTS: dict[str, tuple[str, str]] = {
    "throttled": ("the provider asks us to slow down", "Nothing to do: it is tried again with growing delay."),
    "access_denied": ("our identity may not do this", "Grant it the permission, or give the source a role_arn that has it."),
    "not_found": ("the resource does not exist", "Check resource_arn of the source: account, region and name."),
    "credentials_invalid": ("the provider does not know our credentials", "Check the access key, or remove it to use the environment's."),
    "credentials_expired": ("our credentials have ended", "Sign in again, or use a role, which renews itself."),
    "wrong_region": ("the resource is in another region", "Correct region or resource_arn of the source."),
    "tags_refused": ("the provider refuses these tags or this resource", "See the plan of this target; a tag policy may forbid a value."),
    "too_many_tags": ("the resource has no room for more tags", "Remove tags that nobody needs; the most important ones of ours fit."),
    "unreachable": ("the provider cannot be reached", "Check network, proxy and region; it is tried again."),
    "no_credentials": (
        "no credentials were found",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or run with a role; or name them in the source's cloud_config.",
    ),
    "profile_missing": (
        "the profile is not configured here",
        "Add it to the AWS configuration here, or change the source.",
    ),
    "region_missing": ("no region is known", "Set region in the source's cloud_config."),
    "provider_error": ("the provider answered with an error that we do not know", "It is tried again with the next scan."),
}

# The same for whoever asks for a token: code -> (why, what helps).
TOKENS: dict[str, tuple[str, str]] = {
    "token_server_unreachable": ("the cloud's token server does not answer", "Check network and proxy of this machine; it is tried again."),
    "token_server_throttled": ("the cloud's token server asks us to slow down", "Nothing to do: it is tried again with growing delay."),
    "metadata_unreachable": (
        "this machine's metadata server does not answer",
        "Run on a machine, pod or function that has an identity, or give the source's cloud_config a key or a role.",
    ),
    "own_identity_denied": (
        "the source names no credentials, and may not borrow those of the process or the machine that PurSight runs on",
        "Give the source's cloud_config a key or a role of its own; or let the operator lend ours with PURSIGHT_OWN_IDENTITY=true.",
    ),
    "identity_not_assigned": ("this machine does not have that identity", "Assign the identity to the machine, or correct client_id."),
    "identity_missing": ("this process has no identity in the cloud", "Run with one, or name one in the source's cloud_config."),
    "identity_refused": ("the cloud does not know this identity or its secret", "Check the identity in cloud_config and its secret."),
    "identity_secret_expired": ("the identity's secret has expired", "Make a new one and store it where the reference points."),
    "identity_denied": (
        "our identity may not act as the one that is asked for",
        "Grant it: sts:AssumeRole in the role's trust policy, or Service Account Token Creator on the account.",
    ),
    "federation_refused": ("the cloud does not trust this federated token", "Check issuer, subject and audience of the federation."),
    "token_file_unreadable": ("the federated token's file cannot be read", "Check the path, and that the services' user may read it."),
    "key_not_usable": (
        "the secret is not the key of a service account",
        "Store the JSON of a service account's key; other kinds belong into GOOGLE_APPLICATION_CREDENTIALS of the services.",
    ),
    "token_address_refused": ("the credentials name a token server that is not Google's", "Download them anew from Google."),
    "account_unknown": ("nobody says which database user the identity is", "Give username."),
    "token_refused": ("the cloud gave no token, for a reason that we do not know", "Look at the sign-in log of the cloud."),
}
TRANSIENT = frozenset({"throttled", "unreachable", "token_server_unreachable", "token_server_throttled"})
_BY_CODE: dict[str, str] = {
    theirs: ours
    for ours, names in {
        "throttled": _THROTTLED,
        "access_denied": _DENIED,
        "not_found": _MISSING,
        "credentials_invalid": _INVALID_KEY,
        "credentials_expired": _EXPIRED,
        "wrong_region": _REGION,
        "tags_refused": _REFUSED,
        "too_many_tags": _FULL,
        "unreachable": _AWAY,
    }.items()
    for theirs in names.split()
}
_CODE = re.compile(r"[A-Za-z.]{1,64}")
_LIBRARIES = frozenset({"botocore", "aiobotocore", "aiohttp"})
_BY_CLASS = {
    "NoCredentialsError": "no_credentials",
    "PartialCredentialsError": "no_credentials",
    "CredentialRetrievalError": "no_credentials",
    "ProfileNotFound": "profile_missing",
    "NoRegionError": "region_missing",
    "InvalidRegionError": "wrong_region",
    "ParamValidationError": "tags_refused",
    "HTTPClientError": "unreachable",
    "ConnectionError": "unreachable",
    "TimeoutError": "unreachable",
    "OSError": "unreachable",
}


def diagnose(error: Exception) -> Exception:
    """Our error for an exception of aiobotocore or the network. Ours, also inside one of theirs, and bugs stay as they are."""
    inner = getattr(error, "kwargs", {}).get("error")  # where botocore keeps what it did not expect
    if isinstance(inner, PurSightError):
        return inner
    answer = getattr(error, "response", None)
    if isinstance(answer, Mapping):
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return refusal(str(answer.get("Error", {}).get("Code", "")), status)
    if getattr(error, "kwargs", {}).get("provider") == "container-role":
        return no_token("metadata_unreachable")
    kinds = type(error).__mro__
    code = next((_BY_CLASS[kind.__name__] for kind in kinds if kind.__name__ in _BY_CLASS), "")
    if not code and kinds[0].__module__.partition(".")[0] in _LIBRARIES:
        code = "provider_error"
    return failure(code) if code else error


def refusal(theirs: str, status: object = 0) -> PurSightError:
    """Our error for an error code of theirs, or for its HTTP status where the code is new to us."""
    code = _BY_CODE.get(theirs) or _BY_CODE.get(theirs.rpartition("#")[2]) or _BY_CODE.get(str(status)) or "provider_error"
    if code == "provider_error" and theirs.startswith("Invalid"):  # EC2 has two of these for each kind of thing it has
        code = "not_found" if theirs.endswith((".NotFound", "ID.Malformed")) else "tags_refused" if theirs.endswith("Malformed") else code
    if code == "provider_error" and status == 429:
        code = "throttled"
    named = code == "provider_error" and _CODE.fullmatch(theirs)
    return failure(code, why=f"the provider answered {theirs}" if named else "")


def failure(code: str, *, why: str = "") -> PurSightError:
    """The error with this code of ours: what was tried is for the caller to say."""
    usual, remedy = TEXTS[code]
    kind = Transient if code in TRANSIENT else Failed
    return kind("AWS refused", why=why or usual, remedy=remedy, code=code)


def no_token(code: str) -> PurSightError:
    """The error of whoever asked for a token; never with the provider's words, which may quote what was sent."""
    why, remedy = TOKENS[code]
    kind = Transient if code in TRANSIENT else Failed
    return kind("no token for the data source", why=why, remedy=remedy, code=code)


def missing_extra(what: str, extra: str) -> Failed:
    """Something needs a library that is not installed: which extra brings it."""
    return Failed(
        f"{what} cannot be reached from this installation",
        why=f"the extra '{extra}' is not installed",
        remedy=f"Install it: pip install 'pursight[{extra}]'.",
        code="missing_extra",
    )
