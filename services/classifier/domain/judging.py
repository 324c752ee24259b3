"""What the classifier says of an asset: rules, foreign keys and a person's word together, and whether that is anything new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from services.classifier.domain.events import classified_from, fitted
from services.classifier.domain.meaning import Meanings
from services.classifier.domain.promised import Promises
from services.classifier.domain.reviews import Likes, Review, apply_likes, apply_reviews, with_before
from services.classifier.domain.tables import Judge, Known, TableVerdict, identifying_together
from shared.contracts.asset import UNCLASSIFIED, AssetClassified, ColumnVerdict, SchemaDiscovered
from shared.contracts.names import encode, tenant_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """One table to be judged: what is known of it, what was said of it before, and the number of what will be said."""

    table: SchemaDiscovered
    sequence: int
    before: Mapping[str, str]
    reviews: Mapping[str, Review]
    said: str = ""
    likes: Likes = field(default_factory=dict)
    promises: Promises = field(default_factory=dict)

    @property
    def tenant(self) -> str:
        return tenant_of(self.table.source)


@dataclass(frozen=True, slots=True)
class Judged:
    """What to say of one table. `said` is the digest of its labels; `moved` are columns with another class than before, `asked`
    texts that tier 3 looks at; it `waits` where some of them were not read yet."""

    event: AssetClassified
    said: str
    changed: bool
    classes: Mapping[str, str]
    uncertain: tuple[ColumnVerdict, ...]
    moved: tuple[str, ...]
    asked: tuple[str, ...]
    waits: bool = False


def judge_all(judge: Judge, wanted: Sequence[Wanted], known: Known, meanings: Sequence[Meanings] = ()) -> list[Judged]:
    """One result per table, in the order given. `known`: classes of columns outside of these tables that foreign keys point to;
    `meanings`: for each table what was read of the texts that it asks for.
    """
    verdicts = judge.judge([want.table for want in wanted], known, meanings, [want.promises for want in wanted])
    return [_judged(want, verdict, judge) for want, verdict in zip(wanted, verdicts, strict=True)]


def _judged(want: Wanted, verdict: TableVerdict, judge: Judge) -> Judged:
    about = judge.about(want.table) if want.likes else frozenset()
    columns = apply_likes(want.table.columns, verdict.columns, want.reviews.keys(), want.likes, judge.ruleset, about)
    columns = apply_reviews(want.table.columns, columns, want.reviews, judge.ruleset)
    columns = with_before(columns, want.before)
    event = classified_from(
        want.table, columns, identifying_together(columns, judge.ruleset.combinations), sequence=want.sequence, ruleset=judge.ruleset.label
    )
    said = digest_of(columns)
    return Judged(
        event=fitted(event),
        said=said,
        changed=said != want.said,
        classes={column.name: column.class_name for column in columns if column.class_name != UNCLASSIFIED},
        uncertain=tuple(column for column in columns if column.state == "abstained"),
        moved=_moved(want, columns),
        asked=verdict.asked,
    )


def _moved(want: Wanted, columns: Sequence[ColumnVerdict]) -> tuple[str, ...]:
    """Keys of columns that a foreign key may point to and whose class is another than before."""
    held = {column.name for column in want.table.columns if column.primary_key or column.unique or column.indexed}
    other = [c.name for c in columns if c.name in held and c.class_name != want.before.get(c.name, UNCLASSIFIED)]
    return tuple(f"{want.table.asset}#{encode(name)}" for name in other)


def digest_of(columns: Sequence[ColumnVerdict]) -> str:
    """What the labels of a table come to; reasons and small changes of confidence do not count."""
    told = [f"{c.name}\x1f{c.class_name}\x1f{c.category}\x1f{c.sensitivity}\x1f{c.state}\x1f{','.join(c.also)}" for c in columns]
    return sha256("\x1e".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:32]
