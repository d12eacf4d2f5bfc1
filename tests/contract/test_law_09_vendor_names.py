"""Law 9: a policy written once holds for every vendor, so the autonomy and its policies name none."""

import re
from pathlib import Path

import nightdesk.autonomy

ROOT = Path(nightdesk.autonomy.__file__).resolve().parent
FOLDERS = ("connectors", "normalizers")
_MARKET = """
    abnormal amazon aws azure barracuda bitdefender carbon_black checkpoint check_point chronicle cisco cloudflare
    cortex cribl crowdsec crowdstrike cyberark cybereason cylance darktrace datadog defender duo elastic elasticsearch
    entra eset exabeam falcon fireeye fortinet fortigate gmail google guardduty huntress ibm jamf jira juniper
    kaspersky kibana logrhythm mandiant mcafee microsoft mimecast misp netskope okta opencti orca pagerduty palo_alto
    paloalto panorama proofpoint qradar qualys rapid7 secureworks sentinel sentinelone servicenow slack snort snyk
    sonicwall sophos splunk stellar_cyber sumo_logic suricata symantec sysdig tanium tenable thehive tines torq
    trellix trend_micro trend_vision umbrella veeam vectra virustotal vmware wazuh wiz xsoar zeek zscaler
    """
KNOWN = frozenset(_MARKET.split())


def vendor_words() -> frozenset[str]:
    """What this project connects to, by its folders, and what the market holds beside."""
    slugs = {
        path.name
        for folder in FOLDERS
        for path in (ROOT.parent / folder).iterdir()
        if path.is_dir() and not path.name.startswith(("_", "."))
    }
    return KNOWN | slugs


def named(text: str) -> set[str]:
    """The vendors that a text names, as whole words; ``-``, ``_`` and space are one."""
    plain = re.sub(r"[-_\s]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)).lower()
    return {word for word in vendor_words() if re.search(rf"\b{re.escape(word.replace('_', ' '))}\b", plain)}


def sources() -> list[Path]:
    kinds = {".py", ".yaml", ".yml", ".json", ".j2", ".md"}
    return sorted(path for path in ROOT.rglob("*") if path.suffix in kinds and "__pycache__" not in path.parts)


def test_the_autonomy_names_no_vendor() -> None:
    found = {f"{path.relative_to(ROOT)}: {word}" for path in sources() for word in named(path.read_text("utf-8"))}
    assert found == set()


def test_the_search_reads_code_and_policies() -> None:
    kinds = {path.suffix for path in sources()}
    assert {".py", ".yaml"} <= kinds


def test_a_planted_name_is_found() -> None:
    assert named("if product == 'crowdstrike_falcon':") >= {"crowdstrike", "falcon"}
    assert named("class SplunkPolicy") == {"splunk"}
    assert named("rule for Carbon-Black hosts") == {"carbon_black"}
    assert named("elasticity, wizard, sentinels, a defenderless case") == set()


def test_every_connected_vendor_is_searched_for() -> None:
    slugs = {path.name for path in (ROOT.parent / "connectors").iterdir() if (path / "manifest.yaml").exists()}
    assert slugs <= vendor_words()
