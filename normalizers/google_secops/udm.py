"""Events of the unified data model as flat lists of what they hold: hosts, accounts, processes, files, connections.

An event is taken apart: what becomes an object leaves a copy of it, and what then remains is carried as facts.
"""

from collections.abc import Hashable
from typing import Any, Final

from nightdesk.normalizers.google_secops.tree import copied, dicts, key_of, listed, part, spread, take
from nightdesk.stix import values
from nightdesk.stix.networks import is_outside

__all__ = ["Holdings"]

_NOUNS: Final = ("principal", "src", "target", "observer", "intermediary", "about")
_HASHES: Final = ("md5", "sha1", "sha256")
_MALICIOUS: Final = ("SOFTWARE_MALICIOUS", "SOFTWARE_PUA")
# Servers that answer everybody: who asked is what the event is about.
_ANSWERING: Final = ("NETWORK_DNS", "NETWORK_DHCP")
# What a party itself says; the rest stands in objects of its own.
_OF_NOUN: Final = (
    "hostname", "assetId", "administrativeDomain", "url", "platform", "platformVersion", "email", "port",
)  # fmt: skip
# Types of events in which the target is what was started or changed on the principal's own machine.
_ON_MACHINE: Final = (
    "PROCESS_",
    "FILE_",
    "REGISTRY_",
    "SCAN_",
    "SERVICE_",
    "SCHEDULED_TASK_",
    "MUTEX_",
    "SETTING_",
    "SYSTEM_AUDIT_",
)


def _malicious(category: Any) -> bool:
    return isinstance(category, list) and any(word in _MALICIOUS for word in category if isinstance(word, str))


class Holdings:
    """What several events hold together, each thing once."""

    def __init__(self) -> None:
        self.lists: dict[str, dict[Hashable, Any]] = {}
        self.results: list[dict[str, Any]] = []
        self.rest: dict[str, dict[Hashable, Any]] = {}
        self.times: list[str] = []
        self.malware: list[str] = []

    def put(self, name: str, thing: Any) -> None:
        """Adds a thing to a list, once."""
        if thing or thing not in (None, "", [], {}):
            self.lists.setdefault(name, {}).setdefault(key_of(thing), thing)

    def add(self, event: dict[str, Any]) -> None:
        """Takes an event apart."""
        event = copied(event)
        meta = part(event, "metadata")
        kind = str(meta.get("eventType") or "")
        time = meta.get("eventTimestamp")
        if isinstance(time, str) and values.parse_time(time):
            self.times.append(time)
        results = dicts(event.get("securityResult"))
        bad = any(result.get("threatName") and _malicious(result.get("category")) for result in results)
        present: list[str] = [name for name in _NOUNS if name in event]
        ends = {name: self._noun(noun, name, bad=bad) for name in present for noun in dicts(event[name])}
        self._sides(ends, kind)
        self._processes(event, ends, kind)
        self._network(event, ends, time)
        for result in dicts(event.pop("securityResult", None)):
            for about in dicts(result.get("about")):
                self._noun(about, "result", bad=bad)
            name = result.get("threatName")
            if isinstance(name, str) and _malicious(result.get("category")) and name not in self.malware:
                self.malware.append(name)
            self.results.append(result)
        spread(event, "", self.rest)

    def _noun(self, noun: dict[str, Any], name: str, *, bad: bool) -> dict[str, Any]:
        """One party of an event: its things go to the lists, what tells its side comes back."""
        asset = part(noun, "asset")
        own = take(noun, *_OF_NOUN)
        said = take(asset, "hostname", "productObjectId", "assetId")
        ips = list(dict.fromkeys([*listed(noun, "ip", values.address), *listed(asset, "ip", values.address)]))
        for address in [*listed(noun, "natIp", values.address), *listed(asset, "natIp", values.address)]:
            self.put("shared", address)
        for address in [*listed(noun, "mac", values.mac), *listed(asset, "mac", values.mac)]:
            self.put("macs", address)
        for address in ips:
            self.put("addresses", address)
        for text in (take(part(noun, "domain"), "name").get("name"), own.get("administrativeDomain")):
            self.put("domains", text if text is not None and values.domain(str(text)) else None)
        self.put("urls", own.get("url"))
        self.put("registry", take(part(noun, "registry"), "registryKey", "registryValueName", "registryValueData"))
        self.put("platforms", {key: own[key] for key in ("platform", "platformVersion") if key in own})
        user = self._account(noun, own, name)
        if "file" in noun:
            found = self._file(part(noun, "file"))
            self.put("files", {**found, "bad": True} if found and bad and name != "principal" else found)
        if "resource" in noun or "cloud" in noun:
            self._resource(noun)
        return {
            "hostname": said.get("hostname", own.get("hostname")),
            "device": said.get("productObjectId")
            or str(own.get("assetId", said.get("assetId", ""))).rpartition(":")[2],
            "ips": ips,
            "url": own.get("url"),
            "port": own.get("port"),
            **user,
        }

    def _account(self, noun: dict[str, Any], own: dict[str, Any], name: str) -> dict[str, Any]:
        """Keeps a party's account; its name and id come back, for the processes that ran under it."""
        user = part(noun, "user")
        if not user and "email" not in own:
            return {}
        found = take(user, "userid", "windowsSid", "userDisplayName", "productObjectId")
        mails = listed(user, "emailAddresses", values.email)
        mails += [text for text in (str(own.get("email", "")),) if values.email(text)]
        login = found.pop("userid", None) or found.get("userDisplayName")
        if login or found:
            self.put("accounts", {**found, "login": login, "mails": mails, "party": name})
        else:
            for text in mails:
                self.put("emails", text)
        uid = found.get("windowsSid") or found.get("productObjectId")
        return {"user": login, "user_uid": uid} if login else {}

    def _resource(self, noun: dict[str, Any]) -> None:
        found = take(part(noun, "resource"), "name", "productObjectId", "resourceType", "id")
        cloud = part(noun, "cloud")
        project = take(part(cloud, "project"), "id", "name")
        place = take(cloud, "environment", "availabilityZone") | {
            f"project_{key}": text for key, text in project.items()
        }
        address = found.pop("productObjectId", None) or found.pop("id", None) or found.pop("name", None)
        self.put("resources", {**found, **place, "address": address} if address else None)
        self.put("clouds", place)

    @staticmethod
    def _file(raw: dict[str, Any]) -> dict[str, Any]:
        if not raw:
            return {}
        taken = take(raw, "fullPath", "size", "mimeType", "createTime", "lastModificationTime", "lastAccessTime")
        names = listed(raw, "names", bool)
        known = [name for name in _HASHES if isinstance(raw.get(name), str) and values.hash_name(raw[name])]
        hashes = [raw.pop(name) for name in known]
        return {**taken, **({"name": names[0]} if names else {}), **({"hashes": hashes} if hashes else {})}

    def _sides(self, ends: dict[str, dict[str, Any]], kind: str) -> None:
        """Whose a party is: a machine with a name or an id, or a private address, is the company's own."""
        answering = kind.startswith(_ANSWERING)
        aim = ends.get("target", {})
        # Who comes from outside to an own machine, or to an account or service that names none.
        aimed = not (aim.get("ips") or aim.get("hostname")) and not kind.startswith("EMAIL_")
        on_machine = kind.startswith(_ON_MACHINE)

        def own(name: str) -> bool:
            end = ends.get(name, {})
            inside = any(not is_outside(address) for address in end.get("ips", ()))
            named = bool(end.get("device") or end.get("hostname"))
            # A target's name in traffic is what was asked for (a web site), not a machine of the company.
            return inside or (
                named
                and (name != "target" or bool(end.get("device")) or not end.get("ips"))
                and not (name == "target" and kind.startswith("NETWORK_"))
            )

        ours = {name: own(name) for name in ends}
        for name, end in ends.items():
            role = "other"
            if name == "principal" and ours[name]:
                role = "actor" if ours.get("target") and not (on_machine or answering) else "victim"
            elif name == "target" and ours[name] and not answering:
                role = "victim"
            address = next((text for text in end["ips"] if not is_outside(text)), next(iter(end["ips"]), None))
            if ours[name] and name != "result":
                device = end["device"] or (None if end.get("hostname") else address)
                self.put("hosts", {"role": role, "hostname": end.get("hostname"), "device": device, "address": address})
            elif end.get("hostname") and values.domain(str(end.get("hostname"))):
                self.put("domains", end.get("hostname"))
            if name == "principal" and not ours[name] and (ours.get("target") or aimed):
                for text in end["ips"]:
                    self.put("attackers", text)

    def _chain(self, raw: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
        """A process with its parent and grandparent: those inside it, else ``above``, the principal's process."""
        made: dict[str, Any] = {}
        slots, current, time = ["process", "parent", "grandparent"], raw, 0
        while current and time < len(slots):
            taken = take(current, "pid", "commandLine", "productSpecificProcessId")
            taken |= {f"file_{key}": value for key, value in self._file(part(current, "file")).items()}
            made |= {f"{slots[time]}_{key}": value for key, value in taken.items()}
            if current.get("parentPid") and not part(current, "parentProcess"):
                made["parent_pid"] = made.get("parent_pid") or (
                    take(current, "parentPid").get("parentPid") if not above else None
                )
            current, time = part(current, "parentProcess") or (above if time == 0 else {}), time + 1
        return {name: value for name, value in made.items() if value is not None}

    def _processes(self, event: dict[str, Any], ends: dict[str, dict[str, Any]], kind: str) -> None:
        principal, target = (part(part(event, name), "process") for name in ("principal", "target"))
        end = ends.get("principal") or ends.get("target") or {}
        ran = {
            "host": end.get("device") or end.get("hostname"),
            "user": end.get("user"),
            "user_uid": end.get("user_uid"),
        }
        acted = kind in {"PROCESS_LAUNCH", "PROCESS_INJECTION", "PROCESS_OPEN", "PROCESS_MODULE_LOAD"} and bool(target)
        above = copied(principal) if kind == "PROCESS_LAUNCH" and not part(target, "parentProcess") else {}
        for name, raw in (("target", target), ("src", part(part(event, "src"), "process")), ("principal", principal)):
            chain = self._chain(raw, above if name == "target" else {}) if raw else {}
            deciding = name == ("target" if acted else "principal")
            if chain:
                self.put("chains", {**chain, **ran, **({"malicious": True} if deciding else {})})

    def _network(self, event: dict[str, Any], ends: dict[str, dict[str, Any]], time: Any) -> None:
        network = part(event, "network")
        principal, target = ends.get("principal", {}), ends.get("target", {})
        near, far = (next(iter(end.get("ips", ())), None) for end in (principal, target))
        # Some parsers write both addresses at both ends.
        far = next((text for text in target.get("ips", ()) if text != near), far)
        http = take(part(network, "http"), "method", "userAgent")
        counts = take(network, "ipProtocol", "applicationProtocol", "sentBytes", "receivedBytes")
        ports = {"from_port": principal.get("port"), "to_port": target.get("port")}
        request = {**http, "url": target["url"]} if http.get("method") and target.get("url") else {}
        if None not in ports.values() and (near or far):
            self.put("flows", {**counts, **request, **ports, "from": near, "to": far, "start": time})
        said = {**http, **counts}
        for name in ("method", "userAgent", "ipProtocol", "applicationProtocol"):
            self.put(name, said.get(name))
        for name, port in ports.items():
            self.put(name, port)
        dns = part(network, "dns")
        for item in [*dicts(dns.get("questions")), *dicts(dns.get("answers"))]:
            text = item.get("name")
            if isinstance(text, str) and values.domain(text):
                self.put("domains", item.pop("name"))
            data = item.get("data")
            if isinstance(data, str) and values.address(data):
                self.put("addresses", item.pop("data"))
        if "email" in network:
            self._mail(part(network, "email"))

    def _mail(self, email: dict[str, Any]) -> None:
        mail: dict[str, Any] = take(email, "from", "mailId")
        mail |= {name: listed(email, name, bool) for name in ("to", "cc", "subject") if email.get(name)}
        self.put("mails", mail)
