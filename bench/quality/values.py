"""Values for the columns of the quality set: seeded, by Faker and by lists of this file, of which rules and detectors know nothing."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from faker import Faker

LOCALES = {"en": ("en_US", "en_GB"), "de": ("de_DE",), "fr": ("fr_FR",), "es": ("es_ES", "es_MX"), "pt": ("pt_BR", "pt_PT")}
_TODAY = date(2026, 6, 1)
_ILLNESSES = {
    "en": "acute bronchitis/type 2 diabetes/fractured wrist/migraine/hypertension/gastric ulcer/asthma/depressive episode",
    "de": "akute Bronchitis/Diabetes Typ 2/Handgelenksbruch/Migraene/Bluthochdruck/Magengeschwuer/Asthma/depressive Episode",
    "fr": "bronchite aigue/diabete de type 2/fracture du poignet/migraine/hypertension/ulcere gastrique/asthme",
    "es": "bronquitis aguda/diabetes tipo 2/fractura de muneca/migrana/hipertension/ulcera gastrica/asma",
    "pt": "bronquite aguda/diabetes tipo 2/fratura do punho/enxaqueca/hipertensao/ulcera gastrica/asma",
}
_DRUGS = "Amoxicillin 500 mg/Metformin 850 mg/Ibuprofen 400/Ramipril 5 mg/Salbutamol/Omeprazole 20 mg/Sertraline 50 mg/Insulin glargine"
_THINGS = {
    "en": ("sturdy oak bright slim travel garden", "lamp kettle backpack drill bench mug jacket"),
    "de": ("stabile helle schmale robuste kleine", "Lampe Kanne Tasche Bohrmaschine Bank Jacke"),
    "fr": ("solide claire fine petite grande", "lampe bouilloire perceuse chaise veste tasse"),
    "es": ("resistente clara fina pequena grande", "lampara tetera mochila silla chaqueta taza"),
    "pt": ("resistente clara fina pequena grande", "lampada chaleira mochila cadeira jaqueta caneca"),
}
_SENTENCES = {
    "en": ("{name} called about the late delivery and asked to be rung at {phone}.", "Met {name} today; prefers mail to {email}.",
           "Nothing new since the last visit, will look again in a week.", "Was very upset, promised a refund by Friday."),
    "de": ("{name} rief wegen der Lieferung an, bitte unter {phone} melden.", "Gespräch mit {name}, Antwort an {email}.",
           "Seit dem letzten Termin nichts Neues, Kontrolle in einer Woche.", "War sehr verärgert, Gutschrift bis Freitag zugesagt."),
    "fr": ("{name} a appelé pour la livraison, à rappeler au {phone}.", "Vu {name} ce jour, réponse à {email}.",
           "Rien de nouveau depuis la dernière visite, à revoir dans une semaine.", "Très mécontent, remboursement promis pour vendredi."),
    "es": ("{name} llamó por la entrega, devolver la llamada al {phone}.", "Hablé con {name}, responder a {email}.",
           "Sin novedad desde la última visita, revisar en una semana.", "Muy molesto, se prometió el reembolso para el viernes."),
    "pt": ("{name} ligou sobre a entrega, retornar para {phone}.", "Conversa com {name}, responder para {email}.",
           "Sem novidades desde a última visita, rever em uma semana.", "Muito chateado, reembolso prometido até sexta."),
}  # fmt: skip
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_{0} like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
)


class Maker:
    """Makes the values of one language. The same seed gives the same values."""

    def __init__(self, language: str, seed: int) -> None:
        self.language = language
        self.random = random.Random(f"{language}/{seed}")
        self.fakers = [Faker(locale) for locale in LOCALES[language]]
        for place, faker in enumerate(self.fakers):
            faker.seed_instance(seed * 10 + place)
        self.at = 0

    def values(self, recipe: str, count: int) -> list[str | None]:
        """`count` values by a recipe of the schema files: `name`, `name:argument` or `null:share:recipe`."""
        self.at = self.random.randrange(1, 5_000)
        kind, _, argument = recipe.partition(":")
        if kind == "null":
            share, _, inner = argument.partition(":")
            made = self.values(inner, count)
            return [None if self.random.random() < float(share) else value for value in made]
        faker = self.fakers[self.random.randrange(len(self.fakers))]
        return [self._one(kind, argument, faker) for _ in range(count)]

    def _one(self, kind: str, argument: str, faker: Faker) -> str:
        make: Callable[[str, Faker], str] | None = getattr(self, f"_{kind}", None)
        if make is not None:
            return make(argument, faker)
        return str(getattr(faker, _FAKED[kind])()).replace("\n", ", ")

    # plain values
    def _serial(self, argument: str, faker: Faker) -> str:
        self.at += 1
        return str(self.at)

    def _int(self, argument: str, faker: Faker) -> str:
        low, high = argument.rsplit("-", 1) if not argument.startswith("-") else _signed(argument)
        return str(self.random.randint(int(low), int(high)))

    def _money(self, argument: str, faker: Faker) -> str:
        return f"{self.random.uniform(2, 4000):.2f}"

    def _pick(self, argument: str, faker: Faker) -> str:
        return self.random.choice(argument.split("/")).replace("_", " ")

    def _bool(self, argument: str, faker: Faker) -> str:
        return self.random.choice(("true", "false"))

    def _code(self, argument: str, faker: Faker) -> str:
        """`#` a digit, `?` a capital letter; in an argument that has neither, all of it as it stands."""
        made = (self._digit() if sign == "#" else self._capital() if sign == "?" else sign for sign in argument)
        return "".join(made)

    def _digits(self, argument: str, faker: Faker) -> str:
        return self.random.choice("123456789") + "".join(self._digit() for _ in range(int(argument) - 1))

    def _hex(self, argument: str, faker: Faker) -> str:
        return "".join(self.random.choice("0123456789abcdef") for _ in range(int(argument)))

    def _base64(self, argument: str, faker: Faker) -> str:
        return base64.urlsafe_b64encode(self.random.randbytes(int(argument))).decode()[: int(argument)]

    def _base32(self, argument: str, faker: Faker) -> str:
        return base64.b32encode(self.random.randbytes(int(argument))).decode()[: int(argument)]

    def _uuid(self, argument: str, faker: Faker) -> str:
        return str(faker.uuid4())

    def _date(self, days: int) -> date:
        return _TODAY + timedelta(days=days)

    def _past(self, argument: str, faker: Faker) -> str:
        return self._date(-self.random.randint(1, 3000)).isoformat()

    def _future(self, argument: str, faker: Faker) -> str:
        return self._date(self.random.randint(1, 1500)).isoformat()

    def _birth_date(self, argument: str, faker: Faker) -> str:
        return self._date(-self.random.randint(6 * 365, 90 * 365)).isoformat()

    def _death_date(self, argument: str, faker: Faker) -> str:
        return self._past(argument, faker)

    def _ts(self, argument: str, faker: Faker) -> str:
        seconds = self.random.randint(0, 200_000_000)
        return (datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")

    def _time(self, argument: str, faker: Faker) -> str:
        return f"{self.random.randint(6, 22):02}:{self.random.choice((0, 15, 30, 45)):02}:00"

    def _semver(self, argument: str, faker: Faker) -> str:
        return f"{self.random.randint(0, 9)}.{self.random.randint(0, 30)}.{self.random.randint(0, 9)}"

    def _path(self, argument: str, faker: Faker) -> str:
        return f"/var/lib/run/{self._hex('6', faker)}/out.log"

    def _json(self, argument: str, faker: Faker) -> str:
        return f'{{"step": {self.random.randint(1, 9)}, "ok": true}}'

    def _url(self, argument: str, faker: Faker) -> str:
        return f"https://files.example.net/{self._hex('8', faker)}"

    def _slug(self, argument: str, faker: Faker) -> str:
        return self._title(argument, faker).replace(" ", "-") + f"-{self.random.randint(1, 99)}"

    def _title(self, argument: str, faker: Faker) -> str:
        looks, things = _THINGS[self.language]
        return f"{self.random.choice(looks.split())} {self.random.choice(things.split())} {self.random.randint(2, 90)}"

    def _blurb(self, argument: str, faker: Faker) -> str:
        return ". ".join(self._title(argument, faker) + " " + self._title(argument, faker) for _ in range(3)) + "."

    def _binary(self, argument: str, faker: Faker) -> str:
        return ""

    def _words(self, argument: str, faker: Faker) -> str:
        return " ".join(faker.words(int(argument)))

    def _currency(self, argument: str, faker: Faker) -> str:
        return self.random.choice(("EUR", "USD", "GBP", "BRL"))

    def _colour(self, argument: str, faker: Faker) -> str:
        return f"#{self._hex('6', faker)}"

    def _pressure(self, argument: str, faker: Faker) -> str:
        return f"{self.random.randint(95, 160)}/{self.random.randint(55, 100)}"

    # people
    def _email(self, argument: str, faker: Faker) -> str:
        return f"{faker.user_name()}{self.random.choice(('', '1', '.x', '77'))}@{faker.domain_name()}"

    def _state(self, argument: str, faker: Faker) -> str:
        return str(faker.administrative_unit())

    def _country2(self, argument: str, faker: Faker) -> str:
        return str(faker.country_code())

    def _lat(self, argument: str, faker: Faker) -> str:
        return f"{self.random.uniform(-55, 65):.6f}"

    def _lng(self, argument: str, faker: Faker) -> str:
        return f"{self.random.uniform(-170, 170):.6f}"

    def _geo(self, argument: str, faker: Faker) -> str:
        return f"({self._lng('', faker)},{self._lat('', faker)})"

    def _unit(self, argument: str, faker: Faker) -> str:
        return f"Flat {self.random.randint(1, 40)}"

    def _houseno(self, argument: str, faker: Faker) -> str:
        return f"{self.random.randint(1, 240)}{self.random.choice(('', '', '', 'a', 'b'))}"

    def _prose(self, argument: str, faker: Faker) -> str:
        spoken = self.random.choice(_SENTENCES[self.language])
        return spoken.format(name=faker.name(), phone=faker.phone_number(), email=faker.email())

    def _company_email(self, argument: str, faker: Faker) -> str:
        return f"{self.random.choice(('info', 'office', 'sales'))}@{faker.domain_name()}"

    def _msisdn(self, argument: str, faker: Faker) -> str:
        return self.random.choice(("447", "4915", "336", "346", "55119")) + self._digits("8", faker)

    # numbers and secrets
    def _bcrypt(self, argument: str, faker: Faker) -> str:
        letters = string.ascii_letters + string.digits + "./"
        return "$2b$12$" + "".join(self.random.choice(letters) for _ in range(53))

    def _pem(self, argument: str, faker: Faker) -> str:
        return f"-----BEGIN PRIVATE KEY-----\n{self._base64('200', faker)}\n-----END PRIVATE KEY-----"

    def _expiry(self, argument: str, faker: Faker) -> str:
        return f"{self.random.randint(1, 12):02}/{self.random.randint(26, 32)}"

    def _sortcode(self, argument: str, faker: Faker) -> str:
        return "-".join(f"{self.random.randint(10, 89)}" for _ in range(3))

    def _imei(self, argument: str, faker: Faker) -> str:
        return _with_luhn("35" + self._digits("12", faker))

    def _vehicle_vin(self, argument: str, faker: Faker) -> str:
        signs = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
        raw = [self.random.choice(signs) for _ in range(17)]
        weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
        total = sum(weight * _VIN[sign] for weight, sign in zip(weights, raw, strict=True))
        raw[8] = "X" if total % 11 == 10 else str(total % 11)
        return "".join(raw)

    def _dni(self, argument: str, faker: Faker) -> str:
        number = self.random.randint(10_000_000, 99_999_999)
        return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"

    def _nir(self, argument: str, faker: Faker) -> str:
        r = self.random
        body = f"{r.randint(1, 2)}{r.randint(40, 99)}{r.randint(1, 12):02}{r.randint(1, 95):02}{r.randint(1, 500):03}{r.randint(1, 900):03}"
        return f"{body}{97 - int(body) % 97:02}"

    def _cpf(self, argument: str, faker: Faker) -> str:
        return str(self.fakers[0].cpf())

    def _cnpj(self, argument: str, faker: Faker) -> str:
        return str(self.fakers[0].cnpj())

    def _vat(self, argument: str, faker: Faker) -> str:
        return {"de": "DE", "fr": "FR", "en": "GB", "es": "ESB", "pt": "PT"}[self.language] + self._digits("9", faker)

    def _icd(self, argument: str, faker: Faker) -> str:
        return f"{self.random.choice('EFGIJKMST')}{self.random.randint(10, 89)}.{self.random.randint(0, 9)}"

    def _loinc(self, argument: str, faker: Faker) -> str:
        return f"{self.random.randint(1000, 59999)}-{self._digit()}"

    def _ndc(self, argument: str, faker: Faker) -> str:
        return f"{self._digits('5', faker)}-{self._digits('4', faker)}-{self._digits('2', faker)}"

    def _dea(self, argument: str, faker: Faker) -> str:
        d = [self.random.randint(0, 9) for _ in range(6)]
        return f"{self.random.choice('AB')}{self._capital()}{''.join(map(str, d))}{(d[0] + d[2] + d[4] + 2 * (d[1] + d[3] + d[5])) % 10}"

    def _dna(self, argument: str, faker: Faker) -> str:
        return "".join(self.random.choice("ACGT") for _ in range(120))

    def _diagnosis(self, argument: str, faker: Faker) -> str:
        return self.random.choice(_ILLNESSES[self.language].split("/"))

    def _drug(self, argument: str, faker: Faker) -> str:
        return self.random.choice(_DRUGS.split("/"))

    def _user_agent(self, argument: str, faker: Faker) -> str:
        return self.random.choice(_AGENTS).format(self.random.randint(3, 139))

    def _ip_address(self, argument: str, faker: Faker) -> str:
        return str(faker.ipv4_public() if self.random.random() < 0.85 else faker.ipv6())

    def _digit(self) -> str:
        return self.random.choice("0123456789")

    def _capital(self) -> str:
        return self.random.choice("ABCDEFGHKLMNPRSTUVWXYZ")


_VIN = dict(
    zip("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", [*range(10), 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9], strict=True)
)
_FAKED = {
    "first_name": "first_name",
    "last_name": "last_name",
    "full_name": "name",
    "user_name": "user_name",
    "phone": "phone_number",
    "street": "street_address",
    "city": "city",
    "region": "administrative_unit",
    "postal_code": "postcode",
    "postal_address": "address",
    "address": "address",
    "country": "country",
    "company": "company",
    "job": "job",
    "iban": "iban",
    "bic": "swift",
    "aba": "aba",
    "ssn": "ssn",
    "licence_plate": "license_plate",
    "card_pan": "credit_card_number",
    "mac_address": "mac_address",
    "siret": "siret",
    "password": "password",
}


def _signed(argument: str) -> tuple[str, str]:
    """The ends of a range that begins below zero: `-110--50`, `-10-60`."""
    low, _, high = argument[1:].partition("-")
    return f"-{low}", high


def _with_luhn(digits: str) -> str:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(digits, len(digits) % 2 + 1)]
    return digits + str(-sum(value - 9 * (value > 9) for value in doubled) % 10)
