"""A story's alert as a CEF line behind a syslog header, as a network sensor sends it.

Format: Common Event Format, implementation standard, revision 25; RFC 3164 for the header.
"""

from nightdesk.sdk.testing.story import StoryAlert

__all__ = ["line"]

_SEVERITY = {"informational": 1, "low": 3, "medium": 5, "high": 8, "critical": 10}


def line(alert: StoryAlert) -> str:
    """One line, without its end."""
    facts: dict[str, object] = {
        "externalId": alert.uid,
        "rt": int(alert.told.timestamp() * 1000),
        "start": int(alert.at.timestamp() * 1000),
        "msg": alert.description or alert.title,
        "act": "detected",
    }
    if alert.device:
        # An agent speaks of the machine that it runs on; with two ends, of the one that was reached.
        facts |= {"dvchost": alert.device.hostname, "dvc": alert.device.addresses[0]}
    if alert.user:
        facts |= {"duser": alert.user} | ({"dntdom": alert.user_domain} if alert.user_domain else {})
    if alert.process:
        facts |= {"dproc": alert.process.name, "dpid": alert.process.pid, "fileHash": alert.process.sha256}
    if alert.source_address:
        facts |= {"src": alert.source_address}
        facts |= {"dhost": alert.device.hostname, "dst": alert.device.addresses[0]} if alert.device else {}
    if alert.technique_ids:
        facts |= {"cs1Label": "MITRE Technique", "cs1": ", ".join(alert.technique_ids)}
    head = "|".join(
        text.replace("\\", "\\\\").replace("|", "\\|")
        for text in ("CEF:0", "Example", "Sensor", "4.2", alert.rule_id, alert.title, str(_SEVERITY[alert.severity]))
    )
    pairs = " ".join(f"{key}={_escaped(str(value))}" for key, value in facts.items())
    return f"<132>{alert.told:%b %d %H:%M:%S} sensor-1 {head}|{pairs}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n")
