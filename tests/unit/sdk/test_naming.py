"""Names of a target in telemetry, and what may stand in a query."""

import pytest

from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.naming import Names, names_of, plain
from nightdesk.sdk.targets import Target


@pytest.mark.parametrize(
    ("target", "facts", "names"),
    [
        ("host:WS-0042", {}, Names(("ws-0042",), ("ws-0042.",))),
        ("host:ws-0042", {"address": "192.0.2.42"}, Names(("ws-0042",), ("ws-0042.",), ("192.0.2.42",))),
        # A full name is that host's in that domain, and in no other.
        ("host:ws-0042.corp.example.com", {}, Names(("ws-0042", "ws-0042.corp.example.com"))),
        ("host:192.0.2.42", {}, Names((), (), ("192.0.2.42",))),
        ("account:jdoe@corp.example.com", {}, Names(("jdoe@corp.example.com", "jdoe"))),
        (r"account:CORP\jdoe", {"sid": "S-1-5-21-1"}, Names(("jdoe", r"CORP\jdoe", "S-1-5-21-1"))),
    ],
)
def test_a_target_is_known_under_these_names(target: str, facts: dict[str, str], names: Names) -> None:
    parsed = Target.parse(target)
    assert names_of(Target(parsed.kind, parsed.value, facts)) == names


def test_what_has_no_owner_has_no_names() -> None:
    with pytest.raises(RejectedError, match="only an account"):
        names_of(Target.parse("domain:bad.example.com"))


def test_letters_of_every_alphabet_may_stand_in_a_query() -> None:
    assert plain("büro-pc_7", "-", vendor="acme") == "büro-pc_7"


@pytest.mark.parametrize("text", ['x" OR 1', "x'", "x*", "x`", "x|", "x\n", "x\\", ""])
def test_what_would_have_to_be_escaped_is_refused(text: str) -> None:
    with pytest.raises(RejectedError, match="cannot be asked for exactly") as caught:
        plain(text, " .@-", vendor="acme")
    assert (caught.value.vendor, caught.value.operation) == ("acme", "read telemetry")
