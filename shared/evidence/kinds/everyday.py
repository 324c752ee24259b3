"""People and days: contact, dates, short codes of everyday life."""

# numpy types the result of an operator as Any:
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import calendar

import numpy as np

from shared.evidence.checksums import alnum, number, over, two, weighted
from shared.evidence.detector import Detector, Found, Mask, Numbers
from shared.evidence.kinds.dialling import PHONE_LENGTHS
from shared.evidence.kinds.shapes import DATE_ISO, EMAIL, PHONE, PHONE_NANP, TEN

_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


_MAY_BE_PHONE: Mask = np.zeros((1000, 32), np.bool_)  # by the first three digits and the number of digits
for _code, _lengths in PHONE_LENGTHS.items():
    _MAY_BE_PHONE[int(_code.ljust(3, b"0")) : int(_code.ljust(3, b"9")) + 1, _lengths.start : _lengths.stop] = True


def _phone(found: Found) -> Mask:
    """ITU E.164: the calling code is assigned, and the number behind it as long as numbers there are; 7 to 15 digits are given."""
    raw = np.frombuffer(found.lines.translate(None, b" +-./()"), np.uint8)
    ends = np.flatnonzero(raw == ord("\n"))
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
    first = number(np.stack([raw[starts + place] for place in range(3)], 1).astype(np.int64) - 48)
    mask: Mask = _MAY_BE_PHONE[first, ends - starts]
    return mask


def _real_day(digits: Numbers) -> Mask:
    """The day exists in the Gregorian calendar."""
    month, day = two(digits, 4), two(digits, 6)
    real: Mask = (day >= 1) & (day <= _DAYS[np.where(month <= 12, month, 0)])
    leap_days = np.flatnonzero((month == 2) & (day == 29))
    year = number(digits[leap_days, :4])
    real[leap_days] = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    return real


_day = over(8, _real_day)


def _birth(found: Found) -> Mask:
    """Born between 1905 and 2020: fixed years, so that the same values give the same counts in any year."""
    year = number(found.digits(8)[:, :4])
    return _day(found) & (year >= 1905) & (year <= 2020)


def _mrz(found: Found) -> Mask:
    """ICAO 9303 part 4, second line of a passport: three check digits with weights 7, 3, 1."""
    values = alnum(np.frombuffer(found.lines, np.uint8).reshape(len(found), 45))
    parts = ((0, 9), (13, 19), (21, 27))
    checks = [weighted(values[:, start:end], (7, 3, 1, 7, 3, 1, 7, 3, 1)[: end - start]) % 10 == values[:, end] for start, end in parts]
    return checks[0] & checks[1] & checks[2]


def _epoch(found: Found) -> Mask:
    mask: Mask = found.rows(found.lines.index(b"\n"))[:, 0] == ord("1")
    return mask


_MONTHS = "|".join(name for names in (calendar.month_name, calendar.month_abbr) for name in names if name)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9}|)|)"  # `(?:x|)` is read faster than `(?:x)?`
_UPPER = r"(?:[A-Z]|[\xc3-\xc9\xce\xd0][\x80-\xbf])"
_LOWER = r"(?:[a-z'\-]|[\x80-\xff])"
_NAME = rf"{_UPPER}{_LOWER}+"
_DAY_FIRST = r"(?:0?[1-9]|[12]\d|3[01])"

DETECTORS = (
    Detector("email", (EMAIL,), "e-mail address", private=True),
    Detector("phone", (PHONE,), "telephone number with country code", _phone, chance=0.4, private=True),
    Detector("phone_nanp", (PHONE_NANP,), "telephone number of North America, with separators", private=True),
    Detector(
        "phone_national",
        (r"\(?0\d{1,4}\)?(?:[ ./\-]\d{2,8}){1,5}", r"[2-9]\d{2}[2-9]\d{6}"),
        "telephone number without a country",
        weak=True,
    ),
    Detector(
        "person_name",
        (rf"{_NAME}(?: {_UPPER}\.?)?(?: {_NAME}){{1,3}}", rf"{_NAME}, {_NAME}(?: {_UPPER}\.?)?"),
        "two to four capitalised words",
        weak=True,
    ),
    Detector(
        "passport_mrz",
        (r"[A-Z0-9<]{9}\d[A-Z<]{3}\d{6}\d[MFX<]\d{6}\d[A-Z0-9<]{14}[0-9<]\d",),
        "machine-readable line of a passport",
        _mrz,
        chance=0.001,
        private=True,
    ),
    Detector(
        "gender",
        (r"(?i:male|female|m|f|x|other|non-?binary|diverse?|man|woman|männlich|weiblich|homme|femme|hombre|mujer)",),
        "gender",
        weak=True,
    ),
    Detector("date_iso", (DATE_ISO,), "calendar day, ISO 8601", _day, chance=0.98),
    Detector("birth_date", (DATE_ISO,), "calendar day on which a person of today may be born", _birth, weak=True, chance=0.1),
    Detector(
        "date_local",
        (
            r"\d{1,2}/\d{1,2}/(?:(?:19|20)\d{2}|\d{2})",
            r"\d{1,2}[.\-]\d{1,2}[.\-](?:19|20)\d{2}",
            rf"{_DAY_FIRST}[ .\-]{{1,2}}(?:{_MONTHS})[ .\-]{{1,2}}(?:(?:19|20)\d{{2}}|\d{{2}})",
            rf"(?:{_MONTHS})\.? {_DAY_FIRST},? (?:19|20)\d{{2}}",
        ),
        "calendar day as people write it",
    ),
    Detector(
        "date_compact",
        (r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])",),
        "eight digits that can be a day; an order number too",
        over(8, _real_day),
        weak=True,
        chance=0.98,
    ),
    Detector("datetime", (rf"{DATE_ISO}[T ]{_CLOCK}(?: ?(?:Z|UTC|[+\-]\d{{2}}(?::?\d{{2}}|))|)",), "point in time, ISO 8601"),
    Detector("time", (_CLOCK, r"(?:0?[1-9]|1[0-2])(?::[0-5]\d){1,2} ?[AaPp]\.?[Mm]\.?"), "time of day"),
    Detector(
        "epoch",
        (TEN, r"\d{13}"),
        "seconds or milliseconds since 1970, from 2001 to 2033",
        _epoch,
        weak=True,
        chance=0.1,
    ),
    Detector("year", (r"(?:19|20)\d{2}",), "year", weak=True),
    Detector("boolean", (r"(?i:true|false|yes|no|y|n|t|f|0|1|on|off)",), "two-valued", weak=True),
    Detector("json_object", (r"\{(?: *\"[^\n]*)?\}", r"\[ *[\[{\"][^\n]*\]"), "JSON object or list"),
    Detector("xml", (r"<[A-Za-z?!][^\n]*>",), "XML or HTML"),
)
