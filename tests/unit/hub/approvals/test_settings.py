from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.hubs import REGISTRY, bind

from nightdesk.hub.approvals.settings import ApprovalSettings, Ask
from nightdesk.hub.config import load_config
from nightdesk.hub.setup import private_file
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.verbs import Risk


def read(folder: Path, approvals: dict[str, Any], tokens: dict[str, str] | None = None) -> ApprovalSettings:
    """The settings of a tenant with a chat connector ``soc`` and these credentials."""
    chat = REGISTRY.simulator("slack")()
    config = bind(folder, "acme", {"soc": (chat, "http://127.0.0.1:9")})
    document = yaml.safe_load(config.read_text())
    tenant = document["tenants"]["acme"]
    tenant["approvals"] = approvals
    for name, role in (tokens or {}).items():
        private_file(folder / "secrets" / f"token.{name}", f"secret-of-{name}\n".encode())
        tenant["tokens"][name] = {"role": role, "secret": f"file:secrets/token.{name}"}
    config.write_text(yaml.safe_dump(document))
    return load_config(config, REGISTRY).tenants["acme"].approvals


def test_an_old_file_has_nobody_who_may_approve(tmp_path: Path) -> None:
    found = read(tmp_path, {})
    assert not any(found.rules.entitled(name) for name in found.rules.people or {})
    assert (found.asks, found.url, found.rules.expire) == ((), "", timedelta(hours=1))


def test_people_are_those_with_tokens_and_those_listed(tmp_path: Path) -> None:
    given = {
        "needed": {"R2": 2},
        "expire_minutes": 30,
        "people": {"anna": {"role": "approver", "soc": "U1"}, "ben": {"soc": "U2"}},
        "ask": [{"to": "#soc-alerts"}, {"connector": "soc", "to": "C0123456789"}],
        "url": "https://nightdesk.example.org/",
    }
    found = read(tmp_path, given, {"ben": "admin", "feed": "service"})
    rules = found.rules
    assert [name for name in ("anna", "ben", "feed", "console") if rules.entitled(name)] == ["anna", "ben"]
    assert rules.needs(Risk.R2) == 2
    assert rules.needs(Risk.R4) == 2
    assert rules.expire == timedelta(minutes=30)
    holder = rules.holder("soc", "U2")
    assert holder is not None
    assert holder.name == "ben"
    assert rules.holder("soc", "") is None
    assert found.asks == (Ask("soc", "#soc-alerts"), Ask("soc", "C0123456789"))
    assert found.url == "https://nightdesk.example.org"


@pytest.mark.parametrize(
    ("given", "key", "said"),
    [
        ({"people": {"anna": {"soc": "U1"}}}, "people.anna", "give a role"),
        ({"people": {"anna": {"role": "service"}}}, "people.anna", "a service is nobody"),
        ({"people": {"ben": {"role": "viewer"}}}, "people.ben.role", "say it once"),
        ({"people": {"anna": {"role": "admin", "mail": "a@example.org"}}}, "people.anna.mail", "there are soc"),
        ({"people": {"Ben": {"role": "approver"}}}, "people.Ben", "written otherwise"),
        (
            {"people": {"anna": {"role": "approver", "soc": "U1"}, "carl": {"role": "approver", "soc": "u1"}}},
            "people.carl.soc",
            "account of anna",
        ),
        ({"needed": {"R2": 2}}, "needed.R2", "1 may approve"),
        ({"needed": {"R2": 0}}, "needed.R2", "greater than or equal to 1"),
        ({"needed": {"R9": 1}}, "needed.R9", "R0"),
        ({"ask": [{"to": "x", "connector": "mail"}]}, "ask.0.connector", "there are soc"),
        ({"ask": [{"to": "*"}]}, "ask.0.to", "could mean everything"),
        ({"url": "nightdesk.example.org"}, "url", "http or https"),
        ({"expire_minutes": 0}, "expire_minutes", "greater than 0"),
        ({"people_who": {}}, "people_who", "no such key"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(tmp_path: Path, given: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        read(tmp_path, given, {"ben": "approver"})
    found = [problem for problem in wrong.value.problems if f"approvals.{key}" in problem.key]
    assert found, wrong.value.problems
    assert any(said in problem.message for problem in found)
