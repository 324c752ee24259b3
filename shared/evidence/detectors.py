"""All detectors, by name. The names travel in `ColumnEvidence.matches` and are what rules and the classifier speak of."""

from __future__ import annotations

from shared.evidence.detector import Detector
from shared.evidence.kinds import americas, asia_pacific, europe, everyday, finance, health, inside, network, places, secrets, vocabulary

DETECTORS: tuple[Detector, ...] = tuple(
    sorted(
        (
            *everyday.DETECTORS,
            *places.DETECTORS,
            *finance.DETECTORS,
            *health.DETECTORS,
            *network.DETECTORS,
            *secrets.DETECTORS,
            *europe.DETECTORS,
            *americas.DETECTORS,
            *asia_pacific.DETECTORS,
            *inside.DETECTORS,
            *vocabulary.DETECTORS,
        ),
        key=lambda detector: detector.name,
    )
)
BY_NAME: dict[str, Detector] = {detector.name: detector for detector in DETECTORS}
