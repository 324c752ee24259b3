"""Identity numbers of people and companies in Europe. Sources: the rules that each authority publishes, as named per rule."""

# numpy types the result of an operator as Any:
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np

from shared.evidence.checksums import alnum, among, luhn, mod_11_10, number, over, plausible_day, two, varied, weighted
from shared.evidence.detector import Detector, Found, Mask, Numbers
from shared.evidence.kinds.shapes import ELEVEN, FOURTEEN, NINE, NINE_BY_THREE, SIX_FOUR, TEN, THIRTEEN

_DNI_LETTERS = np.frombuffer(b"TRWAGMYFPDXBNJZSQVHLCKE", np.uint8)
_HETU_MARKS = np.frombuffer(b"0123456789ABCDEFHJKLMNPRSTUVWXY", np.uint8)
_PPS_MARKS = np.frombuffer(b"WABCDEFGHIJKLMNOPQRSTUV", np.uint8)
_ODD_PLACES = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_FISCALE_ODD = np.array((*_ODD_PLACES[:10], *_ODD_PLACES), np.int64)
_FISCALE_EVEN = np.array((*range(10), *range(26)), np.int64)


def _nino(found: Found) -> Mask:
    rows = found.rows(9)
    prefix = rows[:, 0].astype(np.int64) * 256 + rows[:, 1]
    barred = [a * 256 + b for a, b in (b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ")]
    return ~np.isin(prefix, barred)


def _nhs(digits: Numbers) -> Mask:
    check = (11 - weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11) % 11
    return (check == digits[:, 9]) & varied(digits)


def _steuer_id(digits: Numbers) -> Mask:
    """In the first ten digits exactly one occurs twice or three times (BZSt, Informationstechnisches Merkblatt)."""
    often = (digits[:, :10, None] == np.arange(10)).sum(1)
    repeated: Mask = ((often > 1).sum(1) == 1) & (often.max(1) <= 3)
    return repeated & (digits[:, 0] != 0) & mod_11_10(digits)


def _id_card(found: Found) -> Mask:
    """ICAO 9303 weights 7, 3, 1."""
    rows = np.where(found.fits(11)[:, None], found.rows(11)[:, :10], found.rows(11)[:, 1:])
    values = alnum(rows)
    mask: Mask = weighted(values, (7, 3, 1, 7, 3, 1, 7, 3, 1)) % 10 == values[:, 9]
    return mask


def _nir(found: Found) -> Mask:
    """97 minus the number modulo 97; Corsica counts 2A as 19, 2B as 18."""
    rows = found.rows(15)
    digits = rows.astype(np.int64) - 48
    digits[:, 6] = np.where(rows[:, 6] == 65, 9, np.where(rows[:, 6] == 66, 8, digits[:, 6]))
    digits[:, 5] = np.where(rows[:, 6] >= 65, 1, digits[:, 5])
    return (97 - number(digits[:, :13]) % 97 == two(digits, 13)) & found.fits(15)


def _dni(found: Found) -> Mask:
    rows = found.rows(9)
    return _DNI_LETTERS[number(rows[:, :8].astype(np.int64) - 48) % 23] == rows[:, 8]


def _nie(found: Found) -> Mask:
    rows = found.rows(9).astype(np.int64)
    first = (rows[:, 0] - 88) * 10**7
    return _DNI_LETTERS[(first + number(rows[:, 1:8] - 48)) % 23] == rows[:, 8]


def _cif(found: Found) -> Mask:
    rows = found.rows(9).astype(np.int64)
    digits = rows[:, 1:8] - 48
    doubled = digits[:, ::2] * 2
    check = (10 - ((doubled // 10 + doubled % 10).sum(1) + digits[:, 1::2].sum(1)) % 10) % 10
    letters = np.frombuffer(b"JABCDEFGHI", np.uint8)
    mask: Mask = (rows[:, 8] - 48 == check) | (rows[:, 8] == letters[check])
    return mask


def _codice_fiscale(found: Found) -> Mask:
    """Ministero delle Finanze, DM 23 December 1976: odd and even places have tables of their own."""
    values = alnum(found.rows(16))
    total = _FISCALE_ODD[values[:, 0:15:2]].sum(1) + _FISCALE_EVEN[values[:, 1:15:2]].sum(1)
    mask: Mask = total % 26 == values[:, 15] - 10
    return mask


def _nif(digits: Numbers) -> Mask:
    check = 11 - weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return (np.where(check > 9, 0, check) == digits[:, 8]) & among(digits[:, 0], (1, 2, 3, 5, 6, 8, 9))


def _bsn(digits: Numbers) -> Mask:
    return (weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0) & varied(digits)


def _belgian(digits: Numbers) -> Mask:
    base, check = number(digits[:, :9]), two(digits, 9)
    right = (97 - base % 97 == check) | (97 - (base + 2 * 10**9) % 97 == check)
    return right & plausible_day(two(digits, 2), two(digits, 4))


def _pesel(digits: Numbers) -> Mask:
    right = (10 - weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == digits[:, 10]
    return right & plausible_day(two(digits, 2) % 20, two(digits, 4))


def _personnummer(digits: Numbers) -> Mask:
    """Luhn over the last ten; a coordination number adds 60 to the day."""
    last = digits[:, -10:]
    day = two(last, 4)
    return luhn(last) & plausible_day(two(last, 2), np.where(day > 60, day - 60, day))


def _personnummer_any(found: Found) -> Mask:
    return over(12, _personnummer, exact=False)(_without(found, b"+"))


def _without(found: Found, mark: bytes) -> Found:
    return Found([item.replace(mark, b"") for item in found.items])


def _fodselsnummer(digits: Numbers) -> Mask:
    first = (11 - weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11) % 11
    second = (11 - weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11) % 11
    day = two(digits, 0)
    return (first == digits[:, 9]) & (second == digits[:, 10]) & plausible_day(two(digits, 2), np.where(day > 40, day - 40, day))


def _hetu(found: Found) -> Mask:
    items = [item[:6] + item[7:] for item in found.items]
    rows = Found(items).rows(10)
    digits = rows[:, :9].astype(np.int64) - 48
    return (_HETU_MARKS[number(digits) % 31] == rows[:, 9]) & plausible_day(two(digits, 2), two(digits, 0))


def _cpr(found: Found) -> Mask:
    digits = _without(found, b"+").digits(10)
    return plausible_day(two(digits, 2), two(digits, 0))


def _ahv(digits: Numbers) -> Mask:
    return (10 - weighted(digits, (1, 3) * 6) % 10) % 10 == digits[:, 12]


def _svnr(digits: Numbers) -> Mask:
    check = weighted(digits, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11
    return (check == digits[:, 3]) & (digits[:, 0] != 0) & (two(digits, 6) <= 15) & (two(digits, 4) <= 31)


def _pps(found: Found) -> Mask:
    rows = np.frombuffer(b"".join(item.upper().ljust(9, b"@") for item in found.items), np.uint8).reshape(len(found), 9)
    extra = np.where(rows[:, 8] == 87, 0, rows[:, 8].astype(np.int64) - 64)
    total = weighted(rows[:, :7].astype(np.int64) - 48, (8, 7, 6, 5, 4, 3, 2)) + 9 * extra
    return _PPS_MARKS[total % 23] == rows[:, 7]


def _cnp(digits: Numbers) -> Mask:
    rest = weighted(digits, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    right = np.where(rest == 10, 1, rest) == digits[:, 12]
    return right & (digits[:, 0] != 0) & plausible_day(two(digits, 3), two(digits, 5))


def _rodne_cislo(digits: Numbers) -> Mask:
    month = two(digits, 2) % 50
    return (number(digits) % 11 == 0) & plausible_day(np.where(month > 20, month - 20, month), two(digits, 4))


DETECTORS = (
    Detector(
        "uk_nino",
        (r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]",),
        "United Kingdom, National Insurance number",
        _nino,
        chance=0.98,
        private=True,
    ),
    Detector(
        "uk_nhs_number", (TEN, r"\d{3}[ \-]\d{3}[ \-]\d{4}"), "United Kingdom, NHS number", over(10, _nhs), chance=0.091, private=True
    ),
    Detector("de_steuer_id", (ELEVEN, r"\d{2} \d{3} \d{3} \d{3}"), "Germany, tax id", over(11, _steuer_id), chance=0.0035, private=True),
    Detector(
        "de_personalausweis",
        (r"[CFGHJ-NPRTV-Z][CFGHJ-NPRTV-Z0-9]{8}\dD?",),
        "Germany, identity card number with its check digit",
        _id_card,
        chance=0.1,
        private=True,
    ),
    Detector(
        "fr_nir",
        (
            r"[12]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)(?:\d{2}|2[AB])\d{8}",
            r"[12] \d{2} (?:0[1-9]|1[0-2]|[2-9]\d) (?:\d{2}|2[AB]) \d{3} \d{3} ?\d{2}",
        ),
        "France, social security number",
        _nir,
        chance=0.0103,
        private=True,
    ),
    Detector("fr_siren", (NINE, NINE_BY_THREE), "France, company number", over(9, luhn), chance=0.1),
    Detector("fr_siret", (FOURTEEN, r"\d{3} \d{3} \d{3} \d{5}"), "France, establishment number", over(14, luhn), chance=0.1),
    Detector("es_dni", (r"\d{8}-?[A-HJ-NP-TV-Z]",), "Spain, national identity number", _dni, chance=0.0435, private=True),
    Detector("es_nie", (r"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]",), "Spain, foreigner's identity number", _nie, chance=0.0435, private=True),
    Detector("es_cif", (r"[A-HJNP-SUVW]-?\d{7}-?[0-9A-J]",), "Spain, company tax number", _cif, chance=0.1),
    Detector(
        "it_codice_fiscale",
        (r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",),
        "Italy, tax code of a person",
        _codice_fiscale,
        chance=0.0385,
        private=True,
    ),
    Detector("it_partita_iva", (ELEVEN,), "Italy, company tax number", over(11, luhn), chance=0.1),
    Detector("pt_nif", (NINE, NINE_BY_THREE), "Portugal, tax number", over(9, _nif), chance=0.065, private=True),
    Detector("nl_bsn", (NINE, NINE_BY_THREE), "Netherlands, citizen service number", over(9, _bsn), chance=0.091, private=True),
    Detector(
        "be_national_number",
        (ELEVEN, r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}"),
        "Belgium, national register number",
        over(11, _belgian),
        chance=0.0008,
        private=True,
    ),
    Detector("pl_pesel", (ELEVEN,), "Poland, personal number", over(11, _pesel), chance=0.0185, private=True),
    Detector(
        "se_personnummer",
        (TEN, r"(?:19|20)\d{6}-?\d{4}", SIX_FOUR),
        "Sweden, personal identity number",
        _personnummer_any,
        chance=0.0075,
        private=True,
    ),
    Detector("no_fodselsnummer", (ELEVEN, r"\d{6} \d{5}"), "Norway, birth number", over(11, _fodselsnummer), chance=0.0006, private=True),
    Detector("fi_hetu", (r"\d{6}[\-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]",), "Finland, personal identity code", _hetu, chance=0.0012, private=True),
    Detector("dk_cpr", (TEN, SIX_FOUR), "Denmark, personal number: a date, no checksum since 2007", _cpr, chance=0.0372, private=True),
    Detector("ch_ahv", (r"756\d{10}", r"756\.\d{4}\.\d{4}\.\d{2}"), "Switzerland, AHV number", over(13, _ahv), chance=0.1, private=True),
    Detector("at_svnr", (TEN, r"\d{4} \d{6}"), "Austria, social insurance number", over(10, _svnr), chance=0.004, private=True),
    Detector("ie_pps", (r"\d{7}[A-W][ABHW]?",), "Ireland, personal public service number", _pps, chance=0.0435, private=True),
    Detector("ro_cnp", (THIRTEEN,), "Romania, personal number", over(13, _cnp), chance=0.0034, private=True),
    Detector("cz_rodne_cislo", (r"\d{6}/\d{4}",), "Czechia and Slovakia, birth number", over(10, _rodne_cislo), chance=0.006, private=True),
    Detector("hr_oib", (ELEVEN,), "Croatia, personal number", over(11, mod_11_10), chance=0.1, private=True),
)
