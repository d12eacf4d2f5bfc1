import pytest

from nightdesk.autonomy.playbooks.model import Variable
from nightdesk.autonomy.playbooks.variables import filled, mentioned, misfit, with_values
from nightdesk.sdk.errors import PolicyError


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("bool", "true", "yes"),
        ("integer", "-7", "7.5"),
        ("float", "7.5", "x"),
        ("ipv4-addr", "203.0.113.7", "2001:db8::7"),
        ("ipv6-addr", "2001:db8::7", "203.0.113.7"),
        ("mac-addr", "00:1a:2B:3c:4d:5e", "00:1a"),
        ("md5-hash", "ab" * 16, "ab" * 15),
        ("sha256-hash", "ab" * 32, "zz" * 32),
        ("hash", "ab" * 20, "ab" * 21),
        ("hexstring", "0aF", "0x1"),
        ("uri", "https://example.com/a", "example.com"),
        ("uuid", "ba67c1d1-e228-510a-9f7c-5f1d6ebf214d", "ba67"),
    ],
)
def test_a_value_fits_its_type_or_is_refused(kind: str, good: str, bad: str) -> None:
    assert misfit(Variable(type=kind), good) == ""
    assert f"is no {kind}" in misfit(Variable(type=kind), bad)


def test_a_type_that_is_not_executed_is_named() -> None:
    assert "dictionary are not executed by nightdesk" in misfit(Variable(type="dictionary"), "{}")


def test_mentions_are_found_and_filled_wherever_a_text_is() -> None:
    value = {"a": ["__one__:value and __two__:value", 7], "b": {"c": "__one__:value", "d": None}}
    assert sorted(set(mentioned(value))) == ["__one__", "__two__"]
    assert filled(value, {"__one__": "1", "__two__": "__one__:value"}) == {
        "a": ["1 and __one__:value", 7],
        "b": {"c": "1", "d": None},
    }
    with pytest.raises(PolicyError, match="__two__ has no value yet"):
        filled(value, {"__one__": "1"})


def test_only_what_has_a_value_counts_as_given() -> None:
    there = {"__a__": Variable(type="string", value=""), "__b__": Variable(type="string")}
    assert with_values(there) == {"__a__": ""}
