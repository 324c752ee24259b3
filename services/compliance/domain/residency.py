"""Where data lies, for GDPR's chapter on transfers: the EEA, a country with an adequacy decision, or a third country.

GDPR does not ask for storage in the EU; it asks for a ground on which data may leave (Art. 45 adequacy, 46 safeguards, 49 exceptions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.compliance.domain.document import Document, InvalidPack


@dataclass(frozen=True)
class Residency:
    """Zones by region of any cloud and by ISO 3166 country."""

    zones: Mapping[str, str]

    def zone(self, region: str, country: str) -> str | None:
        """eea, adequate or third; None where neither the region nor the country is known to us.

        >>> Residency({"eu-central-1": "eea", "US": "third"}).zone("eu-central-1", "")
        'eea'
        """
        return self.zones.get(region.lower().replace(" ", "")) or self.zones.get(country.strip().upper()) or None


def residency_from(document: Document) -> Residency:
    """Raises InvalidPack where a zone has no list, or a place stands in two zones."""
    zones: dict[str, str] = {}
    faults = []
    for zone, parts in document.value.items():
        for part in ("countries", "regions"):
            for place in parts[part]:
                if place in zones:
                    faults.append(document.fault((zone, part), f"{place} stands in {zones[place]} too"))
                zones[place] = zone
    if faults:
        raise InvalidPack(faults)
    return Residency(zones)
