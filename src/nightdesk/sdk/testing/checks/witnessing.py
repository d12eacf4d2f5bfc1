"""What a vendor's telemetry saw: told as it was, of this target alone, in this time alone; a part is no answer."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from nightdesk.sdk.errors import (
    AuthError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.faults import FaultKind
from nightdesk.sdk.testing.story import StoryAccount, StoryDevice, StoryProcess, StorySighting
from nightdesk.sdk.testing.subject import ACCOUNT, DEVICE, PROCESS, Bench, Ground, Subject
from nightdesk.sdk.verbs import TargetKind

__all__ = ["sightings", "strange_values", "tenants", "trouble"]

_PEER, _DOMAIN, _URL = "203.0.113.77", "bad.example.com", "https://bad.example.com/payload"
_OTHER_DEVICE = StoryDevice("dev-0043", "WS-00421", ("192.0.2.142",), processes=())
_OTHER_ACCOUNT = StoryAccount("acc-0043", "jdoer", "jdoer@corp.example.com", "CORP", "S-1-5-21-1-2-3-10421")
_OTHER_PROCESS = StoryProcess("tool.exe", r"C:\Tools\tool.exe", "tool.exe", 7721, "6a" * 32)
_FAULTS: tuple[tuple[FaultKind, tuple[type[VendorError], ...]], ...] = (
    ("rate_limited", (RateLimitError,)),
    ("server_error", (UnavailableError,)),
    ("not_json", (ResponseError,)),
    ("expired_token", (AuthError,)),
    ("missing_scope", (ScopeError,)),
    ("partial_answer", (UnavailableError, ResponseError)),
)
_STRANGE = ('x" OR host="*', "x' or 'a'=='a", 'x" | delete', "x` OR true", "x*", "x\\", "x') or ('1'='1", "x\n| take 9")


def _target(kind: TargetKind) -> Target:
    return {
        TargetKind.HOST: Target(TargetKind.HOST, DEVICE.hostname, {"address": DEVICE.addresses[0]}),
        TargetKind.ACCOUNT: Target(TargetKind.ACCOUNT, ACCOUNT.email, {"name": ACCOUNT.name, "sid": ACCOUNT.sid}),
        TargetKind.ADDRESS: Target(TargetKind.ADDRESS, _PEER),
        TargetKind.DOMAIN: Target(TargetKind.DOMAIN, _DOMAIN),
        TargetKind.URL: Target(TargetKind.URL, _URL),
        TargetKind.FILE: Target(TargetKind.FILE, f"sha256:{PROCESS.sha256}"),
    }[kind]


def _seen(uid: str, kind: SightingKind, at: datetime, *, other: bool = False) -> StorySighting:
    """One sighting of what the checks ask about, or of something that nearly is it."""
    device = _OTHER_DEVICE if other else DEVICE
    match kind:
        case SightingKind.NETWORK_FLOW | SightingKind.BLOCKED_FLOW if other:
            peer, domain, url = "203.0.113.177", "notbad.example.com", "https://bad.example.com/payloads"
            return StorySighting(uid, kind, at, device=device, peer=peer, domain=domain, url=url)
        case SightingKind.NETWORK_FLOW | SightingKind.BLOCKED_FLOW:
            return StorySighting(uid, kind, at, device=device, peer=_PEER, domain=_DOMAIN, url=_URL)
        case SightingKind.PROCESS_START | SightingKind.PROCESS_BLOCKED:
            return StorySighting(uid, kind, at, device=device, process=_OTHER_PROCESS if other else PROCESS)
        case _:
            account = _OTHER_ACCOUNT if other else ACCOUNT
            return StorySighting(uid, kind, at, device=device, account=account, provider="idp")


_TELLS: dict[TargetKind, tuple[SightingKind, SightingKind]] = {
    TargetKind.HOST: (SightingKind.NETWORK_FLOW, SightingKind.BLOCKED_FLOW),
    TargetKind.ACCOUNT: (SightingKind.SIGN_IN, SightingKind.SIGN_IN_REFUSED),
    TargetKind.ADDRESS: (SightingKind.NETWORK_FLOW, SightingKind.BLOCKED_FLOW),
    TargetKind.DOMAIN: (SightingKind.NETWORK_FLOW, SightingKind.BLOCKED_FLOW),
    TargetKind.URL: (SightingKind.NETWORK_FLOW, SightingKind.BLOCKED_FLOW),
    TargetKind.FILE: (SightingKind.PROCESS_START, SightingKind.PROCESS_START),
}


def _stage(bench: Bench, kind: TargetKind) -> tuple[datetime, datetime]:
    """An hour of telemetry about the target and about others, and on both sides of it; the hour's bounds."""
    until = bench.time.clock() - timedelta(seconds=5)
    since = until - timedelta(hours=1)
    good, bad = _TELLS[kind]
    saw = bench.simulator.saw
    saw(_seen("last", bad, until - timedelta(seconds=2)))
    saw(_seen("first", good, since + timedelta(seconds=2)))
    saw(_seen("before", good, since - timedelta(seconds=2)))
    saw(_seen("after", good, until + timedelta(seconds=2)))
    saw(_seen("near", good, since + timedelta(seconds=60), other=True))
    return since, until


async def sightings(ground: Ground, subject: Subject) -> None:
    """What lies in the time is told with kind and time, oldest first and once; nothing else is."""
    for kind in subject.manifest.witnesses:
        async with ground.bench(subject) as bench:
            since, until = _stage(bench, kind)
            connector = bench.connect()
            found = await connector.activity(_target(kind), since, until, limit=50)
            _right(kind, found, since, until)
            again = await bench.connect().activity(_target(kind), since, until, limit=50)
            assert [one.native_id for one in again] == [one.native_id for one in found], "ids change from look to look"
            one = await connector.activity(_target(kind), since, until, limit=1)
            assert [each.native_id for each in one] == [found[0].native_id], f"{kind}: limit 1 is not the oldest one"
            long_ago = since - timedelta(days=2)
            empty = await connector.activity(_target(kind), long_ago, long_ago + timedelta(days=1), limit=9)
            assert not empty, f"{kind}: sightings in a time without any"


def _right(kind: TargetKind, found: Sequence[Sighting], since: datetime, until: datetime) -> None:
    good, bad = _TELLS[kind]
    told = [(one.kind, round((one.at - since).total_seconds())) for one in found]
    wanted = [(good, 2), (bad, round((until - since).total_seconds()) - 2)]
    assert told == wanted, f"{kind}: told {told}, happened {wanted}"
    assert all(since <= one.at < until for one in found), f"{kind}: told from outside the time"
    assert len({one.native_id for one in found}) == len(found), f"{kind}: two sightings share an id"
    assert all(one.native_id and one.text for one in found), f"{kind}: a sighting without id or text"
    if kind is TargetKind.HOST:
        assert {one.peer for one in found} == {_PEER}, f"the peers are told as {[one.peer for one in found]}"
        assert {one.facts.get("direction") for one in found} == {"outbound"}, "a flow's direction is not told"
        assert {one.facts.get("port") for one in found} == {"443"}, "the peer's port is not told"
    if kind is TargetKind.FILE:
        assert {one.facts.get("hostname", "").lower() for one in found} == {DEVICE.hostname.lower()}, "no host is told"


async def strange_values(ground: Ground, subject: Subject) -> None:
    """Quotes, pipes and wildcards in a target find nothing or are refused; they never find others' activity."""
    kinds = [
        kind for kind in (TargetKind.HOST, TargetKind.ACCOUNT, TargetKind.URL) if kind in subject.manifest.witnesses
    ]
    for kind in kinds:
        async with ground.bench(subject) as bench:
            since, until = _stage(bench, kind)
            connector = bench.connect()
            for text in _STRANGE:
                try:
                    target = Target(kind, text)
                except RejectedError:
                    continue  # refused for every vendor alike
                try:
                    found = await connector.activity(target, since, until, limit=50)
                except RejectedError:
                    continue
                assert not found, f"{kind} {text!r} finds what others did"
            assert len(await connector.activity(_target(kind), since, until, limit=50)) == 2, "something was removed"


async def trouble(ground: Ground, subject: Subject) -> None:
    """Each fault that lasts is its error, and a partial answer is one too: silence must not come from a failure."""
    kind = subject.manifest.witnesses[0]
    for fault, expected in _FAULTS:
        async with ground.bench(subject) as bench:
            since, until = _stage(bench, kind)
            connector = bench.connect()
            await connector.activity(_target(kind), since, until, limit=50)
            bench.simulator.faults.add(fault)
            error = await _error(connector, kind, since, until)
            assert isinstance(error, expected), f"{fault} gives {type(error).__name__}: {error}"
            assert error.vendor == subject.name, f"{fault}: the error does not name {subject.name}"


async def _error(connector: Any, kind: TargetKind, since: datetime, until: datetime) -> VendorError:
    try:
        found = await connector.activity(_target(kind), since, until, limit=50)
    except VendorError as error:
        return error
    raise AssertionError(f"{len(found)} sightings as if all the telemetry had been asked")


async def tenants(ground: Ground, subject: Subject) -> None:
    """The same host at two tenants: each is told of its own, and neither may ask the other's."""
    kind = subject.manifest.witnesses[0]
    async with ground.bench(subject, tenant="acme") as ours, ground.bench(subject, tenant="umbrella") as theirs:
        since, until = _stage(theirs, kind)
        assert not await ours.connect().activity(_target(kind), since, until, limit=50), "another tenant's telemetry"
        assert len(await theirs.connect().activity(_target(kind), since, until, limit=50)) == 2, "its own is not told"
        wrong = theirs.connect(**ours.validated(ours.simulator.settings(theirs.url)))
        try:
            await wrong.activity(_target(kind), since, until, limit=50)
        except AuthError:
            return
        raise AssertionError("another tenant's credentials are accepted")
