"""The verdict rules, by example and by law. No I/O."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier.domain.evidence import growth, lower_bound
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import UNTOLD
from shared.contracts.asset import Column, ColumnEvidence, ColumnVerdict
from tests.classifier.tables import column, seen, table

PERSON_TABLE = "kunden"


def judged(judge: Judge, *columns: Column | str, name: str = "zeilen") -> tuple[ColumnVerdict, ...]:
    return judge.judge([table(name, columns)])[0].columns


def one(judge: Judge, text: str, evidence: ColumnEvidence | None = None, *, name: str = "zeilen", **more: Any) -> ColumnVerdict:
    return judged(judge, column(text, evidence, **more), name=name)[0]


@pytest.mark.parametrize(
    ("text", "evidence", "expected"),
    [
        pytest.param("year_code:integer", seen(200, year=200, card_cvv=200), "none", id="a year is no verification code"),
        pytest.param("cvv", seen(200, year=200, card_cvv=200, mean=4.0), "none", id="even where the name says so"),
        pytest.param("email_verified:boolean", None, "none", id="a flag about an e-mail is no e-mail"),
        pytest.param("email", seen(200, domain=200), "none", id="a mail host is no e-mail"),
        pytest.param("card_number", seen(200, card_pan=(200, 200, 20)), "none", id="numbers that fail the checksum are no cards"),
        pytest.param("order_id:bigint", seen(200, card_pan=(180, 180, 18)), "none", id="order numbers pass Luhn by chance"),
        pytest.param("x", seen(200, card_pan=(200, 200, 200)), "card_pan", id="a checksum needs no name"),
        pytest.param("x", seen(200, person_name=200), "none", id="two capitalised words alone are nobody's name"),
        pytest.param("empfaenger", seen(200, person_name=190), "full_name", id="with a person in the name they are"),
        pytest.param("beleg_text", seen(200, firm_name=(200, 16, 6)), "company_name", id="legal forms behind some names tell of firms"),
        pytest.param("first_name", seen(200, distinct=2), "none", id="two different values are no names"),
        pytest.param("x:uuid", seen(200, uuid=200), "none", id="a UUID is nothing by itself"),
        pytest.param("license", None, "none", id="a licence alone is none of a driver"),
        pytest.param("x:inet", None, "ip_address", id="a type may say it"),
        pytest.param("client_version", seen(200, ipv4=200), "none", id="a version with four parts is no address"),
    ],
)
def test_known_traps(judge: Judge, text: str, evidence: ColumnEvidence | None, expected: str) -> None:
    """What other classifiers are known to get wrong."""
    assert one(judge, text, evidence).class_name == expected


def test_without_samples_it_works_and_is_less_sure(judge: Judge) -> None:
    """The name alone gives the class; values that fit raise the confidence."""
    blind, sighted = one(judge, "email"), one(judge, "email", seen(200, email=200))
    assert blind.class_name == sighted.class_name == "email"
    assert blind.confidence < sighted.confidence


def test_an_organisations_own_phone_is_no_persons(judge: Judge) -> None:
    """By the column's own words or by its table; a contact person stays a person."""
    assert one(judge, "company_phone", name=PERSON_TABLE).class_name == "company_phone"
    assert one(judge, "phone", name="suppliers").class_name == "company_phone"
    assert one(judge, "phone", name=PERSON_TABLE).class_name == "phone"
    assert one(judge, "contact_name", name="suppliers").class_name == "full_name"
    found = judged(judge, "contact_name", "phone", "email", name="suppliers")
    assert [verdict.class_name for verdict in found] == ["full_name", "company_phone", "email"]


def test_columns_tell_that_a_table_is_about_organisations(judge: Judge) -> None:
    """By a tax number or several names of organisations, and no word of a person."""
    assert [v.class_name for v in judged(judge, "vat_number", "city", "phone")] == ["company_tax_id", "company_address", "company_phone"]
    assert [v.class_name for v in judged(judge, "employer", "first_name", "city", "phone")][2:] == ["city", "phone"]


def test_customers_whose_names_are_firms_are_firms(judge: Judge) -> None:
    """A third with a legal form tells of all; where people stand between them, or a person is named besides, addresses stay theirs."""
    firms, mixed = seen(200, firm_name=(200, 16, 5)), seen(200, firm_name=(200, 16, 5), full_name=(200, 16, 5))

    def labels(names: ColumnEvidence, *more: str) -> list[str]:
        return [verdict.class_name for verdict in judged(judge, column("full_name", names), "phone", "street", *more, name=PERSON_TABLE)]

    assert labels(firms) == ["company_name", "company_phone", "company_address"]
    assert labels(mixed) == ["full_name", "phone", "street"]
    assert labels(firms, "first_name")[1:3] == labels(firms, "birth_date:date")[1:3] == ["phone", "street"]
    assert labels(seen(200, firm_name=(200, 16, 5), person_name=170)) == ["full_name", "phone", "street"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numero_de_telefono", "phone"),
        ("numero_de_cuenta", "bank_account"),
        ("numero_de_pasaporte", "passport"),
        ("num_de_tel", "phone"),
        ("numero_de_carte", "card_pan"),
        ("number_of_passport", "passport"),
        ("number_of_guests", "none"),
        ("num_employees:integer", "none"),
    ],
)
def test_how_many_is_no_number_of_somebody(judge: Judge, text: str, expected: str) -> None:
    """What several people are counted by; the number of one thing is that thing's."""
    assert one(judge, text, name=PERSON_TABLE).class_name == expected


def test_people_in_a_table_of_codes_are_people(judge: Judge) -> None:
    """Whatever the table is called: first and last names are nobody else's."""
    found = judged(judge, "first_name", "last_name", "gender", name="kyc_lookup")
    assert [verdict.class_name for verdict in found] == ["first_name", "last_name", "gender"]


def test_remarks_beside_a_person_may_be_about_one(judge: Judge) -> None:
    """Beside a column that names a person they are free text; those on things are nothing."""
    assert one(judge, "remarks", name="zeilen").class_name == "none"
    assert judged(judge, "remarks", "guest_id:bigint", name="zeilen")[0].class_name == "free_text"


@pytest.mark.parametrize(
    "text",
    ["series_no", "express_no", "invalid:boolean", "apart", "policies", "expected", "remote", "linked", "accion", "mortgage:numeric"],
)
def test_common_words_are_none_cut_bent_or_joined(judge: Judge, text: str) -> None:
    """They look like a serial number, an expiry, an apartment, police, pay, an address, a profile, a shareholder, death and salary."""
    assert one(judge, text, name=PERSON_TABLE).class_name == "none"


def test_addresses_of_several_words_are_no_text(judge: Judge) -> None:
    """Text is what something stands within, not what is a street as a whole in some of the rows."""
    assert one(judge, "x", seen(100, street_address=8, free_text=True)).class_name == "none"
    assert one(judge, "x", seen(100, text_email=8, free_text=True)).class_name == "free_text"


def test_where_nothing_is_said_nothing_is_sure(judge: Judge) -> None:
    """A column may hold something though no rule and no value tells so."""
    assert (one(judge, "zzyx").class_name, one(judge, "zzyx").confidence) == ("none", UNTOLD)
    assert one(judge, "status").confidence == UNTOLD


def test_where_things_go_and_where_they_come_from(judge: Judge) -> None:
    """A name beside a delivery is a person's; a country of origin is a thing's."""
    assert one(judge, "nom_livraison", name="commandes").class_name == "full_name"
    assert judged(judge, "country_of_origin", "city", "street")[0].class_name == "none"
    assert (
        judged(judge, "country_code", "phone_prefix", "mayor_email", name="countries")[0].class_name == "none"
    )  # a list of places is about nobody


def test_a_title_beside_a_name_is_a_salutation_where_it_is_short(judge: Judge) -> None:
    """Long ones are titles of something."""
    assert judged(judge, column("title", seen(200, mean=2.5, distinct=4)), "first_name")[0].class_name == "salutation"
    assert judged(judge, column("title", seen(200, mean=31.0)), "first_name")[0].class_name == "none"


def test_a_schema_of_things_may_have_a_table_of_people(judge: Judge) -> None:
    """First and last names say so; without them a picture is of a thing."""
    columns = [column(text) for text in ("first_name", "last_name", "age:integer", "photo")]
    found = judge.judge([table("accounts", columns, schema="catalog"), table("accounts", columns[2:], schema="catalog")])
    assert [[v.class_name for v in each.columns][-2:] for each in found] == [["age", "photo"], ["none", "none"]]
    found = judge.judge([table("crew", columns[:2], schema="farm"), table("herd", columns[:1], schema="farm")])
    assert [each.columns[0].class_name for each in found] == ["first_name", "none"]


def test_the_state_of_something_is_no_region(judge: Judge) -> None:
    """Beside an address, too; the state of an address is one."""
    found = judged(judge, "street", "zip", "battery_state", "state", name="customers")
    assert [verdict.class_name for verdict in found] == ["street", "postal_code", "none", "region"]


def test_who_acts_on_a_thing_makes_no_table_of_people(judge: Judge) -> None:
    """A picture, an age and a weight beside an operator are the thing's; beside a birth date they are a person's."""
    assert [v.class_name for v in judged(judge, "operator_name", "weight:numeric", "image")] == ["full_name", "none", "none"]
    assert judged(judge, "operator_name", "birth_date:date", "weight:numeric")[2].class_name == "observation"


def test_a_name_beside_a_last_name_is_a_first_name(judge: Judge) -> None:
    """Neighbours decide what a bare word means."""
    assert [v.class_name for v in judged(judge, "nome", "sobrenome")] == ["first_name", "last_name"]
    assert [v.class_name for v in judged(judge, "nom", "prenom")] == ["last_name", "first_name"]
    assert [v.class_name for v in judged(judge, "name", "preis:numeric", name="produkte")] == ["none", "none"]


def test_a_tables_own_prefix_says_nothing_though_it_is_a_word(judge: Judge) -> None:
    """`st_` before all columns of a table of students is no state; of another table it is."""
    names = ("st_name", "st_city", "st_zip", "st_phone", "st_email")
    assert judged(judge, *names, name="students")[0].class_name == "full_name"
    assert judged(judge, *names, name="shipments")[0].class_name == "street"


def test_beside_people_a_place_is_theirs_though_the_table_names_a_site(judge: Judge) -> None:
    """Where a museum stands is its own; where its guests live is theirs."""
    assert judged(judge, "museum", "city", "zip", name="museums")[2].class_name == "company_address"
    assert judged(judge, "first_name", "last_name", "zip", name="museum_guests")[2].class_name == "postal_code"


def test_a_documents_kind_tells_what_its_number_is(judge: Judge) -> None:
    """Without it the same number may be anything's."""
    assert judged(judge, "ident_type", "ident_no")[1].class_name == "national_id"
    assert judged(judge, "lot_type", "ident_no")[1].class_name == "none"


def test_first_and_last_alone_are_halves_of_a_name(judge: Judge) -> None:
    """Only where both are there, as text, with nothing but a person's word beside them."""

    def labels(*columns: str) -> list[str]:
        return [verdict.class_name for verdict in judged(judge, *(column(text) for text in columns))]

    assert labels("first", "last") == labels("cashier_first", "cashier_last") == ["first_name", "last_name"]
    assert labels("first:timestamp", "last:timestamp") == labels("first_login", "last_login") == ["none", "none"]
    assert labels("first") == ["none"]


def test_what_is_encrypted_may_look_like_anything(judge: Judge) -> None:
    """Values that look like no IBAN speak against one, unless the name says why."""
    long = seen(200, mean=88)
    labels = [verdict.class_name for verdict in judged(judge, column("iban", long), column("iban_encrypted", long))]
    assert labels == ["none", "iban"]


def test_a_pin_makes_no_expiry_that_of_a_card(judge: Judge) -> None:
    """A card's number beside it does."""

    def expiry(beside: str) -> str:
        return judged(judge, column(beside), column("valid_until_expiry:date"))[1].class_name

    assert (expiry("pin_code"), expiry("card_number")) == ("none", "card_expiry")


def test_what_most_names_of_a_table_begin_with_is_left_out(judge: Judge) -> None:
    """Glued to them or before a line, where nobody knows it: it says nothing of any one column."""

    def labels(*columns: str) -> list[str]:
        return [verdict.class_name for verdict in judged(judge, *(column(text) for text in columns))]

    expected = ["last_name", "birth_date", "postal_code", "phone", "none"]
    assert labels("QXSURNAME", "QXDOB", "QXZIP", "QXPHONE", "QXSTAT") == expected
    assert labels("QXR_SURNAME", "QXR_DOB", "QXR_ZIP", "QXR_PHONE", "QXR_STAT") == expected
    assert labels("QXDOB", "TOTAL", "AMOUNT", "LEVEL", "COLOUR")[0] == "none"
    assert labels("__", "__1", "__2", "__3", "__4") == ["none"] * 5


@pytest.mark.parametrize(
    ("table_name", "text", "expected"),
    [
        pytest.param("agreements", "project_manager", "full_name", id="a role that something has"),
        pytest.param("agreements", "supplier_contact", "full_name", id="a firm's contact is somebody"),
        pytest.param("agreements", "num_employees:integer", "none", id="how many there are"),
        pytest.param("agreements", "order_taken_by", "full_name", id="who did whatever was done to whatever"),
        pytest.param("agreements", "sorted_by", "none", id="rows are sorted by no one"),
        pytest.param("job_postings", "job_title", "none", id="a post that is free is nobody's job"),
        pytest.param("horses", "birth_date:date", "none", id="an animal's birth date is nobody's"),
        pytest.param("horses", "owner_name", "full_name", id="its owner is somebody"),
        pytest.param("pumps", "pulse_rate:integer", "none", id="a pump has a pulse as well"),
        pytest.param("pumps", "device_id", "none", id="a machine's number is no person's device"),
        pytest.param("patients", "pulse_rate:integer", "observation", id="a patient's is observed"),
        pytest.param("horses", "owner_gender", "gender", id="its owner's gender is a person's"),
        pytest.param("products", "gender", "none", id="for whom a product is made"),
        pytest.param("products", "photo_url", "none", id="a product's picture"),
        pytest.param("weather_stations", "latitude:double", "none", id="where a station stands"),
        pytest.param("trips", "latitude:double", "coordinates", id="where somebody went"),
        pytest.param("webhook_deliveries", "signature", "none", id="a machine's signature"),
        pytest.param("general_ledger", "balance:numeric", "none", id="what a ledger shows is nobody's"),
        pytest.param("translations", "message", "none", id="what a program says"),
        pytest.param("heroes", "weapon_name", "none", id="a name that an unknown word says of is a thing's"),
        pytest.param("api_tokens", "token_name", "none", id="what a token is called"),
        pytest.param("interfaces", "if_alias", "none", id="what a thing is called besides"),
        pytest.param("certificates", "thumbprint", "none", id="a certificate's thumb"),
        pytest.param("outbox", "recipient_addr", "email", id="where mail goes"),
        pytest.param("repairs", "diagnosis", "none", id="what a thing suffers from"),
        pytest.param("incidents", "diagnosis", "none", id="what a program suffers from"),
        pytest.param("drivers", "vehicle_age:integer", "none", id="how old a car is"),
        pytest.param("cattle", "national_number", "none", id="a cow has a national number"),
        pytest.param("pupils", "food_allergy", "diagnosis", id="what a child must not eat"),
        pytest.param("folders", "parent_name", "none", id="a thing's parent"),
        pytest.param("students", "parent_name", "full_name", id="a student's parent"),
        pytest.param("app_users", "phone_model", "none", id="what telephone one has"),
        pytest.param("app_users", "badge_name", "none", id="what a badge is called"),
        pytest.param("app_users", "device_id", "device_id", id="a user's device is the user's"),
        pytest.param("app_users", "device_id:integer", "none", id="a whole number is the key of one, declared or not"),
        pytest.param("offers", "age_min:integer", "none", id="from what age something is allowed is nobody's age"),
        pytest.param("jobs", "salary_min:integer", "income", id="what one earns at least is income"),
        pytest.param("staff", "department_unit_name", "none", id="a unit is no company"),
        pytest.param("customers", "doc_number", "national_id", id="a document's number beside a person"),
        pytest.param("documents", "doc_number", "none", id="a document's number by itself"),
        pytest.param("clients", "doc_scan:bytea", "photo", id="a picture of an identity card"),
        pytest.param("clients", "picture:bytea", "photo", id="a picture beside people is of one"),
        pytest.param("emr_allergies", "substance", "medication", id="what one cannot bear"),
        pytest.param("encounters", "reason_code", "diagnosis", id="why one came to a doctor"),
        pytest.param("articles", "reason_code", "none", id="a reason is no illness elsewhere"),
        pytest.param("deaths", "cause_text", "diagnosis", id="what one died of"),
        pytest.param("workers", "union_fee:numeric", "trade_union_membership", id="who pays a union is a member"),
        pytest.param("vehicles", "reg_mark", "licence_plate", id="a vehicle's registration mark"),
        pytest.param("chats", "voice_memo:bytea", "recording", id="a spoken message"),
        pytest.param("members", "member_card", "customer_id", id="a member's card pays nothing"),
        pytest.param("passengers", "pax_surname", "last_name", id="a person's last name is not the whole one"),
        pytest.param("passengers", "pax_first_name", "first_name", id="nor is the first"),
        pytest.param("voyages", "captain", "full_name", id="a captain is somebody"),
        pytest.param("apps", "owner_org", "company_name", id="a person's firm is a firm"),
        pytest.param("orders", "vendor_no", "none", id="a vendor's number is nobody's tax number"),
        pytest.param("shifts", "cashier_no", "employee_id", id="who works somewhere has a number there"),
        pytest.param("comments", "content", "free_text", id="what people said"),
        pytest.param("manuals", "procedure", "none", id="a word does not vouch for itself"),
        pytest.param("patients", "procedure", "medical_procedure", id="its table does"),
        pytest.param("earnings", "regular_amt:numeric", "income", id="an amount in a table of pay"),
        pytest.param("shipments", "regular_amt:numeric", "none", id="an amount elsewhere"),
        pytest.param("comment_templates", "content", "none", id="what a template says"),
        pytest.param("pages", "content", "none", id="what a page says"),
        pytest.param("jobs", "noreply_email", "company_email", id="a mailbox of nobody"),
        pytest.param("redevables", "nom_redev", "full_name", id="a person's word of the table's name, cut"),
        pytest.param("invoices", "nom_inv", "none", id="a thing's word of it is not one"),
        pytest.param("rx", "prescriber_last", "last_name", id="behind a person stands a half of a name"),
        pytest.param("allergy_types", "allergen", "none", id="what there is to choose from is nobody's"),
        pytest.param("sejours", "date_sejour:text", "none", id="a stay is no right to stay"),
        pytest.param("sejours", "titre_sejour", "immigration_status", id="a right to stay"),
        pytest.param("patients", "deceased:char(1)", "none", id="whether somebody died is not when"),
    ],
)
def test_what_a_table_is_about_decides(judge: Judge, table_name: str, text: str, expected: str) -> None:
    """The same word is a person's in one table and a thing's in another."""
    assert one(judge, text, name=table_name).class_name == expected


@pytest.mark.parametrize(
    ("table_name", "text", "expected"),
    [
        pytest.param("schueler", "note:numeric", "education_record", id="a number in a table of pupils is a grade"),
        pytest.param("schueler", "note", "free_text", id="a text there is a note"),
        pytest.param("zeilen", "exp_month:integer", "card_expiry", id="a month as a number"),
        pytest.param("zeilen", "years_exp:integer", "none", id="years of experience"),
        pytest.param("patients", "surgery:text", "medical_procedure", id="what was done"),
        pytest.param("patients", "surgery:date", "none", id="when it was done"),
        pytest.param("museum", "death_year:integer", "death_date", id="a year of death"),
        pytest.param("regions", "deaths:integer", "none", id="how many died"),
    ],
)
def test_the_type_decides_between_meanings(judge: Judge, table_name: str, text: str, expected: str) -> None:
    """A phrase may ask for a type: `@type:number`."""
    assert judged(judge, "last_name", "first_name", text, name=table_name)[-1].class_name == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("buyer:varchar(40)", "full_name", id="room for a name"),
        pytest.param("buyer:char(3)", "none", id="a code"),
        pytest.param("phone:char(4)", "none", id="an extension"),
        pytest.param("iban:character varying(10)", "none", id="never a whole one"),
        pytest.param("nationality:char(1)", "nationality", id="a code says as much"),
        pytest.param("middle_name:char(1)", "middle_name", id="an initial"),
    ],
)
def test_what_a_column_has_room_for_counts(judge: Judge, text: str, expected: str) -> None:
    """The length that its type declares, without any value."""
    assert judged(judge, text, "last_name", "first_name")[0].class_name == expected


@pytest.mark.parametrize(
    ("table_name", "expected"), [("survey_participants", "full_name"), ("survey_results", "none"), ("commande_client", "none")]
)
def test_what_stands_last_is_what_a_table_is_about(judge: Judge, table_name: str, expected: str) -> None:
    """Not with customers and users: they stand behind what they have, too."""
    assert one(judge, "name", name=table_name).class_name == expected


def test_a_title_too_short_for_a_work_is_a_salutation(judge: Judge) -> None:
    """Without any value."""
    assert judged(judge, "title:varchar(10)", "full_name")[0].class_name == "salutation"
    assert judged(judge, "title:varchar(80)", "full_name")[0].class_name == "none"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("address_city", "city"),
        ("pstl_adr_twn_nm", "city"),
        ("address_postal_code", "postal_code"),
        ("postal_address_country", "country"),
        ("mailing_address_street", "street"),
        ("postal_address", "postal_address"),
    ],
)
def test_a_part_of_an_address_is_not_the_whole(judge: Judge, text: str, expected: str) -> None:
    """The last word of a path tells more than those before it."""
    assert judged(judge, "last_name", text)[-1].class_name == expected


def test_streets_called_after_people_are_no_text_about_them(judge: Judge) -> None:
    """Names inside an address do not make it prose; inside remarks they do."""
    told = seen(200, free_text=True, mean=40.0, email=60)
    assert one(judge, "street_addr", told, name=PERSON_TABLE).class_name in {"street", "postal_address"}
    assert one(judge, "remarks", told, name=PERSON_TABLE).class_name == "free_text"


def test_a_comment_speaks_where_the_name_does_not(judge: Judge) -> None:
    """A cryptic column with a telling comment is at least shown to a person."""
    verdict = one(judge, "fld_17", comment="Date of birth of the insured")
    assert (verdict.runner_up or verdict.class_name) == "birth_date"


def test_one_valid_card_in_a_thousand_is_told(judge: Judge) -> None:
    """A rare hit with a checksum is no class of the column, and is not silent: a person is asked."""
    verdict = one(judge, "anmerkung_intern_x", seen(1000, card_pan=(1, 1, 1)))
    assert verdict.class_name == "none"
    assert "card_pan" in verdict.also
    assert verdict.state == "abstained"


def test_text_is_judged_by_what_is_inside(judge: Judge) -> None:
    """Free text with e-mail addresses in some values carries personal data, and says which."""
    verdict = one(judge, "inhalt", seen(200, text_email=20, text_iban=(3, 3, 3), free_text=True))
    assert verdict.class_name == "free_text"
    assert set(verdict.also) == {"email", "iban"}


def test_a_person_by_the_name_alone_makes_no_table_one_of_people(judge: Judge) -> None:
    """An owner owns a thing: its name and weight stay a thing's; beside people the same words are theirs."""
    thing = judged(judge, "name", "owner", "weight_kg:numeric", name="crates")
    person = judged(judge, "last_name", "weight_kg:numeric", name="athletes")
    assert [verdict.class_name for verdict in thing] == ["none", "full_name", "none"]
    assert [verdict.class_name for verdict in person] == ["last_name", "observation"]


def test_both_names_in_one_column(judge: Judge) -> None:
    """`nombre_y_apellidos` is a whole name, though it says last name."""
    assert [one(judge, text).class_name for text in ("nombre_y_apellidos", "nom_prenom", "apellido")] == [
        "full_name",
        "full_name",
        "last_name",
    ]


def test_a_column_that_says_nothing_is_judged_by_its_values_in_company(judge: Judge) -> None:
    """Weak signs count for `c2` beside an e-mail; alone a person is asked."""
    names, mail = seen(200, person_name=195), seen(200, email=200)
    beside = judged(judge, column("c1", mail), column("c2", names))
    alone = judged(judge, column("c2", names))[0]
    assert [verdict.class_name for verdict in beside] == ["email", "full_name"]
    assert (alone.state, alone.runner_up) == ("abstained", "full_name")


def test_reasons_tell_form_and_check_apart(judge: Judge) -> None:
    """Counts of both, and no value."""
    told = one(judge, "x", seen(200, card_pan=(198, 60, 57))).reasons[0]
    assert told.text == "198 of 200 values may be card_pan by their form, 57 of the 60 checked are"


def test_birth_date_place_and_gender_identify_together(judge: Judge) -> None:
    """The combination is told, and only where all three are there."""
    whole = judge.judge([table("x", ["birth_date:date", "zip", "gender", "note"])])[0]
    part = judge.judge([table("x", ["birth_date:date", "zip"])])[0]
    by_city = judge.judge(
        [table("x", ["birth_date:date", "zip", "gender", "city", "street"]), table("y", ["dob:date", "city", "sex", "street"])]
    )
    assert [(found.name, found.columns) for found in whole.together] == [("demographics", ("birth_date", "zip", "gender"))]
    assert "Sweeney" in whole.together[0].reason
    assert part.together == ()
    assert [[found.name for found in one.together] for one in by_city] == [["demographics"], ["demographics_by_city"]]


def test_a_foreign_key_inherits(judge: Judge) -> None:
    """A column that references an e-mail column holds e-mail addresses, through chains too."""
    people = table("leute", [column("x1", seen(200, email=200), unique=True)])
    letters = table("briefe", [column("an", references=f"{people.asset}#x1")])
    copies = table("kopien", [column("zu", references=f"{letters.asset}#an")])
    verdicts = judge.judge([copies, letters, people])
    assert [v.columns[0].class_name for v in verdicts] == ["email"] * 3
    assert verdicts[0].columns[0].state == "inherited"


NAMES = ["email", "vorname", "telefon", "kartennummer", "x", "geburtsdatum", "iban", "bemerkung", "ip", "status"]
DETECTORS = ["email", "phone", "card_pan", "iban", "ipv4", "person_name", "year", "uuid", "text_email", "de_steuer_id", "password_hash"]


@st.composite
def columns(draw: st.DrawFn) -> Column:
    sampled = draw(st.integers(0, 500))
    hits = {name: draw(st.integers(0, sampled)) for name in draw(st.lists(st.sampled_from(DETECTORS), max_size=3, unique=True))}
    kinds = st.sampled_from(["text", "integer", "boolean", "date", "uuid", "numeric(10,2)", "jsonb", "strange"])
    return column(f"{draw(st.sampled_from(NAMES))}:{draw(kinds)}", seen(sampled, distinct=draw(st.integers(0, sampled)), **hits))


@given(made=st.lists(columns(), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_the_same_table_gives_the_same_verdict(judge: Judge, made: list[Column]) -> None:
    """Deterministic, also for a judge that has seen nothing yet, and bounded: at most six reasons, confidence within 0 and 1."""
    first, again = judged(Judge(judge.ruleset, judge.thresholds), *made), judged(judge, *made)
    assert first == again
    for verdict in first:
        assert len(verdict.reasons) <= 6
        assert 0.0 <= verdict.confidence <= 1.0
        assert (verdict.class_name == "none") == (verdict.category == "")


@given(name=st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_name_can_be_judged(judge: Judge, name: str) -> None:
    """Whatever a server allows as a name: emoji, quotes, nothing but dots."""
    verdict = judged(judge, column("x").model_copy(update={"name": name or "_"}))[0]
    assert verdict.name == (name or "_")


@given(detector=st.sampled_from(["email", "card_pan", "iban", "ipv4", "phone"]), fewer=st.integers(0, 300), more=st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_more_hits_never_lower_the_confidence(judge: Judge, detector: str, fewer: int, more: int) -> None:
    """Monotonic: the same sample with more values that fit is at least as sure."""
    fewer, more = min(fewer, more), max(fewer, more)
    expected = judged(judge, column("x", seen(300, **{detector: more})))[0]
    given_less = judged(judge, column("x", seen(300, **{detector: fewer})))[0]
    assert given_less.class_name == "none" or given_less.confidence <= expected.confidence


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_the_lower_bound_is_below_the_plain_share(hits: int, sampled: int) -> None:
    """It grows with the hits and never exceeds their share."""
    bound = lower_bound(hits, sampled)
    assert 0.0 <= bound <= (min(hits, sampled) / sampled if sampled else 0.0) + 1e-12
    assert lower_bound(hits + 1, sampled) >= bound - 1e-12
    assert 0.0 <= growth(bound) <= 1.0


def test_reasons_hold_no_values(judge: Judge) -> None:
    """Neither shapes nor anything of a value gets into a reason: rule, counts and our words only."""
    secret = "zz-canary-zz"
    evidence = seen(200, email=190, text_email=190).model_copy(update={"shapes": ()})
    verdict = one(judge, "kontakt_email", evidence, comment="e-mail", default=secret)
    told = "".join(reason.rule + reason.text for reason in verdict.reasons)
    assert verdict.reasons
    assert secret not in told


@pytest.mark.parametrize(
    ("names", "table_name", "place", "expected"),
    [
        pytest.param(("no_mae", "nu_cpf", "co_uf", "ds_obs"), "cadastro", 0, "full_name", id="registers of Brazil write no for a name"),
        pytest.param(("end_cobranca", "cep_cobranca"), "devedores", 0, "postal_address", id="and end for an address"),
        pytest.param(("end_date:date", "cep_cobranca"), "devedores", 0, "none", id="but an end is one"),
        pytest.param(("doc_titular", "tarjeta_num"), "lineas", 0, "national_id", id="an identity card is no bank card"),
        pytest.param(("sexo", "especie", "propietario"), "fichas", 0, "none", id="what has a species is an animal"),
        pytest.param(("sexo", "edad", "nombre_paciente"), "fichas", 0, "gender", id="what has none is not"),
        pytest.param(("passport_number", "full_name", "species"), "requests", 0, "passport", id="nor is who has a passport"),
        pytest.param(("passport_issued_by", "last_name"), "staff", 0, "none", id="an office that issues papers is nobody"),
        pytest.param(("end_saldo", "celular", "apellidos"), "stays", 0, "balance", id="an end where nothing else is Portuguese"),
        pytest.param(("end_location", "uf"), "rides", 0, "none", id="an end of what has ends"),
        pytest.param(("numero_caf",), "foyers", 0, "national_id", id="a number's word however it is cut"),
        pytest.param(("documento", "cantidad:integer"), "movimientos", 0, "none", id="a document of things is no identity card"),
        pytest.param(("lngAtual:double precision", "latAtual:double precision"), "rotas", 0, "coordinates", id="lng is no type of its own"),
    ],
)
def test_words_of_portuguese_spanish_and_french_in_their_tables(
    judge: Judge, names: tuple[str, ...], table_name: str, place: int, expected: str
) -> None:
    """What stands beside a column tells which of two languages' words it is."""
    assert judged(judge, *names, name=table_name)[place].class_name == expected
