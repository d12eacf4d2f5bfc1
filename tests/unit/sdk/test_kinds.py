import pytest

from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.kinds import Risk, TargetKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import VERBS


def test_risks_are_ordered_so_that_a_gate_can_compare_them() -> None:
    assert max(Risk) is Risk.R4
    assert Risk.R1 < Risk.R2


@pytest.mark.parametrize("kind", TargetKind)
def test_no_kind_of_target_takes_a_selector_that_means_everything(kind: TargetKind) -> None:
    for selector in ("", " ", "*", "%", "all"):
        with pytest.raises(RejectedError, match="everything"):
            Target(kind, selector)


def test_every_kind_of_target_has_a_verb_that_takes_it() -> None:
    assert {verb.target for verb in VERBS.values()} | {TargetKind.EMAIL} == set(TargetKind)
