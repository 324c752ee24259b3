"""Values to learn from: mimesis for people and places, everything else made here. Of the quality set it knows no list and no form."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from itertools import islice, product
from pathlib import Path

import yaml
from mimesis import Generic
from mimesis.locales import Locale

LOCALES = ("en", "en-gb", "de", "de-ch", "fr", "es", "es-mx", "pt", "pt-br", "it", "nl", "pl", "sv", "da")
TODAY = date(2025, 3, 1)
_WORDS: dict[str, tuple[str, ...]] = {
    name: tuple(words) for name, words in yaml.safe_load(Path(__file__).with_name("words.yaml").read_text("utf-8")).items()
}
_HEX = "0123456789abcdef"
_CAPITALS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_KEYS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

Make = Callable[[], str]


class Maker:
    """Makes columns of values in one locale. Every call of a recipe is a column with a style of its own."""

    def __init__(self, locale: str, dice: random.Random) -> None:
        self.locale, self.dice = locale, dice
        self.fake = Generic(locale=Locale(locale), seed=dice.randrange(1 << 30))
        self.at = dice.randrange(1, 90_000)

    def column(self, recipe: str, count: int) -> list[str]:
        """`count` values by a recipe: the name of a method, behind a colon its argument."""
        kind, _, argument = recipe.partition(":")
        maker: Callable[..., Make] = getattr(self, kind)
        make = maker(argument) if argument else maker()
        few = self.dice.random() < 0.12 and kind not in ("serial", "pick", "uuid")  # the same values again and again
        values = [make() for _ in range(max(2, count // 6) if few else count)]
        return self.dice.choices(values, k=count) if few else values

    def _of(self, text: str) -> str:
        return self.dice.choice(text.split(" "))

    def _digits(self, count: int) -> str:
        return "".join(self.dice.choices("0123456789", k=count))

    def _mask(self, mask: str) -> str:
        """`9` a digit, `A` a capital, `x` a letter or digit, `h` a hexadecimal one."""
        pick = {"9": "0123456789", "A": _CAPITALS, "x": _KEYS, "h": _HEX}
        return "".join(self.dice.choice(pick[sign]) if sign in pick else sign for sign in mask)

    def _word(self) -> str:
        return "".join(self._one(_WORDS["onsets"]) + self._one(_WORDS["rhymes"]) for _ in range(self.dice.randint(1, 3))).capitalize()

    def _one(self, some: list[str] | tuple[str, ...]) -> str:
        return self.dice.choice(some)

    def _cased(self, make: Make) -> Make:
        """Some columns are in capitals, some in small letters, some hold names that no list knows."""
        style, strange = self.dice.random(), self.dice.choice((0.0, 0.1, 0.3, 0.6, 1.0))
        case = str.upper if style < 0.18 else str.lower if style < 0.24 else str
        return lambda: case(self._word() if self.dice.random() < strange else make())

    # people
    def first(self) -> Make:
        return self._cased(self.fake.person.first_name)

    def last(self) -> Make:
        return self._cased(self.fake.person.last_name)

    def middle(self) -> Make:
        if self.dice.random() < 0.6:
            dot = self.dice.choice(("", "."))
            return lambda: self.dice.choice(_CAPITALS) + dot
        return self.first()

    def full(self) -> Make:
        first, last = self.first(), self.last()
        style = self.dice.random()
        if style < 0.2:
            return lambda: f"{last()}, {first()}"
        if style < 0.3:
            return lambda: f"{first()} {self.dice.choice(_CAPITALS)}. {last()}"
        if style < 0.4:
            return lambda: f"{first()} {last()} {last()}"
        return lambda: f"{first()} {last()}"

    def user(self) -> Make:
        first, last = self.fake.person.first_name, self.fake.person.last_name
        style = self.dice.random()
        if style < 0.3:
            return lambda: f"{first()[:1]}{last()}".lower().replace(" ", "")
        if style < 0.55:
            return lambda: f"{first()}.{last()}".lower().replace(" ", "")
        if style < 0.8:
            return lambda: f"{first()}{self.dice.choice(('', '_', '-'))}{self.dice.randint(1, 2010)}".lower()
        return lambda: self.fake.person.username()

    def salutation(self) -> Make:
        some = self.dice.choice(
            ("Mr Mrs Ms Dr", "Herr Frau", "M. Mme Mlle", "Sr. Sra.", "Mr. Ms.", "Dr. Prof. Hr. Fr.", "Sr. Sra. Dr. Dra.", "Dhr. Mevr.")
        )
        return lambda: self._of(some)

    def mail(self) -> Make:
        user, hosts = (
            self.user(),
            [f"{self._word().lower()}.{self.dice.choice(('com', 'de', 'org', 'co.uk', 'net', 'br'))}" for _ in range(6)],
        )
        return lambda: f"{user()}@{self._one(hosts)}"

    def phone(self) -> Make:
        style = self.dice.random()
        if style < 0.5:
            return self.fake.person.phone_number
        mask = self._one(_WORDS["phones"])
        return lambda: self._mask(mask)

    def born(self) -> Make:
        return self._day(18 * 365, 80 * 365) if self.dice.random() < 0.8 else self._day(200, 95 * 365)

    def past(self) -> Make:
        return self._day(1, self.dice.choice((60, 400, 1500, 6000)))

    def future(self) -> Make:
        return self._day(-self.dice.choice((200, 900, 3000)), 30)

    def _day(self, least: int, most: int) -> Make:
        low, high = sorted((least, most))
        form = self.dice.choice(("%Y-%m-%d",) * 6 + ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%Y-%m-%d 00:00:00"))
        return lambda: (TODAY - timedelta(days=self.dice.randint(low, high))).strftime(form)

    def age(self) -> Make:
        low = self.dice.choice((0, 18, 18, 25))
        return lambda: str(int(self.dice.triangular(low, 95, 40)))

    def sex(self) -> Make:
        some = self._one(_WORDS["sexes"])
        return lambda: self._of(some)

    def union(self) -> Make:
        some = self._one(_WORDS["unions"])
        return lambda: self._of(some)

    def faith(self) -> Make:
        some = self._one(_WORDS["faiths"])
        return lambda: self._of(some)

    def people(self) -> Make:
        some = self._one(_WORDS["peoples"])
        return lambda: self._of(some)

    def nation(self) -> Make:
        some = [self.fake.person.nationality() for _ in range(12)]
        return lambda: self._one(some)

    def job(self) -> Make:
        return lambda: self.fake.person.occupation().split(" / ")[0]

    # places
    def street(self) -> Make:
        style, address = self.dice.random(), self.fake.address
        if style < 0.55:
            return lambda: address.address().replace("\n", " ")
        if style < 0.8:
            return address.street_name
        return lambda: f"{self._word()} {self.dice.choice(('Street', 'Road', 'Ave', 'straße', 'weg', 'Lane'))} {self.dice.randint(1, 300)}"

    def house(self) -> Make:
        letters = self.dice.random() < 0.6
        return lambda: (
            f"{int(self.dice.paretovariate(0.6)) % 400 + 1}{self.dice.choice(('', '', '', '', 'a', 'B', '-2')) if letters else ''}"
        )

    def unit(self) -> Make:
        some = self.dice.choice(("Apt {}", "Apt. {}", "Unit {}", "{}. OG", "Bât. {}", "Piso {}", "Suite {}", "#{}"))
        return lambda: some.format(self.dice.randint(1, 60))

    def city(self) -> Make:
        return self._cased(self.fake.address.city)

    def region(self) -> Make:
        abbr = self.dice.random() < 0.35
        return lambda: self.fake.address.state(abbr=abbr)

    def zip(self) -> Make:
        return self.fake.address.postal_code

    def country(self) -> Make:
        style = self.dice.random()
        some = [
            self.fake.address.country_code() if style < 0.5 else self.fake.address.country() for _ in range(self.dice.choice((3, 10, 60)))
        ]
        return lambda: self._one(some)

    def address(self) -> Make:
        sign = self.dice.choice((", ", " ", "; "))
        a = self.fake.address
        return lambda: sign.join((a.address().replace("\n", " "), f"{a.postal_code()} {a.city()}"))

    def lat(self) -> Make:
        places = self.dice.randint(4, 8)
        low, high = self.dice.choice(((-85, 85), (35, 60), (47, 54), (-35, 5)))
        return lambda: f"{self.dice.uniform(low, high):.{places}f}"

    def lon(self) -> Make:
        places = self.dice.randint(4, 8)
        low, high = self.dice.choice(((-179, 179), (-10, 30), (5, 15), (-124, -70)))
        return lambda: f"{self.dice.uniform(low, high):.{places}f}"

    def point(self) -> Make:
        lat, lon = self.lat(), self.lon()
        form = self.dice.choice(("({},{})", "{}, {}", "{},{}"))
        return lambda: form.format(lat(), lon())

    # numbers that stand for people
    def mask(self, text: str) -> Make:
        return lambda: self._mask(text)

    def masks(self, text: str) -> Make:
        """One of several masks, for the whole column."""
        return self.mask(self._of(text.replace("|", " ")))

    def cpf(self) -> Make:
        def make() -> str:
            body = [self.dice.randint(0, 9) for _ in range(9)]
            for _ in range(2):
                rest = sum(d * w for d, w in zip(body, range(len(body) + 1, 1, -1), strict=True)) * 10 % 11
                body.append(rest % 10)
            return "".join(map(str, body))

        return make

    def dni(self) -> Make:
        def make() -> str:
            number = self.dice.randint(10_000_000, 79_999_999)
            return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"

        return make

    def luhn(self, text: str) -> Make:
        """A mask whose last digit makes the number pass Luhn's check."""

        def make() -> str:
            body = self._mask(text)
            total = sum(int(d) if place % 2 else sum(divmod(2 * int(d), 10)) for place, d in enumerate(reversed(body)))
            return f"{body}{-total % 10}"

        return make

    def iban(self) -> Make:
        code, length = self.dice.choice((("DE", 18), ("FR", 23), ("ES", 20), ("NL", 14), ("PT", 21)))
        spaced = self.dice.random() < 0.3

        def make() -> str:
            body = self._digits(length) if code != "NL" else self._mask("AAAA9999999999")
            number = int("".join(str(int(sign, 36)) for sign in f"{body}{code}00"))
            text = f"{code}{98 - number % 97:02}{body}"
            return " ".join(text[at : at + 4] for at in range(0, len(text), 4)) if spaced else text

        return make

    def bic(self) -> Make:
        lands = ("DE", "FR", "ES", "US", "GB", "NL")
        count = self.dice.choice((5, 30))
        some = [self._mask("AAAA") + self._one(lands) + self._mask(self._one(("AA", "A9", "AAXXX"))) for _ in range(count)]
        return lambda: self._one(some)

    def expiry(self) -> Make:
        form = self.dice.choice(("{:02}/{:02}", "{:02}/20{:02}", "{:02}{:02}", "{:02}-{:02}"))
        return lambda: form.format(self.dice.randint(1, 12), self.dice.randint(24, 32))

    # money and measures
    def pay(self) -> Make:
        middle, step = self.dice.choice((2_800, 4_500, 38_000, 65_000, 90_000)), self.dice.choice((1, 50, 100, 500))
        return lambda: (
            f"{round(self.dice.lognormvariate(0, 0.35) * middle / step) * step}{self.dice.choice(('', '.00')) if step == 50 else ''}"
        )

    def money(self) -> Make:
        top = self.dice.choice((20, 200, 5_000, 90_000))
        ninety = self.dice.random() < 0.3
        return lambda: f"{int(self.dice.random() ** 2 * top) + (0.99 if ninety else self.dice.random()):.2f}"

    def signed(self) -> Make:
        return lambda: f"{self.dice.gauss(900, 2500):.2f}"

    def number(self, text: str = "0-100") -> Make:
        low, _, high = text.partition("-")
        return lambda: str(self.dice.randint(int(low), int(high)))

    def real(self) -> Make:
        places, top = self.dice.randint(1, 7), self.dice.choice((1, 10, 100, 1000))
        return lambda: f"{self.dice.uniform(0, top):.{places}f}"

    def pressure(self) -> Make:
        return lambda: f"{self.dice.randint(90, 170)}/{self.dice.randint(50, 105)}"

    def serial(self) -> Make:
        step = self.dice.choice((1, 1, 1, 3))

        def make() -> str:
            self.at += step
            return str(self.at)

        return make

    # online
    def ip(self) -> Make:
        head = self.dice.choice(("10.", "192.168.", "", ""))
        parts = 4 - head.count(".")
        return lambda: head + ".".join(str(self.dice.randint(1, 254)) for _ in range(parts))

    def uuid(self) -> Make:
        return lambda: self._mask("hhhhhhhh-hhhh-4hhh-ahhh-hhhhhhhhhhhh")

    def agent(self) -> Make:
        return self.fake.internet.user_agent

    def token(self, text: str) -> Make:
        size = int(text)
        style = self.dice.random()
        if style < 0.4:
            return lambda: self._mask("h" * size)
        if style < 0.7:
            return lambda: self._mask("x" * size)
        return lambda: base64.b64encode(self.dice.randbytes(size)).decode()[:size]

    def bcrypt(self) -> Make:
        return lambda: "$2y$10$" + self._mask("x" * 53)

    def password(self) -> Make:
        return lambda: self._mask(self.dice.choice(("xxxxxxx!9", "Axxxx99xx", "xxxx-xxxx", "xxxxxxxxxx#", "Axxxxx1!")))

    def url(self) -> Make:
        host, tail = (
            f"https://{self._word().lower()}.{self.dice.choice(('com', 'io', 'de'))}/",
            self.dice.choice(("img/hhhhhh.png", "p/99999", "xxxx/xxxx", "doc?id=999")),
        )
        return lambda: host + self._mask(tail)

    def profile(self) -> Make:
        head, user = (
            self.dice.choice(("https://twitter.com/", "https://www.linkedin.com/in/", "https://github.com/", "@", "https://facebook.com/")),
            self.user(),
        )
        return lambda: head + user()

    # health
    def drug(self) -> Make:
        strong = self.dice.random() < 0.6
        names = list(islice(map("".join, product(_WORDS["drugs"], _WORDS["drug_ends"])), 0, None, 7))
        return lambda: (
            self._one(names)
            + (f" {self.dice.choice((5, 10, 20, 25, 75, 100, 250))}{self.dice.choice(('mg', ' mg', ' MG'))}" if strong else "")
        )

    def ill(self) -> Make:
        some = _WORDS["ills"]
        return lambda: self._one(some)

    def icd(self) -> Make:
        return lambda: self._mask(self.dice.choice(("A99.9", "A99", "A99.99")))

    def blood(self) -> Make:
        return lambda: self._of("A+ B+ 0+ AB+ A- O- O+ AB-")

    # text
    def speech(self) -> Make:
        some = _WORDS["speech_de"] if self.locale.startswith("de") else _WORDS["speech"]
        parts = {"full": self.full(), "first": self.first(), "mail": self.mail(), "phone": self.phone()}
        longer = self.dice.random() < 0.5

        def make() -> str:
            text = self._one(some).format(**{name: part() for name, part in parts.items()})
            return f"{text} {self.fake.text.sentence()[:200]}" if longer else text

        return make

    def prose(self) -> Make:
        return lambda: self.fake.text.sentence()[:300]

    def blurb(self) -> Make:
        return lambda: " ".join(
            self._one(_WORDS["wares"]) + " " + self._one(_WORDS["goods"]) + self.dice.choice((".", ",", ""))
            for _ in range(self.dice.randint(3, 7))
        )

    def ware(self) -> Make:
        style = self.dice.random()
        if style < 0.35:
            return lambda: f"{self._one(_WORDS['wares']).title()} {self._one(_WORDS['goods']).title()}"
        if style < 0.6:
            return lambda: f"{self._word()} {self._one(_WORDS['goods'])} {self.dice.randint(1, 900)}"
        if style < 0.8:
            return self.fake.food.dish
        return lambda: f"{self._word()} {self._one(_WORDS['roots'])}"

    def word(self) -> Make:
        style = self.dice.random()
        if style < 0.5:
            return self.fake.text.word
        return self._word

    def title(self) -> Make:
        return lambda: " ".join(self.fake.text.word() for _ in range(self.dice.randint(2, 5))).capitalize()

    def firm(self) -> Make:
        style = self.dice.random()
        if style < 0.4:
            return self.fake.finance.company
        if style < 0.6:
            return lambda: f"{self.fake.person.last_name()} {self._one(_WORDS['forms'])}"
        return lambda: f"{self._one(_WORDS['roots'])}{self.dice.choice(('', ' '))}{self._word().lower()} {self._one(_WORDS['forms'])}"

    def team(self) -> Make:
        return lambda: self._one(_WORDS["teams"])

    def state(self) -> Make:
        return self._among(_WORDS["states"])

    def kind(self) -> Make:
        return self._among(_WORDS["kinds"])

    def _among(self, usual: tuple[str, ...]) -> Make:
        """One of a few words: usual ones, or any; of every length, alphabet and case."""
        style, case = self.dice.random(), self._one((str, str, str.upper, str.lower, str.title))  # type: ignore[arg-type]
        if style < 0.25:
            some = self._one(usual)
            return lambda: self._of(some)
        count = self.dice.choice((2, 2, 3, 3, 4, 5, 6, 8, 12, 20))
        if style < 0.7:
            words = [case(self.fake.text.word()) for _ in range(count)]  # type: ignore[operator]
        elif style < 0.8:
            words = [case(f"{self.fake.text.word()}{self._one((' ', '_', '-'))}{self.fake.text.word()}") for _ in range(count)]  # type: ignore[operator]
        else:
            mask = self._one(("A", "AA", "AAA", "9", "99", "A9", "99/99", "9999/99", "9.9", "AAAA"))
            words = [self._mask(mask) for _ in range(count)]
        return lambda: self._one(words)

    def flag(self) -> Make:
        some = self.dice.choice(("true false", "0 1", "Y N", "t f", "yes no"))
        return lambda: self._of(some)

    def code(self) -> Make:
        head = self.dice.choice(("", "", "SKU-", "ART", "INV-2024-", "PO", "X-", "K"))
        tail = self.dice.choice(("9999", "999999", "AA-999", "99-9999", "AAA9", "99999999", "A9A9A9", "xxxxxx"))
        return lambda: head + self._mask(tail)

    def stamp(self) -> Make:
        form = self.dice.choice(("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.123456+00"))
        start = datetime.combine(TODAY, time.min)
        return lambda: (start - timedelta(seconds=self.dice.randint(0, 130_000_000))).strftime(form)

    def epoch(self) -> Make:
        return lambda: str(1_500_000_000 + self.dice.randint(0, 220_000_000))

    def hour(self) -> Make:
        return lambda: f"{self.dice.randint(0, 23):02}:{self.dice.randint(0, 59):02}"

    def year(self) -> Make:
        return lambda: str(self.dice.randint(1980, 2025))

    def json(self) -> Make:
        return lambda: f'{{"v": {self.dice.randint(1, 99)}, "src": "{self._word().lower()}"}}'

    def path(self) -> Make:
        return lambda: (
            f"/{self._word().lower()}/{self._word().lower()}/{self.dice.randint(1, 999)}.{self.dice.choice(('pdf', 'csv', 'log'))}"
        )

    def version(self) -> Make:
        return lambda: f"{self.dice.randint(0, 12)}.{self.dice.randint(0, 40)}.{self.dice.randint(0, 9)}"
