"""What a second source's telemetry says of an effect: the verdicts, verb by verb."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.testimony import told_by
from nightdesk.autonomy.verification import (
    RULES,
    UNWITNESSED,
    Level,
    Source,
    Verdict,
    counts_as_verified,
    judge,
    overall,
    verification_text,
    verified_level,
)
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import an_alert, an_entity
from nightdesk.sdk.verbs import VERBS, Risk

EFFECT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
HASH = f"sha256:{'ab' * 32}"
K, V = SightingKind, Verdict


def an_action(verb: str, target: str, state: ActionState = ActionState.EFFECTIVE, **changes: Any) -> Action:
    facts = changes.pop("facts", {})
    parsed = Target.parse(target)
    given: dict[str, Any] = {"effective_at": EFFECT, "accepted_at": EFFECT, "instance": "edr", "changed": True}
    return Action(
        "acme",
        "act-1",
        verb,
        Target(parsed.kind, parsed.value, facts),
        1,
        "key",
        state,
        EFFECT,
        EFFECT,
        **{**given, **changes},
    )


def seen(
    kind: SightingKind, after: float, peer: str = "203.0.113.9", began: float | None = None, **facts: str
) -> Sighting:
    at = EFFECT + timedelta(seconds=after)
    start = None if began is None else EFFECT + timedelta(seconds=began)
    return Sighting(kind, at, f"{kind}-{after}-{peer}", f"{kind} {peer}", peer, start, facts)


def out(after: float, peer: str = "203.0.113.9", began: float | None = None, **facts: str) -> Sighting:
    return seen(K.NETWORK_FLOW, after, peer, began, direction="outbound", port="443", **facts)


ISOLATE = an_action("host.isolate", "host:ws-0042")
DISABLE = an_action("account.disable", "account:jdoe@corp.example.com")
BLOCK = an_action("ip.block", "address:203.0.113.9")
QUARANTINE = an_action("file.quarantine", f"file:{HASH}", facts={"hostname": "ws-0042", "path": r"C:\Temp\a.exe"})
HASH_BLOCK = an_action("hash.block", f"file:{HASH}")
EDR = Source("siem", peers=("198.51.100.0/24", "edr.example.net"), acting=("acme_edr",), sighted=True)

CASES: list[tuple[str, Action, list[Sighting], Source, Verdict]] = [
    ("nothing, of what was seen before", ISOLATE, [], EDR, V.SILENT),
    ("nothing, of what never was seen", ISOLATE, [], Source("siem"), V.BLIND),
    ("a flow to a stranger", ISOLATE, [out(200)], EDR, V.CONTRADICTED),
    ("a flow within the grace", ISOLATE, [out(59)], EDR, V.SILENT),
    ("a flow as the grace ends", ISOLATE, [out(60)], EDR, V.CONTRADICTED),
    ("the host talks to itself", ISOLATE, [out(200, "127.0.0.1")], EDR, V.SILENT),
    (
        "only names are known of the management, and only an address of the peer",
        ISOLATE,
        [out(200)],
        Source("siem", peers=("edr.example.net",), sighted=True),
        V.DOUBTFUL,
    ),
    (
        "only names are known of the management, and the peer has another",
        ISOLATE,
        [out(200, peer_name="evil.example.org")],
        Source("siem", peers=("edr.example.net",), sighted=True),
        V.CONTRADICTED,
    ),
    (
        "a host that was wanted by its whole name, and a namesake",
        an_action("host.isolate", "host:ws-0042.emea.example.com"),
        [out(200, hostname="ws-0042.apac.example.com")],
        EDR,
        V.DOUBTFUL,
    ),
    ("a flow before the effect", ISOLATE, [out(-5)], EDR, V.SILENT),
    ("a session from before, written at its end", ISOLATE, [out(600, began=-30)], EDR, V.SILENT),
    ("a flow to its own management, by network", ISOLATE, [out(200, "198.51.100.7")], EDR, V.SILENT),
    ("a flow to its own management, by name", ISOLATE, [out(200, peer_name="eu.edr.example.net")], EDR, V.SILENT),
    ("a name that only ends alike", ISOLATE, [out(200, peer_name="evil-edr.example.net")], EDR, V.CONTRADICTED),
    ("a DNS question", ISOLATE, [seen(K.NETWORK_FLOW, 200, direction="outbound", port="53")], EDR, V.SILENT),
    ("a multicast", ISOLATE, [out(200, "224.0.0.251")], EDR, V.SILENT),
    ("somebody knocking", ISOLATE, [seen(K.NETWORK_FLOW, 200, direction="inbound")], EDR, V.SILENT),
    ("a flow whose direction nobody tells", ISOLATE, [seen(K.NETWORK_FLOW, 200)], EDR, V.DOUBTFUL),
    ("a drop on the way", ISOLATE, [seen(K.BLOCKED_FLOW, 200, direction="outbound")], EDR, V.SILENT),
    ("a flow, and nobody said what the channel is", ISOLATE, [out(200)], Source("siem", sighted=True), V.DOUBTFUL),
    ("the address has another host by now", ISOLATE, [out(200, hostname="ws-0777")], EDR, V.SILENT),
    ("the host by its full name", ISOLATE, [out(200, hostname="WS-0042.corp.example.com")], EDR, V.CONTRADICTED),
    (
        "a selective isolation lets through what it was told",
        an_action("host.isolate", "host:ws-0042", parameters={"mode": "selective"}),
        [out(200)],
        EDR,
        V.DOUBTFUL,
    ),
    ("its own management, as a dual stack writes it", ISOLATE, [out(200, "::ffff:198.51.100.7")], EDR, V.SILENT),
    ("link-local, as a dual stack writes it", ISOLATE, [out(200, "::ffff:169.254.1.2")], EDR, V.SILENT),
    ("a stranger, as a dual stack writes it", ISOLATE, [out(200, "::ffff:203.0.113.9")], EDR, V.CONTRADICTED),
    ("no address at all: a program that only listens", ISOLATE, [out(200, "0.0.0.0")], EDR, V.SILENT),
    (
        "a host of that name in another domain",
        an_action("host.isolate", "host:ws-0042", facts={"hostname": "ws-0042.emea.example.com"}),
        [out(200, hostname="ws-0042.apac.example.com")],
        EDR,
        V.DOUBTFUL,
    ),
    (
        "a file on a host of that name in another domain",
        an_action("file.quarantine", f"file:{HASH}", facts={"hostname": "ws-0042.emea.example.com"}),
        [seen(K.PROCESS_START, 100, hostname="ws-0042.apac.example.com")],
        EDR,
        V.DOUBTFUL,
    ),
    ("one flow among many of the channel", ISOLATE, [out(200, "198.51.100.7"), out(201)], EDR, V.CONTRADICTED),
    ("a sign-in", DISABLE, [seen(K.SIGN_IN, 400)], EDR, V.CONTRADICTED),
    ("a sign-in within the grace", DISABLE, [seen(K.SIGN_IN, 200)], EDR, V.SILENT),
    (
        "a sign-in at the provider that acted",
        DISABLE,
        [seen(K.SIGN_IN, 400, provider="acme_edr.log")],
        EDR,
        V.CONTRADICTED,
    ),
    ("a sign-in at another provider", DISABLE, [seen(K.SIGN_IN, 400, provider="other")], EDR, V.DOUBTFUL),
    (
        "a sign-in, and nobody knows who acted",
        DISABLE,
        [seen(K.SIGN_IN, 400, provider="x")],
        Source("siem"),
        V.DOUBTFUL,
    ),
    ("a refused sign-in", DISABLE, [seen(K.SIGN_IN_REFUSED, 400)], EDR, V.CONFIRMED),
    ("refused, then let in", DISABLE, [seen(K.SIGN_IN_REFUSED, 400), seen(K.SIGN_IN, 500)], EDR, V.CONTRADICTED),
    ("a logon at a host, perhaps from its cache", DISABLE, [seen(K.LOGON, 400)], EDR, V.DOUBTFUL),
    ("a flow that was let through", BLOCK, [seen(K.NETWORK_FLOW, 200)], EDR, V.CONTRADICTED),
    (
        "a flow the other way than was blocked",
        an_action("ip.block", "address:203.0.113.9", parameters={"direction": "inbound"}),
        [seen(K.NETWORK_FLOW, 200, direction="outbound")],
        EDR,
        V.DOUBTFUL,
    ),
    (
        "a flow, perhaps outside of what was blocked",
        an_action("ip.block", "address:203.0.113.9", parameters={"scope": "branch-7"}),
        [seen(K.NETWORK_FLOW, 200)],
        EDR,
        V.DOUBTFUL,
    ),
    ("a drop", BLOCK, [seen(K.BLOCKED_FLOW, 200)], EDR, V.CONFIRMED),
    ("a drop in the firewall's own log", BLOCK, [seen(K.BLOCKED_FLOW, 200, sensor="acme_edr")], EDR, V.CONFIRMED),
    ("a drop and a flow", BLOCK, [seen(K.BLOCKED_FLOW, 200), seen(K.NETWORK_FLOW, 300)], EDR, V.CONTRADICTED),
    (
        "the file ran where it was quarantined",
        QUARANTINE,
        [seen(K.PROCESS_START, 100, hostname="WS-0042", path=r"c:\temp\A.exe")],
        EDR,
        V.CONTRADICTED,
    ),
    (
        "a copy of it ran",
        QUARANTINE,
        [seen(K.PROCESS_START, 100, hostname="ws-0042", path="d:\\a.exe")],
        EDR,
        V.DOUBTFUL,
    ),
    ("it ran on another host", QUARANTINE, [seen(K.PROCESS_START, 100, hostname="ws-0777")], EDR, V.SILENT),
    (
        "it ran somewhere, and nobody said where it was quarantined",
        an_action("file.quarantine", f"file:{HASH}"),
        [seen(K.PROCESS_START, 100, hostname="ws-0777")],
        EDR,
        V.DOUBTFUL,
    ),
    ("it ran, nobody says where", QUARANTINE, [seen(K.PROCESS_START, 100)], EDR, V.DOUBTFUL),
    ("a blocked hash ran anywhere", HASH_BLOCK, [seen(K.PROCESS_START, 1000, hostname="ws-9")], EDR, V.CONTRADICTED),
    ("before hosts fetched the list", HASH_BLOCK, [seen(K.PROCESS_START, 800, hostname="ws-9")], EDR, V.SILENT),
    ("a blocked start", HASH_BLOCK, [seen(K.PROCESS_BLOCKED, 1000)], EDR, V.CONFIRMED),
]


@pytest.mark.parametrize(
    ("action", "sightings", "source", "verdict"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_was_seen_means_this(action: Action, sightings: list[Sighting], source: Source, verdict: Verdict) -> None:
    found = judge(action, sightings, source)
    assert found.verdict is verdict
    assert found.text.startswith("siem")
    assert bool(found.sightings) == (verdict in {V.CONTRADICTED, V.DOUBTFUL, V.CONFIRMED})


def test_every_verb_from_r2_up_has_a_rule_or_a_reason() -> None:
    wanted = {name for name, verb in VERBS.items() if verb.risk >= Risk.R2}
    assert set(RULES) | set(UNWITNESSED) == wanted
    assert not set(RULES) & set(UNWITNESSED)
    assert all(UNWITNESSED.values())


@pytest.mark.parametrize(
    ("skew", "after", "verdict"), [(90, 145, V.SILENT), (90, 155, V.CONTRADICTED), (-90, -25, V.CONTRADICTED)]
)
def test_a_clock_that_is_off_is_allowed_for(skew: float, after: float, verdict: Verdict) -> None:
    source = Source("siem", EDR.peers, skew=skew, sighted=True)
    assert judge(ISOLATE, [out(after)], source).verdict is verdict


def test_a_clock_that_is_too_far_off_proves_nothing_but_calls_for_a_look() -> None:
    source = Source("siem", EDR.peers, skew=600.0, sighted=True)
    assert judge(ISOLATE, [out(900)], source).verdict is V.DOUBTFUL
    assert judge(ISOLATE, [], source).verdict is V.BLIND
    assert judge(DISABLE, [seen(K.SIGN_IN_REFUSED, 1500)], source).verdict is V.BLIND


def test_the_most_cautious_word_counts() -> None:
    assert overall(["confirmed", "contradicted", "silent"]) is V.CONTRADICTED
    assert overall(["confirmed", "doubtful"]) is V.DOUBTFUL
    assert overall(["silent", "blind", "down"]) is V.SILENT
    assert overall(["down"]) is V.DOWN
    assert overall([]) is V.BLIND


@pytest.mark.parametrize(
    ("verdict", "over", "isolated", "blocked"),
    [
        (None, False, (Level.V2, True), (Level.V2, True)),
        ("confirmed", True, (Level.V3, True), (Level.V3, True)),
        ("confirmed", False, (Level.V3, False), (Level.V3, False)),
        # An isolated host that has fallen silent looks as it should; a blocked address may just not have been tried.
        ("silent", True, (Level.V3, True), (Level.V2, True)),
        ("silent", False, (Level.V2, False), (Level.V2, False)),
        ("blind", True, (Level.V2, False), (Level.V2, False)),
        ("down", True, (Level.V2, False), (Level.V2, False)),
        ("doubtful", True, (Level.V2, False), (Level.V2, False)),
        ("contradicted", True, (Level.V1, False), (Level.V1, False)),
    ],
)
def test_the_level_and_whether_it_counts(
    verdict: str | None, over: bool, isolated: tuple[Level, bool], blocked: tuple[Level, bool]
) -> None:
    result = {} if verdict is None else {"witness": {"verdict": verdict, "over": over}}
    for verb, target, wanted in (
        ("host.isolate", "host:ws-0042", isolated),
        ("ip.block", "address:203.0.113.9", blocked),
    ):
        action = an_action(verb, target, result=result)
        assert (verified_level(action), counts_as_verified(action)) == wanted


def test_what_is_not_read_back_is_not_verified() -> None:
    proposed = an_action("host.isolate", "host:ws-1", ActionState.PROPOSED, effective_at=None, accepted_at=None)
    pending = an_action("host.isolate", "host:ws-1", ActionState.PENDING, effective_at=None)
    contradicted = an_action(
        "host.isolate",
        "host:ws-1",
        ActionState.CONTRADICTED,
        result={"witness": {"verdict": "confirmed", "over": True}},
    )
    levels = [verified_level(one) for one in (proposed, pending, contradicted)]
    assert levels == [Level.NONE, Level.V1, Level.V1]
    assert not any(counts_as_verified(one) for one in (proposed, pending, contradicted))


BEACON: dict[str, Any] = {
    "tactics": ("TA0011",),
    "entities": (an_entity("host:ws-0042", "victim-host"), an_entity("address:203.0.113.9", "attacker-address")),
}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        (BEACON, V.CONTRADICTED),
        ({**BEACON, "tactics": ("TA0043",)}, V.DOUBTFUL),
        ({**BEACON, "disposition": "blocked"}, V.SILENT),
        ({**BEACON, "entities": (an_entity("host:ws-0777"), *BEACON["entities"][1:])}, V.SILENT),
        ({**BEACON, "entities": BEACON["entities"][:1]}, V.SILENT),
    ],
)
def test_an_alert_of_another_product_shows_a_flow_only_if_it_tells_of_a_talk(
    changes: dict[str, Any], verdict: Verdict
) -> None:
    later = EFFECT + timedelta(seconds=300)
    alert = an_alert(first_seen=later, last_seen=later, **changes)
    assert judge(ISOLATE, told_by(ISOLATE, alert), EDR).verdict is verdict


def test_an_alert_about_what_began_before_the_effect_shows_nothing() -> None:
    alert = an_alert(first_seen=EFFECT - timedelta(seconds=60), last_seen=EFFECT + timedelta(seconds=600), **BEACON)
    assert judge(ISOLATE, told_by(ISOLATE, alert), EDR).verdict is V.SILENT


def test_a_clock_that_is_off_by_just_what_is_tolerated_still_counts() -> None:
    source = Source("siem", peers=EDR.peers, skew=120.0, tolerated=120.0, sighted=True)
    assert judge(ISOLATE, [out(320)], source).verdict is V.CONTRADICTED


@pytest.mark.parametrize(
    ("action", "sightings", "source", "advised"),
    [
        (ISOLATE, [out(200)], Source("siem", sighted=True), True),
        (ISOLATE, [seen(K.NETWORK_FLOW, 200)], EDR, False),
        (ISOLATE, [out(200)], EDR, False),
        (DISABLE, [seen(K.LOGON, 400)], Source("siem", sighted=True), False),
    ],
    ids=["no management is named", "one is named", "contradicted", "another verb"],
)
def test_who_has_named_no_management_is_told_to(
    action: Action, sightings: list[Sighting], source: Source, advised: bool
) -> None:
    assert ("management_peers" in judge(action, sightings, source).text) is advised


def test_a_sentence_names_the_first_that_was_seen_and_how_many_more() -> None:
    assert judge(ISOLATE, [out(300), out(200), out(400)], EDR).text.endswith("200 s after the effect, and 2 more")
    assert judge(ISOLATE, [out(200)], EDR).text.endswith("200 s after the effect")


@pytest.mark.parametrize(
    ("witness", "text"),
    [
        ({}, "V2"),
        ({"verdict": "silent", "over": False}, "V2, second source silent, so far"),
        ({"verdict": "silent", "over": True}, "V3, second source silent"),
        ({"verdict": "contradicted", "over": False}, "V1, second source contradicted"),
        ({"over": True}, "V2, second source not asked"),
    ],
)
def test_how_far_it_is_verified_in_words(witness: dict[str, Any], text: str) -> None:
    action = an_action("host.isolate", "host:ws-0042", result={"witness": witness} if witness else {})
    assert verification_text(action) == text


def test_what_was_never_asked_for_says_nothing() -> None:
    waiting = an_action("host.isolate", "host:ws-0042", ActionState.APPROVED, effective_at=None, accepted_at=None)
    assert verification_text(waiting) == ""
