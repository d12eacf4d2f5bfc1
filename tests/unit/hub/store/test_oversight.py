"""Labels, levels, samples and canaries on both engines: appended, audited, and each tenant's own (law 3)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nightdesk.autonomy.levels.standing import Level, Standing
from nightdesk.autonomy.levels.units import Unit, rule_key
from nightdesk.autonomy.oversight.canaries import Canary, CanaryState
from nightdesk.autonomy.oversight.items import Item, ItemState, Kind
from nightdesk.autonomy.oversight.labels import How, Label, LabelState
from nightdesk.hub.store import Store, audit, canaries, labels, levels, samples
from nightdesk.sdk.case import Verdict
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.testing.cases import an_alert

AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
RULE = rule_key("acme_edr", "rule-1")
KEY = b"k" * 16
LONG = rule_key("acme_edr", "r\x00\ud800" + "é" * 3000)


def a_label(**changes: Any) -> Label:
    facts: dict[str, Any] = {
        "tenant": "acme", "label_id": "", "seq": 0, "rule": RULE, "case_id": "case-1", "analyst": "ann",
        "verdict": Verdict.BENIGN_POSITIVE, "at": AT, "blind": True, "how": How.QUEUE, "stand": "close",
    }  # fmt: skip
    return Label(**{**facts, **changes})


def an_item(**changes: Any) -> Item:
    facts: dict[str, Any] = {
        "tenant": "acme", "item_id": "", "kind": Kind.SAMPLE, "case_id": "case-1", "decision_id": "d-1",
        "rules": (RULE,), "drawn_at": AT, "stratum": "s#1", "chance": 0.5,
    }  # fmt: skip
    return Item(**{**facts, **changes})


def a_canary(tenant: str = "acme", name: str = "incident--1") -> Canary:
    return Canary(tenant, canaries.canary_id(tenant, name), "acme_edr/rule-1", RULE, "edr", name, AT, "abe", "drill")


def test_labels_are_numbered_and_read_in_their_order(store: Store) -> None:
    with store.begin() as conn:
        given = labels.give(conn, [a_label(), a_label(rule=LONG)])
        labels.give(conn, [a_label(tenant="umbrella", comment="\u202e\x00")])
        labels.give(conn, [a_label(case_id="case-2", analyst="Ben")])
    with store.read() as conn:
        assert [one.seq for one in given] == [1, 2]
        assert [one.case_id for one in labels.of_rule(conn, "acme", RULE)] == ["case-1", "case-2"]
        assert labels.of_rule(conn, "acme", LONG)[0].rule == LONG
        assert [one.analyst for one in labels.of_analyst(conn, "acme", "BEN")] == ["Ben"]
        assert len(labels.of_case(conn, "acme", "case-1")) == 2
        assert len(labels.of_case(conn, "umbrella", "case-1")) == 1
        assert labels.analysts(conn, "acme") == ["ann", "ben"]
        assert [line.event for line in audit.entries(conn, "acme")] == ["label.given"] * 3
        assert audit.verify(conn, "acme") == []


def test_a_withdrawn_label_stays_and_says_why(store: Store) -> None:
    with store.begin() as conn:
        given = labels.give(conn, [a_label()])
        assert len(labels.withdraw(conn, given, "known answers", at=AT, by="autonomy")) == 1
    with store.begin() as conn:
        (read,) = labels.of_rule(conn, "acme", RULE)
        assert (read.state, read.withdrawn_why) == (LabelState.WITHDRAWN, "known answers")
        assert labels.withdraw(conn, [read], "again", at=AT, by="autonomy") == []


def test_the_audit_of_a_label_does_not_tell_what_the_machine_would_have_done(store: Store) -> None:
    with store.begin() as conn:
        labels.give(conn, [a_label(known=True, how=How.QUEUE)])
        (line,) = audit.entries(conn, "acme")
    assert not {"stand", "known", "closed"} & set(line.detail)


def test_contributions_are_counts(store: Store) -> None:
    with store.begin() as conn:
        for number in range(3):
            labels.give(conn, [a_label(case_id=f"case-{number}", entity="host:secret")])
        labels.give(conn, [a_label(case_id="seen", blind=False)])
        labels.give(conn, [a_label(tenant="umbrella", verdict=Verdict.TRUE_POSITIVE, state=LabelState.CONFIRMED)])
        told = labels.contributions(conn, ["acme", "umbrella"], RULE)
    assert [(one.tenant, one.benign, one.attacks) for one in told] == [("acme", 3, 0), ("umbrella", 0, 1)]


@pytest.mark.parametrize("rule", [RULE, LONG])
def test_a_standing_is_kept_and_another_tenants_is_another(store: Store, rule: str) -> None:
    unit = Unit("acme", rule)
    with store.begin() as conn:
        assert levels.standing(conn, unit, hold=True) == Standing(unit)
        levels.keep(conn, Standing(unit, Level.SHADOW), at=AT)
        levels.keep(conn, Standing(unit, Level.RECOMMEND), at=AT)
    with store.read() as conn:
        assert levels.standing(conn, unit).level is Level.RECOMMEND
        assert levels.standing(conn, Unit("umbrella", rule)).level is Level.OFF
        assert [one.unit for one in levels.of_tenant(conn, "acme")] == [unit]
        assert levels.of_tenant(conn, "umbrella") == []


def test_units_that_act_alone_are_found_by_their_level(store: Store) -> None:
    old, new = Unit("acme", rule_key("e", "r", "1")), Unit("acme", rule_key("e", "r", "2"))
    with store.begin() as conn:
        levels.keep(conn, Standing(old, Level.CLOSE), at=AT)
        levels.keep(conn, Standing(new, Level.RECOMMEND), at=AT)
        levels.keep(conn, Standing(Unit("umbrella", old.rule), Level.CLOSE), at=AT)
        assert [one.unit for one in levels.acting(conn, "acme")] == [old]


def test_raises_are_counted_by_tenant_and_time(store: Store) -> None:
    unit = Unit("acme", RULE)
    with store.begin() as conn:
        levels.ask_in_turn(conn)
        for minutes, event in ((0, "level.raise_asked"), (5, "level.raised"), (6, "level.lost")):
            at = AT + timedelta(minutes=minutes)
            levels.note(conn, unit, event, by="ada", at=at, detail={"reason": "r"})
    with store.read() as conn:
        assert levels.raises(conn, "acme", AT - timedelta(minutes=1)) == 2
        assert levels.raises(conn, "acme", AT) == 1
        assert levels.raises(conn, "umbrella", AT - timedelta(minutes=1)) == 0
        assert next(one.event for one in levels.history(conn, "acme")) == "level.lost"


def test_items_wait_until_they_are_judged(store: Store) -> None:
    with store.begin() as conn:
        first = samples.draw(conn, an_item(), KEY)
        second = samples.draw(conn, an_item(case_id="case-2", drawn_at=AT + timedelta(hours=1)), KEY)
        samples.draw(conn, an_item(tenant="umbrella"), KEY)
        assert first.item_id != second.item_id
        samples.settle(conn, first.judged("ann", attack=False))
    with store.read() as conn:
        assert [one.item_id for one in samples.open_items(conn, "acme")] == [second.item_id]
        assert samples.waiting(conn, "acme", {"case-1", "case-2"}) == {"case-2"}
        assert [one.chance for one in samples.judged(conn, "acme", AT)] == [0.5]
        assert samples.found_by_stratum(conn, "acme", AT) == {"s#1": (1, 0)}
        assert samples.item(conn, "umbrella", second.item_id) is None
        assert samples.newest_clean(conn, "acme", RULE) == AT


def test_a_batch_is_clean_up_to_the_first_that_is_open_or_missed(store: Store) -> None:
    with store.begin() as conn:
        for hours, state, missed in (
            (0, ItemState.JUDGED, False),
            (1, ItemState.JUDGED, True),
            (2, ItemState.JUDGED, False),
        ):
            drawn = samples.draw(conn, an_item(drawn_at=AT + timedelta(hours=hours)), KEY)
            samples.settle(conn, replace(drawn, state=state, missed=missed))
        assert samples.newest_clean(conn, "acme", RULE) == AT
        assert samples.newest_clean(conn, "acme", "other") is None


def test_closures_are_numbered_by_day_and_stratum(store: Store) -> None:
    day = AT.date()
    with store.begin() as conn:
        assert [samples.count_closure(conn, "acme", day, "a#1") for _ in range(3)] == [1, 2, 3]
        assert samples.count_closure(conn, "acme", day, "a#2") == 1
        assert samples.count_closure(conn, "acme", day + timedelta(days=1), "a#1") == 1
        assert samples.count_closure(conn, "umbrella", day, "a#1") == 1
        assert samples.closed_by_stratum(conn, "acme", day, day) == {"a#1": 3, "a#2": 1}
        assert samples.closed_by_stratum(conn, "acme", day, day + timedelta(days=1)) == {"a#1": 4, "a#2": 1}
        assert samples.count_unit(conn, "acme", RULE) == 1
        assert (samples.closures_of(conn, "acme", RULE), samples.closures_of(conn, "umbrella", RULE)) == (1, 0)


def test_the_place_among_decisions_only_moves_on(store: Store) -> None:
    with store.begin() as conn:
        assert samples.looked_until(conn, "acme") == 0
        assert samples.looked_until(conn, "acme", 7) == 7
        assert samples.looked_until(conn, "acme", 3) == 7
        assert samples.looked_until(conn, "acme") == samples.place(conn, "acme") == 7
        assert samples.place(conn, "umbrella") == 0


def test_canaries_are_known_by_their_alert_in_their_tenant_alone(store: Store) -> None:
    one = a_canary()
    alert = an_alert("incident--1")
    with store.begin() as conn:
        assert not canaries.any_planted(conn, "acme")
        canaries.plant(conn, one)
        with pytest.raises(PolicyError, match="is a canary already"):
            canaries.plant(conn, one)
        assert canaries.any_planted(conn, "acme")
        assert not canaries.any_planted(conn, "umbrella")
        assert canaries.among(conn, "acme", [alert]) == {"incident--1": one}
        assert canaries.among(conn, "umbrella", [alert]) == {}
        canaries.keep(conn, replace(one, state=CanaryState.MISSED), event="canary.settled", by="autonomy", at=AT)
        canaries.plant(conn, a_canary("umbrella"))
        assert canaries.planted(conn, "acme") == []
        assert canaries.counts(conn, ["acme", "umbrella"], AT - timedelta(days=1)) == (0, 1)
        assert [one.state for one in canaries.of_family(conn, "acme", "acme_edr/rule-1")] == [CanaryState.MISSED]


def test_the_audit_of_a_canary_names_neither_its_alert_nor_its_case(store: Store) -> None:
    with store.begin() as conn:
        canaries.plant(conn, a_canary())
        (line,) = audit.entries(conn, "acme")
    assert "incident--1" not in str(line.detail)
    assert set(line.detail) == {"canary_id", "family", "state", "origin"}
