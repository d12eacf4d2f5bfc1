"""Who answers known items wrongly weighs nothing, and nobody can tell which items those are."""

import pytest

from nightdesk.autonomy.oversight.analysts import Answer, cohens_kappa, is_known_answer_due, trust

KEY = b"k" * 16


def answers(right: int, wrong: int, name: str = "ann") -> list[Answer]:
    return [Answer(name, True, True)] * right + [Answer(name, False, True)] * wrong


@pytest.mark.parametrize(
    ("right", "wrong", "weight"), [(0, 0, 1), (0, 9, 1), (9, 1, 1), (8, 2, 0), (0, 10, 0), (45, 5, 1), (44, 6, 0)]
)
def test_below_nine_in_ten_weighs_nothing(right: int, wrong: int, weight: int) -> None:
    assert trust("ann", answers(right, wrong)).weight == weight


def test_only_the_newest_fifty_and_only_their_own_count() -> None:
    assert trust("ann", [*answers(0, 40), *answers(50, 0)]).rate == 1.0
    assert trust("ann", answers(0, 40, "ben")).known == 0
    assert trust("ANN", answers(3, 1)).known == 4


def test_exactly_one_item_in_fifty_is_due_at_a_place_of_its_own() -> None:
    places = []
    for block in range(40):
        due = [number for number in range(50 * block, 50 * block + 50) if is_known_answer_due(KEY, "ann", number)]
        assert len(due) == 1
        places.append(due[0] % 50)
    assert len(set(places)) > 15
    other = [number for number in range(2000) if is_known_answer_due(b"other" * 4, "ann", number)]
    assert other != [50 * block + place for block, place in enumerate(places)]
    assert [number for number in range(2000) if is_known_answer_due(KEY, "ANN", number)] == [
        50 * block + place for block, place in enumerate(places)
    ]


def test_kappa_is_cohens() -> None:
    # Cohen's form on a 2x2 table of 20, 5, 10, 15: 0.4 (a textbook's worked example).
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)
    assert cohens_kappa([]) is None
    assert cohens_kappa([(False, False)] * 9) == 1.0
    assert cohens_kappa([(True, False), (False, True)]) == -1.0
