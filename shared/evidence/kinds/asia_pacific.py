"""Identity numbers in Asia, Australia, Africa and Turkey."""

# numpy types the result of an operator as Any:
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np

from shared.evidence.checksums import luhn, number, over, plausible_day, two, varied, verhoeff, weighted
from shared.evidence.detector import Detector, Found, Mask, Numbers
from shared.evidence.kinds.shapes import ELEVEN, NINE, NINE_BY_THREE, TEN, THIRTEEN, TWELVE, TWELVE_BY_FOUR

_RESIDENT_MARKS = np.frombuffer(b"10X98765432", np.uint8)
_NRIC_MARKS = {b"ST": b"JZIHGFEDCBA", b"FG": b"XWUTRQPNMLK", b"M": b"KLJNPQRTUWX"}


def _aadhaar(digits: Numbers) -> Mask:
    return verhoeff(digits) & (digits[:, 0] > 1)


def _tfn(digits: Numbers) -> Mask:
    return (weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0) & varied(digits)


def _medicare(digits: Numbers) -> Mask:
    right = weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == digits[:, 8]
    return right & (digits[:, 0] >= 2) & (digits[:, 0] <= 6) & (digits[:, 9] > 0)


def _abn(digits: Numbers) -> Mask:
    total = weighted(digits, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) - 10
    return (total % 89 == 0) & (digits[:, 0] > 0)


def _resident(found: Found) -> Mask:
    """GB 11643-1999, ISO 7064 MOD 11-2."""
    rows = found.rows(18)
    weights = [pow(2, place, 11) for place in range(17, 0, -1)]
    return _RESIDENT_MARKS[weighted(rows[:, :17].astype(np.int64) - 48, weights) % 11] == rows[:, 17]


def _my_number(digits: Numbers) -> Mask:
    """Ministerial ordinance 85 of 2014, article 5."""
    rest = weighted(digits, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return np.where(rest <= 1, 0, 11 - rest) == digits[:, 11]


def _rrn(digits: Numbers) -> Mask:
    check = (11 - weighted(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return (check == digits[:, 12]) & plausible_day(two(digits, 2), two(digits, 4)) & (two(digits, 7) <= 96)


def _tckn(digits: Numbers) -> Mask:
    tenth = (7 * digits[:, 0:9:2].sum(1) - digits[:, 1:8:2].sum(1)) % 10
    last = digits[:, :10].sum(1) % 10
    mask: Mask = (digits[:, 0] > 0) & (tenth == digits[:, 9]) & (last == digits[:, 10])
    return mask


def _south_african(digits: Numbers) -> Mask:
    return luhn(digits) & plausible_day(two(digits, 2), two(digits, 4)) & (digits[:, 10] <= 2)


def _nric(found: Found) -> Mask:
    rows = found.rows(9)
    total = weighted(rows[:, 1:8].astype(np.int64) - 48, (2, 7, 6, 5, 4, 3, 2))
    first = rows[:, 0]
    shifted = total + np.where(np.isin(first, list(b"TG")), 4, np.where(first == ord("M"), 3, 0))
    valid: Mask = np.zeros(len(found), np.bool_)
    for prefixes, marks in _NRIC_MARKS.items():
        valid |= np.isin(first, list(prefixes)) & (np.frombuffer(marks, np.uint8)[shifted % 11] == rows[:, 8])
    return valid


def _thai(digits: Numbers) -> Mask:
    check = (11 - weighted(digits, range(13, 1, -1)) % 11) % 10
    return (check == digits[:, 12]) & (number(digits[:, :1]) > 0)


DETECTORS = (
    Detector("in_aadhaar", (TWELVE, TWELVE_BY_FOUR), "India, Aadhaar number", over(12, _aadhaar), chance=0.08, private=True),
    Detector("in_pan", (r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]",), "India, permanent account number; structure only", private=True),
    Detector("au_tfn", (NINE, NINE_BY_THREE), "Australia, tax file number", over(9, _tfn), chance=0.091, private=True),
    Detector(
        "au_medicare", (TEN, r"[2-6]\d{3} \d{5} \d"), "Australia, Medicare card number", over(10, _medicare), chance=0.045, private=True
    ),
    Detector("au_abn", (ELEVEN, r"\d{2} \d{3} \d{3} \d{3}"), "Australia, business number", over(11, _abn), chance=0.0101),
    Detector(
        "cn_resident_id",
        (r"[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[0-9Xx]",),
        "China, resident identity number",
        _resident,
        chance=0.091,
        private=True,
    ),
    Detector("jp_my_number", (TWELVE, TWELVE_BY_FOUR), "Japan, individual number", over(12, _my_number), chance=0.1, private=True),
    Detector("kr_rrn", (r"\d{6}-[1-8]\d{6}",), "Korea, resident registration number", over(13, _rrn), chance=0.0037, private=True),
    Detector("tr_tckn", (ELEVEN,), "Turkey, identity number", over(11, _tckn), chance=0.009, private=True),
    Detector("za_id", (THIRTEEN,), "South Africa, identity number", over(13, _south_african), chance=0.0011, private=True),
    Detector("sg_nric", (r"[STFGM]\d{7}[A-Z]",), "Singapore, identity number", _nric, chance=0.0385, private=True),
    Detector("th_id", (THIRTEEN, r"\d-\d{4}-\d{5}-\d{2}-\d"), "Thailand, identity number", over(13, _thai), chance=0.09, private=True),
)
