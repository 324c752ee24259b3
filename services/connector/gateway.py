"""What the connector touches outside: data sources, dialled to see whether and how they answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.connector.domain.plan import plan
from shared.contracts.connection import ConnectionPlan
from shared.contracts.source import DataSource
from shared.egress import Surroundings, guarded
from shared.secrets.sign_in import SignIn
from shared.sources.base import Probe
from shared.sources.dialling import dial_for, policy_for
from shared.sources.engines import driver_for


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds after which a dial, or a statement, is given up."""

    connect_seconds: float
    statement_seconds: float


class Dialler:
    """Dials sources by their plan."""

    def __init__(self, *, home: Path, around: Surroundings, patience: Patience) -> None:
        self._sign_in, self._around, self._patience = SignIn(home), around, patience

    async def probe(self, spec: DataSource, *, password: str | None = None, trace_id: str = "") -> tuple[ConnectionPlan, Probe]:
        """Dial, sign in, look. `password` stands in for the secret for this call alone and is kept nowhere.

        Raises PurSightError with a code of the failure catalogue, the egress guard, the secret stores or the clouds.
        """
        wanted = plan(spec)
        dial = dial_for(
            spec,
            wanted,
            self._sign_in.lookup(spec, wanted, password=password),
            application_name=f"pursight-connector {trace_id}".strip(),
            connect_seconds=self._patience.connect_seconds,
            statement_seconds=self._patience.statement_seconds,
        )
        with guarded(policy_for(spec, self._around)):
            async with driver_for(spec.engine).open(dial) as session:
                return wanted, await session.probe()
