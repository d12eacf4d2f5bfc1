"""States of hosts, users, files and the like, as Graph's first security API gives them beside an alert."""

from typing import Any, Final

from nightdesk.normalizers.microsoft_defender_xdr.evidence import facts_of, without

__all__ = ["registry_path", "states_read"]

# Of the states of Graph's first security API, what no object carries.
_STATES: Final = {
    "hostStates": ("riskScore", "isAzureAdJoined", "isAzureAdRegistered", "isHybridAzureDomainJoined"),
    "fileStates": ("riskScore",),
    "userStates": (
        "riskScore", "logonType", "logonLocation", "logonDateTime", "logonId", "isVpn", "userAccountType", "aadUserId",
    ),
    "malwareStates": ("severity", "family", "wasRunning"),
    "vulnerabilityStates": ("severity", "wasRunning"),
    "networkConnections": (
        "direction", "status", "applicationName", "riskScore", "sourceLocation", "destinationLocation", "urlParameters",
        "natSourcePort", "natDestinationPort", "domainRegisteredDateTime",
    ),
    "processes": ("integrityLevel", "isElevated"),
    "registryKeyStates": ("operation", "oldKey", "oldValueName", "oldValueData", "processId"),
    "messageSecurityStates": ("deliveryAction", "deliveryLocation", "directionality", "networkMessageId"),
    "uriClickSecurityStates": ("verdict", "clickAction", "clickDateTime"),
    "cloudAppStates": ("riskScore",),
    "securityResources": ("resourceType",),
}  # fmt: skip
# The rest is read where it stands too.
_LEAVING: Final = {name: frozenset(wanted) - {"aadUserId", "family"} for name, wanted in _STATES.items()}
# The hives as Graph's first security API names them.
_HIVES: Final = {
    "currentconfig": "HKEY_CURRENT_CONFIG", "currentuser": "HKEY_CURRENT_USER",
    "localmachinesam": "HKEY_LOCAL_MACHINE\\SAM", "localmachinesecurity": "HKEY_LOCAL_MACHINE\\SECURITY",
    "localmachinesoftware": "HKEY_LOCAL_MACHINE\\SOFTWARE", "localmachinesystem": "HKEY_LOCAL_MACHINE\\SYSTEM",
    "usersdefault": "HKEY_USERS\\.DEFAULT",
}  # fmt: skip


def states_read(document: dict[str, Any]) -> dict[str, Any]:
    """What the states of Graph's first security API say beside what their objects carry, a list each, in ``facts``."""
    made, facts = dict(document), {}
    for name, wanted in _STATES.items():
        states = document.get(name)
        if isinstance(states, list):
            made[name] = [without(state, _LEAVING[name]) for state in states]
            facts[name] = facts_of(states, wanted)
    return {**made, "facts": facts}


def registry_path(state: Any) -> str | None:
    """Hive (``localMachineSoftware``, ``currentUser``…) and key of a registry key state."""
    key = state.get("key") if isinstance(state, dict) else None
    if not isinstance(key, str) or not key:
        return None
    hive = _HIVES.get(str(state.get("hive")).lower(), "")
    return key if not hive or key.upper().startswith(("HKEY_", "HKLM", "HKCU")) else f"{hive}\\{key}"
