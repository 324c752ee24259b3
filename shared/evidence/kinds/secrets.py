"""Keys, tokens, hashes: what opens a door, or stands for it."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter

import numpy as np

from shared.evidence.detector import Detector, Found, Mask
from shared.evidence.kinds.shapes import AWS_KEY, GITHUB_TOKEN, PEM_KEY

_RANDOM_BITS = 3.5


def _jwt_one(item: bytes) -> bool:
    head = item.partition(b".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and "alg" in header


def _jwt(found: Found) -> Mask:
    return np.fromiter(map(_jwt_one, found.items), np.bool_, len(found))


def _random_one(item: bytes) -> bool:
    """Mixed case, digits, no word separators, and more bits a character than words or hexadecimal reach at that length."""
    kinds = item.lower() != item, item.upper() != item, any(48 <= char <= 57 for char in item)
    if not all(kinds):
        return False
    bits = -sum(share * math.log2(share) for share in (count / len(item) for count in Counter(item).values()))
    return bits >= _RANDOM_BITS


def _random(found: Found) -> Mask:
    return np.fromiter(map(_random_one, found.items), np.bool_, len(found))


_API_KEYS = (
    r"AIza[0-9A-Za-z_\-]{35}",
    r"xox[abeoprs]-[A-Za-z0-9\-]{10,}",
    r"[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"glpat-[A-Za-z0-9_\-]{20,}",
    r"sk-(?:[a-z]+-)?[A-Za-z0-9_\-]{20,}",
    r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}",
    r"npm_[A-Za-z0-9]{36}",
    r"hvs\.[A-Za-z0-9_\-]{24,}",
)
_CRYPT = r"[./A-Za-z0-9]"

DETECTORS = (
    Detector(
        "jwt", (r"eyJ[A-Za-z0-9_\-]+\.eyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*",), "JSON web token", _jwt, chance=0.01, private=True, most=6
    ),
    Detector("aws_access_key", (AWS_KEY,), "AWS access key id", private=True),
    Detector("github_token", (GITHUB_TOKEN,), "GitHub token", private=True),
    Detector("api_key", _API_KEYS, "key of a known service: Google, Slack, Stripe, GitLab, OpenAI, SendGrid, npm, Vault", private=True),
    Detector("private_key", (PEM_KEY + r".*",), "private key in PEM", private=True),
    Detector(
        "url_with_password", (r"[A-Za-z][A-Za-z0-9+.\-]*://[^:/@ \n]*:[^@/ \n]+@[!-~]+",), "address with a password inside", private=True
    ),
    Detector(
        "password_hash",
        (
            rf"\$2[abxy]?\$\d\d\${_CRYPT}{{53}}",
            r"\$argon2(?:id|i|d)\$[!-~]+",
            r"\$?(?:django_)?pbkdf2[_\-:a-z0-9]*[$:][!-~]+",
            r"\$?scrypt[$:][!-~]+",
            rf"\$[156y]\$[!-~]+\${_CRYPT}{{20,}}",
            r"(?:SCRAM-SHA-(?:1|256)\$|md5[0-9a-f]{32}|\{(?:SSHA|SHA|SMD5|CRYPT)\})[!-~]*",
        ),
        "hash of a password: bcrypt, argon2, pbkdf2, scrypt, crypt, SCRAM, LDAP",
        private=True,
    ),
    Detector(
        "hex_digest",
        tuple(f"[0-9{letters}]{{{length}}}" for letters in ("a-f", "A-F") for length in range(32, 129, 8)),
        "digest in hexadecimal, 128 to 512 bits",
    ),
    Detector(
        "base64",
        (
            r"[A-Za-z0-9+/]{20}(?:[A-Za-z0-9+/]{16})*(?:[A-Za-z0-9+/]{4})*",
            r"(?:[A-Za-z0-9+/]{4}){4,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)",
        ),
        "Base64",
        weak=True,
    ),
    Detector(
        "high_entropy_secret",
        (r"[A-Za-z0-9+/=_~!]{20,}",),
        "looks random: mixed case, digits, many bits a character",
        _random,
        weak=True,
        chance=0.9,
        most=8,
    ),
)
