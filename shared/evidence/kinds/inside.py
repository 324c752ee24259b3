"""What may stand inside longer text: comments, mails, JSON. Matched anywhere, not only as the whole value."""

from __future__ import annotations

from shared.evidence.checksums import luhn, over
from shared.evidence.detector import Detector
from shared.evidence.kinds.americas import is_ssn
from shared.evidence.kinds.finance import is_iban
from shared.evidence.kinds.shapes import AWS_KEY, CARD, EMAIL, GITHUB_TOKEN, IBAN, PEM_KEY, PHONE, PHONE_NANP, SSN

_NANP_MARKS = (b"999 9999", b"999.9999", b"999-9999")
_SECRET_MARKS = (b"AAAA", b"aaa_", b"-----")  # AKIA..., ghp_..., -----BEGIN

DETECTORS = (
    Detector("text_email", (EMAIL,), "e-mail address within text", inside=True, marks=(b"@",)),
    Detector("text_phone", (rf"{PHONE}|{PHONE_NANP}",), "telephone number within text", inside=True, marks=(b"+9", *_NANP_MARKS)),
    Detector(
        "text_card_pan",
        (CARD,),
        "payment card number within text",
        over(19, luhn, exact=False),
        chance=0.1,
        inside=True,
        marks=(b"9999",),
    ),
    Detector(
        "text_us_ssn",
        (SSN,),
        "United States social security number within text",
        over(9, is_ssn),
        chance=0.88,
        inside=True,
        marks=(b"999-99-9999",),
    ),
    Detector("text_iban", (IBAN,), "bank account number within text", is_iban, chance=0.0004, inside=True, marks=(b"AA99",)),
    Detector("text_secret", (f"{AWS_KEY}|{GITHUB_TOKEN}|{PEM_KEY}",), "key or token within text", inside=True, marks=_SECRET_MARKS),
)
