"""Addresses and names of machines, things and resources."""

# numpy types the result of an operator as Any:
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import ipaddress

import numpy as np

from shared.evidence.checksums import alnum, ean, luhn, over
from shared.evidence.detector import Detector, Found, Mask, Numbers
from shared.evidence.kinds.shapes import FIFTEEN, TEN, THIRTEEN

_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_VALUES = np.array((*range(10), 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 0, 7, 0, 9, 2, 3, 4, 5, 6, 7, 8, 9), np.int64)


def _ipv6_one(item: bytes) -> bool:
    try:
        ipaddress.IPv6Address(item.partition(b"/")[0].decode())
    except ValueError:
        return False
    return True


def _ipv6(found: Found) -> Mask:
    return np.fromiter(map(_ipv6_one, found.items), np.bool_, len(found))


def _vin(found: Found) -> Mask:
    """49 CFR 565: sum of value times weight modulo 11 in the ninth place, X for ten."""
    rows = found.rows(17)
    rest = _VIN_VALUES[alnum(rows)] @ np.array(_VIN_WEIGHTS) % 11
    mask: Mask = np.where(rest == 10, ord("X"), rest + 48) == rows[:, 8]
    return mask


def _isbn_10(found: Found) -> Mask:
    values = np.where((rows := found.rows(10)) == ord("X"), 10, rows.astype(np.int64) - 48)
    mask: Mask = (values @ np.arange(10, 0, -1)) % 11 == 0
    return mask & found.fits(10)


def _isbn_13(digits: Numbers) -> Mask:
    return ean(digits) & (digits[:, 0] == 9) & (digits[:, 1] == 7) & (digits[:, 2] >= 8)


_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d{2}|[1-9]?\d)"
_URL_PATH = r"[!-~\x80-\xff]+"

DETECTORS = (
    Detector("ipv4", (rf"(?:{_OCTET}\.){{3}}{_OCTET}(?:/\d{{1,2}})?",), "IPv4 address", private=True),
    Detector(
        "ipv6",
        (
            r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){7}(?:/\d{1,3})?",
            r"(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})*)?::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})*)?(?::?\d{1,3}(?:\.\d{1,3}){3})?(?:/\d{1,3})?",
        ),
        "IPv6 address",
        _ipv6,
        chance=0.5,
        private=True,
        most=12,
    ),
    Detector(
        "mac_address", (r"[0-9A-Fa-f]{2}(?:[:\-][0-9A-Fa-f]{2}){5}", r"[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}"), "network card address"
    ),
    Detector("imei", (FIFTEEN, r"\d{2}-\d{6}-\d{6}-\d"), "mobile device", over(15, luhn), chance=0.1),
    Detector("vin", (r"[A-HJ-NPR-Z0-9]{17}",), "vehicle, with the check digit of North America and China", _vin, chance=0.055),
    Detector("isbn_10", (TEN, r"\d{9}[Xx]", r"\d{1,5}-\d{1,7}-\d{1,7}-[0-9Xx]"), "book number of ten places", _isbn_10, chance=0.09),
    Detector("isbn_13", (THIRTEEN, r"97[89]-\d{1,5}-\d{1,7}-\d{1,7}-\d"), "book number of 13 places", over(13, _isbn_13), chance=0.0002),
    Detector("uuid", (r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",), "UUID"),
    Detector("url", (rf"(?i:https?|ftp|wss?)://{_URL_PATH}",), "web address"),
    Detector("storage_uri", (r"(?:s3a?|gs|abfss?|wasbs?|hdfs|az)://[!-~]+",), "address of an object in a store"),
    Detector("domain", (r"(?:[A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,24}",), "host or domain; a file name looks the same", weak=True),
    Detector("file_path", (r"(?:[A-Za-z]:\\|\\\\|~?/)[!-~ ]*[!-~]",), "path of a file", weak=True),
    Detector("user_agent", (r"(?:Mozilla|Opera|Dalvik|curl|okhttp)/\d.*",), "browser or HTTP client"),
    Detector("aws_arn", (r"arn:aws[a-z\-]*:[a-z0-9\-]+:[a-z0-9\-]*:\d{0,12}:[!-~]+",), "AWS resource name"),
)
