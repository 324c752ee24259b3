"""The rule packs hold together, and say so where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.classifier.domain.lexicon import Lexicon
from services.classifier.domain.rulesets import Ruleset
from services.classifier.gateway.packs import FOLDER, load_ruleset
from shared.errors import UsageError
from shared.evidence.detectors import DETECTORS


def test_the_taxonomy_covers_what_regulations_call_sensitive(ruleset: Ruleset) -> None:
    """At least 60 classes in six categories, each with a rule for its name."""
    classes = ruleset.taxonomy.values()
    assert len(ruleset.taxonomy) >= 60
    assert {c.category for c in classes} == {"personal", "special", "payment", "health", "secret", "organisation"}
    named = {phrase.class_name for phrases in ruleset.book.by_concept.values() for phrase in phrases}
    shifted = {c.organisation for c in classes}
    assert set(ruleset.taxonomy) == named | shifted - {""}


def test_every_concept_of_a_phrase_is_a_word(ruleset: Ruleset) -> None:
    """A phrase with a concept that no word says could never fit."""
    said = frozenset().union(*(word.concepts for word in ruleset.lexicon.words.values()))
    for phrases in ruleset.book.by_concept.values():
        for phrase in phrases:
            assert phrase.concepts <= said, (phrase.class_name, phrase.text)


def test_every_detector_named_exists(ruleset: Ruleset) -> None:
    """The pack speaks of detectors that discovery really has."""
    assert set(ruleset.detections) <= {detector.name for detector in DETECTORS}


def test_classes_have_names_elsewhere(ruleset: Ruleset) -> None:
    """A label can be handed to Presidio, Purview or DataHub; where they have no name, none is made up."""
    assert ruleset.names_of("card_pan") == {
        "presidio": "CREDIT_CARD",
        "purview": "MICROSOFT.FINANCIAL.CREDIT_CARD_NUMBER",
        "datahub": "Credit_Debit_Card_Number",
    }
    assert ruleset.names_of("trade_union_membership") == {}


def test_a_changed_pack_has_another_digest(ruleset: Ruleset, tmp_path: Path) -> None:
    """Version and digest follow the rules; a pack of one's own replaces ours."""
    shipped = FOLDER / "detectors.yaml"
    (tmp_path / "detectors.yaml").write_text(shipped.read_text().replace("strength: certain", "strength: medium"))
    other = load_ruleset(tmp_path)
    assert other.digest != ruleset.digest
    assert other.label != ruleset.label


@pytest.mark.parametrize(
    ("file", "text"),
    [
        pytest.param("detectors.yaml", "detectors: {email: {class: nothing, strength: strong}}", id="unknown class"),
        pytest.param("names.yaml", "version: '1'\nemail: {strong: ['@person']}", id="a phrase without a concept"),
        pytest.param("names.yaml", "version: '1'\nnothing: {strong: [email]}", id="rules for an unknown class"),
        pytest.param("taxonomy.yaml", "{", id="no YAML"),
        pytest.param(
            "taxonomy.yaml", "shapes: {}\nclasses: {}\ncombinations: {x: {parts: [[email]], text: t}}", id="a combination of nothing"
        ),
    ],
)
def test_a_pack_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, file: str, text: str) -> None:
    """What is wrong is said; nothing starts with half of its rules."""
    (tmp_path / file).write_text(text)
    with pytest.raises(UsageError) as caught:
        load_ruleset(tmp_path)
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(
    ("name", "concepts"),
    [
        pytest.param("customerBirthDate", {"customer", "person", "birth", "date"}, id="camel"),
        pytest.param("TELEFON-NR", {"phone", "number"}, id="kebab and capitals"),
        pytest.param("geburtsdatum", {"birth", "date"}, id="joined, German"),
        pytest.param("correoElectrónico", {"email"}, id="accents"),
        pytest.param("e_mail", {"email"}, id="a word in two parts"),
        pytest.param("userid", {"user", "person", "id"}, id="a short word at the end"),
        pytest.param("message", {"message"}, id="no age inside a message"),
        pytest.param("monologue", set(), id="an unknown word stays whole"),
        pytest.param("NATNLTY", {"nationality"}, id="the vowels left out"),
        pytest.param("strt", set(), id="start or street: nothing"),
        pytest.param("APPLCNT", {"individual", "person"}, id="the vowels left out, behind a first one"),
        pytest.param("ofcr", {"individual", "worker", "person"}, id="a doubled letter once"),
        pytest.param("BNK_ACCT_NBR", {"bank", "account", "number"}, id="short forms"),
        pytest.param("KREDITKART", {"credit", "card"}, id="cut off"),
        pytest.param("UNTERNEHM", {"company", "organisation"}, id="an organisation cut off"),
        pytest.param("KUNDENSTAMM", {"customer", "person"}, id="a master table"),
        pytest.param("tracki", set(), id="cut off within a word nobody knows"),
        pytest.param("dtmBirth", {"birth"}, id="behind the type of a variable"),
        pytest.param("strHausnummer", {"street", "house", "number"}, id="a street's number, no type of a variable"),
        pytest.param("age_at_visit", {"age"}, id="at in the middle"),
        pytest.param("created_at", {"change"}, id="at the end"),
        pytest.param("countersigned_by", {"by"}, id="whatever was done"),
        pytest.param("rejected_by", {"by"}, id="whatever was done, also where the word is known"),
        pytest.param("aprobado_por", {"by"}, id="whatever was done, Spanish"),
        pytest.param("geprueft_durch", {"by"}, id="whatever was done, German"),
        pytest.param("gezeichnet_von", {"by"}, id="whatever was done, by the shorter German word"),
        pytest.param("passport_issued_by", {"issuer"}, id="papers are issued by offices"),
        pytest.param("updated_by", {"change", "by"}, id="a change is told by itself"),
        pytest.param("number_of_guests", {"count", "individual", "person"}, id="how many, no number"),
        pytest.param("address2", {"address", "line"}, id="a numbered address is a line of it"),
        pytest.param("sales_agent", {"individual", "worker", "person"}, id="two words that are a third one"),
        pytest.param("business_address", {"headoffice"}, id="two words that say more than each"),
        pytest.param("vendor_no", {"company", "organisation", "number"}, id="a firm's number is not every firm's"),
        pytest.param("company_no", {"organisation", "register"}, id="the number of a firm in its register"),
        pytest.param("IND_SURNAME", {"individual", "person", "last", "name"}, id="an individual's"),
        pytest.param("patientenaufzug", {"patient", "person"}, id="joined, one end known"),
        pytest.param("biometrischen", {"biometric"}, id="the ending of a case"),
        pytest.param("empleadas", {"employee", "person"}, id="the ending of a gender, many"),
        pytest.param("medicacoes", {"medication"}, id="the ending of another language"),
        pytest.param("carrera", set(), id="what is left without an ending is too short to tell"),
        pytest.param("formule", set(), id="less than half of a word that is cut off"),
    ],
)
def test_names_are_taken_apart(ruleset: Ruleset, name: str, concepts: set[str]) -> None:
    """Whole words in any style, never a part of a word."""
    assert _concepts(ruleset.lexicon, name) == concepts


def _concepts(lexicon: Lexicon, name: str) -> set[str]:
    return set().union(*(word.concepts for word in lexicon.understand(name)))
