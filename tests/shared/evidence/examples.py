"""Values made from the published rules, written here a second time and the slow way, or judged by an independent library."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

from stdnum import ean, imei, isin, lei, luhn, verhoeff
from stdnum.ar import cuit
from stdnum.at import vnr
from stdnum.au import abn, tfn
from stdnum.br import cnpj, cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cl import rut
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.es import cif, dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.hr import oib
from stdnum.ie import pps
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.pt import nif
from stdnum.ro import cnp
from stdnum.th import pin
from stdnum.tr import tckimlik
from stdnum.us import ein, rtn

DICE = random.Random(11)


def digits(count: int, first: str = string.digits) -> str:
    """A random number of `count` digits."""
    return DICE.choice(first) + "".join(DICE.choice(string.digits) for _ in range(count - 1))


def mark(body: str, alphabet: str, judge: Callable[[str], bool]) -> str | None:
    """`body` with the one last character that makes it valid, or None."""
    return next((body + last for last in alphabet if judge(body + last)), None)


def search(make: Callable[[], str], judge: Callable[[str], bool]) -> str:
    """Random values until the rule says yes."""
    return next(value for value in iter(make, None) if judge(value))


def day() -> str:
    """yymmdd."""
    return f"{DICE.randint(40, 99):02d}{DICE.randint(1, 12):02d}{DICE.randint(1, 28):02d}"


def turned(value: str) -> str:
    """ddmmyy of yymmdd."""
    return value[4:6] + value[2:4] + value[:2]


# detector -> a maker of random values of the right shape, and an independent judge
ORACLES: dict[str, tuple[Callable[[], str], Callable[[str], bool]]] = {
    "card_pan": (lambda: "4" + digits(15), luhn.is_valid),
    "uk_nhs_number": (lambda: digits(10, "12345678"), nhs.is_valid),
    "de_steuer_id": (lambda: digits(11), idnr.is_valid),
    "fr_siren": (lambda: digits(9), luhn.is_valid),
    "fr_siret": (lambda: digits(14), luhn.is_valid),
    "it_partita_iva": (lambda: digits(11), luhn.is_valid),
    "nl_bsn": (lambda: digits(9, "123456789"), bsn.is_valid),
    "hr_oib": (lambda: digits(11), oib.is_valid),
    "ca_sin": (lambda: digits(9, "12345679"), sin.is_valid),
    "br_cpf": (lambda: digits(11), cpf.is_valid),
    "br_cnpj": (lambda: digits(14), cnpj.is_valid),
    "ar_cuit": (lambda: DICE.choice(["20", "23", "24", "27", "30", "33", "34"]) + digits(9), cuit.is_valid),
    "in_aadhaar": (lambda: digits(12, "23456789"), verhoeff.is_valid),
    "au_tfn": (lambda: digits(9), tfn.is_valid),
    "au_abn": (lambda: digits(11, "123456789"), abn.is_valid),
    "tr_tckn": (lambda: digits(11, "123456789"), tckimlik.is_valid),
    "imei": (lambda: digits(15), imei.is_valid),
    "isbn_13": (lambda: "978" + digits(10), ean.is_valid),
    "es_dni": (lambda: digits(8) + DICE.choice("TRWAGMYFPDXBNJZSQVHLCKE"), dni.is_valid),
    "es_nie": (lambda: DICE.choice("XYZ") + digits(7) + DICE.choice("TRWAGMYFPDXBNJZSQVHLCKE"), nie.is_valid),
    "es_cif": (lambda: DICE.choice("ABEH") + digits(8), cif.is_valid),
    "us_ein": (lambda: digits(2) + "-" + digits(7), ein.is_valid),
    "us_aba_routing": (lambda: DICE.choice(["01", "12", "26", "32", "65", "72", "80"]) + digits(7), rtn.is_valid),
    "lei": (lambda: digits(18) + digits(2), lei.is_valid),
    "isin": (lambda: DICE.choice(["US", "DE", "FR"]) + digits(10), isin.is_valid),
    "at_svnr": (lambda: digits(4, "123456789") + turned(day()), vnr.is_valid),
    "be_national_number": (lambda: day() + digits(5), lambda v: int(v[9:]) in (97 - int(v[:9]) % 97, 97 - int("2" + v[:9]) % 97)),
    "pl_pesel": (lambda: day() + digits(5), pesel.is_valid),
    "pt_nif": (lambda: digits(9, "1235689"), nif.is_valid),
    "no_fodselsnummer": (lambda: turned(day()) + "2" + digits(4), fodselsnummer.is_valid),
    "ro_cnp": (lambda: "1" + day() + "12" + digits(4), cnp.is_valid),
    "fi_hetu": (lambda: turned(day()) + "-" + "1" + digits(2) + DICE.choice("0123456789ABCDEFHJKLMNPRSTUVWXY"), hetu.is_valid),
    "ch_ahv": (lambda: "756" + digits(10), ahv.is_valid),
    "cl_rut": (lambda: digits(8, "12") + "-" + DICE.choice("0123456789K"), rut.is_valid),
    "kr_rrn": (lambda: day() + "-" + "1" + digits(6), rrn.is_valid),
    "th_id": (lambda: digits(13, "12345678"), pin.is_valid),
    "cn_resident_id": (lambda: "110105" + "19" + day() + digits(3) + DICE.choice("0123456789X"), ric.is_valid),
    "ie_pps": (lambda: digits(7) + DICE.choice("ABCDEFGHIJKLMNOPQRSTUVW"), pps.is_valid),
    "fr_nir": (lambda: "1" + day()[:4] + "75" + digits(8), nir.is_valid),
    "it_codice_fiscale": (
        lambda: "RSSMRA" + f"{DICE.randint(40, 99)}" + DICE.choice("ABCDEHLMPRST") + f"{DICE.randint(1, 28):02d}"
        + "H501" + DICE.choice(string.ascii_uppercase),
        codicefiscale.is_valid,
    ),
}  # fmt: skip
