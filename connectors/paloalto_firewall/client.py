"""The XML API over HTTP: one address, every outcome inside a document, most errors with status 200.

Sources: the PAN-OS XML API's list of error codes; pan-os-python 1.13 for messages and commands.
"""

import asyncio
from xml.etree.ElementTree import Element

import httpx

from nightdesk.connectors.paloalto_firewall.documents import read, text_of, written
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    AuthError,
    NotFoundError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)
from nightdesk.sdk.http import HeaderAuth, HttpClient
from nightdesk.sdk.redaction import Redactor

__all__ = ["OPERATIONAL", "USER_ID", "VENDOR", "Firewall"]

VENDOR = "paloalto_firewall"
OPERATIONAL = "XML API: Operational Requests"
USER_ID = "XML API: User-ID Agent"
_REQUESTS_PER_MINUTE = 240
_AT_ONCE = 5  # calls; a management plane that is asked for more slows down for its administrators
_ADVICE = (
    "the API key is refused; make a new one and set api_key (a change of the administrator's password or of the master"
    " key ends a key)"
)
_AS_WANTED = ("already exists, ignore", "not exist, ignore unreg")
_CODES: dict[str, type[VendorError]] = {
    **dict.fromkeys(("403",), AuthError),
    **dict.fromkeys(("16",), ScopeError),
    **dict.fromkeys(("7", "13"), NotFoundError),
    **dict.fromkeys(("2", "3", "4", "5", "11", "21", "22"), UnavailableError),
}


class Firewall:
    """One firewall, or one that Panorama reaches by its serial number. What it is asked raises VendorError."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self.vsys = settings.text("vsys", "vsys1")
        self._where = {"vsys": self.vsys, "target": settings.text("target") or None}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("base_url"),
            auth=HeaderAuth("X-PAN-KEY", settings.secret("api_key")),
            headers={"Accept": "application/xml"},
            requests_per_minute=_REQUESTS_PER_MINUTE,
            inspect=_inspect,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the firewall's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def operate(self, document: Element, operation: str) -> Element:
        """Carries out an operational command; the result, which may be empty."""
        form = {"type": "op", "cmd": written(document)}
        found = (await self._ask(form, operation, OPERATIONAL)).find("result")
        return Element("result") if found is None else found

    async def tell(self, kind: str, address: str, tag: str, operation: str, seconds: int | None = None) -> bool:
        """Registers or unregisters (``kind``) a tag of an address; False when it was so already.

        ``seconds`` is how long it stands, None for no end. The kind ``renew`` is both in one message, which the
        firewall carries out in that order: a tag that stands keeps its time when it is registered alone.
        """
        message = Element("uid-message")
        for name, text in (("version", "1.0"), ("type", "update")):
            part = Element(name)
            part.text = text
            message.append(part)
        payload = Element("payload")
        for section in ("unregister", "register") if kind == "renew" else (kind,):
            entry, holder, member = Element("entry", {"ip": address}), Element("tag"), Element("member")
            member.text = tag
            if seconds is not None and section == "register":
                member.set("timeout", str(seconds))
            list_of = Element(section)
            for outer, inner in ((holder, member), (entry, holder), (list_of, entry), (payload, list_of)):
                outer.append(inner)
        message.append(payload)
        answer = await self._ask({"type": "user-id", "cmd": written(message)}, operation, USER_ID)
        return answer.get("status") == "success"

    async def _ask(self, form: dict[str, str], operation: str, right: str) -> Element:
        """One call. Everything that is asked here may be asked twice: a tag that is there is there."""
        try:
            response = await self._send({**form, **self._where}, operation)
        except ScopeError as error:
            if error.status == 403 and await self._refuses_the_key():
                raise AuthError(_ADVICE, vendor=VENDOR, operation=operation, status=403) from error
            message = f"grant '{right}' to the role of the API key's administrator"
            raise ScopeError(message, vendor=VENDOR, operation=operation, status=error.status) from error
        return read(response.content)

    async def _send(self, form: dict[str, str | None], operation: str) -> httpx.Response:
        async with self._turns:
            return await self._http.request("POST", "api/", operation=operation, form=form, repeatable=True)

    async def _refuses_the_key(self) -> bool:
        """HTTP 403 is a wrong key as well as a missing right: the version is told to every key that is good."""
        try:
            await self._send({"type": "version"}, "read version")
        except (AuthError, ScopeError):
            return True
        except VendorError:
            return False
        return False


def _inspect(response: httpx.Response, operation: str) -> VendorError | None:
    """The error inside a success; a tag that is already as wanted is none."""
    try:
        root = read(response.content)
    except ValueError as error:
        return _unusable(response, operation, str(error))
    status = root.get("status")
    if root.tag != "response" or status not in {"success", "error"}:
        return _unusable(response, operation, f"a document <{Redactor().clean(root.tag, 40)}> without a status")
    entries = root.findall("./msg/line/uid-response/payload/*/entry")
    said = [entry.get("message", "") for entry in entries]
    if status == "success" or (said and all(text.endswith(_AS_WANTED) for text in said)):
        return None
    code = root.get("code", "")
    kind = _CODES.get(code, RejectedError)
    if kind is AuthError:
        return AuthError(_ADVICE, vendor=VENDOR, operation=operation, status=response.status_code)
    lines = [text_of(line) for path in ("./msg/line", "./msg", "./result/msg", "./result/msg/line")
             for line in root.findall(path)]  # fmt: skip
    told = Redactor().clean("; ".join(dict.fromkeys(filter(None, [*said, *lines]))), 300) or "no message"
    message = f"the firewall refuses: {told}" + (f" (code {Redactor().clean(code, 10)})" if code else "")
    return kind(message, vendor=VENDOR, operation=operation, status=response.status_code)


def _unusable(response: httpx.Response, operation: str, what: str) -> ResponseError:
    return ResponseError(
        f"{what}; check that base_url is the firewall's management address and that no sign-in page or proxy answers in"
        " its place",
        vendor=VENDOR,
        operation=operation,
        status=response.status_code,
    )
