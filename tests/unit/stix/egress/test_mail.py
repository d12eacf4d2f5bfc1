from collections.abc import Mapping
from typing import Any

from nightdesk.stix.egress.mail import in_one_place

Made = Mapping[str, Mapping[str, Any]]


def _message(number: int, *, sender: int, to: list[int]) -> dict[str, Any]:
    refs = {"from_ref": f"email-addr--{sender}", "to_refs": [f"email-addr--{one}" for one in to]}
    return {"type": "email-message", "id": f"email-message--{number}", "subject": "Hello", **refs}


def _seen(number: int, *refs: str) -> dict[str, Any]:
    return {"type": "observed-data", "id": f"observed-data--{number}", "object_refs": list(refs)}


def _event(*observed: dict[str, Any], messages: tuple[dict[str, Any], ...] = ()) -> tuple[Made, Made]:
    """What is in the bundle before and after, by id."""
    mail = [{"type": "email-addr", "id": f"email-addr--{n}", "value": f"user{n}@example.com"} for n in range(4)]
    entries = [*mail, *messages, *observed]
    grouping = {"type": "grouping", "id": "grouping--1", "object_refs": [entry["id"] for entry in entries]}
    before = {entry["id"]: entry for entry in entries}
    after = in_one_place([grouping], before)
    return before, after


def _values(made: Made, refs: list[str]) -> list[str]:
    return [made[ref]["value"] for ref in refs]


def test_addresses_that_are_in_one_place_stay_as_they_are() -> None:
    message = _message(1, sender=0, to=[1, 2])
    listed = ["email-addr--0", "email-addr--1", "email-addr--2"]
    before, after = _event(_seen(1, "email-message--1", *listed), _seen(2, "email-addr--3"), messages=(message,))
    assert {ref: entry for ref, entry in after.items() if ref != "grouping--1"} == before


def test_the_second_observation_of_an_address_does_without_it() -> None:
    _, after = _event(_seen(1, "email-addr--1"), _seen(2, "email-addr--1", "url--1"))
    assert after["observed-data--1"]["object_refs"] == ["email-addr--1"]
    assert after["observed-data--2"]["object_refs"] == ["url--1"]


def test_a_second_message_gets_a_copy_of_the_address_and_says_the_same() -> None:
    first, second = _message(1, sender=0, to=[1]), _message(2, sender=0, to=[1, 2])
    _, after = _event(
        _seen(1, "email-message--1", "email-addr--0", "email-addr--1"),
        _seen(2, "email-message--2", "email-addr--0", "email-addr--1", "email-addr--2"),
        messages=(first, second),
    )
    assert after["email-message--1"] == first
    changed = after["email-message--2"]
    copies = [changed["from_ref"], changed["to_refs"][0]]
    assert changed["to_refs"][1] == "email-addr--2"
    assert len({*copies, "email-addr--0", "email-addr--1"}) == 4
    assert _values(after, [changed["from_ref"], *changed["to_refs"]]) == [f"user{n}@example.com" for n in range(3)]
    assert after["observed-data--2"]["object_refs"] == ["email-message--2", "email-addr--2", *copies]
    assert after["grouping--1"]["object_refs"][-2:] == copies


def test_two_messages_of_one_observation_do_not_share_an_address_either() -> None:
    messages = (_message(1, sender=0, to=[1]), _message(2, sender=3, to=[1]))
    listed = [f"email-addr--{n}" for n in (0, 1, 3)]
    _, after = _event(_seen(1, "email-message--1", "email-message--2", *listed), messages=messages)
    (copied,) = after["email-message--2"]["to_refs"]
    assert copied != "email-addr--1"
    assert after["observed-data--1"]["object_refs"] == ["email-message--1", "email-message--2", *listed, copied]


def test_one_message_that_two_observations_list_keeps_its_addresses() -> None:
    message = _message(1, sender=0, to=[1])
    _, after = _event(_seen(1, "email-message--1"), _seen(2, "email-message--1"), messages=(message,))
    assert after["email-message--1"] == message


def test_once_more_changes_nothing() -> None:
    messages = (_message(1, sender=0, to=[1]), _message(2, sender=0, to=[1]))
    _, once = _event(_seen(1, "email-message--1", "email-addr--0"), _seen(2, "email-message--2"), messages=messages)
    assert in_one_place([once["grouping--1"]], once) == once
