"""What a table says about each of its columns: its own name, and the company a column keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.classifier.domain.lexicon import split
from services.classifier.domain.name_hints import ONE_UNKNOWN, Hint, NameReading
from services.classifier.domain.taxonomy import Taxonomy

_OWN = frozenset({"own:person", "own:organisation"})
_CLEAR = 5.0  # a sibling's hint of this weight says what its group is
_PEOPLE = frozenset({"name", "government"})
_PERSONS = frozenset({"name", "person", "government"})
_SEVERAL = 2
_HALVES, FIRM, FIRMS = "halves", "firm", "firms"
TOLD = frozenset({FIRM, "idkind"})  # what one column says of the others
ACTOR, _PERSONAL = "actor", frozenset({"first_name", "last_name", "government"})
_HALVES_OF_NAMES = ("first_name", "last_name")
_THINGS = frozenset({"organisation", "animal", "goods", "software", "fault", "ledger", "site", "prepared", "vacancy", "reference"})
_OF_CODES = frozenset(
    {"code", "codes", "cd", "codeset", "type", "types", "lookup", "lkp", "dictionary", "category", "categories"}
)  # what such a table holds is there to be chosen from
_TOLD_OF_ALL = (("species", "animal"), ("bank", "banking"))
_UNMISTAKABLE = _PERSONAL | {"birth_date"}
_ONLY_PEOPLE = frozenset({"first_name", "last_name", "birth_date", "national_id"})
_OF_SCHEMAS = frozenset({"goods", "software", "fault", "ledger", "prepared", "reference"})  # a schema of things may have a table of people
_SOUND = frozenset({"goods", "software", "fault", "apparatus"})  # things have a health, too
_IMPLIED: dict[str, tuple[str, ...]] = {"name": ("person",), "person": ("person",), "government": ("person",)}


@dataclass(frozen=True, slots=True)
class TableContext:
    """`tags`: what the table's name says; `groups`: how many columns clearly belong to each group.

    `thing`: the table is about a thing, so a column such as gender or age alone makes it none about people.
    `linked`: one of its columns names a person, so what is noted in it may be about one.
    """

    tags: frozenset[str]
    groups: Counter[str]
    thing: bool = False
    linked: bool = False
    _known: dict[frozenset[str], frozenset[str]] = field(default_factory=dict)

    def around(self, own_groups: frozenset[str]) -> frozenset[str]:
        """The tags that hold for a column whose own clear groups are `own_groups`: they do not vouch for themselves."""
        known = self._known.get(own_groups)
        if known is None:
            siblings = {group for group, count in self.groups.items() if count > (group in own_groups)}
            if self.thing and not siblings & _PEOPLE:
                siblings.discard("person")
            if self.tags & _SOUND and "person" not in self.tags:
                siblings.discard("health")
            implied = {tag for group in siblings for tag in _IMPLIED.get(group, ())}
            known = self.tags | siblings | implied
            if self.linked:
                known |= {"linked"}
            if self._of_organisations():
                known |= {"organisation", "table:organisation"}
                if self.groups[FIRMS]:
                    known -= {"person"}
            if siblings & _UNMISTAKABLE:
                known -= {"reference"}
            if not self.thing:
                known |= {"open"}
                if "person" in known and self._of_people(siblings, own_groups):
                    known |= {"being"}
                    if siblings & _UNMISTAKABLE:
                        known -= _OF_SCHEMAS
                    if "last_name" in siblings or self.groups["government"]:
                        known -= {"animal"}
                if "animal" in known and "person" not in self.tags:  # a tutor's name does not make the animal's one a person's
                    known -= {"person"}
            self._known[own_groups] = known
        return known

    def _of_people(self, siblings: set[str], own_groups: frozenset[str]) -> bool:
        """Does its name say people, or a column more than who acts on something: an operator, an owner? Things have an age, too."""
        if "person" in self.tags or siblings & _PERSONAL:
            return True
        named = self.groups["name"] - ("name" in own_groups)
        told = self.groups["person"] - self.groups["age"] - ("person" in own_groups and "age" not in own_groups)
        return told > 0 or named > self.groups[ACTOR] - (ACTOR in own_groups)

    def _of_organisations(self) -> bool:
        """Do its columns, several of them or a tax number, speak of an organisation, and none of a person? One that has an industry and
        a revenue may have a person to speak to, and customers whose names are those of firms are firms."""
        if self.groups[FIRMS] and not any(self.groups[name] for name in _ONLY_PEOPLE):
            return True
        if self.groups[FIRM] >= _SEVERAL and not any(self.groups[name] for name in _HALVES_OF_NAMES) and "person" not in self.tags:
            return True
        several = self.groups["company"] >= _SEVERAL or self.groups["company_tax_id"]
        return bool(several) and not any(self.groups[group] for group in _PERSONS)


def table_tags(table: NameReading, schema: NameReading) -> frozenset[str]:
    """Context that the names of a table and its schema give. `user_roles` is about roles: a thing takes the person away."""
    tags = (table.tags | (schema.tags - {"person", "organisation"})) - _OWN - {"lookup"}
    if "lookup" in table.tags and not table.tags & {"person", "organisation", "address"}:
        tags |= {"table:lookup"}
    if "said" in table.tags and not (table.thing or "prepared" in table.tags):  # what a template says nobody said
        tags |= {"table:said"}
    if table.thing or (table.organisation and not table.person):
        tags -= {"person"}
    if table.person and not table.thing:
        tags -= _THINGS
    if not table.person and _OF_CODES.intersection(split(table.name)[-2:]):
        tags |= {"reference"}
    if "organisation" in tags:
        tags |= {"table:organisation"}
    if tags & _SOUND and "person" not in tags:
        tags -= {"health"}
    if "employee" in schema.tags and not (table.thing or table.organisation):
        tags |= {"person"}
    return tags


def halves_of(readings: Iterable[NameReading], families: Iterable[str]) -> frozenset[str]:
    """`halves` where two columns of text are called nothing but `first` and `last`, a person's or one unknown word beside it or not."""
    found = {
        hint.class_name
        for reading, family in zip(readings, families, strict=True)
        if family == "text"
        for hint in reading.hints
        if _HALVES in hint.phrase.needs and hint.against in (0.0, ONE_UNKNOWN)
    }
    return frozenset({_HALVES}) if len(found) == _SEVERAL else frozenset()


def told_of(readings: Iterable[NameReading]) -> frozenset[str]:
    """What one column says of all: what has a species is an animal, and beside a bank stands an account there (`banking`)."""
    said = frozenset[str]().union(*(reading.tags for reading in readings))
    return frozenset(tag for word, tag in _TOLD_OF_ALL if word in said)


def clear_groups(hints: Iterable[Hint], family: str, taxonomy: Taxonomy) -> frozenset[str]:
    """The classes, and their groups, that a column's name gives away without any context.

    A person alone in a name does not: an `owner` owns a thing.
    """
    plain = [hint for hint in hints if not (hint.phrase.needs or hint.phrase.alone)]
    clear = {
        hint.class_name
        for hint in plain
        if not any(hint.phrase.concepts < other.phrase.concepts and hint.class_name != other.class_name for other in plain)
        and hint.weight - hint.against >= _CLEAR
        and family in taxonomy[hint.class_name].families
    }
    return frozenset(clear | {taxonomy[name].group for name in clear})


def count_groups(columns: Sequence[frozenset[str]]) -> Counter[str]:
    """How many columns belong to each group."""
    counted: Counter[str] = Counter()
    for groups in columns:
        counted.update(groups)
    return counted
