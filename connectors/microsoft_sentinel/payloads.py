"""Renders a story as Sentinel would: an incident with its alerts and entities, and the rows of its tables."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.story import TACTIC_NAMES, StoryProcess

__all__ = ["NOBODY", "Story", "guid", "timestamp"]

NOBODY: Mapping[str, None] = dict.fromkeys(("objectId", "email", "assignedTo", "userPrincipalName"))
"""The owner of an incident that is not assigned."""

_SEVERITY = {"informational": "Informational", "low": "Low", "medium": "Medium", "high": "High", "critical": "High"}
_OS: Mapping[tuple[str, str], str] = {
    ("Windows", "workstation"): "Windows 11",
    ("Windows", "server"): "Windows Server 2022",
    ("Linux", "workstation"): "Ubuntu 24.04",
    ("Linux", "server"): "RHEL 9.4",
    ("macOS", "workstation"): "macOS 15",
    ("macOS", "server"): "macOS 15",
}
_PRODUCT = "Azure Sentinel"
_PARENT_PID = 4


def timestamp(moment: datetime) -> str:
    """Sentinel's time text: seven digits, of which a clock of ours fills six."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def guid(*parts: object) -> str:
    """The same id for the same thing, so that one story told twice is one story."""
    return str(uuid5(NAMESPACE_URL, "/".join(map(str, parts))))


class Story:
    """One alert of a story in one workspace; ``scope`` is the path of the workspace's Sentinel."""

    def __init__(self, alert: StoryAlert, scope: str, workspace_id: str) -> None:
        self._alert = alert
        self._scope = scope
        self._workspace_id = workspace_id
        self.name = guid(scope, "incident", alert.uid)
        self._alert_id = guid(scope, "alert", alert.uid)
        self._found: list[dict[str, Any]] = []

    def incident(self, number: int) -> dict[str, Any]:
        """The incident as it is created, without its etag."""
        alert, told = self._alert, timestamp(self._alert.told)
        path = f"{self._scope}/Incidents/{self.name}"
        return {
            "id": path,
            "name": self.name,
            "etag": "",
            "type": "Microsoft.SecurityInsights/Incidents",
            "properties": {
                "title": alert.title,
                "description": alert.description or alert.title,
                "severity": _SEVERITY[alert.severity],
                "status": "New",
                "owner": dict(NOBODY),
                "labels": [{"labelName": name, "labelType": "AutoAssigned"} for name in sorted(alert.labels)],
                "firstActivityTimeUtc": timestamp(alert.at),
                "lastActivityTimeUtc": timestamp(alert.at),
                "lastModifiedTimeUtc": told,
                "createdTimeUtc": told,
                "incidentNumber": number,
                "incidentUrl": f"https://portal.azure.com/#asset/Microsoft_Azure_Security_Insights/Incident{path}",
                "providerName": _PRODUCT,
                "providerIncidentId": str(number),
                "relatedAnalyticRuleIds": [f"{self._scope}/alertRules/{guid('rule', alert.rule_id)}"],
                "additionalData": {
                    "alertsCount": 1,
                    "bookmarksCount": 0,
                    "commentsCount": 0,
                    "alertProductNames": [_PRODUCT],
                    "tactics": self._tactics(),
                    "techniques": self._techniques(),
                },
            },
        }

    def alerts(self) -> list[dict[str, Any]]:
        """What the incident's list of alerts holds."""
        alert, told = self._alert, timestamp(self._alert.told)
        subscription, group = self._scope.split("/")[2], self._scope.split("/")[4]
        properties = {
            "systemAlertId": self._alert_id,
            "tactics": self._tactics(),
            "techniques": self._techniques(),
            "subTechniques": [name for name in alert.technique_ids if "." in name],
            "alertDisplayName": alert.title,
            "description": alert.description or alert.title,
            "confidenceLevel": "Unknown",
            "severity": _SEVERITY[alert.severity],
            "vendorName": "Microsoft",
            "productName": _PRODUCT,
            "productComponentName": "Scheduled Alerts",
            "alertType": f"{self._workspace_id}_{guid('rule', alert.rule_id)}",
            "compromisedEntity": alert.device.hostname if alert.device else "",
            "status": "New",
            "startTimeUtc": timestamp(alert.at),
            "endTimeUtc": timestamp(alert.at),
            "timeGenerated": told,
            "processingEndTime": told,
            "providerAlertId": guid("provider", self._alert_id),
            "resourceIdentifiers": [
                {
                    "type": "LogAnalytics",
                    "workspaceId": self._workspace_id,
                    "subscriptionId": subscription,
                    "resourceGroup": group,
                }
            ],
            "additionalData": {"Analytic Rule Name": alert.title, "Analytic Rule Ids": f'["{alert.rule_id}"]'},
            "friendlyName": alert.title,
        }
        return [self._entity("SecurityAlert", self._alert_id, properties)]

    def entities(self) -> list[dict[str, Any]]:
        """What the incident's list of entities holds: each by itself, pointing at the others by id."""
        alert, self._found = self._alert, []
        host = self._host(alert.device) if alert.device else ""
        account = self._account(host) if alert.user else ""
        if alert.process is not None:
            self._process(alert.process, host, account)
        if alert.convicted_sha256:
            self._malware(alert.convicted_sha256)
        for address in (alert.source_address, alert.destination_address):
            if address:
                self._add("Ip", address, address=address)
        if alert.domain:
            self._add("DnsResolution", alert.domain, domainName=alert.domain, ipAddressEntityIds=[])
        return self._found

    def row(self) -> dict[str, Any]:
        """The alert in the table SecurityAlert."""
        properties = self.alerts()[0]["properties"]
        return {
            "TenantId": self._workspace_id,
            "TimeGenerated": properties["timeGenerated"],
            "SystemAlertId": self._alert_id,
            "AlertName": properties["alertDisplayName"],
            "DisplayName": properties["alertDisplayName"],
            "AlertSeverity": properties["severity"],
            "Description": properties["description"],
            "VendorName": "Microsoft",
            "ProductName": _PRODUCT,
            "ProviderName": "ASI Scheduled Alerts",
            "AlertType": properties["alertType"],
            "Status": "New",
            "CompromisedEntity": properties["compromisedEntity"],
            "StartTime": properties["startTimeUtc"],
            "EndTime": properties["endTimeUtc"],
            "Tactics": ", ".join(self._tactics()),
            "Techniques": json.dumps(self._techniques()),
            "Type": "SecurityAlert",
        }

    def _tactics(self) -> list[str]:
        return [TACTIC_NAMES.get(name, name).title().replace(" ", "") for name in self._alert.tactic_ids]

    def _techniques(self) -> list[str]:
        return list(dict.fromkeys(name.partition(".")[0] for name in self._alert.technique_ids))

    def _entity(self, kind: str, name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": f"{self._scope}/Entities/{name}",
            "name": name,
            "type": "Microsoft.SecurityInsights/Entities",
            "kind": kind,
            "properties": dict(properties),
        }

    def _add(self, kind: str, key: str, **properties: Any) -> str:
        """Adds an entity once; gives the path by which others point at it. Properties without a value are left out."""
        name = guid(self._scope, kind, key)
        given = {field: value for field, value in properties.items() if value != ""}
        if all(entity["name"] != name for entity in self._found):
            self._found.append(self._entity(kind, name, {**given, "friendlyName": key}))
        return f"{self._scope}/Entities/{name}"

    def _host(self, device: StoryDevice) -> str:
        for address in device.addresses:
            self._add("Ip", address, address=address)
        return self._add(
            "Host",
            device.hostname,
            hostName=device.hostname,
            netBiosName=device.hostname,
            omsAgentID=guid("agent", device.device_id),
            osFamily=device.platform,
            osVersion=_OS[device.platform, device.asset_type],
            isDomainJoined=True,
        )

    def _account(self, host: str) -> str:
        alert = self._alert
        key = f"{alert.user_domain}\\{alert.user}" if alert.user_domain else alert.user
        shown = {"accountName": alert.user, "ntDomain": alert.user_domain, "sid": alert.user_sid}
        return self._add("Account", key, **shown, hostEntityId=host, isDomainJoined=True)

    def _process(self, process: StoryProcess, host: str, account: str) -> None:
        began = self._alert.at - timedelta(seconds=2)
        parent = ""
        if process.parent_name:
            image = self._file(process.parent_name, "", "", host)
            parent = self._add(
                "Process",
                f"{process.parent_name} before {self._alert.uid}",
                processId=str(max(process.pid - 1, _PARENT_PID)),
                commandLine=process.parent_command_line,
                creationTimeUtc=timestamp(began - timedelta(seconds=28)),
                imageFileEntityId=image,
                hostEntityId=host,
            )
        self._add(
            "Process",
            f"{process.name} of {self._alert.uid}",
            processId=str(process.pid),
            commandLine=process.command_line,
            creationTimeUtc=timestamp(began),
            elevationToken="Default",
            imageFileEntityId=self._file(process.name, process.path, process.sha256, host),
            parentProcessEntityId=parent,
            hostEntityId=host,
            accountEntityId=account,
        )

    def _file(self, name: str, path: str, sha256: str, host: str) -> str:
        hashes = [self._add("FileHash", sha256, algorithm="SHA256", hashValue=sha256)] if sha256 else []
        folder = path.removesuffix(name).rstrip("\\/") if path.endswith(name) else ""
        key = f"{path or name} {sha256}".strip()
        return self._add("File", key, fileName=name, directory=folder, fileHashEntityIds=hashes, hostEntityId=host)

    def _malware(self, sha256: str) -> None:
        hashes = [self._add("FileHash", sha256, algorithm="SHA256", hashValue=sha256)]
        files = [entity["id"] for entity in self._found if _has(entity, hashes)]
        files = files or [self._add("File", f"file {sha256}", fileName=sha256, fileHashEntityIds=hashes)]
        self._add("Malware", "Trojan:Win32/Detected", malwareName="Trojan:Win32/Detected", fileEntityIds=files)


def _has(entity: Mapping[str, Any], hashes: Sequence[str]) -> bool:
    return entity["kind"] == "File" and bool(set(hashes) & set(entity["properties"]["fileHashEntityIds"]))
