"""Which module of stix-shifter reads which product's alerts, and how its own transmission layer hands a record over.

``exact`` means the module was written for this very record. Where it reads another API of the product (events where
ours reads alerts), what it can map is handed over under the names it knows, and the table marks the row with ``~``.
Darktrace's module maps connections and nothing of a model breach, so it does not stand here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["MODULES", "Module", "module_of"]

Record = dict[str, Any]
Shape = Callable[[Record], list[Record] | None]


@dataclass(frozen=True)
class Module:
    """``shape`` makes of one alert the records that the module's translator is handed, or None: it is not for this one.

    ``prepare`` is the module's own reshaping of records before translation (a method of its connector).
    """

    name: str
    shape: Shape
    exact: bool = True
    prepare: str = ""
    note: str = ""


def at(node: Any, path: str) -> Any:
    """A value at a dotted path; of a list its first, ``0`` where nothing follows."""
    for step in path.split("."):
        if isinstance(node, list):
            node = node[0] if node else None
        if step != "0":
            node = node.get(step) if isinstance(node, dict) else None
    return node


def raw(*keys: str) -> Shape:
    """The alert as it is, if it has these keys."""
    return lambda alert: [alert] if all(at(alert, key) is not None for key in keys) else None


def inside(key: str) -> Shape:
    """What stands at a key."""

    def shape(alert: Record) -> list[Record] | None:
        found = alert.get(key)
        return [found] if isinstance(found, dict) else None

    return shape


def renamed(names: Mapping[str, str], within: str = "") -> Shape:
    """The values the module has a name for: its name to the path in the alert; ``within`` wraps the record."""

    def shape(alert: Record) -> list[Record] | None:
        found = {name: value for name, path in names.items() if (value := at(alert, path)) not in (None, "", [], {})}
        return [{within: found} if within else found] if found else None

    return shape


def nested(alert: Record) -> list[Record] | None:
    """A search hit's source or the source itself, keys with dots as objects: as Elastic's own agents index."""
    source = alert.get("_source", alert)

    def grow(made: Record, key: str, value: Any) -> None:
        if isinstance(value, dict):
            value = branch(value)
        head, dot, rest = key.partition(".")
        if dot:
            inner = made.setdefault(head, {})
            if isinstance(inner, dict):
                grow(inner, rest, value)
        elif isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = {**made[key], **value}
        else:
            made[key] = value

    def branch(node: Record) -> Record:
        made: Record = {}
        for key, value in node.items():
            grow(made, key, value)
        return made

    return [branch(source)] if isinstance(source, dict) else None


def behaviours(alert: Record) -> list[Record] | None:
    """A record for each behaviour, with the device's and the detection's fields beside its own."""
    found = alert.get("behaviors")
    if not isinstance(found, list) or not found:
        return None
    device = {**(alert.get("device") or {}), **(alert.get("hostinfo") or {})}
    detection = {key: value for key, value in alert.items() if not isinstance(value, dict) and key != "behaviors"}
    detection.pop("quarantined_files", None)
    records = []
    for behaviour in found:
        own = {key: value for key, value in behaviour.items() if value and not isinstance(value, dict)}
        own.update(behaviour.get("parent_details") or {})
        own.update(detection)
        own.update({key: value for key, value in device.items() if value})
        own.pop("device_id", None)
        records.append({**{key: value for key, value in own.items() if value != "N/A"}, "provider": "CrowdStrike"})
    return records


def row(alert: Record) -> list[Record] | None:
    """A row of a Log Analytics table: every cell a text, as the module's data frame makes it."""
    kind = alert.get("Type") or ("SecurityIncident" if "IncidentNumber" in alert else "SecurityAlert")
    if "SystemAlertId" not in alert and "IncidentNumber" not in alert:
        return None
    return [{**{key: value if isinstance(value, str) else str(value) for key, value in alert.items()}, "Type": kind}]


def graph(alert: Record) -> list[Record] | None:
    """Microsoft Graph: a security alert, each piece of evidence under the name of its kind."""
    if "evidence" not in alert or "createdDateTime" not in alert:
        return None
    made = {key: value for key, value in alert.items() if key != "evidence"}
    for piece in alert["evidence"]:
        made[str(piece.get("@odata.type", "")).rpartition(".")[2]] = piece
    return [made]


def pascal(node: Any) -> Any:
    """Keys as the cloud's own client library writes them, whatever way the finding came."""
    if isinstance(node, dict):
        return {key[:1].upper() + key[1:]: pascal(value) for key, value in node.items()}
    return [pascal(item) for item in node] if isinstance(node, list) else node


def finding(alert: Record) -> list[Record] | None:
    found = alert.get("detail", alert)
    return [pascal(found)] if isinstance(found, dict) else None


def xql(alert: Record) -> list[Record] | None:
    """Alert and event fields in one row, as a query of the product's data lake answers."""
    events = alert.get("events")
    event = events[0] if isinstance(events, list) and events and isinstance(events[0], dict) else {}
    return [{"xdr_data": {**{key: value for key, value in alert.items() if key != "events"}, **event}}]


def udm(alert: Record) -> list[Record] | None:
    """A UDM event by itself."""
    for path in ("event.idm.readOnlyUdm", "idm.readOnlyUdm", "udm"):
        found = at(alert, path)
        if isinstance(found, dict):
            return [{"event": found}]
    return [alert] if isinstance(at(alert, "event.metadata"), dict) else None


def match(alert: Record) -> list[Record] | None:
    """An alert with its details parsed and its file's hashes together."""
    details = alert.get("details")
    if isinstance(details, str):
        details = orjson.loads(details)
    file = at(details, "match.properties.file")
    if not isinstance(details, dict) or not isinstance(file, dict):
        return None
    file["hash"] = {kind: file.get(kind) for kind in ("md5", "sha1", "sha256")}
    return [{**alert, "details": details}]


def first_record(alert: Record) -> list[Record] | None:
    """The first record of a signal, or of an insight's first signal."""
    found = at(alert, "allRecords.0") or at(alert, "signals.allRecords.0")
    return [found] if isinstance(found, dict) and found else None


def simple(alert: Record) -> list[Record] | None:
    """An element's simple values, and the names of its linked elements."""
    made = {key: (value.get("values") or [None])[0] for key, value in (alert.get("simpleValues") or {}).items()}
    for key, value in (alert.get("elementValues") or {}).items():
        made[key] = [each.get("name") for each in value.get("elementValues") or [] if isinstance(each, dict)]
    return [{"Process": {key: value for key, value in made.items() if value}}] if made else None


def _method(module: str, path: str, file: str = "connector") -> str:
    return f"stix_shifter_modules.{module}.stix_transmission.{file}:{path}"


OTHER_API = "reads events of the product, handed the alert's fields under its names"
DEFENDER = {
    "AlertId": "id",
    "Severity": "severity",
    "Category": "category",
    "Title": "title",
    "Timestamp": "alertCreationTime",
    "DeviceName": "computerDnsName",
    "DeviceId": "machineId",
    "AttackTechniques": "mitreTechniques",
    "FileName": "evidence.fileName",
    "SHA1": "evidence.sha1",
    "SHA256": "evidence.sha256",
    "RemoteIP": "evidence.ipAddress",
    "RemoteUrl": "evidence.url",
}
SENTINELONE = {
    "tgtFilePath": "threatInfo.filePath",
    "tgtFileSha1": "threatInfo.sha1",
    "tgtFileSha256": "threatInfo.sha256",
    "tgtFileMd5": "threatInfo.md5",
    "tgtFileSize": "threatInfo.fileSize",
    "tgtFileExtension": "threatInfo.fileExtension",
    "srcProcName": "threatInfo.originatorProcess",
    "srcProcUser": "threatInfo.processUser",
    "srcProcCmdLine": "threatInfo.maliciousProcessArguments",
    "srcProcStorylineId": "threatInfo.storyline",
    "indicatorName": "indicators.category",
    "indicatorDescription": "indicators.description",
    "eventTime": "threatInfo.createdAt",
    "endpointName": "agentRealtimeInfo.agentComputerName",
    "endpointOs": "agentRealtimeInfo.agentOsType",
    "agentUuid": "agentRealtimeInfo.agentUuid",
    "agentVersion": "agentRealtimeInfo.agentVersion",
    "srcMachineIP": "agentDetectionInfo.agentIpV4",
    "srcIp": "agentDetectionInfo.externalIp",
}
OFFENSE = {
    "sourceip": "offense_source",
    "starttime": "start_time",
    "endtime": "last_updated_time",
    "eventcount": "event_count",
    "magnitude": "magnitude",
    "credibility": "credibility",
    "relevance": "relevance",
    "eventseverity": "severity",
    "categoryname": "categories",
    "logsourcename": "log_sources.name",
    "logsourcetypename": "log_sources.type_name",
    "domainid": "domain_id",
    "credescription": "description",
    "crename": "description",
    "username": "username",
}
SIGNAL = {
    "id": "id",
    "title": "attributes.custom.title",
    "text": "attributes.message",
    "tags": "attributes.tags",
    "timestamp": "attributes.timestamp",
    "host": "attributes.attributes.host",
    "user": "attributes.attributes.usr.id",
    "source": "type",
}
ACTIVITY = {
    "eventTime": "createdDateTime",
    "hostName": "impactScope.entities.entityValue.name",
    "endpointIp": "impactScope.entities.entityValue.ips",
    "processCmd": "indicators.value",
    "request": "alertProvider",
}

MODULES: dict[str, tuple[Module, ...]] = {
    "aws_guardduty": (Module("aws_guardduty", finding, prepare=_method("aws_guardduty", "Connector.format_result")),),
    "carbon_black_cloud": (
        Module(
            "cbcloud",
            raw(),
            exact=False,
            prepare=_method("cbcloud", "ResultsConnector.modify_result", "results_connector"),
            note="reads process events, whose fields an alert shares in part",
        ),
    ),
    "crowdstrike_falcon": (
        Module("crowdstrike_alerts", raw("composite_id")),
        Module("crowdstrike", behaviours),
    ),
    "cybereason": (Module("cybereason", simple, exact=False, note="reads elements of an investigation, not Malops"),),
    "datadog": (Module("datadog", renamed(SIGNAL), exact=False, note=OTHER_API),),
    "elastic_security": (Module("elastic_ecs", nested),),
    "google_secops": (
        Module(
            "gcp_chronicle",
            raw("collectionElements.references.event", "detection"),
            prepare=_method("gcp_chronicle", "ResultsConnector.get_results_data", "results_connector"),
        ),
        Module("gcp_chronicle", udm, exact=False, note="reads detections, handed the event of one"),
    ),
    "ibm_qradar": (Module("qradar", renamed(OFFENSE), exact=False, note=OTHER_API),),
    "microsoft_defender_endpoint": (
        Module("msatp", renamed(DEFENDER, "DeviceAlertEvents"), exact=False, note="reads rows of advanced hunting"),
    ),
    "microsoft_defender_xdr": (Module("azure_sentinel", graph),),
    "microsoft_sentinel": (
        Module("azure_log_analytics", row, prepare=_method("azure_log_analytics", "Connector.format_response")),
    ),
    "okta": (Module("okta", raw("eventType", "uuid"), prepare=_method("okta", "Connector.format_result")),),
    "paloalto_cortex_xdr": (Module("paloalto", xql, exact=False, note=OTHER_API),),
    "proofpoint_tap": (Module("proofpoint", raw("GUID")),),
    "sentinelone": (Module("sentinelone", renamed(SENTINELONE), exact=False, note=OTHER_API),),
    "splunk_es": (
        Module("splunk", raw(), prepare=_method("splunk", "ResultsConnector.check_data", "results_connector")),
    ),
    "sumo_logic_cloud_siem": (
        Module("sumologic", first_record, exact=False, note="reads records, handed the first of a signal"),
    ),
    "tanium": (Module("tanium", match),),
    "trend_vision_one": (
        Module(
            "trendmicro_vision_one",
            inside("detail"),
            prepare=_method("trendmicro_vision_one", "ResultsConnector.modify_result", "results_connector"),
        ),
        Module("trendmicro_vision_one", renamed(ACTIVITY), exact=False, note=OTHER_API),
    ),
    "vectra": (Module("vectra", raw("detection_type")),),
}


def module_of(product: str, alert: Record) -> tuple[Module | None, list[Record]]:
    """The first module that takes this alert, and what it is handed."""
    for module in MODULES.get(product, ()):
        records = module.shape(alert)
        if records is not None:
            return module, records
    return None, []
