"""The Acme EDR connector: alerts in, triage and isolation out, each effect read from the vendor's own state."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError, UnsupportedError, VendorError
from nightdesk.sdk.http import HeaderAuth, HttpClient
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, Times, start_of
from nightdesk.sdk.targets import Asset, AssetQuery
from nightdesk.sdk.triage import DISPOSITIONS, Verdicts, Wish
from nightdesk.sdk.verbatim import cut

__all__ = ["Connector"]

VENDOR = "acme_edr"
_UPDATED = "updated"
_VERDICTS = Verdicts(
    "Acme EDR",
    to_vendor={
        **dict.fromkeys(DISPOSITIONS, "none"),
        "true-positive": "true_positive",
        "likely-true-positive": "true_positive",
        "false-positive": "false_positive",
        "likely-false-positive": "false_positive",
        "": "none",
    },
    to_ours={"true_positive": "true-positive", "false_positive": "false-positive"},
)
_WORDS = {"host.isolate": "isolated", "host.release": "none"}


class Connector:
    """One Acme EDR tenant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._start = start_of(context)
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("base_url"),
            auth=HeaderAuth("X-Api-Key", settings.secret("api_key")),
            requests_per_minute=120,
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Alerts by their newest change; a page is valid with its cursor, so a crash between pages loses nothing."""
        if stream != "alerts":
            raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is alerts")
        position = Position.load(cursor, start=self._start, sweeps=(_UPDATED,))
        query: dict[str, Any] = {"updated_since": iso(position.since(_UPDATED), 3), "limit": max(1, min(limit, 200))}
        while True:
            response = await self._http.request("GET", "/api/v1/alerts", operation="pull alerts", params=query)
            try:
                elements = cut(response.content, "alerts")
                after = response.json().get("next")
            except (ValueError, AttributeError) as error:
                raise ResponseError("not a list of alerts", vendor=VENDOR, operation="pull alerts") from error
            records, failures = position.page(_UPDATED, elements, _read)
            if not after:
                position.forget()
            yield Batch(records, position.dump(), failures, more=bool(after))
            if not after:
                return
            query["page"] = after

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert as it is now. Raises NotFoundError."""
        if stream != "alerts":
            raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is alerts")
        response = await self._http.request("GET", _alert(native_id), operation="read alert")
        return _read(response.json(), response.content)[0]

    async def write_back(self, command: Command) -> Receipt:
        """One PATCH with what is still missing; an alert that is already so is left alone."""
        wish = Wish.of(command)
        if wish.comment:
            raise UnsupportedError(f"{VENDOR}: {command.verb} takes no comment")
        missing = _missing(await self._alert(command.native_id), wish)
        losses = _VERDICTS.losses(wish)
        if not missing:
            return Receipt(command.native_id, changed=_VERDICTS.repeated(command, wish), losses=losses)
        await self._http.request("PATCH", _alert(command.native_id), operation="update alert", json=missing)
        return Receipt(command.native_id, losses=losses)

    async def act(self, command: Command) -> Receipt:
        """Isolates or releases, unless the host is so or on its way already."""
        command.only()
        wanted = _WORDS[command.verb]
        device = await self._device(command.native_id)
        if wanted in {device.get("isolation"), device.get("isolation_wanted")}:
            return Receipt(
                command.native_id, changed=command.began_otherwise("isolated", command.verb == "host.isolate")
            )
        path = f"/api/v1/devices/{quote(command.native_id, safe='')}/isolation"
        await self._http.request("PUT", path, operation=command.verb, json={"isolation": wanted})
        return Receipt(command.native_id)

    async def read_back(self, command: Command) -> Reading:
        """The device's isolation, or the alert's status and verdict, as Acme shows it now."""
        now = self._context.clock
        if command.verb == "alert.set_disposition":
            alert = await self._alert(command.native_id)
            so = not _missing(alert, Wish.of(command))
            state = {"status": alert.get("status", ""), "disposition": _VERDICTS.ours(str(alert.get("verdict", "")))}
            return Reading(Effect.IN_EFFECT if so else Effect.NOT_IN_EFFECT, now(), state, str(alert.get("status", "")))
        command.only()
        device = await self._device(command.native_id)
        word, wanted = str(device.get("isolation", "")), _WORDS[command.verb]
        effect = Effect.IN_EFFECT if word == wanted else Effect.NOT_IN_EFFECT
        if word != wanted and device.get("isolation_wanted") == wanted:
            effect = Effect.PENDING
        return Reading(effect, now(), {"isolated": word == "isolated"}, word)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """Devices of exactly that id, name or address."""
        wanted = {"id": query.device_id, "hostname": query.hostname or query.fqdn, "address": query.address}
        name, value = next(((name, value) for name, value in wanted.items() if value), ("", ""))
        if not name:
            return []
        answer = await self._http.json("GET", "/api/v1/devices", operation="find host", params={name: value})
        return [
            Asset(str(one["id"]), str(one["hostname"]), tuple(one.get("addresses", ())), str(one.get("type", "other")))
            for one in answer.get("devices", [])
        ]

    async def check_health(self) -> Health:
        """One alert and one device: what normal operation needs."""
        problems = []
        for path in ("/api/v1/alerts", "/api/v1/devices"):
            try:
                await self._http.json("GET", path, operation="check health", params={"limit": 1})
            except VendorError as error:
                problems.append(str(error))
                break
        return Health(not problems, tuple(problems), version="v1", clock_skew=self._http.clock_skew)

    async def _alert(self, native_id: str) -> Mapping[str, Any]:
        found = await self._http.json("GET", _alert(native_id), operation="read alert")
        return found if isinstance(found, Mapping) else {}

    async def _device(self, native_id: str) -> Mapping[str, Any]:
        if not native_id:
            raise RejectedError("no device is named", vendor=VENDOR, operation="read host")
        answer = await self._http.json("GET", "/api/v1/devices", operation="read host", params={"id": native_id})
        if not answer.get("devices"):
            raise NotFoundError(f"no device {native_id}", vendor=VENDOR, operation="read host")
        found: Mapping[str, Any] = answer["devices"][0]
        return found


def _alert(native_id: str) -> str:
    if not native_id:
        raise RejectedError("no alert is named", vendor=VENDOR, operation="read alert")
    return f"/api/v1/alerts/{quote(native_id, safe='')}"


def _read(alert: Any, raw: bytes) -> tuple[RawRecord, Times]:
    """The record of one alert, and when this sweep comes upon it."""
    native_id = str(alert.get("id") or "")
    version = f"{alert.get('updated_at')}:{alert.get('status')}:{alert.get('verdict')}"
    return RawRecord(raw, f"{native_id}:{version}", native_id, VENDOR), {_UPDATED: instant(alert.get("updated_at"))}


def _missing(alert: Mapping[str, Any], wish: Wish) -> dict[str, str]:
    wanted = {} if wish.status is None else {"status": wish.status}
    if wish.disposition is not None:
        wanted["verdict"] = _VERDICTS.word(wish.disposition)
    return {name: value for name, value in wanted.items() if alert.get(name) != value}
