"""Vendors are swapped without rework: every ordered pair of a role, rehearsed on the real hub with one policy."""

import asyncio
from pathlib import Path

import pytest
from tests.hubs import REGISTRY

from nightdesk.hub.setup import starter_policy
from nightdesk.hub.swap.matrix import Matrix, markdown, matrix
from nightdesk.hub.swap.parity import Parity
from nightdesk.hub.swap.recorded import BUNDLED, bundled

pytestmark = pytest.mark.slow

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "swap-matrix.md"


@pytest.fixture(scope="module", params=BUNDLED)
def found(request: pytest.FixtureRequest) -> Matrix:
    role: str = request.param
    return asyncio.run(matrix(REGISTRY, role, bundled(role).cases, starter_policy("demo")))


def test_no_pair_changes_the_policy(found: Matrix) -> None:
    assert len(found.vendors) >= 2
    assert len({turn.policy for turn in found.turns.values()}) == 1
    assert not [pair for pair, rehearsal in found.pairs.items() if rehearsal.policy_changed]


def test_every_vendor_does_what_it_offers(found: Matrix) -> None:
    broken = [
        (turn.vendor, deed)
        for turn in found.turns.values()
        for deed in turn.deeds
        if deed.accepted and not deed.effective and not REGISTRY.manifests[turn.vendor].acts[deed.verb].accept_only
    ]
    assert not broken
    silent = [(turn.vendor, deed) for turn in found.turns.values() for deed in turn.deeds
              if deed.offered and not deed.accepted and not deed.problem]  # fmt: skip
    assert not silent, "refused without a reason"
    assert not [(turn.vendor, turn.problems) for turn in found.turns.values() if turn.problems]


def test_the_same_policy_decides_the_same_unless_the_vendor_does_not_tell_what_it_asks_for(found: Matrix) -> None:
    for turn in found.turns.values():
        assert [one.arrived for one in turn.seen] == [one.told for one in turn.seen], turn.vendor
    for pair, rehearsal in found.pairs.items():
        for case in rehearsal.cases:
            if case.told and not case.same_decision and found.turns[pair[0]].seen[0].told:
                untold = {fact.partition(":")[0] for fact in (*case.facts_lost, *case.facts_gained)}
                assert untold & {"technique", "severity", "host"}, (pair, case)
                cautious = [text.partition(" ")[0] for text in case.decision_to]
                assert set(cautious) <= {"escalate", "propose_containment"}, (pair, case)


def test_nothing_that_a_pair_has_in_common_fails(found: Matrix) -> None:
    failed = [
        (pair, row.verb, row.why)
        for pair, rehearsal in found.pairs.items()
        for row in rehearsal.verbs
        if row.parity is Parity.FAILED
    ]
    assert not failed


def test_the_page_shows_what_is_so(found: Matrix) -> None:
    page = _PAGE.read_text(encoding="utf-8")
    missing = [line for line in markdown(found) if line not in page]
    assert not missing, "write it again: nightdesk swap matrix --out docs/reference/swap-matrix.md"
