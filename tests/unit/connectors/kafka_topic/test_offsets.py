"""What the cursor says against what the brokers still have."""

import pytest

from nightdesk.connectors.kafka_topic.offsets import Ends, Offsets
from nightdesk.sdk.errors import CursorExpiredError


def at(offsets: dict[str, int]) -> Offsets:
    return Offsets.load({"topic": "alerts", "offsets": offsets}, "alerts")


def stored(offsets: Offsets) -> object:
    return offsets.dump()["offsets"]


def test_the_first_pull_begins_where_the_settings_say() -> None:
    ends = {0: Ends(3, 9), 1: Ends(0, 0)}
    for from_end, wanted in ((False, {"0": 3, "1": 0}), (True, {"0": 9, "1": 0})):
        offsets = Offsets.load(None, "alerts")
        assert offsets.settle(ends, from_end=from_end) == []
        assert stored(offsets) == wanted
        assert offsets.left(ends) == ({} if from_end else {0: (3, 9)})


def test_a_new_partition_is_read_from_its_beginning() -> None:
    offsets = at({"0": 5})
    assert offsets.settle({0: Ends(0, 5), 1: Ends(2, 4)}, from_end=False) == []
    assert offsets.left({0: Ends(0, 5), 1: Ends(2, 4)}) == {1: (2, 4)}


def test_what_retention_deleted_is_named_once_and_only_when_it_was_unread() -> None:
    offsets = at({"0": 5, "1": 7})
    ends = {0: Ends(8, 9), 1: Ends(7, 9)}
    (note,) = offsets.settle(ends, from_end=False)
    assert "offsets 5 to 7 of partition 0" in note
    assert offsets.settle(ends, from_end=False) == []
    assert offsets.left(ends) == {0: (8, 9), 1: (7, 9)}


def test_a_partition_that_ends_before_our_offset_is_read_from_its_beginning() -> None:
    offsets = at({"0": 50})
    (note,) = offsets.settle({0: Ends(0, 3)}, from_end=False)
    assert "made anew" in note
    assert offsets.left({0: Ends(0, 3)}) == {0: (0, 3)}


def test_a_partition_that_is_gone_is_forgotten_and_said() -> None:
    offsets = at({"0": 1, "3": 7})
    (note,) = offsets.settle({0: Ends(0, 1)}, from_end=False)
    assert "partition 3 of alerts is gone, read up to offset 7" in note
    assert stored(offsets) == {"0": 1}


@pytest.mark.parametrize(
    "cursor",
    [
        {},
        {"topic": "alerts"},
        {"topic": "alerts", "offsets": 3},
        {"topic": "another", "offsets": {}},
        {"topic": "alerts", "offsets": {"a": 1}},
    ],
)
def test_a_cursor_that_is_not_ours_is_said(cursor: dict[str, object]) -> None:
    with pytest.raises(CursorExpiredError):
        Offsets.load(cursor, "alerts")
