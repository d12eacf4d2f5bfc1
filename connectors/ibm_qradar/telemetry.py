"""What the console's events and flows saw of a target, by the fields that every log source and flow has.

A flow says when it began; an event does not, and a firewall may write a session when it ends. So a flow, and the
opening of a session, are of something that began then, and a permit may be of something older (``passage`` unknown).
AQL's reference gives quotes for strings and no way to write one inside, so a value that has one is refused.
Sources: https://www.ibm.com/docs/en/qsip/7.6.0?topic=structure-quotation-marks, ?topic=categories-access,
https://www.ibm.com/docs/en/SSKMKU/com.ibm.qradar.doc/r_aql_start_stop.html (times) and c_aql_even_flow_fields_ref.html
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from nightdesk.connectors.ibm_qradar.ariel import Ariel
from nightdesk.connectors.ibm_qradar.client import VENDOR
from nightdesk.connectors.ibm_qradar.products import slug_of
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import ResponseError, UnsupportedError
from nightdesk.sdk.naming import names_of, plain
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Telemetry"]

_K = SightingKind
_NAME = " .@:-+$"
_EARLY, _LATE = timedelta(minutes=10), timedelta(hours=1)
"""How much earlier by the console's clock, or later, an event of a time may have arrived."""
_EVENT = (
    "devicetime, category, sourceip, sourceport, destinationip, destinationport, username, QIDNAME(qid) AS eventname,"
    " LOGSOURCETYPENAME(devicetype) AS logsourcetype, ASSETHOSTNAME(sourceip, starttime) AS sourcehost,"
    " ASSETHOSTNAME(destinationip, starttime) AS destinationhost"
)
_FLOW = (
    "firstpackettime, lastpackettime, sourceip, sourceport, destinationip, destinationport, sourcepackets,"
    " destinationpackets, ASSETHOSTNAME(sourceip, firstpackettime) AS sourcehost,"
    " ASSETHOSTNAME(destinationip, firstpackettime) AS destinationhost"
)
_TIMES = {"events": ("devicetime", "starttime"), "flows": ("lastpackettime", "firstpackettime")}
"""The time of what happened, and the one at which an asset is looked up."""
_OPENED = 4007
_PERMITTED, _STOPPED = frozenset({4002, 4012, 4014}), frozenset({4003, 4006, 4013, 4015})
_HOST_LET_IN, _HOST_REFUSED = 3002, 3003
_LET_IN = frozenset({_HOST_LET_IN, 3004, 3008, 3011, 3012, 3014})
_REFUSED = frozenset({_HOST_REFUSED, 3005, 3009, 3010, 3013, 3015})
_TRAFFIC, _SIGN_INS = _PERMITTED | _STOPPED | {_OPENED}, _LET_IN | _REFUSED


class Telemetry:
    """One console's Ariel databases."""

    def __init__(self, ariel: Ariel, clock: Clock) -> None:
        self._ariel, self._clock = ariel, clock

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """Rows of the half-open time, oldest first. Raises VendorError when not every host was searched."""
        most = max(limit, 1)
        told: list[Sighting] = []
        for table, tests in _asked(target).items():
            query = self._query(table, tests, since, until, most)
            rows = await self._ariel.rows(query, limit=most)
            told += _numbered(_sighting(target, table, row) for row in rows)
        return sorted(told, key=lambda one: (one.at, one.native_id))[:most]

    def _query(self, table: str, tests: Sequence[str], since: datetime, until: datetime, limit: int) -> str:
        happened, _ = _TIMES[table]
        window = [f"{happened} >= {_milliseconds(since)}", f"{happened} < {_milliseconds(until)}"]
        begin, end = since - _EARLY, min(until + _LATE, max(self._clock(), until))
        clauses = (
            ("SELECT", _EVENT if table == "events" else _FLOW),
            ("FROM", table),
            ("WHERE", " AND ".join([*tests, *window])),
            ("ORDER BY", f"{happened} ASC"),
            ("LIMIT", str(limit)),
            ("START", str(_milliseconds(begin))),
            ("STOP", str(_milliseconds(end))),
        )
        return " ".join(f"{word} {text}" for word, text in clauses)


def _asked(target: Target) -> dict[str, list[str]]:
    """The databases that can tell of the target, and what each row must fulfil."""
    match target.kind:
        case TargetKind.HOST:
            names = names_of(target)
            found = {}
            for table, (_, asset) in _TIMES.items():
                hosts = [f"ASSETHOSTNAME({end}, {asset})" for end in ("sourceip", "destinationip")]
                tests = [_like(host, one) for one in names.exact for host in hosts]
                tests += [_like(host, one, longer=True) for one in names.prefixes for host in hosts]
                tests += [_is(end, one) for one in names.addresses for end in ("sourceip", "destinationip")]
                found[table] = [_any(tests)]
            return {"events": [_within(_TRAFFIC), *found["events"]], "flows": found["flows"]}
        case TargetKind.ACCOUNT:
            # A name with its domain before it needs a backslash, which no reference says how to write.
            known = [one for one in names_of(target).exact if "\\" not in one]
            return {"events": [_within(_SIGN_INS), _any(_like("username", one) for one in known)]}
        case TargetKind.ADDRESS if "/" not in target.value:
            ends = _any([_is("sourceip", target.value), _is("destinationip", target.value)])
            return {"events": [_within(_TRAFFIC), ends], "flows": [ends]}
    raise UnsupportedError(f"{VENDOR}: no telemetry of {target.key} is read")


def _within(categories: Iterable[int]) -> str:
    return f"category IN ({', '.join(map(str, sorted(categories)))})"


def _is(field: str, value: str) -> str:
    return f"{field} = '{plain(value, _NAME, vendor=VENDOR)}'"


def _like(field: str, value: str, *, longer: bool = False) -> str:
    """The whole name whatever its case; ``longer``: what begins with it. No letter but a word's has a meaning."""
    text = "".join(one if one.isalnum() or one == "_" else f"[{one}]" for one in plain(value, _NAME, vendor=VENDOR))
    return f"{field} IMATCHES '^{text}{'.*' if longer else ''}$'"


def _any(tests: Iterable[str]) -> str:
    return f"({' OR '.join(tests)})"


def _sighting(target: Target, table: str, row: Mapping[str, Any]) -> Sighting:
    happened, _ = _TIMES[table]
    at = _moment(row.get(happened))
    if at is None:
        raise ResponseError(f"a row of {table} has no {happened}", vendor=VENDOR, operation="search")
    said = repr((table, sorted((key, str(value)) for key, value in row.items())))
    name = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
    if target.kind is TargetKind.ACCOUNT:
        return _sign_in(row, name, at)
    return _traffic(target, row, name, at, of_flow=table == "flows")


def _traffic(target: Target, row: Mapping[str, Any], name: str, at: datetime, *, of_flow: bool) -> Sighting:
    outbound = _begins_at(target, row)
    end, other = ("source", "destination") if outbound else ("destination", "source")
    category = _number(row, "category")
    stopped = not of_flow and category in _STOPPED
    answered = _number(row, "sourcepackets") > 0 and _number(row, "destinationpackets") > 0
    # A flow that nobody answered is of one who tried; a permit may be of a session that is older.
    certain = answered if of_flow else stopped or category == _OPENED
    facts = {
        "direction": "outbound" if outbound else "inbound",
        "port": _text(row, f"{other}port"),
        "peer_name": _text(row, f"{other}host"),
        "hostname": _text(row, f"{end}host"),
        "sensor": "" if of_flow else _product(row),
        "passage": "" if certain else "unknown",
    }
    began = _moment(row.get("firstpackettime")) if of_flow else None
    what = "a flow" if of_flow else _text(row, "eventname") or f"category {category}"
    near, far = (_text(row, f"{side}host", f"{side}ip") for side in ("source", "destination"))
    return Sighting(
        _K.BLOCKED_FLOW if stopped else _K.NETWORK_FLOW,
        at,
        name,
        f"{near} to {far}:{_text(row, 'destinationport')}, {what}",
        peer=_text(row, f"{other}ip"),
        began=began if began is not None and began < at else None,
        facts=_known(facts),
    )


def _begins_at(target: Target, row: Mapping[str, Any]) -> bool:
    """Whether the target is at the beginning."""
    address, host = _text(row, "sourceip"), _text(row, "sourcehost").lower()
    if target.kind is TargetKind.ADDRESS:
        return address == target.value
    names = names_of(target)
    return (
        address in names.addresses
        or host in {one.lower() for one in names.exact}
        or host.startswith(tuple(one.lower() for one in names.prefixes))
    )


def _sign_in(row: Mapping[str, Any], name: str, at: datetime) -> Sighting:
    category = _number(row, "category")
    on_host, refused = category in {_HOST_LET_IN, _HOST_REFUSED}, category in _REFUSED
    kinds = (_K.LOGON, _K.LOGON_REFUSED) if on_host else (_K.SIGN_IN, _K.SIGN_IN_REFUSED)
    product, peer = _product(row), _text(row, "sourceip")
    facts = {
        "provider": "" if on_host else product,
        "account": _text(row, "username"),
        "hostname": _text(row, "destinationhost") if on_host else "",
        "reason": _text(row, "eventname") if refused else "",
        "sensor": product,
    }
    said = f"{facts['account']} signing in by {product or 'a log source'} from {peer}, {_text(row, 'eventname')}"
    return Sighting(kinds[refused], at, name, said, peer=peer, facts=_known(facts))


def _numbered(sightings: Iterable[Sighting]) -> Iterable[Sighting]:
    """Ariel's rows have no id: of several that say the same, each has its own place in the order."""
    seen: Counter[str] = Counter()
    for one in sightings:
        seen[one.native_id] += 1
        again = seen[one.native_id]
        name = one.native_id if again == 1 else f"{one.native_id}-{again}"
        yield Sighting(one.kind, one.at, name, one.text, one.peer, one.began, one.facts)


def _product(row: Mapping[str, Any]) -> str:
    """Whose record it is: our word for that product where we have one, else the log source's type."""
    kind = _text(row, "logsourcetype")
    return slug_of(kind) or kind


def _text(row: Mapping[str, Any], *names: str) -> str:
    """The first of these columns that says something; Ariel writes 0.0.0.0 and N/A for what there is not."""
    found = (str(row[name]) for name in names if row.get(name) not in (None, ""))
    return next((one for one in found if one not in {"0.0.0.0", "N/A", "null"}), "")  # noqa: S104  # Ariel's "none"


def _number(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _known(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in facts.items() if value}


def _milliseconds(moment: datetime) -> int:
    """Rounded up: a bound that is inside the time that was asked about."""
    return ceil(moment.timestamp() * 1000)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
