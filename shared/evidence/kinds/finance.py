"""Money: accounts, cards, banks, securities."""

# numpy types the result of an operator as Any:
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import hashlib

import numpy as np

from shared.evidence.checksums import alnum, among, luhn, mod_97, over, two, weighted
from shared.evidence.detector import Detector, Found, Mask, Numbers
from shared.evidence.kinds.places import COUNTRIES
from shared.evidence.kinds.shapes import CARD, IBAN, NINE

# The length of an IBAN per country: SWIFT, IBAN registry.
_IBAN_LENGTHS = {
    code.encode(): int(length)
    for length, codes in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL FK", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for code in codes.split()
}  # fmt: skip
_RESERVE_PREFIXES = (*range(1, 13), *range(21, 33), *range(61, 73), 80)
_BASE58 = {char: value for value, char in enumerate(b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_BECH32 = {char: value for value, char in enumerate(b"qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_BECH32_STEPS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def is_iban(found: Found) -> Mask:
    texts = [item.replace(b" ", b"") for item in found.items]
    length = np.fromiter((_IBAN_LENGTHS.get(text[:2]) == len(text) for text in texts), np.bool_, len(texts))
    turned = Found([text[4:] + text[:4] for text in texts])
    return length & (mod_97(turned.rows(34)) == 1)


def _lei(found: Found) -> Mask:
    return mod_97(found.rows(20)) == 1


def _bic(found: Found) -> Mask:
    return np.fromiter((item[4:6] in COUNTRIES for item in found.items), np.bool_, len(found))


def _aba(digits: Numbers) -> Mask:
    """American Bankers Association: Federal Reserve prefix, weights 3, 7, 1."""
    return among(two(digits, 0), _RESERVE_PREFIXES) & (weighted(digits, (3, 7, 1, 3, 7, 1, 3, 7, 1)) % 10 == 0)


def _isin(found: Found) -> Mask:
    """ISO 6166: letters become two digits, then Luhn; the country is real, or XS, EU."""
    expanded = ["".join(str(value) for value in row).encode() for row in alnum(found.rows(12))]
    known = np.fromiter((item[:2] in COUNTRIES or item[:2] in (b"XS", b"EU") for item in found.items), np.bool_, len(found))
    return known & luhn(Found(expanded).digits(24))


def _bitcoin_one(text: bytes) -> bool:
    return _bech32(text) if text[:3].lower() == b"bc1" else _base58(text)


def _base58(text: bytes) -> bool:
    total = 0
    for char in text:
        total = total * 58 + _BASE58[char]
    if total >> 200:
        return False
    raw = total.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def _bech32(text: bytes) -> bool:
    """BIP 173 and BIP 350: the polynomial ends in 1 or in 0x2bc830a3."""
    check = 1
    for value in [3, 3, 0, 2, 3, *(_BECH32[char] for char in text[3:].lower())]:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, step in enumerate(_BECH32_STEPS):
            check ^= step if top >> bit & 1 else 0
    return check in (1, 0x2BC830A3)


def _bitcoin(found: Found) -> Mask:
    return np.fromiter(map(_bitcoin_one, found.items), np.bool_, len(found))


_CURRENCY = r"(?:[$]|€|£|¥|₹|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|BRL|MXN|ZAR)"
_AMOUNT = r"\d{1,3}(?:[,. ']?\d{3})*(?:[.,]\d{1,2})?"
_VAT = (
    r"ATU\d{8}|BE[01]\d{9}|BG\d{9,10}|CY\d{8}[A-Z]|CZ\d{8,10}|DE\d{9}|DK\d{8}|EE\d{9}|EL\d{9}|ES[A-Z0-9]\d{7}[A-Z0-9]|FI\d{8}"
    r"|FR[A-Z0-9]{2}\d{9}|HR\d{11}|HU\d{8}|IE\d[A-Z0-9+*]\d{5}[A-Z]{1,2}|IT\d{11}|LT(?:\d{9}|\d{12})|LU\d{8}|LV\d{11}|MT\d{8}"
    r"|NL\d{9}B\d{2}|PL\d{10}|PT\d{9}|RO\d{2,10}|SE\d{10}01|SI\d{8}|SK\d{10}|XI\d{9}|GB\d{9}"
)

DETECTORS = (
    Detector("card_pan", (CARD,), "payment card number: prefix of a brand, Luhn", over(19, luhn, exact=False), chance=0.1, private=True),
    Detector(
        "card_masked", (r"(?:[*Xx#]{4}[ \-]?){3}\d{4}", r"\d{4}[ \-]?\d{2}[*Xx#]{2}[ \-]?[*Xx#]{4}[ \-]?\d{4}"), "card number, masked"
    ),
    Detector("card_expiry", (r"(?:0[1-9]|1[0-2])[/\-](?:20)?[2-4]\d",), "month and year that a card ends", weak=True),
    Detector("card_cvv", (r"\d{3,4}",), "three or four digits, as a card verification code has", weak=True),
    Detector("iban", (IBAN,), "international bank account number", is_iban, chance=0.0004, private=True),
    Detector("bic", (r"[A-Z]{6}[A-Z2-9][A-NP-Z0-9](?:[A-Z0-9]{3})?",), "bank identifier, ISO 9362", _bic, weak=True, chance=0.37),
    Detector("us_aba_routing", (NINE,), "United States, bank routing number", over(9, _aba), chance=0.037),
    Detector("uk_sort_code", (r"\d{2}-\d{2}-\d{2}",), "United Kingdom, bank sort code", weak=True),
    Detector("isin", (r"[A-Z]{2}[A-Z0-9]{9}\d",), "security, ISO 6166", _isin, chance=0.037),
    Detector("lei", (r"[A-Z0-9]{18}\d{2}",), "legal entity, ISO 17442", _lei, chance=0.0103),
    Detector("eu_vat", (_VAT,), "European VAT number with its country; structure only"),
    Detector(
        "bitcoin_address",
        (r"[13][1-9A-HJ-NP-Za-km-z]{25,34}", r"bc1[02-9ac-hj-np-z]{11,71}"),
        "Bitcoin address",
        _bitcoin,
        chance=0.001,
        most=12,
    ),
    Detector("ethereum_address", (r"0x[0-9a-fA-F]{40}",), "Ethereum address"),
    Detector(
        "currency_amount",
        (rf"[+\-]?{_CURRENCY} ?[+\-]?{_AMOUNT}", rf"[+\-]?{_AMOUNT} ?{_CURRENCY}"),
        "amount with its currency",
    ),
)
