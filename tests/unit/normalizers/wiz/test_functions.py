"""What the Wiz mappings compute beside their paths."""

from nightdesk.normalizers.wiz.functions import gather


def test_a_field_takes_every_value_of_a_list_once_and_objects_whole() -> None:
    items = [{"a": {"b": "x"}}, {"a": {"b": ["y", "x"]}}, {"a": {"b": 7}}, {"a": {}}, "none"]
    assert gather(items, "a.b") == "x, y, 7"
    assert gather([{"a": {"b": 1}}, {"a": "t"}], "a") == '[{"b":1},"t"]'
    assert gather({"a": "alone"}, "a") == "alone"
    assert gather([], "a") is None
    assert gather(None, "a.b") is None
