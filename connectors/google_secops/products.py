"""Google's names of log types (``metadata.log_type``) of the products that this hub has its own words for.

Source: https://cloud.google.com/chronicle/docs/ingestion/parser-list/supported-default-parsers
"""

from collections.abc import Mapping

__all__ = ["slug_of"]

_SLUGS: Mapping[str, str] = {
    "AZURE_AD": "microsoft_entra_id",
    "CS_DETECTS": "crowdstrike_falcon",
    "CS_EDR": "crowdstrike_falcon",
    "ELASTIC_EDR": "elastic_security",
    "MICROSOFT_DEFENDER_ENDPOINT": "microsoft_defender_xdr",
    "OKTA": "okta",
    "PAN_FIREWALL": "paloalto_firewall",
    "SENTINEL_EDR": "sentinelone",
    "WAZUH": "wazuh",
    "WINDOWS_DEFENDER_ATP": "microsoft_defender_xdr",
}


def slug_of(log_type: str) -> str:
    """Our word for the product that wrote a log of that type, empty where we have none."""
    return _SLUGS.get(log_type.upper(), "")
