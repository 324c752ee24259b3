"""What is known of one asset, in the words the rules use. What is not known is absent: it is never false and never empty.

Rules name facts as `section.fact`. The sections: `source` (what its owner declared), `posture` (what the server showed), `asset`
(the table), and one for each question about a group of data classes: `holds` (is there a column of it?), `stored` (are there
values?), `plain` (are they readable as they are?), `embedded` (does it hide in text meant for something else?), `count` (columns).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.compliance.domain.residency import Residency
from services.compliance.domain.vocabulary import Vocabulary
from shared.contracts.connection import Posture
from shared.contracts.source import DataSource

Value = bool | int | str
Section = dict[str, Value]
GROUP_SECTIONS = ("holds", "stored", "plain", "embedded", "count")
COMBINATION = "combination"
PRODUCTION = re.compile(r"prod|prd|production|productive|produktion|produktiv|produccion|producao|live")
NONPRODUCTION = re.compile(
    r"dev|devel|develop|development|te?st|testing|sta?g|staging|stage|qa|uat|sit|int|integration|sandbox|sbx|demo|training|local|ci|perf"
    r"|pre|preprd|preprod|preproduction|non|nonprod|nonproduction"
)
_WORDS = re.compile(r"[^\W\d_]+")
SECONDARY = re.compile(r"analytic|research|report|training|test|statistic|demo|experiment", re.IGNORECASE)
YES = frozenset({"true", "yes", "1"})
NOT_SAID = frozenset({"", "-", "?", "n/a", "na", "tbd", "todo", "unknown"})  # a placeholder declares nothing
SAID_NONE = frozenset(
    {"none", "no", "nobody", "no one", "unlimited", "forever", "indefinite", "indefinitely", "infinite", "never", "permanent", "no limit"}
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact a rule may read. `says` completes "not known: …"; `settle` is what a person can do about that; `declare` is the field of
    the source's document that would tell it, where one would."""

    type: type[bool] | type[int] | type[str]
    says: str
    settle: str = ""
    declare: str = ""


_OWNER_CAN = "Let the connector's role read it, or register the cloud resource that holds this source."
_SAMPLE = "Allow values to be sampled for this source (sampling: sample), then scan again; of a view, look at the tables that it reads."


def _declared(kind: type[bool] | type[str], says: str, field: str, how: str = "") -> Fact:
    """A fact that only the source's owner can tell, by `field` of its document."""
    return Fact(kind, says, f"Declare it on the source ({how or field.replace('labels.', 'label ')}).", field)


SOURCE_FACTS = {
    "source.owner": _declared(str, "who answers for this source", "owner"),
    "source.purpose": _declared(str, "what the data is for", "labels.purpose"),
    "source.retention": _declared(str, "how long the data is kept", "labels.retention"),
    "source.environment": _declared(str, "which environment this is", "environment"),
    "source.nonproduction": _declared(
        bool, "whether this source is production or a copy for tests", "environment", "environment, such as prod or test"
    ),
    "source.secondary_use": _declared(
        bool, "whether the data serves its first purpose here", "labels.purpose", "environment, label purpose"
    ),
    "source.deidentified": Fact(bool, "whether the source is declared de-identified"),
    "source.leaves_host": Fact(bool, "whether the line leaves the machine"),
    "source.zone": _declared(str, "in which country the data lies", "labels.country", "cloud region, or label country"),
    "source.transfer_mechanism": _declared(
        str, "on what ground data may leave", "labels.transfer_mechanism", "label transfer_mechanism, such as scc, bcr or dpf"
    ),
    "source.assessment": _declared(str, "where the impact assessment is", "labels.impact_assessment"),
}
ASSET_FACTS = {
    "asset.kind": Fact(str, "whether it is a table or a view"),
    "asset.owner": Fact(str, "which role owns the table"),
    "asset.documented": Fact(bool, "whether the table has a comment"),
    "asset.row_security": Fact(bool, "whether rows are protected one by one"),
    "asset.rows": Fact(int, "how many rows it has", "Let the database gather statistics (ANALYZE), then scan again."),
    "asset.stores": Fact(bool, "whether it keeps rows of its own"),
    "asset.looked_at": Fact(bool, "what the values are; nobody looked", _SAMPLE),
    "asset.undecided": Fact(int, "how many columns await a person's verdict"),
    "asset.combination": Fact(bool, "whether columns name a person together"),
    "asset.sensitivity": Fact(str, "how sensitive the table is"),
}
_POSTURE_SAYS = {
    "tls_in_transit": "whether the line is encrypted",
    "tls_forced": "whether the server refuses lines without encryption",
    "tls_verified": "whether the server's certificate was verified",
    "password_hash_strong": "how the server stores passwords",
    "logging_connections": "whether connections are logged",
    "logging_statements": "whether statements are logged",
    "superuser_used": "whether we sign in as a superuser",
    "read_only_role": "whether our role could write",
    "version_supported": "whether the server's version still gets fixes",
    "row_security_available": "whether the engine can protect single rows",
    "encrypted_at_rest": "whether the storage is encrypted",
    "public_access": "whether the server can be reached from the internet",
    "backup_retention_days": "how long backups are kept",
    "multi_zone": "whether a second zone stands by",
    "iam_authentication": "whether sign-in goes by the cloud's identities",
    "versioned": "whether overwritten and deleted files can be had back",
    "lasting_key": "whether we sign in with a key that does not end by itself",
}
POSTURE_FACTS = {f"posture.{name}": Fact(int if name.endswith("_days") else bool, says, _OWNER_CAN) for name, says in _POSTURE_SAYS.items()}
_GROUP_QUESTIONS: dict[str, tuple[type[bool] | type[int], str, str]] = {
    "holds": (bool, "whether {columns} holds {group}", "Review the class of the column."),
    "stored": (bool, "whether there are {group} in {columns}; no values were seen", _SAMPLE),
    "plain": (bool, "whether {group} in {columns} can be read as they are; the values gave no answer", _SAMPLE),
    "embedded": (bool, "whether the text of {columns} hides {group}", _SAMPLE),
    "count": (int, "how many columns hold {group}", "Review the class of the column."),
}


def schema(vocabulary: Vocabulary) -> dict[str, Fact]:
    """Every fact there is, by its full name."""
    questions = {
        f"{section}.{name}": Fact(kind, says.replace("{group}", group.says), settle)
        for section, (kind, says, settle) in _GROUP_QUESTIONS.items()
        for name, group in vocabulary.groups.items()
    }
    return {**SOURCE_FACTS, **ASSET_FACTS, **POSTURE_FACTS, **questions}


@dataclass(frozen=True, slots=True)
class Facts:
    """One asset's facts, by section; the columns of each group in their order; those that may belong to it but await a verdict.

    Under the empty name, `undecided` has text columns that nobody looked into.
    """

    sections: Mapping[str, Section]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    undecided: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    table: str = ""

    def get(self, name: str) -> Value | None:
        """The fact, or None where it is not known."""
        section, _, fact = name.partition(".")
        return self.sections.get(section, {}).get(fact)

    def asked(self, name: str) -> tuple[str, ...]:
        """The columns that could tell a fact which is not known: those that await a verdict, else those whose values are not known."""
        section, _, group = name.partition(".")
        unread = self.undecided.get("", ()) if section == "embedded" else self.columns.get(group, ())
        return self.undecided.get(group) or unread


def source_facts(spec: DataSource, posture: Posture, residency: Residency) -> dict[str, Section]:
    """The sections that all assets of one source share."""
    labels = spec.labels
    purpose = said(labels.get("purpose") or spec.description)
    nonproduction = _is_nonproduction(spec.environment)
    region = posture.region or getattr(spec.cloud_config, "region", "") or labels.get("region", "")
    known: dict[str, Value | None] = {
        "owner": said(spec.owner or labels.get("owner", "")),
        "purpose": purpose,
        "retention": said(labels.get("retention") or labels.get("retention_days", "")),
        "environment": spec.environment or None,
        "nonproduction": nonproduction,
        "secondary_use": _secondary_use(nonproduction, purpose or ""),
        "deidentified": labels.get("deidentified", "").lower() in YES,
        "leaves_host": not _loopback(spec.host),
        "zone": residency.zone(region, labels.get("country", "")),
        "transfer_mechanism": said(labels.get("transfer_mechanism", "")),
        "assessment": said(labels.get("impact_assessment", "")),
    }
    return {"source": known_only(known), "posture": known_only(posture.model_dump(exclude={"region"}))}


def _is_nonproduction(environment: str) -> bool | None:
    """None where no word of it is known: what is misspelt passes nothing.

    >>> [_is_nonproduction(name) for name in ("prod-eu", "test2", "non-prod", "tset", "")]
    [False, True, True, None, None]
    """
    words = _WORDS.findall(environment.casefold())
    if any(map(NONPRODUCTION.fullmatch, words)):
        return True
    return False if any(map(PRODUCTION.fullmatch, words)) else None


def said(declaration: str) -> str | None:
    """What a declaration tells: the text; empty where it says itself that there is none; None where nothing is said.

    >>> said("crm-team"), said("nobody"), said(" TBD ")
    ('crm-team', '', None)
    """
    word = declaration.strip()
    if word.casefold() in NOT_SAID:
        return None
    return "" if word.casefold() in SAID_NONE else word


def known_only(values: Mapping[str, Value | None]) -> Section:
    """The section without what is not known."""
    return {name: value for name, value in values.items() if value is not None}


def _secondary_use(nonproduction: bool | None, purpose: str) -> bool | None:
    if nonproduction or SECONDARY.search(purpose):
        return True
    return nonproduction if not purpose else False


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith(("127.", "/"))
