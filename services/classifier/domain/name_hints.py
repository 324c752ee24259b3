"""What the name of a column says: phrases of concepts that fit it, each with a weight, and what the leftover words take away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.classifier.domain.lexicon import Lexicon, Word

GRADES: Mapping[str, float] = {"strong": 7.0, "good": 5.8, "weak": 3.4}
_PER_CONCEPT = 0.25  # a longer phrase says more
_IN_CONTEXT, _PER_NEED = 0.4, 0.2  # so does one whose context is there
_COST: Mapping[str, float] = {"deny": 6.5, "doubt": 1.5, "unknown": 0.4, "term": 1.0, "light": 0.3, "heavy": 4.0}
ONE_UNKNOWN = _COST["unknown"]
_THING_COST: Mapping[str, float] = {"strong": 0.7, "good": 2.5, "weak": 4.0}
_MOST_UNKNOWN = 1.8
_FOREIGN_NAME = 1.0  # more things than people have a name of which another word speaks
COMMENT_SHARE = 0.75  # a comment's words weigh this much of a name's
_COMMENT_WORDS = 12
ANY: frozenset[str] = frozenset()
_UNKNOWN = frozenset({"unknown", "neutral"})
_NUMBERED = frozenset({"other"})
_HAVING = frozenset({"customer", "user"})
_OWNED = frozenset({"neutral", "unknown", "thing", "organisation", "person", "term"})
_WHOSE = frozenset({"person", "neutral"})
_ROLES = frozenset({frozenset({"contact"}), frozenset({"holder"})})
_TOLD = frozenset(
    {"number", "code", "id", "date", "year", "month", "day", "age", "name", "count", "first", "last", "relationship", "origin"}
)  # what is told of a person, not whose they are
_BARE = frozenset({"name", "consent", "state"})  # words that are as often a thing's
_NAMES = frozenset({"full_name", "first_name", "last_name", "region"})
_NAME, _FIRST_NAME, _LAST_NAME = frozenset({"name"}), frozenset({"first", "name"}), frozenset({"last", "name"})


@dataclass(frozen=True, slots=True)
class Phrase:
    """One rule: the concepts that must all be there, those that must not, and the context it asks for.

    `alone`: no other word may say anything.
    """

    class_name: str
    grade: str
    concepts: frozenset[str]
    without: frozenset[str]
    needs: frozenset[str]
    alone: bool
    text: str


class Hint(NamedTuple):
    """A phrase that fits a name. `weight` is what is left of its grade after the words that it does not explain.

    `needs`: the context that it asks for and that no other word of the name gives: a word does not vouch for itself.
    """

    class_name: str
    weight: float
    phrase: Phrase
    against: float
    needs: frozenset[str]


@dataclass(frozen=True, slots=True)
class NameReading:
    """Everything `name` says by itself. `needs`: all context tags that would change what it says; `barred`: classes it rules out;
    `mute`: it has no word that means anything (`c1`, `column_7`); `unknown`: nobody knows those that it has.
    """

    name: str
    hints: tuple[Hint, ...]
    needs: frozenset[str]
    tags: frozenset[str]
    person: bool
    organisation: bool
    thing: bool
    barred: frozenset[str]
    mute: bool
    unknown: bool

    @property
    def silent(self) -> bool:
        return not self.hints


@dataclass(frozen=True, slots=True)
class PhraseBook:
    """All phrases, found by one of their concepts; `allowed`: denying concepts that a class puts up with;
    `never`: those that rule it out, whatever the values say."""

    by_concept: Mapping[str, tuple[Phrase, ...]]
    allowed: Mapping[str, frozenset[str]]
    never: Mapping[str, frozenset[str]]
    size: int

    def candidates(self, concepts: frozenset[str]) -> Iterator[Phrase]:
        for concept in sorted(concepts):
            for phrase in self.by_concept.get(concept, ()):
                if phrase.concepts <= concepts and not phrase.without & concepts:
                    yield phrase


def phrases_from(document: Mapping[str, Any]) -> PhraseBook:
    """The phrases of a `names.yaml`. Raises ValueError, with the class, where a phrase names no concept."""
    by_concept: dict[str, list[Phrase]] = {}
    entries = {name: entry for name, entry in document.items() if name != "version"}
    phrases = [_phrase(name, grade, text) for name, entry in entries.items() for grade in GRADES for text in entry.get(grade, ())]
    for phrase in phrases:
        by_concept.setdefault(min(phrase.concepts), []).append(phrase)
    return PhraseBook(
        by_concept={concept: tuple(found) for concept, found in by_concept.items()},
        allowed={name: frozenset(entry["allow"]) for name, entry in entries.items() if "allow" in entry},
        never={name: frozenset(entry["never"]) for name, entry in entries.items() if "never" in entry},
        size=len(phrases),
    )


def _phrase(class_name: str, grade: str, text: str) -> Phrase:
    parts = text.split()
    concepts = frozenset(part for part in parts if part[0] not in "@!")
    if not concepts:
        raise ValueError(f"class {class_name}: the phrase {text!r} names no concept")
    return Phrase(
        class_name=class_name,
        grade=grade,
        concepts=concepts,
        without=frozenset(part[1:] for part in parts if part[0] == "!"),
        needs=frozenset(part[1:] for part in parts if part[0] == "@"),
        alone="!*" in parts,
        text=" ".join(part for part in parts if part[0] != "!"),
    )


def read_name(name: str, lexicon: Lexicon, book: PhraseBook) -> NameReading:
    """What a column's or table's name says."""
    return _reading(name, lexicon.understand(name), lexicon, book, share=1.0)


def read_comment(comment: str, lexicon: Lexicon, book: PhraseBook) -> NameReading:
    """What the first words of a comment say, at `COMMENT_SHARE` of a name's weight."""
    words = lexicon.understand(comment)[:_COMMENT_WORDS]
    return _reading(comment, words, lexicon, book, share=COMMENT_SHARE)


def _reading(name: str, words: Sequence[Word], lexicon: Lexicon, book: PhraseBook, *, share: float) -> NameReading:
    concepts = frozenset().union(*(word.concepts for word in words)) if words else ANY
    if "name" in concepts and _holds_both_names(words):
        concepts |= {"full"}
    roles = frozenset([word.role for word in words])
    hints = tuple(_hints(words, concepts, lexicon, book, share))
    tags = frozenset().union(*[lexicon.tags[concept] for concept in concepts if concept in lexicon.tags])
    if "organisation" in concepts:
        tags |= {"own:organisation"}
    if "person" in tags:
        tags |= {"own:person"}
    return NameReading(
        name=name,
        hints=hints,
        needs=frozenset().union(*(hint.phrase.needs for hint in hints)),
        tags=tags,
        person="person" in tags,
        organisation="organisation" in concepts,
        thing=bool(roles & {"thing", "deny"}) and not _ends_in_person(words),
        mute=all(word.role == "neutral" or word.concepts == _NUMBERED for word in words),
        unknown="unknown" in roles and roles <= _UNKNOWN,
        barred=frozenset(name for name, barring in book.never.items() if barring & concepts),
    )


def _ends_in_person(words: Sequence[Word]) -> bool:
    """`survey_respondents`, `course_students`: what stands last is what it is about. Customers and users stand behind what they have,
    too (`commande_client`)."""
    return words[-1].role == "person" and not words[-1].concepts & _HAVING


def _holds_both_names(words: Sequence[Word]) -> bool:
    """`nombre_y_apellidos`, `nom_prenom`, `vorname_nachname`: two words that each are a name."""
    said = {word.concepts for word in words if "name" in word.concepts}
    return len(said & {_NAME, _FIRST_NAME, _LAST_NAME}) > 1


def _hints(words: Sequence[Word], concepts: frozenset[str], lexicon: Lexicon, book: PhraseBook, share: float) -> Iterator[Hint]:
    fitting = [phrase for phrase in book.candidates(concepts) if not phrase.alone or _is_alone(words, phrase)]
    telling = {concept: lexicon.tags[concept] for concept in concepts if concept in lexicon.tags} if share == 1.0 else {}
    said: dict[str, frozenset[str]] = {}
    for phrase in fitting:
        said[phrase.class_name] = said.get(phrase.class_name, ANY) | phrase.concepts
    for phrase in fitting:
        explained = said[phrase.class_name] | book.allowed.get(phrase.class_name, ANY)
        cost = 0.0 if phrase.alone else leftover_cost(words, phrase.grade, lexicon, explained, share)
        if phrase.class_name in _NAMES and explained <= _BARE and _is_of_else(words, lexicon):
            cost += _FOREIGN_NAME * share
        needs = _asked(phrase, telling) if phrase.needs and telling else phrase.needs
        yield Hint(phrase.class_name, _weight(phrase) * share, phrase, cost, needs)


def _asked(phrase: Phrase, telling: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """What a phrase asks for beyond what the other words of the name tell."""
    return phrase.needs.difference(*[tags for concept, tags in telling.items() if concept not in phrase.concepts])


def _is_of_else(words: Sequence[Word], lexicon: Lexicon) -> bool:
    """Does a word that nobody knows, or one of something else, speak of the name? (`weapon_name`, `badge_name`, `battery_state`)"""
    return any(word.role == "unknown" or (word.role == "term" and not word.concepts <= lexicon.light | _BARE) for word in words)


def _is_alone(words: Sequence[Word], phrase: Phrase) -> bool:
    return all(word.role == "neutral" or word.concepts & phrase.concepts for word in words) or _is_role(words, phrase)


def _is_role(words: Sequence[Word], phrase: Phrase) -> bool:
    """`project_manager`, `vehicle_owner`: before a person stands whose or of what; before a firm (`owner_org`) whose it is. What follows a
    customer is theirs."""
    *before, head = words
    if head.role == "organisation" and phrase.concepts <= head.concepts:
        return all(word.role in _WHOSE for word in before)
    if (head.role != "person" and head.concepts not in _ROLES) or not phrase.concepts <= head.concepts or "customer" in head.concepts:
        return False
    return all(word.role in _OWNED and not word.concepts & _TOLD for word in before)


def _weight(phrase: Phrase) -> float:
    context = _IN_CONTEXT + _PER_NEED * len(phrase.needs) if phrase.needs else 0.0
    return GRADES[phrase.grade] + _PER_CONCEPT * (len(phrase.concepts) - 1) + context


def leftover_cost(words: Sequence[Word], grade: str, lexicon: Lexicon, explained: frozenset[str], share: float) -> float:
    """What the words that a class does not explain take away from it. A comment's words (`share` < 1) take away less."""
    unknown, cost = 0.0, 0.0
    for word in words:
        if word.concepts & explained:
            continue
        if word.role == "unknown":
            unknown += _COST["unknown"]
        elif word.role == "thing":
            cost += _THING_COST[grade]
        elif word.role == "term":
            cost += _term_cost(word, lexicon)
        else:
            cost += _COST.get(word.role, 0.0)
    total = cost + min(unknown, _MOST_UNKNOWN)
    return total if share == 1.0 else total * 0.3


def _term_cost(word: Word, lexicon: Lexicon) -> float:
    if word.concepts & lexicon.heavy:
        return _COST["heavy"]
    return _COST["light"] if word.concepts <= lexicon.light else _COST["term"]


def resolve(hints: Iterable[Hint], tags: frozenset[str]) -> tuple[Hint, ...]:
    """The hints that hold in this context, best per class, without those that a longer phrase covers; strongest first."""
    holding = [hint for hint in hints if hint.needs <= tags]
    best: dict[str, Hint] = {}
    for hint in holding:
        if any(hint.phrase.concepts < other.phrase.concepts for other in holding if other.class_name != hint.class_name):
            continue
        known = best.get(hint.class_name)
        if known is None or (hint.weight - hint.against, hint.phrase.text) > (known.weight - known.against, known.phrase.text):
            best[hint.class_name] = hint
    return tuple(sorted(best.values(), key=lambda hint: (hint.against - hint.weight, hint.class_name)))
