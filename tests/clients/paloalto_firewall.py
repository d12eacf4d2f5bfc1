# requires: pan-os-python==1.13.1
"""The vendor's own library against the simulator: system, tags with and without an end, group, policy, hit counts."""

import json
import sys
from typing import Any
from urllib.parse import urlsplit

from pan.xapi import PanXapiError
from panos.errors import PanDeviceError
from panos.firewall import Firewall
from panos.policies import Rulebase, SecurityRule

ADDRESS, INSIDE = "203.0.113.77", "10.0.0.10"
TAG = "nightdesk-block"


def main() -> None:
    """Reads the settings from standard input; ends with a message when something is off."""
    given = json.load(sys.stdin)
    firewall = _connected(given, given["api_key"])
    _expect("the version", firewall.refresh_system_info().version, "11.1.4")
    _expect("nothing is tagged yet", firewall.userid.get_registered_ip(), {})
    _expect("a stranger goes out", _rule(firewall), ("allow-out", "allow"))
    for _ in range(2):  # the library ignores that it is there already
        firewall.userid.register(ADDRESS, [TAG, "seen"], timeout=3600)
    _expect("the tags are there", sorted(firewall.userid.get_registered_ip(ADDRESS)[ADDRESS]), [TAG, "seen"])
    _expect("by tag", list(firewall.userid.get_registered_ip(tags=TAG)), [ADDRESS])
    _expect("a blocked address is denied", _rule(firewall), (TAG, "deny"))
    rules = Rulebase()
    firewall.add(rules)
    rules.add(SecurityRule(TAG))
    _expect("the rule is counted", list(rules.opstate.hit_count.refresh("security")), [TAG])
    firewall.userid.audit_registered_ip_for_tag(TAG, ["198.51.100.1"])
    _expect("an audit moves the tag", list(firewall.userid.get_registered_ip(tags=TAG)), ["198.51.100.1"])
    for _ in range(2):
        firewall.userid.unregister(ADDRESS, "seen")
    firewall.userid.clear_registered_ip()
    _expect("nothing is tagged any more", firewall.userid.get_registered_ip(), {})
    _refused("a tag with a quote", lambda: firewall.userid.register(ADDRESS, "it's"))
    _refused("a wrong key", lambda: _connected(given, "wrong").refresh_system_info())


def _connected(given: dict[str, Any], key: str) -> Firewall:
    where = urlsplit(given["base_url"])
    firewall = Firewall(where.hostname, api_key=key, port=where.port, vsys="vsys1")
    # The library speaks https alone to what it builds itself; its own class takes http from others.
    firewall._xapi_private = Firewall.XapiWrapper(
        pan_device=firewall, api_key=key, hostname=where.hostname, port=where.port, use_http=True, timeout=10
    )
    return firewall


def _rule(firewall: Firewall) -> tuple[str, str]:
    (found,) = firewall.test_security_policy_match(INSIDE, ADDRESS, 6, port=443)
    return found["name"], found["action"]


def _refused(what: str, call: Any) -> None:
    try:
        call()
    except (PanDeviceError, PanXapiError):
        return
    sys.exit(f"{what} is taken")


def _expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        sys.exit(f"{what}: {found!r} instead of {wanted!r}")


main()
