"""What stores answer, as codes of the catalogue. A store's message is never read, only its status and its code word."""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.errors import Failed
from shared.sources.failures import Failure, worded

_CODES = {
    "no_such_bucket": "NoSuchBucket ContainerNotFound ContainerBeingDeleted ContainerDisabled InvalidBucketName",
    "gone": "NoSuchKey BlobNotFound ResourceNotFound",
    "no_privilege": "AccessDenied AllAccessDisabled AuthorizationPermissionMismatch InsufficientAccountPermissions AuthorizationFailure "
    "PublicAccessNotPermitted forbidden insufficientPermissions",
    "credentials_invalid": "InvalidAccessKeyId SignatureDoesNotMatch InvalidToken AuthenticationFailed InvalidAuthenticationInfo authError "
    "NoAuthenticationInformation UnauthorizedAccess",
    "credentials_expired": "ExpiredToken RequestExpired",
    "clock_skew": "RequestTimeTooSkewed",
    "wrong_region": "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException TemporaryRedirect",
    "throttled": "SlowDown ServerBusy rateLimitExceeded userRateLimitExceeded RequestLimitExceeded OperationTimedOut",
    "archived": "InvalidObjectState BlobArchived BlobBeingRehydrated",
}
_BY_CODE = {theirs: ours for ours, names in _CODES.items() for theirs in names.split()}
_BY_STATUS = {301: "wrong_region", 307: "wrong_region", 401: "credentials_invalid", 403: "no_privilege", 404: "gone", 429: "throttled"}
_WORD = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>|\"reason\": ?\"([A-Za-z]{1,64})\"")
_WORDS: Mapping[str, tuple[str, str]] = {
    "no_privilege": ("our identity may not read this", "Grant it to list the bucket and to read its objects."),
    "credentials_invalid": ("the store does not know our credentials", "Check the key or identity in cloud_config and its secret."),
    "credentials_expired": ("our credentials have ended", "Sign in again, or use a role, which renews itself."),
    "wrong_region": ("the bucket is in another region", "Correct cloud_config.region."),
    "throttled": ("the store asks us to slow down", "Nothing to do: it is tried again with growing delay."),
    "unreachable": ("the store cannot be reached", "Check network, proxy and host; it is tried again."),
    "gone": ("this object went away meanwhile", "Nothing to do: the next scan will show it."),
}
RETRIED = frozenset({"throttled", "unreachable"})


def words(code: str) -> Failure:
    """The entry of the catalogue, in words that fit a store."""
    return worded(code, _WORDS)


def refusal(code: str) -> Failed:
    """The error with this code."""
    return words(code).error()


def code_of(status: int, body: bytes, word: str = "") -> str:
    """What an answer means; `word` is the code that came in a header."""
    found = _WORD.search(body)
    theirs = word or ((found[1] or found[2]).decode() if found else "")
    if theirs in _BY_CODE:
        return _BY_CODE[theirs]
    return "unreachable" if status >= 500 else _BY_STATUS.get(status, "not_a_store")
