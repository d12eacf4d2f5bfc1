from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stix2matcher.matcher import Pattern
from stix2patterns.v21.pattern import Pattern as Standard

from nightdesk.autonomy.playbooks.comparisons import compare, names_in, read_condition
from nightdesk.sdk.errors import PolicyError, UnsupportedError

VALUES = {"__word__": "disable", "__number__": "7", "__flag__": "true", "__address__": "10.1.2.3", "__share__": "0.5"}
TYPES = {"__word__": "string", "__number__": "integer", "__flag__": "bool", "__address__": "ipv4-addr",
         "__share__": "float"}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("__word__:value = 'disable'", True),
        ("__word__:value == 'leave'", False),
        ("__word__:value != 'leave'", True),
        ("__word__:value <> 'disable'", False),
        ("__word__:value NOT = 'disable'", False),
        ("__word__:value IN ('leave', 'disable')", True),
        ("__word__:value NOT IN ('leave', 'disable')", False),
        ("__word__:value LIKE 'dis%'", True),
        ("__word__:value LIKE 'dis_'", False),
        ("__number__:value = 7", True),
        ("__number__:value >= 7 AND __number__:value < 8", True),
        ("__number__:value > 7", False),
        ("__share__:value <= 0.5", True),
        ("__flag__:value = true", True),
        ("__flag__:value != TRUE", False),
        ("__address__:value ISSUBSET '10.0.0.0/8'", True),
        ("__address__:value NOT ISSUBSET '192.168.0.0/16'", True),
        ("__address__:value ISSUBSET '2001:db8::/32'", False),
        ("EXISTS __word__:value", True),
        ("EXISTS __nothing__:value", False),
        ("__word__:value = 'a' AND __number__:value = 1 OR __flag__:value = true", True),
        ("__word__:value = 'a' AND (__number__:value = 1 OR __flag__:value = true)", False),
        ("[__word__:value = 'disable']", True),
        ("EXISTS __nothing__:value AND __nothing__:value = 'a'", False),
    ],
)
def test_a_condition_holds_or_does_not(text: str, held: bool) -> None:
    assert compare(read_condition(text), VALUES, TYPES) is held


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a variable such as __name__:value"),
        ("__word__:value", "an operator"),
        ("__word__ = 'a'", "not readable at character 1"),
        ("__word__:value = a", "a value: 'text' in single quotes"),
        ('__word__:value = "a"', "not readable at character 17"),
        ("__word__:value = 'a", "not readable"),
        ("(__word__:value = 'a'", "')'"),
        ("[__word__:value = 'a'", "']'"),
        ("__word__:value = 'a' 'b'", "nothing more"),
        ("__word__:value IN 'a'", "'('"),
        ("__word__:value LIKE 7", "a text after LIKE"),
        ("__flag__:value < true", "a number after <"),
        ("__word__:value MATCHES '(a+)+'", "an operator"),
        ("__import__('os').system('true')", "not readable"),
        ("(" * 40 + "__word__:value = 'a'" + ")" * 40, "nested deeper"),
        ("__word__:value = '" + "a" * 5000 + "'", "at most 4096"),
    ],
)
def test_what_is_no_condition_says_where(text: str, said: str) -> None:
    with pytest.raises(UnsupportedError, match=r".") as error:
        read_condition(text)
    assert said in str(error.value)


def test_a_missing_value_decides_nothing() -> None:
    with pytest.raises(PolicyError, match="__later__ has no value yet"):
        compare(read_condition("__later__:value = 'a'"), {}, {})


def test_texts_have_no_order() -> None:
    with pytest.raises(PolicyError, match="only numbers have an order"):
        compare(read_condition("__word__:value < 'z'"), VALUES, TYPES)


def test_quotes_and_backslashes_are_text() -> None:
    asked = read_condition(r"__word__:value = 'it\'s a \\'")
    assert compare(asked, {"__word__": "it's a \\"}, {})


def test_a_like_of_many_wildcards_stays_cheap() -> None:
    asked = read_condition(f"__word__:value LIKE '{'%' * 2000}x'")
    assert not compare(asked, {"__word__": "a" * 5000}, {})


_TEXTS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8).map(
    lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
)
_LITERALS = st.one_of(_TEXTS, st.integers(-99, 99).map(str), st.sampled_from(["true", "false", "1.5", "-0.25"]))
_NAMES = st.sampled_from(["__a__", "__b_c__", "__D1__"])


@st.composite
def _tests(draw: st.DrawFn) -> str:
    name, maybe = draw(_NAMES), draw(st.sampled_from(["", "NOT "]))
    kind = draw(st.sampled_from(["sign", "set", "like", "exists"]))
    if kind == "exists":
        return f"EXISTS {name}:value"
    if kind == "set":
        return f"{name}:value {maybe}IN ({', '.join(draw(st.lists(_LITERALS, min_size=1, max_size=3)))})"
    if kind == "like":
        return f"{name}:value {maybe}LIKE {draw(_TEXTS)}"
    if draw(st.booleans()):
        return f"{name}:value {maybe}{draw(st.sampled_from(['=', '==', '!=', '<>']))} {draw(_LITERALS)}"
    return f"{name}:value {maybe}{draw(st.sampled_from(['<', '<=', '>', '>=']))} {draw(st.integers(-99, 99))}"


_CONDITIONS = st.recursive(
    _tests(),
    lambda inner: st.one_of(
        inner.map(lambda one: f"({one})"),
        st.tuples(inner, st.sampled_from([" AND ", " OR "]), inner).map("".join),
    ),
    max_leaves=6,
)


@given(_CONDITIONS)
def test_what_is_read_here_is_stix_patterning(text: str) -> None:
    """Our grammar is a part of the standard's: its own parser takes all of it."""
    assert names_in(read_condition(text))
    Standard(f"[{text}]")


def _observed(value: str) -> list[dict[str, Any]]:
    return [
        {
            "type": "observed-data",
            "first_observed": "2026-11-01T00:00:00Z",
            "last_observed": "2026-11-01T00:00:00Z",
            "number_observed": 1,
            "objects": {"0": {"type": "__a__", "value": value}},
        }
    ]


@given(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=4),
    st.sampled_from(["=", "!=", "LIKE", "IN"]),
    st.booleans(),
    st.text(st.sampled_from("ab%_."), max_size=4),
)
def test_texts_compare_as_the_standards_own_matcher_compares_them(
    value: str, operator: str, negated: bool, other: str
) -> None:
    literal = f"('{other}', 'zz')" if operator == "IN" else f"'{other}'"
    text = f"__a__:value {'NOT ' if negated else ''}{operator} {literal}"
    theirs = bool(Pattern(f"[{text}]").match(_observed(value)))
    assert compare(read_condition(text), {"__a__": value}, {}) is theirs
