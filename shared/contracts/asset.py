"""Events about data assets. A contract carries evidence, never values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.base import AssetKey, Contract, Known, Ratio, SourceKey
from shared.contracts.connection import Posture, ServerFacts
from shared.contracts.source import DataSource

ClassName = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63, examples=["email", "card_pan"], description="open set: see the taxonomy")
]
UNCLASSIFIED = "none"


class Match(Contract):
    """How often one detector said yes. `valid <= checked <= matched`; `checked` 0 means it has no checksum."""

    detector: str
    matched: int = Field(ge=0)
    checked: int = Field(default=0, ge=0)
    valid: int = Field(default=0, ge=0)


class Lengths(Contract):
    """Lengths of the sampled values, in characters."""

    min: int = Field(ge=0)
    max: int = Field(ge=0)
    mean: float = Field(ge=0)


class Shape(Contract):
    """A form that at least five values share: letters a or A, digits 9."""

    pattern: str = Field(max_length=48)
    count: int = Field(ge=5)


class Estimates(Contract):
    """What a server's own statistics, or a file's footer, say of one column, as old as they are. Nobody read a value for it."""

    null_share: Ratio | None = Field(default=None, description="rows without a value")
    distinct: int | None = Field(default=None, ge=0, description="different values, to two digits")
    mean_bytes: float | None = Field(default=None, ge=0, description="stored size of a value")


class ColumnEvidence(Contract):
    """What discovery counted in one column of a sample. Counts only; no value can be read back from it.

    Where its owner has agreed to statistics alone, nothing is `sampled`, and `estimates` are all there is.
    """

    sampled: int = Field(default=0, ge=0, description="non-null values looked at")
    nulls: int = Field(default=0, ge=0)
    distinct: int = Field(default=0, ge=0, description="distinct values within the sample")
    matches: tuple[Match, ...] = ()
    lengths: Lengths | None = None
    shapes: tuple[Shape, ...] = ()
    entropy: float = Field(default=0.0, ge=0, description="mean bits per character")
    words: float = Field(default=0.0, ge=0, description="mean words per value")
    free_text: bool = False
    estimates: Estimates | None = None


class Column(Contract):
    """One column as the server describes it. `default` has its literals masked."""

    name: str = Field(min_length=1)
    position: int = Field(ge=1)
    type: str = Field(description="the server's own spelling", examples=["character varying(255)"])
    nullable: bool = True
    default: str = ""
    generated: bool = False
    comment: str = ""
    primary_key: bool = False
    unique: bool = False
    indexed: bool = False
    references: str = Field(default="", description="target column, asset key with #column, where a foreign key says so")
    evidence: ColumnEvidence | None = None


class Constraint(Contract):
    """A key or a check; its expression has literals masked."""

    name: str
    kind: Known[Literal["primary_key", "unique", "foreign_key", "check", "exclusion"]]
    columns: tuple[str, ...] = ()
    target: str = Field(default="", description="asset key that a foreign key points to")
    target_columns: tuple[str, ...] = ()
    expression: str = ""


class Index(Contract):
    """An index that is not the one behind a key of `constraints`; its expressions have literals masked."""

    name: str
    columns: tuple[str, ...] = Field(default=(), description="in its order, without expressions")
    unique: bool = False
    method: str = Field(default="", description="of the server's own; empty: a b-tree, or not told", examples=["gin", "hash", "fulltext"])
    expression: str = Field(default="", description="what is indexed beside columns")
    predicate: str = Field(default="", description="which rows are in it, where not all are")


Compatibility = Known[Literal["full", "readers", "writers", "none"]]
"""Who can go on as before a change: all, those who only read, those who only write, nobody."""


class SchemaChange(Contract):
    """One typed difference against the state before."""

    kind: Known[
        Literal[
            "created",
            "restored",
            "column_added",
            "column_dropped",
            "column_renamed",
            "type_changed",
            "nullability_changed",
            "key_changed",
            "comment_changed",
            "statistics_changed",
            "evidence_changed",
            "view_changed",
            "rescanned",
        ]
    ]
    column: str = ""
    before: str = ""
    after: str = ""
    compatible: bool = Field(default=True, description="who reads can go on as before")
    compatibility: Compatibility = Field(default="full", description="who can go on as before: full, readers, writers, none")


class SchemaDiscovered(Contract):
    """One table, view, collection or prefix as it stands now. A reader keeps the highest `sequence`."""

    asset: AssetKey
    source: SourceKey
    sequence: int = Field(ge=1, description="discovery's own count for this asset, never reset")
    scan_id: str
    database: str
    schema_name: str
    table: str
    kind: Known[Literal["table", "partitioned_table", "view", "materialized_view", "foreign_table", "collection", "prefix"]] = "table"
    comment: str = ""
    owner: str = ""
    rows_estimated: int | None = Field(default=None, ge=0)
    bytes_total: int | None = Field(default=None, ge=0)
    partitions: int = Field(default=0, ge=0)
    view_definition: str = Field(default="", description="literals masked")
    depends_on: tuple[str, ...] = Field(default=(), description="asset keys that a view reads")
    row_security: bool = False
    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    fingerprint: str = Field(description="digest of the structure; equal means unchanged")
    change: tuple[SchemaChange, ...] = ()
    compatibility: Compatibility = Field(default="full", description="what holds of all of `change` together")
    sampling: Known[Literal["none", "statistics", "sample"]] = "none"
    left_out: str = Field(default="", description="code of what kept all of its data, or some of its files, from being looked into")
    aliases: tuple[str, ...] = Field(default=(), description="OpenLineage names")
    truncated: bool = False
    spec: DataSource = Field(description="the source, so that later stages need not ask")
    posture: Posture = Posture()
    server: ServerFacts | None = None


class AssetRemoved(Contract):
    """The asset is gone; only a scan that looked for it without an error, or the removal of its source, says so."""

    asset: AssetKey
    source: SourceKey
    sequence: int = Field(ge=1)
    scan_id: str = ""
    reason: Known[Literal["dropped", "out_of_scope", "source_removed"]] = "dropped"


class Reason(Contract):
    """Why a label was given or withheld: the rule, the counts; `weight` is signed, against is negative. No values."""

    rule: str = Field(examples=["name:email", "evidence:card_pan"])
    text: str = Field(examples=["198 of 200 values passed the Luhn check"])
    weight: float = 0.0


class ColumnVerdict(Contract):
    """What one column holds. `state` abstained means: a person should look."""

    name: str
    type: str = ""
    class_name: ClassName = UNCLASSIFIED
    category: str = ""
    sensitivity: Known[Literal["public", "internal", "confidential", "restricted"]] = "internal"
    confidence: Ratio = 0.0
    tier: Known[Literal["rules", "model", "transformer", "person", "none"]] = "none"
    state: Known[Literal["classified", "unclassified", "abstained", "confirmed", "rejected", "inherited"]] = "unclassified"
    reasons: tuple[Reason, ...] = ()
    also: tuple[ClassName, ...] = Field(default=(), description="further classes found inside, e.g. in free text, or rare ones")
    runner_up: str = ""
    before: str = Field(default="", description="the class that the previous verdict gave; empty at first")


class Identifying(Contract):
    """Columns of one table that identify a person only together, and why."""

    name: str = Field(examples=["demographics"])
    columns: tuple[str, ...]
    reason: str


class AssetClassified(Contract):
    """Every column of one asset has a verdict. Facts that compliance needs travel along."""

    asset: AssetKey
    source: SourceKey
    sequence: int = Field(ge=1, description="the classifier's own count for this asset, never reset")
    based_on: int = Field(ge=1, description="sequence of the SchemaDiscovered that was judged")
    scan_id: str
    database: str
    schema_name: str
    table: str
    kind: str = "table"
    owner: str = ""
    rows_estimated: int | None = None
    comment: str = ""
    row_security: bool = False
    sampling: Known[Literal["none", "statistics", "sample"]] = "none"
    columns: tuple[ColumnVerdict, ...] = ()
    identifying_together: tuple[str, ...] = Field(default=(), description="columns that identify a person only in combination")
    combinations: tuple[Identifying, ...] = Field(default=(), description="the same columns by combination, with the reason")
    ruleset: str = Field(default="", description="name@version of the rules that judged")
    truncated: bool = False
    spec: DataSource
    posture: Posture = Posture()


class ClassificationReviewed(Contract):
    """A request: a person's verdict on one column."""

    asset: AssetKey
    column: str
    decision: Known[Literal["confirm", "reject", "relabel"]]
    class_name: ClassName = UNCLASSIFIED
    reviewer: str
    reason: str = ""
