"""Private values out of short text that people write beside data: comments, folder names, field names of documents.

>>> scrub("owner: ann@example.org, see runbook")
'owner: ?, see runbook'
"""

from __future__ import annotations

import re
from functools import cache

from shared.evidence.detector import Detector, Found
from shared.evidence.detectors import DETECTORS

_LONG_NUMBER = re.compile(rb"\d(?:[ \-./]?\d){8,}")
_MAY_HOLD = re.compile(rb"(?:\d\D{0,4}){5}|@|-----BEGIN|://|eyJ|[A-Za-z0-9_\-]{20}|::")

_LARGEST = ("url_with_password", "private_key", "jwt", "password_hash")  # first, since they hold what others would cut out


@cache
def _forms() -> tuple[tuple[Detector, re.Pattern[bytes]], ...]:
    """Whole values and parts alike, not within a longer word."""
    private = [detector for detector in DETECTORS if detector.private and not detector.weak]
    private.sort(key=lambda detector: detector.name not in _LARGEST)
    return tuple(
        (detector, re.compile(rb"(?<![A-Za-z0-9])(?:" + detector.pattern.encode() + rb")(?![A-Za-z0-9])", re.DOTALL))
        for detector in private
    )


def scrub(text: str) -> str:
    """`text` with `?` for whatever a strong detector of private values hits, and for every number of nine digits and more.

    Never raises. Text without digits, at-signs or long words comes back as it is, which is the common case and costs a microsecond.
    """
    raw = text.encode("utf-8", "replace")
    if not _MAY_HOLD.search(raw):
        return raw.decode()
    for detector, form in _forms():
        if form.search(raw):
            raw = form.sub(lambda hit, detector=detector: _judged(detector, hit.group()), raw)  # type: ignore[misc]
    return _LONG_NUMBER.sub(b"?", raw).decode("utf-8", "replace")


def _judged(detector: Detector, hit: bytes) -> bytes:
    valid = detector.validator is None or bool(detector.validator(Found([hit]))[0])
    return b"?" if valid else hit
