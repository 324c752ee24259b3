"""Counts: the same as a slow loop over `re`, for any value; and nothing in them that gives a value away."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import SUPPORTED_REGIONS, PhoneNumberType, example_number_for_type, format_number

from shared.contracts.asset import ColumnEvidence
from shared.evidence.count import count_column, count_columns
from shared.evidence.detector import Found
from shared.evidence.detectors import BY_NAME, DETECTORS
from shared.evidence.lines import clean
from tests.shared.evidence.examples import DICE, ORACLES, digits, search

LONGEST = 60
WHOLE = [(detector, re.compile(detector.pattern.encode())) for detector in DETECTORS if not (detector.inside or detector.least)]


def slow(values: list[str]) -> dict[str, tuple[int, int, int]]:
    """The reference: every detector, every value, one by one; validators with a limit are not followed, lists left out."""
    counts: dict[str, list[int]] = {}
    for value in values:
        raw = clean(value, LONGEST).encode()
        for detector, form in WHOLE:
            if form.fullmatch(raw):
                tally = counts.setdefault(detector.name, [0, 0, 0])
                tally[0] += 1
                if detector.validator and not detector.most:
                    tally[1] += 1
                    tally[2] += bool(detector.validator(Found([raw]))[0])
    return {name: (tally[0], tally[1], tally[2]) for name, tally in counts.items()}


def fast(values: list[str]) -> dict[str, tuple[int, int, int]]:
    """What `count_column` says, in the form of the reference."""
    found = count_column(values, longest=LONGEST).matches
    whole = [match for match in found if not (BY_NAME[match.detector].inside or BY_NAME[match.detector].least)]
    return {m.detector: (m.matched, *((0, 0) if BY_NAME[m.detector].most else (m.checked, m.valid))) for m in whole}


generated = st.one_of(
    [
        st.from_regex(re.compile(detector.pattern.encode()), fullmatch=True).map(lambda raw: raw.decode("utf-8", "replace"))
        for detector, _ in WHOLE
    ]
)
VALUES = st.lists(
    st.one_of(st.text(max_size=80), generated, st.sampled_from(["", " ", "a\nb", "\x00", "\ud800", "4111111111111111"])), max_size=70
)


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_counts_are_exact_for_any_value(values: list[str]) -> None:
    """Newlines, NUL, surrogates, blanks, long and repeated values: the counts are those of the slow loop."""
    assert fast(values) == slow(values)


@settings(max_examples=12, deadline=None)
@given(st.lists(generated, min_size=40, max_size=60), st.integers(1, 3))
def test_many_shapes_take_the_other_path_to_the_same_counts(values: list[str], times: int) -> None:
    """Columns with few shapes and with many are read in different ways, with one result."""
    assert fast(values * times) == slow(values * times)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=3000), max_size=8))
def test_a_tally_never_exceeds_what_was_looked_at(values: list[str]) -> None:
    """valid <= checked <= matched <= sampled, for every detector."""
    evidence = count_column(values)
    assert all(m.valid <= m.checked <= m.matched <= evidence.sampled == len(values) for m in evidence.matches)


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_a_valid_value_is_found_and_a_broken_one_is_not(name: str) -> None:
    """Each detector with a checksum counts its own values as valid, and with one digit changed as not."""
    make, judge = ORACLES[name]
    good = [search(make, judge) for _ in range(6)]
    bad = [search(make, lambda value: not judge(value)) for _ in range(4)]
    match = {m.detector: m for m in count_column(good + bad).matches}[name]
    assert (match.matched, match.checked, match.valid) == (10, 10, 6)


GOOD = {
    "email": ["ann.b+c@mail.example.org", "x@y.co"],
    "phone": ["+49 30 901820", "+1 212 555 0123", "+442079460000"],
    "phone_nanp": ["(212) 555-0123", "212-555-0123", "1-212-555-0123"],
    "iban": ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000"],
    "us_ssn": ["219-09-9998"],
    "uk_nino": ["AB 12 34 56 C", "AB123456C"],
    "ipv4": ["10.1.2.3", "192.0.2.255"],
    "ipv6": ["2001:db8::1", "::1", "fe80:0:0:0:1:2:3:4"],
    "mac_address": ["00:1B:44:11:3A:B7", "001b.4411.3ab7"],
    "uuid": ["6f1c2a34-9d1e-4a55-8d7c-0b8f3f6c1a22"],
    "url": ["https://example.org/a?b=c", "HTTP://x.de"],
    "vin": ["1M8GDM9AXKP042788"],
    "date_iso": ["2024-02-29", "1999-12-31"],
    "datetime": ["2024-02-29T10:00:00Z", "2024-02-29 10:00:00.123456+00"],
    "time": ["23:59", "07:15:30", "7:15 pm"],
    "birth_date": ["1961-04-12"],
    "coordinates": ["52.5200, 13.4050", "(-33.8688,151.2093)"],
    "us_zip": ["94110", "94110-1234"],
    "uk_postcode": ["SW1A 1AA", "M1 1AE"],
    "ca_postal_code": ["K1A 0B1"],
    "currency_amount": ["$1,234.50", "12,50 €", "EUR 100"],
    "icd10": ["E11.9", "J45"],
    "us_ndc": ["0002-7597-01"],
    "jwt": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"],
    "aws_access_key": ["AKIA" + "ABCDEFGH234567AB"],
    "github_token": ["ghp_" + "a1B2" * 9],
    "private_key": ["-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"],
    "password_hash": ["$2b$12$" + "a" * 53, "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"],
    "hex_digest": ["0f" * 16, "0f" * 32],
    "boolean": ["true", "N"],
    "gender": ["female", "M"],
    "blood_type": ["AB+", "0 neg"],
    "bitcoin_address": ["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"],
    "json_object": ['{"a": 1}', '[{"a": 2}]'],
    "street_address": ["12 Oak Street", "Hauptstraße 5", "Rue Cler 9"],
    "us_mbi": ["1EG4-TE5-MK73"],
    "us_npi": ["1234567893"],
    "us_dea": ["AB1234563"],
    "mx_curp": ["BADD110313HCMLNS06"],
    "za_id": ["8001015009087"],
    "se_personnummer": ["811228-9874", "19811228-9874"],
    "dk_cpr": ["211062-5629"],
    "jp_my_number": ["123456789018"],
    "sg_nric": ["S1234567D"],
    "de_personalausweis": ["T220001293"],
    "in_pan": ["ABCPE1234F"],
    "au_medicare": ["2123456701"],
    "eu_vat": ["DE136695976", "ATU13585627"],
    "passport_mrz": ["L898902C36UTO7408122F1204159ZE184226B<<<<<10"],
    "cz_rodne_cislo": ["710319/2745"],
    "isbn_10": ["0-306-40615-2", "080442957X"],
    "high_entropy_secret": ["wJalrXUtnFEMIK7MDENGbPxRfiCYzEXAMPLEKEY1"],
    "given_name": ["MARY", "Jürgen", "josé"],
    "family_name": ["Smith", "Müller"],
    "full_name": ["Ann Smith", "MÜLLER, JÜRGEN"],
    "firm_name": ["Wolters & Brandt GmbH", "SARL Moulin Vert", "Acme Widgets, Inc.", "Vidal y Hijos", "Nordlys A/S", "Olive S.p.A."],
    "city_name": ["Boston", "MÜNCHEN", "St. Petersburg"],
    "country_name": ["France", "Deutschland", "BRA"],
    "region_name": ["Texas", "Bayern"],
    "region_code": ["TX", "CA"],
    "occupation": ["Accountant", "Ärztin"],
    "nationality": ["Brazilian", "Française"],
    "drug_name": ["Warfarin natrium and amlodipine"],
    "illness_name": ["Chronic pancreatitis", "Anemia, iron deficiency"],
}


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_detector_knows_its_own(name: str) -> None:
    """Every form of the value is matched, and passes the checksum where there is one."""
    values = GOOD[name]
    match = {m.detector: m for m in count_column(values).matches}.get(name)
    assert match is not None
    assert match.matched == len(values)
    assert match.valid == match.checked == (len(values) if BY_NAME[name].validator else 0)


def strong(values: list[str]) -> set[str]:
    """Detectors that count for something here: neither weak, nor passed by few."""
    return {m.detector for m in count_column(values).matches if not BY_NAME[m.detector].weak and (not m.checked or m.valid * 2 > m.matched)}


TRAPS = {
    "years are not card codes": ([str(year) for year in range(1950, 2025)], set()),
    "sequence numbers are nothing": ([str(number) for number in range(1, 3000, 7)], set()),
    "order numbers are not days": ([f"{number}" for number in range(20240101, 20240400)], set()),
    "ids with a letter are no driver's licence": ([f"D{digits(7)}" for _ in range(60)], set()),
    "words are not bank identifiers": (["CUSTOMER", "PRODUCTS", "ABSOLUTE", "DATABASE"], set()),
    "flags are not e-mail": (["true", "false"], set()),
    "parts of a UUID are nothing": (["6f1c2a34", "9d1e4a55", "8d7c0b8f"], set()),
    "a mail host is no address": (["mail.example.org", "smtp.example.net"], set()),
    "prices are not coordinates": (["12.50", "8.99", "100.00"], set()),
    "version numbers of three parts are no addresses": (["1.2.3", "10.4.11"], set()),
    "times are not IPv6": (["12:30:45", "08:15:00"], {"time"}),
    "random nine-digit ids pass no checksum as a column": ([digits(9) for _ in range(150)], set()),
    "random eleven-digit ids pass no checksum as a column": ([digits(11) for _ in range(150)], set()),
    "random sixteen-digit ids are no cards": (["9" + digits(15) for _ in range(50)], set()),
}


@pytest.mark.parametrize("trap", sorted(TRAPS))
def test_what_others_report_wrongly_is_not_reported(trap: str) -> None:
    """Known false positives of other tools match weakly at most."""
    values, expected = TRAPS[trap]
    assert strong(values) == expected


def test_owners_alone_are_no_firm() -> None:
    """Somebody's sons are no firm, and a form without a name before it neither; one firm of six is none told."""
    for values in (
        ["Three sons", "Sons and daughters", "GmbH", "Ltd"],
        ["Ada Byron", "Max Born", "Lise Meitner", "Emmy Noether", "A Ltd", "Bo Li"],
    ):
        assert "firm_name" not in {match.detector for match in count_column(values).matches}


def test_goods_are_nobodys_names() -> None:
    """A list of words tells only of columns in which it is frequent."""
    goods = ["steel bolt M8", "Copper wire", "rubber seal", "Wing nut", "Hex key", "flat washer", "Hammer"]
    assert not [m for m in count_column(goods).matches if BY_NAME[m.detector].least]


def test_text_is_searched_within() -> None:
    """A value that holds an e-mail, a card number or a key inside sentences is counted once for each."""
    notes = [
        "please mail ann@example.org or bob@example.org today",
        "card 4111 1111 1111 1111 was declined again",
        "ssn was 219-09-9998 as told",
    ]
    counts = {m.detector: (m.matched, m.checked, m.valid) for m in count_column([*notes, *notes, "all is well here today"]).matches}
    assert counts == {"text_email": (2, 0, 0), "text_card_pan": (2, 2, 2), "text_us_ssn": (2, 2, 2)}


def test_one_card_in_a_thousand_is_seen() -> None:
    """A rare value with a checksum is counted, however many others there are."""
    counts = {m.detector: m.valid for m in count_column([f"ref {number}" for number in range(999)] + ["4111111111111111"]).matches}
    assert counts["card_pan"] == 1


def test_slow_validators_meet_a_few_values() -> None:
    """Tokens are unpacked a few times, and the number unpacked is told."""
    values = [f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{DICE.randint(1000000, 9999999)}.c2ln" for _ in range(200)]
    match = next(m for m in count_column(values).matches if m.detector == "jwt")
    assert (match.matched, 0 < match.checked <= 8, match.valid <= match.checked) == (200, True, True)


def test_numbers_of_every_country_are_telephone_numbers() -> None:
    """An independent library's example of each kind of number in each region passes."""
    kinds = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    numbers = [example_number_for_type(region, kind) for region in SUPPORTED_REGIONS for kind in kinds]
    values = [format_number(number, style) for number in numbers if number for style in (0, 1)]
    match = next(m for m in count_column(values).matches if m.detector == "phone")
    assert match.valid == match.checked == match.matched > 0.98 * len(values) > 800


def test_nulls_and_nothing() -> None:
    """A column without values has counts of nulls, and no more."""
    assert count_column([], nulls=3) == ColumnEvidence(nulls=3)
    assert [each.nulls for each in count_columns([[], ["x@y.org"], []], [1, 2, 3])] == [1, 2, 3]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", min_codepoint=161), min_size=4, max_size=12), min_size=1, max_size=40))
def test_evidence_never_spells_a_value(values: list[str]) -> None:
    """No value of other scripts appears in the evidence, whatever its letters."""
    told = count_column(values).to_json().decode()
    assert not any(value in told for value in values)


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="!#$%&*+-./:;<=>?@^_~ ", min_size=3, max_size=20), st.integers(5, 50))
def test_a_value_of_signs_alone_is_not_shown_however_common(value: str, times: int) -> None:
    """A shape needs five distinct values, so that a repeated password of signs is no shape."""
    assert count_column([value] * times).shapes == ()


def test_shapes_are_shared_capped_and_few() -> None:
    """Letters and digits of every script are mapped, long runs cut, at most eight shapes of at most 40 characters."""
    evidence = count_column([f"Ж{number:020d}ß-٣" for number in range(10)] + [chr(97 + n) * (n + 1) for n in range(9)])
    assert [(shape.pattern, shape.count) for shape in evidence.shapes] == [("A999999999999a-9", 10)]


def test_lengths_words_and_entropy_have_their_units() -> None:
    """Lengths in characters, words per value, bits per character."""
    evidence = count_column(["abab", "abababab cdcd"])
    assert (evidence.lengths.min, evidence.lengths.max, evidence.lengths.mean) == (4, 13, 8.5)  # type: ignore[union-attr]
    assert evidence.words == 1.5
    assert count_column(["", "", "a", "b c"]).words == 0.75
    assert count_column(["abab"]).entropy == 1.0


def test_names_are_unique_and_told() -> None:
    """At least 60 detectors, each with a name of its own, a sentence, and patterns without groups that capture."""
    assert len(BY_NAME) == len(DETECTORS) >= 60
    assert len({name[:2] for name in BY_NAME if name[2:3] == "_" and not name.startswith("eu_")}) >= 15  # countries
    assert all(detector.doc for detector in DETECTORS)
    assert all(re.compile(pattern.encode()).groups == 0 for detector in DETECTORS for pattern in detector.patterns)
    assert Counter(pattern for d in DETECTORS for pattern in d.patterns).most_common(1)[0][1] > 5
