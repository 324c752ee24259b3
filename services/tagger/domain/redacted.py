"""What Terraform prints, as it may be shown: no secret that we handed it, and none that looks like one."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "(hidden)"
SHORTEST = 4  # a secret of fewer characters would blot out ordinary words
LONGEST = 2000  # characters of a line
_PATTERNS = (
    (re.compile(r"(?<=://)[^/\s@:]*:[^/\s@]+(?=@)"), HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
    (re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"), HIDDEN),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY.*"), HIDDEN),
    (
        re.compile(
            r"(?i)(\b[\w-]*(?:passw(?:or)?d|passphrase|secret(?:_access)?_?key|secret|api_?key|private_?key|token)\"?\s*[:=]\s*)"
            r"(\"(?:[^\"\\]|\\.)*\"|[^\s,;]+)"
        ),
        rf"\1{HIDDEN}",
    ),
)
# Colours, other control sequences, and what else steers a terminal.
_STEERING = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def redacted(line: str, secrets: Iterable[str] = ()) -> str:
    """One line without the given secrets, without what looks like one, and without what steers a terminal.

    >>> redacted('password = "hunter22", host = "db"'), redacted("https://me:pw@host/x")
    ('password = (hidden), host = "db"', 'https://(hidden)@host/x')
    """
    text = _STEERING.sub("", line)
    for secret in sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
