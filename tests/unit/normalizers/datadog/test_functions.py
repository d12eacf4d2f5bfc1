"""What the Datadog mappings compute beside their paths."""

from typing import Any

import pytest

from nightdesk.normalizers.datadog.functions import command, opened


@pytest.mark.parametrize(
    "attributes",
    [{"custom": {"a": 1}}, {"attributes": {"a": 1}}, {"attributes": {"custom": {"a": 1}}}],
)
def test_what_was_found_is_reached_through_every_envelope(attributes: dict[str, Any]) -> None:
    document = {"id": "x", "type": "signal", "attributes": {**attributes, "tags": ["t"]}}
    assert opened(document) == {"id": "x", "type": "signal", "tags": ["t"], "detail": {"a": 1}}
    assert "attributes" in document


def test_the_records_own_id_is_not_replaced_by_one_of_its_attributes() -> None:
    assert opened({"id": "own", "attributes": {"id": "other"}})["id"] == "own"


def test_a_command_line_is_the_image_with_its_arguments() -> None:
    image = {"path": "/usr/bin/vim"}
    assert command({"executable": image, "args": ["-R", "/etc/passwd"]}) == "/usr/bin/vim -R /etc/passwd"
    assert command({"executable": image, "args": "-R"}) == "/usr/bin/vim -R"
    assert command({"cmdline": "vim x", "args": ["y"]}) == "vim x"
    assert command({"executable": image}) is None
    assert command({"args": ["x"]}) is None


@pytest.mark.parametrize("value", [None, "", 0, True, [], {}, [{}], {"attributes": []}, {"attributes": {"custom": 7}}])
def test_any_value_is_taken(value: Any) -> None:
    opened(value)
    command(value)
    command({"executable": value, "args": value})
