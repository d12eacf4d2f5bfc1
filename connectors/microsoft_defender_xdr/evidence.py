"""The evidence of a simulated alert: Graph tells its kinds apart by ``@odata.type`` and nests the details."""

from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.microsoft_defender_xdr.names import (
    DOMAIN,
    PLATFORMS,
    digits,
    guid,
    machine_id,
    sha1_of,
    timestamp,
)
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.story import StoryProcess

__all__ = ["evidence_of"]


def evidence_of(alert: StoryAlert, created: str) -> list[dict[str, Any]]:
    """Device, process, file, account, addresses and domain of the alert, as far as the story knows them."""
    found: list[dict[str, Any]] = []

    def add(kind: str, verdict: str = "unknown", roles: tuple[str, ...] = (), **fields: Any) -> None:
        found.append(
            {
                "@odata.type": f"#microsoft.graph.security.{kind}Evidence",
                "createdDateTime": created,
                "verdict": verdict,
                "remediationStatus": "none",
                "remediationStatusDetails": None,
                "roles": list(roles),
                "detailedRoles": [],
                "tags": [],
                **fields,
            }
        )

    account = _account(alert)
    machine = machine_id(alert.device.device_id) if alert.device else None
    if alert.device is not None:
        add("device", detailedRoles=["PrimaryDevice"], **_device(alert.device, alert))
    if alert.process is not None:
        fields: dict[str, Any] = {"mdeDeviceId": machine, "detectionStatus": "detected", "userAccount": account}
        add("process", "suspicious", **_process(alert.process, alert.at), **fields)
    if alert.convicted_sha256:
        same = alert.process is not None and alert.process.sha256 == alert.convicted_sha256
        path = alert.process.path if alert.process is not None and same else ""
        file = _file(path, alert.convicted_sha256)
        add("file", "malicious", fileDetails=file, mdeDeviceId=machine, detectionStatus="detected")
    if account is not None:
        add("user", userAccount=account)
    own = alert.device.addresses if alert.device else ()
    if alert.source_address and alert.source_address not in own:
        add("ip", "suspicious", ("source",), ipAddress=alert.source_address, countryLetterCode=None)
    if alert.destination_address:
        add("ip", "suspicious", ("destination",), ipAddress=alert.destination_address, countryLetterCode=None)
    if alert.domain:
        add("url", "suspicious", url=alert.domain)
    return found


def _account(alert: StoryAlert) -> dict[str, Any] | None:
    if not alert.user:
        return None
    return {
        "accountName": alert.user.partition("@")[0],
        "domainName": alert.user_domain or None,
        "userSid": alert.user_sid or None,
        "azureAdUserId": guid(f"user {alert.user.lower()}"),
        "userPrincipalName": alert.user if "@" in alert.user else None,
        "displayName": None,
    }


def _device(device: StoryDevice, alert: StoryAlert) -> dict[str, Any]:
    name, machine = device.hostname.lower(), machine_id(device.device_id)
    user = {"accountName": alert.user.partition("@")[0], "domainName": alert.user_domain}
    return {
        "firstSeenDateTime": timestamp(alert.at - timedelta(days=30)),
        "mdeDeviceId": machine,
        "azureAdDeviceId": guid(f"entra {machine}"),
        "deviceDnsName": f"{name}.{DOMAIN}" if device.platform == "Windows" else name,
        "hostName": name,
        "osPlatform": PLATFORMS[device.platform, device.asset_type],
        "osBuild": 26100 if device.platform == "Windows" else None,
        "version": "24H2" if device.platform == "Windows" else None,
        "healthStatus": "active",
        "riskScore": "medium",
        "rbacGroupId": 0,
        "rbacGroupName": None,
        "onboardingStatus": "onboarded",
        "defenderAvStatus": "updated",
        "lastIpAddress": device.addresses[0] if device.addresses else None,
        "ipInterfaces": [*device.addresses, "127.0.0.1", "::1"],
        "vmMetadata": None,
        "loggedOnUsers": [user] if alert.user else [],
    }


def _process(process: StoryProcess, at: datetime) -> dict[str, Any]:
    part: dict[str, Any] = {
        "processId": process.pid,
        "processCommandLine": process.command_line,
        "processCreationDateTime": timestamp(at - timedelta(seconds=2)),
        "imageFile": _file(process.path, process.sha256),
        "parentProcessId": None,
        "parentProcessCreationDateTime": None,
        "parentProcessImageFile": None,
    }
    if process.parent_name:
        part["parentProcessId"] = 1000 + int(digits(f"parent {process.parent_name}", 4), 16)
        part["parentProcessCreationDateTime"] = timestamp(at - timedelta(seconds=30))
        part["parentProcessImageFile"] = {**_file(process.parent_name, ""), "sha1": None, "sha256": None}
    return part


def _file(path: str, sha256: str) -> dict[str, Any]:
    """File details; Defender keeps the folder beside the name."""
    cut = max(path.rfind("\\"), path.rfind("/"))
    return {
        "sha1": sha1_of(sha256),
        "sha256": sha256 or None,
        "fileName": path[cut + 1 :] or None,
        "filePath": path[:cut] or None if cut >= 0 else None,
        "fileSize": None,
        "filePublisher": None,
        "signer": None,
        "issuer": None,
    }
