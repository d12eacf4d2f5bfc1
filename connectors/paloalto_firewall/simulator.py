"""One simulated firewall: an XML API with one path, an administrator's rights, and a policy that tags can change.

It refuses what needs a right that is off (configuration, commit, logs), and what it does not know as *unexpected*.
"""

import base64
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, SubElement

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.paloalto_firewall.documents import read
from nightdesk.connectors.paloalto_firewall.simulated_answers import PanosError, answer, refusal
from nightdesk.connectors.paloalto_firewall.simulated_policy import Group, RunningPolicy, SimulatedRule
from nightdesk.connectors.paloalto_firewall.simulated_tags import Tags
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest

__all__ = ["Simulator"]

_RIGHTS = {"op": "Operational Requests", "user-id": "User-ID Agent", "config": "Configuration", "commit": "Commit",
           "log": "Log", "report": "Report", "export": "Export", "import": "Import"}  # fmt: skip
_CHANGES = ("type=user-id", "<clear>")
_CODES = {401: (403, "Invalid Credential", 403), 403: (16, "Unauthorized request", 200)}


class Simulator(testing.Simulator):
    """One firewall whose administrator has made the group and the rule, and committed; ``version`` of PAN-OS."""

    vendor = "paloalto_firewall"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        version: tuple[int, int] = (11, 1),
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.version = version
        self.rights = {"Operational Requests", "User-ID Agent"}
        self.pair = ""  # state in a pair, empty when there is no pair
        self.tags = Tags(self.now, self.faults, version=version)
        self.policy = RunningPolicy(self.tags)
        self.policy.groups["nightdesk-block"] = Group("nightdesk-block", "'nightdesk-block'")
        self.policy.rules += [
            SimulatedRule("nightdesk-block", destination="nightdesk-block"),
            SimulatedRule("nightdesk-block-in", source="nightdesk-block", action="drop"),
            SimulatedRule("allow-out", source="10.0.0.0/8", action="allow"),
        ]
        self.told: list[str] = []
        self._commands: dict[str, Callable[[Element], Element]] = {
            "show/system/info": self._info,
            "show/high-availability/state": self._pair,
            "show/object/registered-ip": self.tags.shown,
            "show/object/dynamic-address-group": lambda asked: self.policy.show_group(asked, "vsys1"),
            "show/rule-hit-count": self.policy.hits,
            "test/security-policy-match": self.policy.test,
            "clear/session/all/filter": self.policy.clear,
        }

    def routes(self) -> list[BaseRoute]:
        """One address, with and without the slash."""
        return [Route(path, self._answer, methods=["GET", "POST"]) for path in ("/api", "/api/")]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {
            "base_url": base_url,
            "api_key": Secret.literal(self.secret),
            "inside": "10.0.0.10, 2001:db8::10",
            "rules": "nightdesk-block, nightdesk-block-in",
        }

    def mutations(self) -> list[SeenRequest]:
        """Everything is a POST; what changes something is told apart by its command."""
        return [SeenRequest("POST", "/api/", text) for text in self.told if any(part in text for part in _CHANGES)]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The envelope; a missing right comes with status 200, a wrong key with 403."""
        code, text, status = _CODES.get(status, (status, message, status))
        made = refusal(code, text, status)
        made.headers.update(headers or {})
        return made

    async def _answer(self, request: Request) -> Response:
        form = parse_qsl((await request.body()).decode(), keep_blank_values=True)
        given = {**request.query_params, **dict(form)}
        kind = given.get("type", "")
        self.told.append(f"type={kind} {given.get('action', '')} {given.get('cmd', '')}")
        if kind == "keygen":
            return self._keygen(given)
        if not self._is_known(request, given):
            return self.refuse(401, "")
        try:
            return self._carried_out(kind, given)
        except PanosError as error:
            return refusal(error.code, str(error), error.status)

    def _is_known(self, request: Request, given: Mapping[str, str]) -> bool:
        if request.headers.get("x-pan-key", given.get("key", "")) == self.secret:
            return True
        return request.headers.get("authorization") == f"Basic {base64.b64encode(self._login()).decode()}"

    def _login(self) -> bytes:
        return f"nightdesk:{self.secret}-password".encode()

    def _keygen(self, given: Mapping[str, str]) -> Response:
        if f"{given.get('user')}:{given.get('password')}".encode() != self._login():
            return self.refuse(401, "")
        result = Element("result")
        SubElement(result, "key").text = self.secret
        return answer(result)

    def _carried_out(self, kind: str, given: Mapping[str, str]) -> Response:
        if kind == "version":
            result = Element("result")
            SubElement(result, "sw-version").text = self._version()
            return answer(result)
        if kind not in _RIGHTS:
            raise PanosError(400, f'Illegal value for parameter "type" [{kind}].', 400)
        if _RIGHTS[kind] not in self.rights:
            raise PanosError(16, "Unauthorized request")
        if kind not in {"op", "user-id"}:
            raise PanosError(14, f"type={kind} is not simulated")
        if given.get("vsys", "vsys1") != "vsys1":
            raise PanosError(400, f"Invalid vsys [{given['vsys']}].", 400)
        if given.get("target"):
            raise PanosError(13, f"{given['target']} not connected")  # only Panorama has others to pass on to
        try:
            command = read(given.get("cmd", "").encode())
        except ValueError:
            raise PanosError(18, "Malformed Request") from None
        return self._told(command) if kind == "user-id" else self._operated(command)

    def _told(self, message: Element) -> Response:
        refused = self.tags.tell(message)
        holder = Element("line" if refused is not None else "result")
        told = SubElement(holder, "uid-response")
        SubElement(told, "version").text = "2.0"
        if refused is None:
            SubElement(told, "payload")
            return answer(holder)
        told.append(refused)
        msg = Element("msg")
        msg.append(holder)
        return answer(msg, error=True)

    def _operated(self, command: Element) -> Response:
        path, node = command.tag, command
        while path not in self._commands:
            children = list(node)
            if len(children) != 1:
                raise PanosError(17, f"{path.replace('/', ' -> ')} is unexpected")
            node = children[0]
            path = f"{path}/{node.tag}"
        return answer(self._commands[path](node))

    def _info(self, _: Element) -> Element:
        result = Element("result")
        system = SubElement(result, "system")
        facts = (("hostname", "fw-edge"), ("serial", "007200000000042"), ("model", "PA-VM"),
                 ("sw-version", self._version()),
            ("app-version", "8900-9000"),
 ("multi-vsys", "off"))  # fmt: skip
        for name, text in facts:
            SubElement(system, name).text = text
        return result

    def _pair(self, _: Element) -> Element:
        result = Element("result")
        SubElement(result, "enabled").text = "yes" if self.pair else "no"
        if self.pair:
            SubElement(SubElement(SubElement(result, "group"), "local-info"), "state").text = self.pair
        return result

    def _version(self) -> str:
        return f"{self.version[0]}.{self.version[1]}.4"

    def block_by_hand(self, address: str, tag: str = "nightdesk-block") -> None:
        """What an administrator or another tool registers, without an end. Raises ValueError for no address."""
        ipaddress.ip_network(address.partition("-")[0])
        message = Element("uid-message")
        SubElement(message, "type").text = "update"
        section = SubElement(SubElement(message, "payload"), "register")
        SubElement(SubElement(SubElement(section, "entry", {"ip": address}), "tag"), "member").text = tag
        self.tags.tell(message)
