"""Values in, counts out: the evidence of tables in wire form, from samples, or from what a server has counted itself. No I/O, but it may
take a while: whoever has a loop to keep turning calls it elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from services.discovery.domain.plan import FEW_PARTITIONS, NO_STATISTICS
from shared.contracts.asset import ColumnEvidence, Estimates
from shared.contracts.scan import LeftOut
from shared.evidence.count import count_columns
from shared.sources.base import BINARY, NO_TEXT, Estimate, Sample, TableFacts

_NAMED = 100  # types that the manifest names for each reason
_MODIFIER = re.compile(r"\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Counted:
    """The evidence of one table in wire form, by column index. `rows`: how many were looked at; `left_out`: why none, or not of all
    parts; `binary`: columns that were found to hold no text."""

    evidence: Mapping[int, bytes]
    rows: int
    values: int
    whole: bool
    left_out: str = ""
    binary: frozenset[int] = frozenset()

    @property
    def unread(self) -> bool:
        """Nothing of it could be read."""
        return bool(self.left_out) and not self.rows


def counted(samples: Sequence[Sample], facts: Sequence[TableFacts], rows: int) -> list[Counted]:
    """Of each sample; `rows` were asked for."""
    columns = [column for sample in samples for column in sample.columns]
    nulls = [max(0, sample.rows - len(column)) for sample in samples for column in sample.columns]
    found = (evidence.to_json() for evidence in count_columns(columns, nulls))
    return [_told(sample, each, list(islice(found, len(sample.columns))), rows) for sample, each in zip(samples, facts, strict=True)]


def _told(sample: Sample, facts: TableFacts, evidence: Sequence[bytes], rows: int) -> Counted:
    left_out = sample.failure.code if sample.failure else ""
    places = [at for at, sampled in enumerate(facts.sampled) if sampled]
    told = dict(zip(places, evidence, strict=True)) if sample.rows else {}
    binary = frozenset(places[at] for at in sample.binary)
    for at in binary:
        told.pop(at, None)
    whole = not left_out and sample.rows < rows and facts.mark.partitions <= FEW_PARTITIONS
    return Counted(told, sample.rows, sum(map(len, sample.columns)), whole=whole, left_out=left_out, binary=binary)


def skipped(facts: TableFacts, binary: Iterable[int]) -> str:
    """What of a table nobody looks into, as it is kept: lines of count, reason and type. `binary`: columns found to hold no text."""
    left = [(kind, type_) for kind, type_ in zip(facts.kinds, facts.types, strict=False) if kind and kind != BINARY]
    left += [(NO_TEXT, facts.types[at]) for at in binary]
    return "\n".join(f"{count} {why} {_bare(type_)}" for (why, type_), count in sorted(Counter(left).items()))


@lru_cache(4096)
def _bare(type_: str) -> str:
    """Without lengths and the like."""
    return " ".join(_MODIFIER.sub(" ", type_).split())


def columns_left_out(kept: Iterable[tuple[str, int]]) -> list[LeftOut]:
    """For the manifest, by reason: `kept` as above, and of how many tables each is."""
    found: dict[str, Counter[str]] = {}
    for lines, tables in kept:
        for line in lines.split("\n"):
            count, why, type_ = line.split(" ", 2)
            found.setdefault(why, Counter())[type_] += int(count) * tables
    return [
        LeftOut(what="columns", why=why, count=types.total(), names=tuple(name for name, _ in types.most_common(_NAMED)))
        for why, types in sorted(found.items())
    ]


def estimated(facts: TableFacts, known: Mapping[str, Estimate]) -> Counted:
    """Of one table, by column name."""
    told = {
        at: _rounded(known[name]) for at, name in enumerate(facts.names) if name in known and any(each is not None for each in known[name])
    }
    return Counted(told, 0, 0, whole=False, left_out="" if told else NO_STATISTICS)


def _rounded(known: Estimate) -> bytes:
    """As exact as an estimate is, so that a server's next count of the same data says the same."""
    estimates = Estimates(
        null_share=None if known.null_share is None else round(min(1.0, max(0.0, known.null_share)), 2),
        distinct=None if known.distinct is None else int(float(f"{max(0.0, known.distinct):.1e}")),
        mean_bytes=None if known.mean_bytes is None else round(known.mean_bytes, 1),
    )
    return ColumnEvidence(estimates=estimates).to_json()
