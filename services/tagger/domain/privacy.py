"""Tags are stored in clear text and read by many: no personal data in ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from shared.evidence.scrub import scrub

Scrub = Callable[[str], bool]  # True: this text looks personal and must not become a tag

_MAIL = re.compile(r"([^\s@<>\"',;:()\[\]]{1,64})@[^\s@<>\"',;:()\[\]]{1,255}")
_MAX_SCANNED = 4096  # longer text is refused elsewhere


@lru_cache(maxsize=4096)
def holds_personal(text: str) -> bool:
    """Is there a mail address, or what a strong detector of private values hits? Wrong in favour of privacy: `a@b` counts.

    >>> holds_personal("customer-analytics"), holds_personal("call +49 170 1234567"), holds_personal("ann@acme")
    (False, True, True)
    """
    return ("@" in text and _MAIL.search(text[:_MAX_SCANNED]) is not None) or scrub(text) != text


def handle_of(owner: str) -> str:
    """The owner's handle: of a mail address, the part before the `@`, or nothing where that is personal itself; other text as it is.

    >>> handle_of("data-team@acme.com"), handle_of("Data Team <data@acme.com>"), handle_of("data-team")
    ('data-team', 'data', 'data-team')
    """
    found = _MAIL.search(owner[:_MAX_SCANNED])
    if found:
        return "" if holds_personal(found.group(1)) else found.group(1)
    return "".join(owner.partition("@")[0].split()[-1:]) if "@" in owner else owner
