"""Values in, counts out: the evidence of tables in wire form, from samples, or from what a server has counted itself. No I/O, but it may
take a while: whoever has a loop to keep turning calls it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from services.discovery.domain.plan import FEW_PARTITIONS, NO_STATISTICS
from shared.contracts.asset import ColumnEvidence, Estimates
from shared.evidence.count import count_columns
from shared.sources.base import Estimate, Sample, TableFacts


@dataclass(frozen=True, slots=True)
class Counted:
    """The evidence of one table in wire form, by column index. `rows`: how many were looked at; `left_out`: why none, or not of all
    parts."""

    evidence: Mapping[int, bytes]
    rows: int
    values: int
    whole: bool
    left_out: str = ""

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
    whole = not left_out and sample.rows < rows and facts.mark.partitions <= FEW_PARTITIONS
    return Counted(told, sample.rows, sum(map(len, sample.columns)), whole=whole, left_out=left_out)


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
