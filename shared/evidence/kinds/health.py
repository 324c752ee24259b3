"""Health: providers, insured people, codes of diagnoses and drugs."""

from __future__ import annotations

import numpy as np

from shared.evidence.checksums import among, luhn, over
from shared.evidence.detector import Detector, Found, Mask, Numbers
from shared.evidence.kinds.shapes import TEN


def _npi(digits: Numbers) -> Mask:
    """CMS: Luhn with 80840 before it, which adds 24 to the sum."""
    ahead: Numbers = np.tile(np.array([8, 0, 8, 4, 0], np.int64), (len(digits), 1))
    return luhn(np.hstack([ahead, digits])) & among(digits[:, 0], (1, 2))


def _dea(found: Found) -> Mask:
    digits = found.rows(9)[:, 2:].astype(np.int64) - 48
    total = digits[:, 0:5:2].sum(1) + 2 * digits[:, 1:6:2].sum(1)
    mask: Mask = total % 10 == digits[:, 6]
    return mask


_MBI = r"[AC-HJKMNP-RT-Y]"

DETECTORS = (
    Detector("us_npi", (TEN,), "United States, provider identifier", over(10, _npi), chance=0.02),
    Detector("us_dea", (r"[ABFGMPRX][A-Z9]\d{7}",), "United States, DEA registration", _dea, chance=0.1),
    Detector(
        "us_mbi",
        (rf"[1-9]{_MBI}(?:{_MBI}|\d)\d-?{_MBI}(?:{_MBI}|\d)\d-?{_MBI}{{2}}\d{{2}}",),
        "United States, Medicare beneficiary; structure only",
        private=True,
    ),
    Detector("icd10", (r"[A-TV-Z]\d[0-9AB]\.[0-9A-Z]{1,4}", r"[A-TV-Z]\d[0-9AB]"), "diagnosis code, ICD-10", weak=True),
    Detector("us_ndc", (r"\d{4}-\d{4}-\d{2}|\d{5}-\d{3}-\d{2}|\d{5}-\d{4}-\d{1,2}",), "United States, drug code"),
    Detector("blood_type", (r"(?:A|B|AB|O|0) ?(?:[+\-]|(?i:pos|neg|positive|negative)|Rh[+\-])",), "blood group with Rhesus factor"),
)
