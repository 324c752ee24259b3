"""Where: countries, postal codes, addresses, coordinates."""

from __future__ import annotations

import numpy as np

from shared.evidence.detector import Detector, Found, Mask

# ISO 3166-1 alpha-2, officially assigned, and XK.
COUNTRIES = frozenset(
    (
        b"AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH "
        b"CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN "
        b"GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI "
        b"LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM "
        b"PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD "
        b"TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"
    ).split()
)


_IS_COUNTRY: Mask = np.zeros((256, 256), np.bool_)
_IS_COUNTRY[tuple(np.frombuffer(b"".join(sorted(COUNTRIES)), np.uint8).reshape(-1, 2).T)] = True


def _country(found: Found) -> Mask:
    rows = found.rows(2)
    mask: Mask = _IS_COUNTRY[rows[:, 0], rows[:, 1]]
    return mask


def _coordinates_one(item: bytes) -> bool:
    latitude, longitude = item.replace(b";", b",").strip(b"()").split(b",")
    return abs(float(latitude)) <= 90 and abs(float(longitude)) <= 180


def _coordinates(found: Found) -> Mask:
    return np.fromiter(map(_coordinates_one, found.items), np.bool_, len(found))


_STREET_AFTER = (
    r"Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Square|Sq|Terrace|Ter|Parkway|Pkwy|Close|Crescent"
)
_STREET_BEFORE = r"Calle|Avenida|Rua|Rue|Via|Viale|Piazza|Plaza|Chemin|ul\.|Strada|Am|An der|Auf der"
_WORD = r"(?:[A-Z]|[\x80-\xff])(?:[a-z.'\-]|[\x80-\xff])*"

DETECTORS = (
    Detector("country_code", (r"[A-Za-z]{2}",), "country, ISO 3166-1 alpha-2", _country, weak=True, chance=0.37),
    Detector("us_zip", (r"\d{5}", r"\d{5}-\d{4}"), "United States ZIP; five digits are also a code of Germany, France, Spain …", weak=True),
    Detector("uk_postcode", (r"(?i:GIR ?0AA|[A-PR-UWYZ][A-HK-Y]?\d[0-9A-HJKMNP-Y]? ?\d[ABD-HJLNP-UW-Z]{2})",), "United Kingdom, postcode"),
    Detector("ca_postal_code", (r"(?i:[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z][ \-]?\d[ABCEGHJ-NPRSTV-Z]\d)",), "Canada, postal code"),
    Detector("nl_postcode", (r"[1-9]\d{3} ?[A-RT-Z][A-Z]",), "Netherlands, postcode"),
    Detector("postal_code", (r"\d{4}", r"\d{6}", r"\d{3}-\d{4}", r"\d{2}-\d{3}"), "postal code of four or six digits, or split", weak=True),
    Detector(
        "street_address",
        (
            rf"\d{{1,5}}[A-Za-z]? (?:{_WORD} ){{1,4}}(?:{_STREET_AFTER})(?:[^A-Za-z0-9_].*)?",
            rf"(?:{_STREET_BEFORE}) {_WORD}(?: {_WORD}){{0,3}},? \d{{1,5}}.*",
            rf"{_WORD}(?:str\.|strasse|stra\xc3\x9fe|straat|gatan|gade|weg|allee|platz|laan|gasse) ?\d{{1,4}} ?[a-z]?",
        ),
        "house number with a word for a street, in several languages",
    ),
    Detector(
        "coordinates",
        (r"\(?[+\-]?\d{1,3}\.\d{3,}[,;] ?[+\-]?\d{1,3}\.\d{3,}\)?",),
        "latitude and longitude in degrees",
        _coordinates,
        chance=0.3,
        private=True,
        most=12,
    ),
    Detector("decimal_degrees", (r"[+\-]?1?\d{1,2}\.\d{4,}",), "one number of a coordinate", weak=True),
)
