"""What a cloud's refusal means: our code, our words, what helps. The provider's own message is never passed on.

Raises nothing; turns botocore's exceptions into `Transient` (waiting helps) or `Failed`.
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
TRANSIENT = frozenset({"throttled", "unreachable"})
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
    kinds = type(error).__mro__
    code = next((_BY_CLASS[kind.__name__] for kind in kinds if kind.__name__ in _BY_CLASS), "")
    if not code and kinds[0].__module__.partition(".")[0] in _LIBRARIES:
        code = "provider_error"
    return failure(code) if code else error


def refusal(theirs: str, status: object = 0) -> PurSightError:
    """Our error for an error code of theirs, or for its HTTP status where the code is new to us."""
    code = _BY_CODE.get(theirs) or _BY_CODE.get(theirs.rpartition("#")[2]) or _BY_CODE.get(str(status)) or "provider_error"
    if code == "provider_error" and status == 429:
        code = "throttled"
    named = code == "provider_error" and _CODE.fullmatch(theirs)
    return failure(code, why=f"the provider answered {theirs}" if named else "")


def failure(code: str, *, why: str = "") -> PurSightError:
    """The error with this code of ours: what was tried is for the caller to say."""
    usual, remedy = TEXTS[code]
    kind = Transient if code in TRANSIENT else Failed
    return kind("AWS refused", why=why or usual, remedy=remedy, code=code)
