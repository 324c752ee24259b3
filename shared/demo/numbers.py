"""Numbers with the check digits that their issuers define, each made from the rule, none from a list."""

from __future__ import annotations

from random import Random

SPANISH_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"  # letter = number mod 23
VIN_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
VIN_VALUES = {
    **{str(d): d for d in range(10)},
    **dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9), strict=True)),
}
VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def digits(random: Random, count: int, *, first: str = "0123456789") -> str:
    """`count` digits, the first one of `first`."""
    return random.choice(first) + "".join(str(random.randrange(10)) for _ in range(count - 1))


def luhn(body: str) -> str:
    """`body` with its Luhn digit (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def pan(random: Random) -> str:
    """A payment card number of 16 digits."""
    return luhn(random.choice(("4", "51", "55", "2221")).ljust(6, "1") + digits(random, 9))


def iban(random: Random, country: str, layout: str) -> str:
    """ISO 13616: `layout` has 9 for a digit; two check digits by mod 97."""
    body = "".join(str(random.randrange(10)) if mark == "9" else mark for mark in layout)
    rearranged = "".join(str(int(mark, 36)) for mark in f"{body}{country}00")
    return f"{country}{98 - int(rearranged) % 97:02}{body}"


def weighted(body: str, weights: tuple[int, ...], modulus: int) -> int:
    """The weighted digit sum, modulo."""
    return sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True)) % modulus


def ssn(random: Random) -> str:
    """US: area 001-665, no zero groups."""
    return f"{random.randrange(1, 666):03}-{random.randrange(1, 100):02}-{random.randrange(1, 10000):04}"


def steuer_id(random: Random) -> str:
    """DE: ten digits of which exactly one comes twice, and an ISO 7064 mod 11,10 digit."""
    pool = random.sample("0123456789", 9)
    while pool[0] == "0":
        random.shuffle(pool)
    pool.insert(random.randrange(1, 10), pool[random.randrange(9)])
    product = 10
    for digit in pool:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return "".join(pool) + str((11 - product) % 10)


def nir(random: Random) -> str:
    """FR social security: 13 digits and 97 minus the number mod 97."""
    body = f"{random.choice('12')}{random.randrange(50, 99)}{random.randrange(1, 13):02}{random.randrange(1, 96):02}{digits(random, 6)}"
    return body + f"{97 - int(body) % 97:02}"


def dni(random: Random) -> str:
    """ES: eight digits and the letter of mod 23."""
    number = random.randrange(10_000_000, 99_999_999)
    return f"{number}{SPANISH_LETTERS[number % 23]}"


def nif(random: Random) -> str:
    """PT: nine digits, mod 11."""
    body = digits(random, 8, first="1235")
    check = 11 - weighted(body, (9, 8, 7, 6, 5, 4, 3, 2), 11)
    return body + str(0 if check > 9 else check)


def siret(random: Random) -> str:
    """FR: nine digits with a Luhn digit, five more, again Luhn."""
    return luhn(luhn(digits(random, 8, first="345678")) + digits(random, 4))


def npi(random: Random) -> str:
    """US physicians: Luhn over 80840 and the number."""
    body = digits(random, 9, first="12")
    return body + luhn("80840" + body)[-1]


def aba(random: Random) -> str:
    """US routing number: 3-7-1 weights sum to a multiple of ten."""
    body = f"{random.randrange(1, 13):02}" + digits(random, 6)
    return body + str(-weighted(body, (3, 7, 1, 3, 7, 1, 3, 7), 10) % 10)


def vin(random: Random) -> str:
    """ISO 3779 with the North American check digit in place nine."""
    body = [random.choice(VIN_LETTERS) for _ in range(17)]
    body[8] = "0"
    rest = sum(VIN_VALUES[mark] * weight for mark, weight in zip(body, VIN_WEIGHTS, strict=True)) % 11
    body[8] = "X" if rest == 10 else str(rest)
    return "".join(body)


def ean13(random: Random) -> str:
    """GS1: weights 1 and 3."""
    body = digits(random, 12, first="45")
    return body + str(-weighted(body, (1, 3) * 6, 10) % 10)
