"""Identity numbers of people and companies in the Americas."""

# numpy types the result of an operator as Any:
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np

from shared.evidence.checksums import among, luhn, number, over, two, varied, weighted
from shared.evidence.detector import Detector, Found, Mask, Numbers
from shared.evidence.kinds.shapes import ELEVEN, FOURTEEN, NINE, NINE_BY_THREE, SSN

_NO_EIN_PREFIX = (0, 7, 8, 9, 17, 18, 19, 28, 29, 49, 69, 70, 78, 79, 89, 96, 97)
_CURP_ALPHABET = "0123456789ABCDEFGHIJKLMN_OPQRSTUVWXYZ"
_CURP_VALUES = np.array([max(_CURP_ALPHABET.find(chr(code)), 0) for code in range(256)], np.int64)


def is_ssn(digits: Numbers) -> Mask:
    """Social Security Administration: area not 000, 666 or above 899; no part all zeros."""
    area, group, serial = number(digits[:, :3]), two(digits, 3), number(digits[:, 5:])
    return (area > 0) & (area != 666) & (area < 900) & (group > 0) & (serial > 0) & varied(digits)


def _itin(digits: Numbers) -> Mask:
    """Internal Revenue Service: 9xx, with the fourth and fifth digit 50-65, 70-88, 90-92 or 94-99."""
    group = two(digits, 3)
    allowed = ((group >= 50) & (group <= 65)) | ((group >= 70) & (group <= 99) & (group != 89) & (group != 93))
    return (digits[:, 0] == 9) & allowed


def _ein(digits: Numbers) -> Mask:
    return ~among(two(digits, 0), _NO_EIN_PREFIX)


def _sin(found: Found) -> Mask:
    return over(9, luhn)(found) & ~among(found.digits(9)[:, 0], (0, 8))


def _brazilian(digits: Numbers, first: tuple[int, ...]) -> Mask:
    one = weighted(digits, first) * 10 % 11 % 10
    other = weighted(digits, (first[0] + 1 if len(first) == 9 else 6, *first)) * 10 % 11 % 10
    return (one == digits[:, -2]) & (other == digits[:, -1]) & varied(digits)


def _cpf(digits: Numbers) -> Mask:
    return _brazilian(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2))


def _cnpj(digits: Numbers) -> Mask:
    return _brazilian(digits, (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))


def _curp(found: Found) -> Mask:
    """RENAPO: alphabet with Ñ between N and O, weights 18 down to 2."""
    rows = found.rows(18)
    total = _CURP_VALUES[rows[:, :17]] @ np.arange(18, 1, -1)
    mask: Mask = (10 - total % 10) % 10 == _CURP_VALUES[rows[:, 17]]
    return mask


def _cuit(digits: Numbers) -> Mask:
    """AFIP; a remainder that would need ten takes 9."""
    check = (11 - weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11) % 11
    check = np.where(check == 10, 9, check)
    return (check == digits[:, 10]) & among(two(digits, 0), (20, 23, 24, 25, 26, 27, 30, 33, 34))


def _rut(found: Found) -> Mask:
    rows = found.rows(9)
    check = 11 - weighted(rows[:, :8].astype(np.int64) - 48, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
    mark = np.where(check == 11, 48, np.where(check == 10, 75, check + 48))
    mask: Mask = mark == rows[:, 8]
    return mask


DETECTORS = (
    Detector("us_ssn", (SSN, r"\d{3} \d{2} \d{4}"), "United States, social security number", over(9, is_ssn), chance=0.88, private=True),
    Detector(
        "us_ssn_plain",
        (NINE,),
        "United States, social security number without separators",
        over(9, is_ssn),
        weak=True,
        chance=0.88,
        private=True,
    ),
    Detector(
        "us_itin",
        (SSN, NINE),
        "United States, individual taxpayer number",
        over(9, _itin),
        chance=0.043,
        private=True,
    ),
    Detector("us_ein", (r"\d{2}-\d{7}",), "United States, employer number", over(9, _ein), chance=0.83),
    Detector("ca_sin", (NINE, NINE_BY_THREE), "Canada, social insurance number", _sin, chance=0.08, private=True),
    Detector("br_cpf", (ELEVEN, r"\d{3}\.\d{3}\.\d{3}-\d{2}"), "Brazil, tax number of a person", over(11, _cpf), chance=0.01, private=True),
    Detector("br_cnpj", (FOURTEEN, r"\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}"), "Brazil, company tax number", over(14, _cnpj), chance=0.01),
    Detector(
        "mx_curp",
        (r"[A-Z][AEIOUX][A-Z]{2}\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[0-9A-Z]\d",),
        "Mexico, population registry code",
        _curp,
        chance=0.1,
        private=True,
    ),
    Detector("ar_cuit", (ELEVEN, r"\d{2}-\d{8}-\d"), "Argentina, tax number", over(11, _cuit), chance=0.008, private=True),
    Detector("cl_rut", (r"\d{1,2}\.?\d{3}\.?\d{3}-[0-9Kk]",), "Chile, tax and identity number", _rut, chance=0.091, private=True),
)
