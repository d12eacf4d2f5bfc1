import asyncio
import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.acting import Switchboard, declare
from tests.hubs import REGISTRY, bind, together

from nightdesk.hub.approvals.links import Link, Links, Signed
from nightdesk.hub.config import TenantSettings
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LINK = Link("acme", f"act-{'a' * 32}", "d" * 64, "anna: of the SOC", NOON)


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TenantSettings]:
    people = {
        "anna: of the SOC": {"role": "approver", "mail": "anna@example.org"},
        "ben": {"role": "approver", "mail": "ben@example.org"},
    }
    approvals = {"url": "https://nightdesk.example.org", "people": people}
    chat = REGISTRY.simulator("slack")()
    configs = [
        bind(tmp_path_factory.mktemp("acme"), "acme", {"mail": (chat, "http://127.0.0.1:9")}, approvals=approvals),
        bind(tmp_path_factory.mktemp("globex"), "globex", {}),
    ]
    return dict(together(*configs).tenants)


def test_what_was_signed_is_read(tenants: dict[str, TenantSettings]) -> None:
    links = Links(tenants)
    assert links.read(links.token(LINK)) == LINK
    assert links.address(LINK) == f"https://nightdesk.example.org/v1/approve/{links.token(LINK)}"
    assert links.address(replace(LINK, tenant="globex")) == ""


def test_a_token_is_the_same_after_a_restart(tenants: dict[str, TenantSettings]) -> None:
    assert Links(tenants).token(LINK) == Links(dict(tenants)).token(LINK)


@pytest.mark.parametrize("token", ["", ".", "x", "x.y", "💥.💥", "e30.e30", "W10.W10", "bnVsbA.x", "a" * 100_000])
def test_anything_else_is_no_link(tenants: dict[str, TenantSettings], token: str) -> None:
    assert Links(tenants).read(token) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": "globex"},
        {"tenant": "nobody"},
        {"action_id": "act-2"},
        {"digest": "e" * 64},
        {"person": "ben"},
        {"until": NOON + timedelta(days=1)},
    ],
)
def test_no_part_of_it_can_be_changed(tenants: dict[str, TenantSettings], changed: dict[str, Any]) -> None:
    links = Links(tenants)
    signature = links.token(LINK).partition(".")[2]
    other = replace(LINK, **changed)
    body = links.token(replace(other, tenant="acme")).partition(".")[0]
    if other.tenant != "acme":
        plain = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).replace(b'"acme"', f'"{other.tenant}"'.encode())
        body = base64.urlsafe_b64encode(plain).decode().rstrip("=")
    assert links.read(f"{body}.{signature}") is None


def test_another_tenant_signs_otherwise(tenants: dict[str, TenantSettings]) -> None:
    links = Links(tenants)
    mine, theirs = (links.token(replace(LINK, tenant=name)).partition(".")[2] for name in ("acme", "globex"))
    assert mine != theirs


def test_a_reference_says_all_but_the_signature(tenants: dict[str, TenantSettings]) -> None:
    assert Link.referred("acme", LINK.reference) == LINK
    assert Links(tenants).token(LINK).partition(".")[2] not in LINK.reference
    for text in ("", "https://example.org", "approval:x", "approval:a:b:c:d"):
        assert Link.referred("acme", text) is None


class Mailer:
    """A connector that keeps what it was told to send."""

    def __init__(self) -> None:
        self.sent: list[Command] = []

    async def act(self, command: Command) -> Receipt:
        self.sent.append(command)
        return Receipt()

    async def read_back(self, command: Command) -> Reading:
        self.sent.append(command)
        return Reading(Effect.UNKNOWN, NOON)


def test_only_the_connector_that_asks_people_sees_the_link(tenants: dict[str, TenantSettings]) -> None:
    mailer, links = Mailer(), Links(tenants)
    board = Switchboard("mail", mail=mailer)
    board.declared["approval.request"] = declare(inverse="", irreversible="a message", parameters=("link",))
    board.declared["notify.send"] = board.declared["approval.request"]
    signed = Signed(board, links)

    async def send(name: str, link: str, to: str = "anna@example.org") -> str:
        recipient = Target(TargetKind.PERSON, to)
        port: Any = (await signed.route("acme", name, recipient, None)).port
        wish = Command("acme", "act-9", name, recipient, "key", NOON, parameters={"link": link})
        await port.act(wish)
        await port.read_back(wish)
        first, second = mailer.sent[-2:]
        assert first == second
        return str(first.parameters["link"])

    assert asyncio.run(send("approval.request", LINK.reference)) == links.address(LINK)
    assert asyncio.run(send("approval.request", LINK.reference, "ANNA@example.org")) == links.address(LINK)
    assert asyncio.run(send("approval.request", "https://example.org/x")) == "https://example.org/x"
    assert asyncio.run(send("notify.send", LINK.reference)) == LINK.reference
    # Whoever may have messages sent must not get another person's link.
    for other in ("ben@example.org", "mallory@example.org", "soc", "ａnna@example.org", "an\u00adna@example.org"):
        with pytest.raises(PolicyError, match="not the account"):
            asyncio.run(send("approval.request", LINK.reference, other))
    assert len(mailer.sent) == 8
