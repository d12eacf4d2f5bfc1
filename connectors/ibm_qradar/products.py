"""IBM's names of log source types (``LOGSOURCETYPENAME``) of the products that this hub has its own words for.

Source: https://www.ibm.com/docs/en/dsm?topic=configuration-qradar-supported-dsms
"""

from collections.abc import Mapping

__all__ = ["slug_of"]

_SLUGS: Mapping[str, str] = {
    "crowdstrike falcon": "crowdstrike_falcon",
    "microsoft 365 defender": "microsoft_defender_xdr",
    "microsoft azure active directory": "microsoft_entra_id",
    "microsoft entra id": "microsoft_entra_id",
    "okta": "okta",
    "palo alto pa series": "paloalto_firewall",
    "sentinelone": "sentinelone",
}


def slug_of(log_source_type: str) -> str:
    """Our word for the product behind log sources of that type, empty where we have none."""
    return _SLUGS.get(log_source_type.lower(), "")
