import pytest

from nightdesk.hub.enrichment.patterns import Aside, Network, Pattern, Values, compiled, matches, plan
from nightdesk.sdk.case import EntityKind
from nightdesk.sdk.testing.cases import an_entity

SHA = "ab" * 32


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("[domain-name:value = 'Bad.Example.com']", ["domain:bad.example.com"]),
        ("[ipv4-addr:value = '192.0.2.7']", ["address:192.0.2.7"]),
        ("[ipv6-addr:value = '2001:DB8::1']", ["address:2001:db8::1"]),
        ("[url:value = 'https://bad.example.com/A?q=\\'x\\'']", ["url:https://bad.example.com/A?q='x'"]),
        (f"[file:hashes.'SHA-256' = '{SHA.upper()}']", [f"file:sha256:{SHA}"]),
        ("[email-addr:value = 'Eve@Example.com']", ["email:eve@example.com"]),
        ("[user-account:account_login = 'Eve']", ["account:eve"]),
        ("[domain-name:value IN ('a.example.com', 'b.example.com')]", ["domain:a.example.com", "domain:b.example.com"]),
    ],
)
def test_a_pattern_of_one_value_is_that_entity(text: str, keys: list[str]) -> None:
    assert plan(text) == Values(tuple(keys), verify=False)


def test_a_pattern_of_several_values_is_asked_again_about_each() -> None:
    text = "[domain-name:value = 'a.example.com'] OR [ipv4-addr:value = '192.0.2.7' OR ipv4-addr:value = '192.0.2.8']"
    found = plan(text)
    assert found == Values(("domain:a.example.com", "address:192.0.2.7", "address:192.0.2.8"), verify=True)
    ready = compiled(text)
    assert matches(ready, an_entity("address:192.0.2.8"))
    assert not matches(ready, an_entity("address:192.0.2.9"))


def test_what_several_values_together_mean_is_not_meant_by_one_of_them() -> None:
    text = f"[file:hashes.'SHA-256' = '{SHA}' AND file:name = 'a.exe']"
    ready = compiled(text)
    assert isinstance(plan(text), Pattern)
    assert matches(ready, an_entity(f"file:sha256:{SHA}", name="a.exe"))
    assert not matches(ready, an_entity(f"file:sha256:{SHA}", name="b.exe"))
    assert not matches(ready, an_entity(f"file:sha256:{SHA}"))


@pytest.mark.parametrize(
    "text", ["[ipv4-addr:value ISSUBSET '198.51.100.0/24']", "[ipv4-addr:value = '198.51.100.0/24']"]
)
def test_a_network_is_one(text: str) -> None:
    assert plan(text) == Network("198.51.100.0/24")


def test_a_part_of_a_name_is_asked_of_every_name() -> None:
    text = "[url:value LIKE 'https://bad.example.com/%']"
    assert plan(text) == Pattern((EntityKind.URL,))
    assert matches(compiled(text), an_entity("url:https://bad.example.com/a"))
    assert not matches(compiled(text), an_entity("url:https://good.example.com/a"))
    assert not matches(compiled(text), an_entity("host:bad"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[url:value MATCHES '^(a+)+$']", "for ever"),
        ("[domain-name:value != 'good.example.com']", "nearly everything"),
        ("[domain-name:value NOT = 'good.example.com']", "nearly everything"),
        ("[domain-name:value LIKE '%']", "nearly anything"),
        ("[url:value LIKE '%a%b%c%d%']", "nearly anything"),
        ("[ipv4-addr:value ISSUBSET '0.0.0.0/0']", "wider than"),
        ("[ipv6-addr:value ISSUBSET '2000::/3']", "wider than"),
        ("[ipv4-addr:value ISSUBSET 'nonsense/24']", "no network"),
        ("[domain-name:value = 'a'] FOLLOWEDBY [domain-name:value = 'b']", "several observations"),
        ("[domain-name:value = 'a'] AND [domain-name:value = 'b']", "several observations"),
        ("[domain-name:value = 'a'] REPEATS 1000000 TIMES", "several observations"),
        ("[domain-name:value = 'a'] WITHIN 5 SECONDS", "several observations"),
        ("[process:command_line = 'x']", "process"),
        ("[file:size > 10]", "no entity has an order"),
        ("[domain-name:value = 'a'", "cannot be read"),
        ("", "cannot be read"),
        ("(" * 50 + "[domain-name:value = 'a']" + ")" * 50, "brackets"),
        ("[domain-name:value = '" + "a" * 5000 + "']", "longer than"),
        (
            "[" + " OR ".join(f"domain-name:value = '{number}.example.com'" for number in range(70)) + "]",
            "more than 64",
        ),
    ],
)
def test_what_is_dear_or_accuses_everybody_is_set_aside_with_the_reason(text: str, why: str) -> None:
    found = plan(text)
    assert isinstance(found, Aside)
    assert why in found.reason
