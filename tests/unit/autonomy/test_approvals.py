from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.acting import HOST, World
from tests.journals import MemoryJournal

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.approvals import (
    Ballot,
    Choice,
    Delegation,
    Person,
    Refused,
    Request,
    Rules,
    VoteError,
    counted,
    digest_of,
    facts_of,
    judge,
    same_person,
)
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Risk

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PEOPLE = {
    name: Person(name, role, {"chat": f"U-{name}"})
    for name, role in {
        "rob": "approver",
        "anna": "approver",
        "ben": "approver",
        "carl": "admin",
        "dora": "analyst",
        "eve": "viewer",
        "engine": "admin",
    }.items()
}
RULES = Rules(people=PEOPLE)


def action(**changes: Any) -> Action:
    facts: dict[str, Any] = {
        "tenant": "acme",
        "verb": "host.isolate",
        "target": Target(HOST.kind, HOST.value, {"device_id": "dev-1"}),
        "state": ActionState.AWAITING_APPROVAL,
        "requested_by": "rob",
        "parameters": {"mode": "selective"},
        "reason": "it beacons",
        "result": {"lease_seconds": 3600.0, "accept_losses": ["mode"]},
        **changes,
    }
    return Action(action_id="act-1", generation=1, idempotency_key="key", created_at=NOON, updated_at=NOON, **facts)


def request(one: Action, **changes: Any) -> Request:
    ends = (NOON + timedelta(hours=1)).isoformat()
    shown = {"connector": "edr", "native_id": "dev-1", "losses": []}
    made = replace(Request(1, 2, "", NOON.isoformat(), ends, shown=shown), **changes)
    return replace(made, digest=digest_of(one, made))


def verdict(who: str, *, delegations: tuple[Delegation, ...] = (), now: datetime = NOON, **changes: Any) -> Any:
    """The vote, or why it does not count."""
    one = changes.pop("action", action())
    asked = changes.pop("request", request(one))
    ballot = Ballot(**{"who": who, "choice": Choice.APPROVE, "digest": asked.digest, **changes})
    try:
        return judge(one, asked, ballot, RULES, delegations, now)
    except VoteError as error:
        return error.kind


@pytest.mark.parametrize("who", ["anna", "ben", "carl", " Anna ", "ＡＮＮＡ", "an\u200bna", "\u202eanna", "ann\u00ada"])
def test_approvers_and_admins_may(who: str) -> None:
    assert verdict(who)["for"] in {"anna", "ben", "carl"}


@pytest.mark.parametrize("who", ["", "rob", "ROB", "U-rob", "dora", "eve", "engine", "policy", "service", "stranger"])
def test_nobody_else_may(who: str) -> None:
    assert verdict(who) is Refused.NOT_ENTITLED


@pytest.mark.parametrize("name", ["anna", "ANNA ", "an\u200bna", "\ufeffanna", "\u2066anna\u2069"])
def test_the_requester_is_known_by_what_people_see_of_a_name(name: str) -> None:
    """What is written with letters that nobody sees is the same name, on whichever side it stands."""
    assert verdict("anna", action=action(requested_by=name)) is Refused.NOT_ENTITLED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("anna  o\u2002hara", "Anna O Hara"),
        ("\u1fb3", "\u0391\u0345"),
        ("a\u034fb\u200d", "ab"),
        ("a\0b\ufe0f", "ab"),
        ("a\tb", "a b"),
    ],
)
def test_one_name_has_one_spelling(one: str, other: str) -> None:
    assert same_person(one, other)


def test_the_requester_is_known_by_their_account_too() -> None:
    assert verdict("anna", action=action(requested_by="u-ANNA")) is Refused.NOT_ENTITLED


def test_whoever_asks_for_it_does_not_choose_who_answers_in_somebodys_place() -> None:
    """An admin may hand on another's vote, and not that about their own wish."""
    later = NOON + timedelta(hours=1)
    given = (Delegation("anna", "dora", later, by="carl"),)
    assert verdict("dora", delegations=given)["for"] == "anna"
    for name in ("carl", "CARL", "U-carl"):
        assert verdict("dora", delegations=given, action=action(requested_by=name)) is Refused.NOT_ENTITLED
    own = (Delegation("anna", "dora", later, by="anna"),)
    assert verdict("dora", delegations=own, action=action(requested_by="carl"))["for"] == "anna"


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ("U-anna", "anna"),
        (" u-ANNA ", "anna"),
        ("Ｕ-anna", ""),
        ("U-an\u200bna", ""),
        ("U-\u212aim", ""),
        ("U-strasse", ""),
        ("", ""),
    ],
)
def test_what_looks_like_an_account_gives_nobody_its_rights(account: str, name: str) -> None:
    """Names are taken for one where that forbids; where it allows, an account is only itself."""
    more = {"kim": Person("kim", "approver", {"chat": "U-kim"}), "str": Person("str", "admin", {"chat": "U-straße"})}
    found = Rules(people={**PEOPLE, **more}).holder("chat", account)
    assert (found.name if found else "") == name
    assert RULES.holder("mail", account) is None, "who has none there is not who has an empty one"


def test_a_vote_counts_until_the_end_and_not_from_it_on() -> None:
    assert verdict("anna", now=NOON + timedelta(minutes=59, seconds=59))["who"] == "anna"
    assert verdict("anna", now=NOON + timedelta(hours=1)) is Refused.TOO_LATE


def test_a_vote_for_something_else_is_refused() -> None:
    assert verdict("anna", digest="0" * 64) is Refused.CHANGED
    assert verdict("anna", digest="") is Refused.CHANGED


@pytest.mark.parametrize(
    ("state", "why"),
    [("approved", Refused.ANSWERED), ("rejected", Refused.ANSWERED), ("cancelled", Refused.TOO_LATE)],
)
def test_what_is_over_takes_no_vote(state: str, why: Refused) -> None:
    assert verdict("anna", action=action(state=ActionState(state))) is why


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": "globex"},
        {"verb": "host.release"},
        {"target": Target.parse("host:ws-0043")},
        {"target": Target(HOST.kind, HOST.value, {"device_id": "dev-2"})},
        {"parameters": {"mode": "full"}},
        {"reason": "because"},
        {"requested_by": "dora"},
        {"case_id": "case-2"},
        {"result": {"lease_seconds": 7200.0, "accept_losses": ["mode"]}},
        {"result": {"lease_seconds": 3600.0}},
        {"result": {"lease_seconds": 3600.0, "accept_losses": ["mode"], "stop_at": "2026-11-23T13:00:00+00:00"}},
    ],
)
def test_whatever_is_shown_is_in_the_digest(changed: dict[str, Any]) -> None:
    asked = request(action())
    assert digest_of(action(**changed), asked) != asked.digest


@pytest.mark.parametrize(
    "changed",
    [
        {"shown": {"connector": "other", "native_id": "dev-1", "losses": []}},
        {"shown": {"connector": "edr", "native_id": "dev-2", "losses": []}},
        {"shown": {"connector": "edr", "native_id": "dev-1", "losses": ["mode"]}},
        {"round": 2},
        {"needed": 1},
        {"because": "a guard wants a person"},
        {"expires_at": (NOON + timedelta(hours=2)).isoformat()},
    ],
)
def test_whatever_is_shown_of_the_asking_is_in_the_digest(changed: dict[str, Any]) -> None:
    asked = request(action())
    assert digest_of(action(), replace(asked, **changed)) != asked.digest


def test_who_has_voted_does_not_change_what_is_voted_on() -> None:
    asked = request(action())
    assert digest_of(action(), replace(asked, votes=[{"who": "anna"}])) == asked.digest
    assert "votes" not in facts_of(action(), asked)


def until(hours: float = 8) -> datetime:
    return NOON + timedelta(hours=hours)


def test_a_delegate_votes_for_the_other_and_both_are_named() -> None:
    vote = verdict("dora", delegations=(Delegation("anna", "dora", until()),))
    assert (vote["who"], vote["role"], vote["for"]) == ("dora", "analyst", "anna")


@pytest.mark.parametrize(
    ("who", "held"),
    [
        ("dora", [("rob", "dora", 8.0)]),  # never for the requester
        ("rob", [("anna", "rob", 8.0)]),  # nor the requester for another
        ("dora", [("anna", "dora", 0.0)]),  # ended
        ("dora", [("eve", "dora", 8.0)]),  # who may not cannot hand it on
        ("dora", [("anna", "eve", 8.0), ("eve", "dora", 8.0)]),  # no chains
        ("stranger", [("anna", "stranger", 8.0)]),
        ("engine", [("anna", "engine", 8.0)]),  # no person, whatever its role
        ("dora", [("gone", "dora", 8.0)]),  # who is listed no more hands nothing on
        ("dora", [("anna", "dora", 8.0), ("ben", "dora", 8.0)]),  # whose is it?
    ],
)
def test_a_delegation_that_does_not_hold(who: str, held: list[tuple[str, str, float]]) -> None:
    delegations = tuple(Delegation(giver, taker, until(hours)) for giver, taker, hours in held)
    assert verdict(who, delegations=delegations) is Refused.NOT_ENTITLED


def test_a_vote_is_counted_under_the_name_that_is_listed() -> None:
    assert verdict("DORA", delegations=(Delegation("ANNA", "Dora", until()),))["for"] == "anna"


def test_a_no_is_not_counted_among_those_who_agree() -> None:
    votes = [{"who": who, "for": who, "answer": answer} for who, answer in (("anna", "approve"), ("ben", "reject"))]
    assert counted(votes) == 1
    assert request(action(), votes=votes).missing == 1


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\ufe0f\u2063", "POLICY", "ser\u00advice"])
def test_where_nobody_is_listed_a_person_has_a_name_still(name: str) -> None:
    anybody = Rules()
    assert anybody.entitled("anna")
    assert not anybody.entitled(name)
    assert anybody.holder("chat", "U-anna") is None


def test_where_nobody_may_approve_that_is_known_before_anybody_waits() -> None:
    assert not Rules().hopeless
    assert not RULES.hopeless
    assert Rules(people={name: PEOPLE[name] for name in ("dora", "eve", "engine")}).hopeless


@pytest.mark.parametrize("kept", [None, "yes", {"asked": {"chat #soc": "act-2"}}])
def test_what_is_no_asking_is_none(kept: Any) -> None:
    assert Request.of(action(result={"approval": kept})) is None


def test_who_holds_two_says_for_whom() -> None:
    two = (Delegation("anna", "dora", until()), Delegation("ben", "dora", until()))
    assert verdict("dora", delegations=two, on_behalf="Ben")["for"] == "ben"


def test_who_has_answered_needs_nobody_in_their_place() -> None:
    two = (Delegation("anna", "dora", until()), Delegation("ben", "dora", until()))
    one = action()
    voted = request(one, votes=({"who": "anna", "for": "anna", "answer": "approve"},))
    assert verdict("dora", delegations=two, action=one, request=voted)["for"] == "ben"


def test_naming_oneself_is_a_vote_of_ones_own() -> None:
    assert verdict("anna", on_behalf="ANNA")["for"] == "anna"
    assert verdict("dora", on_behalf="dora", delegations=(Delegation("anna", "dora", until()),)) is Refused.NOT_ENTITLED


@pytest.mark.parametrize(("first", "again"), [("anna", "anna"), ("anna", "dora"), ("dora", "anna"), ("dora", "dora")])
def test_a_person_and_their_delegate_count_once(first: str, again: str) -> None:
    held = (Delegation("anna", "dora", until()),)
    asked = request(action())
    vote = verdict(first, delegations=held, request=asked)
    then = verdict(again, delegations=held, request=replace(asked, votes=[vote]))
    assert then is Refused.ANSWERED


def test_a_delegate_with_a_right_of_their_own_counts_once_too() -> None:
    held = (Delegation("anna", "ben", until()),)
    asked = request(action())
    own = verdict("ben", delegations=held, request=asked)
    assert own["for"] == "ben"
    after = replace(asked, votes=[own])
    assert verdict("ben", delegations=held, request=after, on_behalf="anna") is Refused.ANSWERED
    assert verdict("anna", delegations=held, request=after)["for"] == "anna"


def test_every_risk_takes_somebody() -> None:
    assert [Rules().needs(risk) for risk in Risk] == [1, 1, 1, 2, 2]
    assert Rules(needed={Risk.R2: 0}).needs(Risk.R2) == 1


_NAMES = [*PEOPLE, "Anna", "u-BEN", "stranger", "policy", ""]


@settings(max_examples=300, deadline=None)
@given(
    needed=st.integers(1, 4),
    requester=st.sampled_from(["rob", "U-anna", "dora"]),
    held=st.lists(st.tuples(st.sampled_from(list(PEOPLE)), st.sampled_from(list(PEOPLE)), st.booleans()), max_size=5),
    steps=st.lists(
        st.tuples(
            st.sampled_from(_NAMES),
            st.sampled_from(["", *PEOPLE]),
            st.sampled_from(["now", "now", "now", "old", "other"]),
            st.booleans(),
        ),
        max_size=14,
    ),
)
def test_fewer_persons_than_needed_never_let_anything_go(
    needed: int, requester: str, held: list[tuple[str, str, bool]], steps: list[tuple[str, str, str, bool]]
) -> None:
    """Whatever is tried: an approved action has the votes of that many entitled people, none of them the requester."""
    rules = Rules(needed={Risk.R2: needed}, people=PEOPLE)
    world = World(MemoryJournal(), rules=lambda _: rules)
    made = world.isolate(approval="human", requested_by=requester)
    old = made.result["approval"]["digest"]
    world.run()
    ends = world.clock.now + timedelta(hours=9)
    delegations = [
        Delegation(giver, taker, ends if lasting else world.clock.now - timedelta(1)) for giver, taker, lasting in held
    ]
    digests = {"now": world.now(made).result["approval"]["digest"], "old": old, "other": "0" * 64}
    for who, whom, digest, yes in steps:
        ballot = Ballot(who, Choice.APPROVE if yes else Choice.REJECT, digests[digest], on_behalf=whom)
        try:
            world.engine.vote("acme", made.action_id, ballot, delegations)
        except VoteError:
            continue
    after = world.now(made)
    votes = after.result["approval"]["votes"]
    yes_from = {vote["for"] for vote in votes if vote["answer"] == "approve"}
    hands = [name for vote in votes for name in {vote["who"], vote["for"]}]
    assert len(hands) == len(set(hands)), "somebody had a hand in two votes"
    assert all(PEOPLE[name].role in {"approver", "admin"} and name != "engine" for name in yes_from)
    assert not any(rules.is_same(requester, name) for name in hands)
    assert (after.state is ActionState.APPROVED) == (len(yes_from) >= needed and after.state != "rejected")
    assert (after.state is ActionState.REJECTED) == any(vote["answer"] == "reject" for vote in votes)
    world.run()
    assert bool(world.edr.commands) == (after.state is ActionState.APPROVED)


def test_names_are_compared_as_people_write_them() -> None:
    assert same_person("Anna ", "aNNA")
    assert not same_person("anna", "anne")
