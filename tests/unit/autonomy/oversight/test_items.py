"""An item waits for who may judge it and has not, and its end is the last word it wants."""

from datetime import UTC, datetime

import orjson

from nightdesk.autonomy.oversight.items import Item, ItemState, Kind

ONE = Item("acme", "item-1", Kind.SAMPLE, "case-1", "d-1", ("edr/r1@1",), datetime(2026, 11, 20, tzinfo=UTC), wanted=2)


def test_two_persons_judge_an_item_that_wants_two() -> None:
    first = ONE.judged("ann", attack=False)
    assert (first.state, first.missed) == (ItemState.OPEN, False)
    assert not first.waits_for("ANN")
    second = first.judged("ben", attack=True)
    assert (second.state, second.missed) == (ItemState.JUDGED, True)
    assert not second.waits_for("cat")


def test_a_known_answer_waits_for_one_person_alone() -> None:
    known = Item("acme", "item-2", Kind.KNOWN, "c", "", (), ONE.drawn_at, only_for="ann", known=True)
    assert known.waits_for("ann")
    assert not known.waits_for("ben")


def test_an_item_survives_the_store() -> None:
    assert Item.from_bytes(orjson.dumps(ONE.to_json())) == ONE
