import pytest
from pydantic import ValidationError

from nightdesk.autonomy.conditions import When


def test_a_single_text_stands_for_a_list_of_one() -> None:
    assert When.model_validate({"rule_id": "a"}) == When.model_validate({"rule_id": ["a"]})


@pytest.mark.parametrize(
    "condition",
    [
        {"product": "anything"},
        {"rule_id": []},
        {"rule_id": [""]},
        {"severity_at_most": "severe"},
        {"entities": [{"kind": "planet", "in": "x"}]},
        {"entities": [{"kind": "host", "role": "owner", "in": "x"}]},
        {"entities": [{"kind": "host"}]},
        {"any": []},
        {"case_alerts_at_least": 1},
        {"source_verdict": "maybe"},
    ],
)
def test_what_is_no_condition_is_refused(condition: object) -> None:
    with pytest.raises(ValidationError):
        When.model_validate(condition)
