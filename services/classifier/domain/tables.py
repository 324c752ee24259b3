"""Whole tables in, verdicts on all their columns out: names read once, context shared, foreign keys followed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple, TypeVar

from services.classifier.domain.column_types import family_of, room_of
from services.classifier.domain.context import ACTOR, FIRMS, TOLD, TableContext, clear_groups, count_groups, halves_of, table_tags, told_of
from services.classifier.domain.evidence import growth, ruled_out, signals_of
from services.classifier.domain.lexicon import NUMBER, split, starts_of
from services.classifier.domain.meaning import MEANING_VERSION, Asked, Descriptions, Meanings, is_asked, meant_again, text_of
from services.classifier.domain.model import Model
from services.classifier.domain.name_hints import Hint, NameReading, read_comment, read_name, resolve
from services.classifier.domain.promised import NONE as PROMISED
from services.classifier.domain.promised import Classes, Promise, Promises
from services.classifier.domain.rulesets import Ruleset
from services.classifier.domain.score import NOTHING, TELLING, Candidate, Sight, Sign, candidates, named
from services.classifier.domain.second import OPEN, Bounds, Open, evened, is_open, judged_again, table_of
from services.classifier.domain.taxonomy import Combination
from services.classifier.domain.verdict import UNTOLD, Thresholds, decide, doubted
from shared.contracts.asset import UNCLASSIFIED, Column, ColumnEvidence, ColumnVerdict, Identifying, Reason, SchemaDiscovered
from shared.contracts.names import encode

K = TypeVar("K")
V = TypeVar("V")

Known = Mapping[str, str]  # column key (asset#column) to class
_MOST_REMEMBERED = 100_000
_INHERITED_SHARE = 0.95
_LISTED = 10.0
_SEARCHED_COMMENT = 160  # characters
_LONGEST_CHAIN = 4  # foreign keys that point to foreign keys
_UNREAD: Meanings = {}
_SORTS = {"integer": "number"}  # what a phrase may ask of a column's type: `@type:number`, `@type:text`, `@type:date`, `@type:short` …
_SHORT = 15  # characters of room up to which a text is short
_UNMOVED = frozenset({"classified", "inherited"})


class TableVerdict(NamedTuple):
    """The verdicts on one table, in the order of its columns. `together`: columns that identify a person only in combination;
    `asked`: texts whose meaning tier 3 looks at."""

    columns: tuple[ColumnVerdict, ...]
    together: tuple[Identifying, ...]
    asked: tuple[str, ...] = ()


class FirstLook(NamedTuple):
    """Tier 1: a verdict on each column of one table, those that it leaves to tier 2, and those that it could leave to tier 3."""

    verdicts: list[ColumnVerdict]
    opens: list[Open]
    asked: list[Asked]


class Judge:
    """Judges tables by one rule set. Remembers what it read in names, so equal names cost once; the same input gives the same verdict."""

    def __init__(self, ruleset: Ruleset, thresholds: Thresholds, model: Model | None = None, descriptions: Descriptions = ()) -> None:
        """`descriptions`: what classes are called in other words; without any there is no tier 3."""
        self.ruleset, self.thresholds, self.model, self.descriptions = ruleset, thresholds, model, descriptions
        self._names: dict[str, NameReading] = {}
        self._comments: dict[str, NameReading] = {}
        self._resolved: dict[tuple[str, frozenset[str]], tuple[Hint, ...]] = {}
        self._groups: dict[tuple[str, str], frozenset[str]] = {}

    @property
    def mark(self) -> str:
        """Changes with anything that could change a verdict: a rule, a word, a weight, a threshold, the model."""
        model = self.model.digest[:16] if self.model else ""
        return f"{self.ruleset.digest[:32]}/{self.thresholds.classify}/{self.thresholds.abstain}/{model}{self._meant}"

    def judge(
        self,
        tables: Sequence[SchemaDiscovered],
        known: Known | None = None,
        meanings: Sequence[Meanings] = (),
        promises: Sequence[Promises] = (),
    ) -> list[TableVerdict]:
        """One verdict per table, in the order given. `known`: classes of columns of other tables that foreign keys may point to;
        `meanings`: for each table what the texts that it asked for come close to, as far as they were read; `promises`: what contracts say.
        """
        looks = [self.by_rules(*each) for each in zip(tables, promises or [PROMISED] * len(tables), strict=True)]
        judged = self._by_model(tables, looks)
        asked = [self._by_meaning(*each) for each in zip(tables, judged, looks, meanings or [_UNREAD] * len(tables), strict=True)]
        for _ in range(_LONGEST_CHAIN):
            classes = _referenced(tables, judged, known or {})
            followed = [self._inherit(table, verdicts, classes) for table, verdicts in zip(tables, judged, strict=True)]
            if followed == judged:
                break
            judged = followed
        known_combinations = self.ruleset.combinations
        return [
            TableVerdict(tuple(verdicts), identifying_together(verdicts, known_combinations), texts)
            for verdicts, texts in zip(judged, asked, strict=True)
        ]

    def about(self, table: SchemaDiscovered) -> frozenset[str]:
        """What the names of a table and its schema say that it is about."""
        return table_tags(self._name(table.table), self._name(table.schema_name))

    def by_rules(self, table: SchemaDiscovered, promises: Promises = PROMISED) -> FirstLook:
        """Tier 1. `promises`: what contracts say of its columns."""
        families = [family_of(column.type) for column in table.columns]
        readings = self._readings(table)
        own = [self._groups_of(column, reading, family) for column, reading, family in zip(table.columns, readings, families, strict=True)]
        linked = any(reading.person and not reading.mute for reading in readings)
        about = self.about(table) | halves_of(readings, families) | told_of(readings)
        context = TableContext(about, count_groups(own), self._name(table.table).thing, linked)
        verdicts: list[ColumnVerdict] = []
        opens: list[Open] = []
        asked: list[Asked] = []
        listed, limits = any(self.ruleset.lists), self._limits(table)
        understood = sum(not (reading.mute or (reading.silent and reading.unknown)) for reading in readings) / max(1, len(readings))
        for column, reading, family, groups in zip(table.columns, readings, families, own, strict=True):
            verdict = self._listed(table, column) if listed else None
            if verdict is None:
                promise = promises.get(column.name)
                verdict, sight, found = self._column(column, reading, family, context, groups, limits, promise)
                if sight is not None and is_open(verdict, sight, reading):
                    opens.append(Open(len(verdicts), sight, reading, found, understood))
                if self.descriptions:
                    sight = sight or self._sight(column, reading, family, context.around(groups))
                    if is_asked(verdict, reading, sight):
                        asked.append(Asked(len(verdicts), text_of(column.name, self.ruleset.lexicon), sight))
            verdicts.append(verdict)
        return FirstLook(verdicts, opens, asked)

    def _by_model(self, tables: Sequence[SchemaDiscovered], looks: Sequence[FirstLook]) -> list[list[ColumnVerdict]]:
        """Tier 2: the model's word on what is open, of all tables at once."""
        if self.model is not None and any(look.opens for look in looks):
            said = self.model.judge([table_of(verdicts, opens) for verdicts, opens, _ in looks if opens])
            rows = iter(evened(said, [one for look in looks for one in look.opens], self.model))
            for table, (verdicts, opens, _) in zip(tables, looks, strict=True):
                bounds = self._limits(table)
                for one in opens:
                    verdicts[one.place] = judged_again(verdicts[one.place], one, next(rows), self.model, self.ruleset.taxonomy, bounds)
        return [look.verdicts for look in looks]

    def _by_meaning(self, table: SchemaDiscovered, verdicts: list[ColumnVerdict], look: FirstLook, meanings: Meanings) -> tuple[str, ...]:
        """Tier 3: what the names of columns that are open still come close to; returns their texts."""
        asked = [one for one in look.asked if verdicts[one.place].state in OPEN]
        bounds = self._limits(table)
        for one in asked:
            if near := meanings.get(one.text):
                verdicts[one.place] = meant_again(verdicts[one.place], one, near, self.ruleset.taxonomy, bounds)
        return tuple(dict.fromkeys(one.text for one in asked if one.text))

    @cached_property
    def _meant(self) -> str:
        told = "\n".join((MEANING_VERSION, *(f"{name} {text}" for name, text in self.descriptions)))
        return f"/{sha256(told.encode()).hexdigest()[:8]}" if self.descriptions else ""

    def _limits(self, table: SchemaDiscovered) -> Bounds:
        """What holds for the provider of this table's source."""
        own = self.ruleset.providers.get(table.spec.engine)
        return Bounds(Thresholds.by(own.thresholds, self.thresholds), own.without) if own else Bounds(self.thresholds, frozenset())

    def _listed(self, table: SchemaDiscovered, column: Column) -> ColumnVerdict | None:
        said = self.ruleset.lists.says(f"{table.schema_name}.{table.table}.{column.name}".lower())
        if said is None:
            return None
        entry = self.ruleset.taxonomy.get(said)
        bare = ColumnVerdict(name=column.name, type=column.type, tier="rules")
        if entry is None:
            told = Reason(rule="list:allow", text="a list of the rule set says that it holds nothing", weight=-_LISTED)
            return bare.model_copy(update={"reasons": (told,)})
        told = Reason(rule="list:deny", text=f"a list of the rule set says that it holds {said}", weight=_LISTED)
        return bare.model_copy(
            update={
                "class_name": entry.name,
                "category": entry.category,
                "sensitivity": entry.sensitivity,
                "confidence": 1.0,
                "state": "classified",
                "reasons": (told,),
            }
        )

    def _column(
        self,
        column: Column,
        reading: NameReading,
        family: str,
        context: TableContext,
        groups: frozenset[str],
        limits: Bounds,
        promise: Promise | None,
    ) -> tuple[ColumnVerdict, Sight | None, Sequence[Candidate]]:
        """The rules' verdict, and what it rests on where there was anything to look at."""
        evidence = column.evidence
        told = evidence is not None and (reading.mute or self._tells(evidence, reading.unknown))
        if reading.silent and not told and not column.comment and promise is None and family not in TELLING:
            bare = ColumnVerdict(name=column.name, type=column.type, confidence=UNTOLD)
            return bare, None, ()  # by far the most frequent case, so it is the first
        sight = self._sight(column, reading, family, context.around(groups))
        taxonomy = self.ruleset.taxonomy
        said = self._promised(promise, sight) if promise else NOTHING
        found = [one for one in candidates(sight, taxonomy, said) if one.class_name not in limits.without]
        verdict = decide(sight, found, taxonomy, limits.thresholds)
        return doubted(verdict, promise, found) if promise else verdict, sight, found

    def _promised(self, promise: Promise, sight: Sight) -> dict[str, list[Sign]]:
        """What a contract's words and prose speak for, of classes that the column's type can hold."""
        said = self._classes.signs(promise)
        for hint in self._comment_hints(promise.prose, sight.tags):
            said.setdefault(hint.class_name, []).extend(named(hint, "contract", 0.3 if said.get(hint.class_name) else 1.0))
        return {name: signs for name, signs in said.items() if sight.family in self.ruleset.taxonomy[name].families}

    @cached_property
    def _classes(self) -> Classes:
        return Classes(self.ruleset.taxonomy, self.ruleset.elsewhere)

    def _sight(self, column: Column, reading: NameReading, family: str, around: frozenset[str]) -> Sight:
        """`around`: what its table and neighbours say. What its own name says holds for it, too, but vouches for no word of it."""
        evidence, tags = column.evidence, around | reading.tags
        return Sight(
            column=column,
            family=family,
            hints=self._hints(reading, around | _type_tags(column.type, family)),
            comments=self._comment_hints(column.comment, tags),
            signals=signals_of(evidence, self.ruleset.detections) if evidence is not None and evidence.matches else (),
            excluded=ruled_out(evidence, self.ruleset.detections) if evidence and evidence.matches else {},
            tags=tags,
            barred=reading.barred,
            mute=reading.mute,
        )

    def _tells(self, evidence: ColumnEvidence, unknown: bool) -> bool:
        """Is there a hit that counts without a name beside it? Beside an `unknown` name any hit does that stands for a class."""
        counting = self.ruleset.speaking if unknown else self.ruleset.telling
        return any(match.detector in counting for match in evidence.matches)

    def _hints(self, reading: NameReading, tags: frozenset[str]) -> tuple[Hint, ...]:
        key = (reading.name, tags & reading.needs)
        found = self._resolved.get(key)
        if found is None:
            found = _remember(self._resolved, key, resolve(reading.hints, tags))
        return found

    def _comment_hints(self, comment: str, tags: frozenset[str]) -> tuple[Hint, ...]:
        if not comment:
            return ()
        text = comment[:_SEARCHED_COMMENT]
        reading = self._comments.get(text)
        if reading is None:
            reading = _remember(self._comments, text, read_comment(text, self.ruleset.lexicon, self.ruleset.book))
        return resolve(reading.hints, tags)[:3]

    def _readings(self, table: SchemaDiscovered) -> list[NameReading]:
        """What the columns' names say; of those that nobody knows without what most of the table's names begin with (`CZIP`, `CDOB`)."""
        lexicon = self.ruleset.lexicon
        about = split(table.table)
        names = lexicon.in_words(lexicon.without_prefix([column.name for column in table.columns], about))
        names = lexicon.spelled_out(names, about)
        readings = [self._name(name) for name in names]
        unknown = [place for place, reading in enumerate(readings) if reading.unknown]
        for start in starts_of(names) if unknown else ():
            for place in unknown:
                if readings[place].unknown and names[place].startswith(start):
                    bare = self._name(names[place][len(start) :])
                    readings[place] = readings[place] if bare.mute or bare.unknown or bare.name.lower() in NUMBER else bare
        return readings

    def _name(self, name: str) -> NameReading:
        reading = self._names.get(name)
        if reading is None:
            reading = _remember(self._names, name, read_name(name, self.ruleset.lexicon, self.ruleset.book))
        return reading

    def _groups_of(self, column: Column, reading: NameReading, family: str) -> frozenset[str]:
        """What the column clearly holds: by its name or, where that says nothing, by its values."""
        if reading.mute and column.evidence is not None:
            signals = signals_of(column.evidence, self.ruleset.detections)
            return frozenset(self.ruleset.taxonomy[s.class_name].group for s in signals if s.strength != "weak" and growth(s.share) >= 1.0)
        clear = self._clear(reading, family)
        if "full_name" in clear and column.evidence is not None and self._are_firms(column.evidence):
            return frozenset({"company_name", FIRMS})
        if "full_name" in clear and "subject" not in reading.tags and any("person" in hint.phrase.concepts for hint in reading.hints):
            clear |= {ACTOR}
        return clear | (reading.tags & TOLD)

    def _are_firms(self, evidence: ColumnEvidence) -> bool:
        """Are firms named here, and no people between them?"""
        detections = self.ruleset.detections
        people = {match.detector for match in evidence.matches if (d := detections.get(match.detector)) and d.class_name == "full_name"}
        firms = any(signal.class_name == "company_name" for signal in signals_of(evidence, detections))
        return firms and all(detections[name].strength == "weak" for name in people)

    def _clear(self, reading: NameReading, family: str) -> frozenset[str]:
        found = self._groups.get((reading.name, family))
        if found is None:
            found = _remember(self._groups, (reading.name, family), clear_groups(reading.hints, family, self.ruleset.taxonomy))
        return found

    def _inherit(self, table: SchemaDiscovered, verdicts: list[ColumnVerdict], classes: Known) -> list[ColumnVerdict]:
        if not classes or not any(column.references in classes for column in table.columns):
            return verdicts
        return [
            self._inherited(verdict, classes[column.references])
            if column.references in classes and verdict.state not in _UNMOVED
            else verdict
            for column, verdict in zip(table.columns, verdicts, strict=True)
        ]

    def _inherited(self, verdict: ColumnVerdict, class_name: str) -> ColumnVerdict:
        entry = self.ruleset.taxonomy.get(class_name)
        if entry is None:
            return verdict
        reason = Reason(rule="inherited", text=f"it references a column that holds {class_name}", weight=6.0)
        return verdict.model_copy(
            update={
                "class_name": entry.name,
                "category": entry.category,
                "sensitivity": entry.sensitivity,
                "confidence": _INHERITED_SHARE,
                "tier": "rules",
                "state": "inherited",
                "reasons": (reason, *verdict.reasons[:3]),
                "runner_up": "",
            }
        )


def _type_tags(server_type: str, family: str) -> frozenset[str]:
    room = room_of(server_type)
    sort = f"type:{_SORTS.get(family, family)}"
    return frozenset((sort, "type:short")) if room is not None and room <= _SHORT else frozenset((sort,))


def _referenced(tables: Sequence[SchemaDiscovered], judged: Sequence[Sequence[ColumnVerdict]], known: Known) -> Known:
    """The classes of the columns that a foreign key of these tables points to."""
    assets = {key.partition("#")[0] for key in targets_of(tables)}
    classes = dict(known)
    for table, verdicts in zip(tables, judged, strict=True):
        if table.asset in assets:
            classes.update(classes_of(table.asset, verdicts))
    return classes


def targets_of(tables: Iterable[SchemaDiscovered]) -> set[str]:
    """The columns that foreign keys of these tables point to, as asset#column."""
    return {column.references for table in tables for column in table.columns if column.references}


def classes_of(asset: str, verdicts: Iterable[ColumnVerdict]) -> dict[str, str]:
    """Column keys of one asset to their classes; columns without a class are left out."""
    return keyed(asset, {verdict.name: verdict.class_name for verdict in verdicts if verdict.class_name != UNCLASSIFIED})


def keyed(asset: str, classes: Mapping[str, str]) -> dict[str, str]:
    """Classes by column of one asset as classes by asset#column."""
    return {f"{asset}#{encode(column)}": name for column, name in classes.items()}


def identifying_together(verdicts: Sequence[ColumnVerdict], known: Iterable[Combination]) -> tuple[Identifying, ...]:
    """Columns that identify a person only in combination, with the reason; as `known` has them, in its order."""
    found: dict[str, Identifying] = {}
    for combination in known:
        parts = [[verdict.name for verdict in verdicts if verdict.class_name in classes] for classes in combination.parts]
        if all(parts) and combination.unless not in found:
            columns = tuple(name for names in parts for name in names)
            found[combination.name] = Identifying(name=combination.name, columns=columns, reason=combination.text)
    return tuple(found.values())


def _remember(memory: dict[K, V], key: K, value: V) -> V:
    """Keep what was read, within a bound: a full memory starts anew."""
    if len(memory) >= _MOST_REMEMBERED:
        memory.clear()
    memory[key] = value
    return value
