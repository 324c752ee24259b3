"""What a column holds: each kind has an SQL type and makes one value from a seeded generator, as COPY text."""

from __future__ import annotations

import base64
import unicodedata
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from random import Random

from shared.demo import numbers, words

Maker = Callable[[Random, int], str]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FREE_MAIL = ("example.com", "example.org", "example.net")
LANGUAGES = ("en", "de", "fr", "es", "pt")


def _plain(text: str) -> str:
    """Lower case without accents or blanks, as people write their mail address."""
    return "".join(mark for mark in unicodedata.normalize("NFD", text.lower()) if mark.isascii() and mark.isalnum())


def _mail(r: Random, _: int) -> str:
    language = r.choice(LANGUAGES)
    return f"{_plain(r.choice(words.GIVEN[language]))}.{_plain(r.choice(words.FAMILY[language]))}{r.randrange(100)}@{r.choice(FREE_MAIL)}"


def _full(language: str, r: Random, _: int) -> str:
    return f"{r.choice(words.GIVEN[language])} {r.choice(words.FAMILY[language])}"


def _street(language: str, r: Random, _: int) -> str:
    street, number = r.choice(words.STREET[language]), r.randrange(1, 200)
    return f"{number} {street}" if language in ("en", "fr") else f"{street} {number}"


def _remark(r: Random, _: int) -> str:
    """Text that people type; now and then somebody leaves an address in it."""
    text = ". ".join(r.sample(words.SENTENCE, 3))
    return f"{text}. Reply to {_mail(r, 0)} please" if r.random() < 0.15 else text


def _phone(form: str, r: Random, _: int) -> str:
    return "".join(str(r.randrange(10)) if mark == "#" else mark for mark in form)


def _day(r: Random, _: int) -> str:
    return (date(2026, 1, 1) - timedelta(days=r.randrange(1500))).isoformat()


def _born(r: Random, _: int) -> str:
    return (date(2006, 1, 1) - timedelta(days=r.randrange(22_000))).isoformat()


def _stamp(r: Random, _: int) -> str:
    return (EPOCH - timedelta(seconds=r.randrange(60_000_000))).isoformat()


def _hex(length: int, r: Random, _: int) -> str:
    return f"{r.getrandbits(length * 4):0{length}x}"


def _mac(r: Random, _: int) -> str:
    return ":".join(f"{r.randrange(256):02x}" for _ in range(6))


def _b64(size: int, r: Random, _: int) -> str:
    return base64.urlsafe_b64encode(r.randbytes(size)).decode().rstrip("=")


def _letters(r: Random, count: int) -> str:
    return "".join(r.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(count))


def _of(options: tuple[str, ...]) -> Maker:
    return lambda r, _: r.choice(options)


def _between(low: int, high: int) -> Maker:
    return lambda r, _: str(r.randrange(low, high))


TEXT: dict[str, Maker] = {
    **{name: _of(options) for name, options in words.CHOICES.items()},
    **{f"given_{lang}": _of(words.GIVEN[lang]) for lang in LANGUAGES},
    **{f"family_{lang}": _of(words.FAMILY[lang]) for lang in LANGUAGES},
    **{f"city_{lang}": _of(words.CITY[lang]) for lang in LANGUAGES},
    **{f"full_{lang}": partial(_full, lang) for lang in LANGUAGES},
    **{f"street_{lang}": partial(_street, lang) for lang in LANGUAGES},
    "firm": _of(words.FIRM),
    "product": _of(words.PRODUCT),
    "sentence": _of(words.SENTENCE),
    "illness": _of(words.ILLNESS),
    "drug": _of(words.DRUG),
    "labtest": _of(words.LABTEST),
    "remark": _remark,
    "mail": _mail,
    "login": lambda r, n: f"{_plain(r.choice(words.GIVEN['en']))}{n}",
    "phone_us": lambda r, n: f"({r.randrange(201, 989)}) {r.randrange(200, 999)}-{r.randrange(10000):04}",
    "phone_de": partial(_phone, "+49 30 #######"),
    "phone_fr": partial(_phone, "+33 1 ## ## ## ##"),
    "phone_es": partial(_phone, "+34 91# ### ###"),
    "phone_pt": partial(_phone, "+351 21# ### ###"),
    "zip_us": lambda r, n: f"{r.randrange(1001, 99950):05}",
    "zip_de": lambda r, n: f"{r.randrange(1067, 99998):05}",
    "zip_fr": lambda r, n: f"{r.randrange(1000, 95880):05}",
    "zip_es": lambda r, n: f"{r.randrange(1001, 52080):05}",
    "zip_pt": lambda r, n: f"{r.randrange(1000, 9980)}-{r.randrange(1, 999):03}",
    "houseno": lambda r, n: f"{r.randrange(1, 180)}{r.choice(('', '', '', 'a', 'b'))}",
    "iban_de": lambda r, n: numbers.iban(r, "DE", "9" * 18),
    "iban_fr": lambda r, n: numbers.iban(r, "FR", "9" * 23),
    "iban_es": lambda r, n: numbers.iban(r, "ES", "9" * 20),
    "iban_pt": lambda r, n: numbers.iban(r, "PT", "9" * 21),
    "bic": lambda r, n: f"{_letters(r, 4)}{r.choice(('DE', 'FR', 'US'))}{_letters(r, 2)}",
    "blz": lambda r, n: numbers.digits(r, 8, first="1234567"),
    "account": lambda r, n: numbers.digits(r, 10),
    "aba": lambda r, n: numbers.aba(r),
    "pan": lambda r, n: numbers.pan(r),
    "cvc": lambda r, n: f"{r.randrange(1000):03}",
    "pin": lambda r, n: f"{r.randrange(10000):04}",
    "expiry": lambda r, n: f"{r.randrange(1, 13):02}/{r.randrange(26, 32)}",
    "ssn": lambda r, n: numbers.ssn(r),
    "steuerid": lambda r, n: numbers.steuer_id(r),
    "nir": lambda r, n: numbers.nir(r),
    "dni": lambda r, n: numbers.dni(r),
    "nif": lambda r, n: numbers.nif(r),
    "siret": lambda r, n: numbers.siret(r),
    "vat_de": lambda r, n: "DE" + numbers.digits(r, 9, first="123"),
    "npi": lambda r, n: numbers.npi(r),
    "vin": lambda r, n: numbers.vin(r),
    "ean": lambda r, n: numbers.ean13(r),
    "imei": lambda r, n: numbers.luhn("35" + numbers.digits(r, 12)),
    "plate": lambda r, n: f"{_letters(r, 3)} {r.randrange(1000):03}",
    "passport": lambda r, n: f"{_letters(r, 1)}{numbers.digits(r, 8)}",
    "licence": lambda r, n: f"{_letters(r, 1)}{numbers.digits(r, 7)}",
    "mrn": lambda r, n: f"MRN-{numbers.digits(r, 7)}",
    "insurance": lambda r, n: f"{_letters(r, 3)}{numbers.digits(r, 9)}",
    "icd": lambda r, n: f"{r.choice('EIJKMSZ')}{r.randrange(10, 99)}.{r.randrange(10)}",
    "host": lambda r, n: f"lap-{n:04}",
    "path": lambda r, n: "/",
    "urlpath": lambda r, n: f"/{r.choice(('cart', 'item', 'help', 'account'))}/{r.randrange(900)}",
    "url": lambda r, n: f"https://www.example.com/{r.choice(('a', 'b', 'c'))}/{r.randrange(9999)}",
    "slug": lambda r, n: f"{r.choice(('new', 'old', 'fast', 'blue'))}-{r.choice(('cart', 'login', 'menu'))}-{n}",
    "agent": lambda r, n: f"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/{r.randrange(90, 140)}.0",
    "version": lambda r, n: f"{r.randrange(9)}.{r.randrange(20)}.{r.randrange(50)}",
    "code": lambda r, n: f"{_letters(r, 2)}{r.randrange(10, 99)}",
    "sku": lambda r, n: f"{_letters(r, 3)}-{r.randrange(1000, 9999)}-{r.randrange(10, 99)}",
    "orderno": lambda r, n: f"{r.choice(('R', 'SO', 'INV'))}-2025-{n:06}",
    "tracking": lambda r, n: f"PG{numbers.digits(r, 10)}",
    "costcentre": lambda r, n: f"CC-{r.randrange(100, 140)}",
    "salt": partial(_hex, 16),
    "sha1": partial(_hex, 40),
    "digest": partial(_hex, 64),
    "token": partial(_b64, 24),
    "apikey": lambda r, n: f"sk_live_{_b64(18, r, n)}",
    "bcrypt": lambda r, n: f"$2b$12${_b64(40, r, n).replace('-', '.').replace('_', '/')[:53]}",
}
TYPED: dict[str, tuple[str, Maker]] = {
    "id": ("integer", lambda r, n: str(n)),
    "bigid": ("bigint", lambda r, n: str(n)),
    "flag": ("boolean", lambda r, n: r.choice("tf")),
    "smallint": ("integer", _between(0, 500)),
    "bigint": ("bigint", _between(0, 9_000_000)),
    "rating": ("integer", _between(1, 6)),
    "age": ("integer", _between(18, 90)),
    "year": ("integer", _between(1998, 2027)),
    "httpstatus": ("integer", lambda r, n: r.choice(("200", "201", "302", "404", "500"))),
    "money": ("numeric(12,2)", lambda r, n: f"{r.randrange(100, 900_000) / 100:.2f}"),
    "decimal": ("numeric(8,3)", lambda r, n: f"{r.random() * 100:.3f}"),
    "lat": ("numeric(9,6)", lambda r, n: f"{r.uniform(36, 54):.6f}"),
    "lon": ("numeric(9,6)", lambda r, n: f"{r.uniform(-9, 14):.6f}"),
    "day": ("date", _day),
    "born": ("date", _born),
    "stamp": ("timestamp with time zone", _stamp),
    "uuid": ("uuid", lambda r, n: str(uuid.UUID(int=r.getrandbits(128), version=4))),
    "ip": ("inet", lambda r, n: f"{r.randrange(11, 200)}.{r.randrange(256)}.{r.randrange(256)}.{r.randrange(1, 255)}"),
    "mac": ("macaddr", _mac),
}


def sql_type(kind: str) -> str:
    """The PostgreSQL type of a kind; references are integers."""
    if kind.startswith("ref:"):
        return "integer"
    return TYPED[kind][0] if kind in TYPED else "text"


def maker(kind: str, rows_of: dict[str, int]) -> Maker:
    """What makes the values of `kind`. `rows_of` tells how many rows a referenced table has. Raises KeyError on an unknown kind."""
    if kind.startswith("ref:"):
        return _between(1, rows_of[kind.removeprefix("ref:")] + 1)
    return TYPED[kind][1] if kind in TYPED else TEXT[kind]
