"""What became of a policy is told: as a notice with the tenant's token, and where its people are asked."""

from pathlib import Path

from tests.hubs import REGISTRY, bind, browsing, opened

from nightdesk.autonomy.actions import ActionState
from nightdesk.hub.policies.telling import Telling

_PEOPLE = {"anna": {"role": "approver", "chat": "U0000000001"}}


def test_people_are_told_once_where_they_are_asked(tmp_path: Path) -> None:
    chat = REGISTRY.simulator("slack")()
    approvals = {"people": _PEOPLE, "ask": [{"to": "#soc"}]}
    config = bind(tmp_path, "acme", {"chat": (chat, "http://127.0.0.1:9")}, approvals=approvals)
    with opened(config) as hub:
        telling = Telling(hub.settings.tenants, hub.notices, hub.engine)
        for _ in range(2):
            telling("acme", "rollout-1", "the policy new 2 no longer decides: a planted attack was closed")
        (message,) = hub.journal.in_state([ActionState.APPROVED], tenant="acme")
        assert (message.verb, message.target.value, message.instance) == ("notify.send", "#soc", "chat")
        assert "a planted attack was closed" in message.parameters["text"]
        token = hub.settings.tenants["acme"].tokens["console"].secret.reveal()
        with browsing(hub) as client:
            told = client.get("/healthz", headers={"Authorization": f"Bearer {token}"}).json()["notices"]
            assert [(one["kind"], one["about"]) for one in told] == [("rollout", "rollout-1")]
            assert "notices" not in client.get("/healthz").json()


def test_a_tenant_that_asks_nobody_has_the_notice(tmp_path: Path) -> None:
    with opened(bind(tmp_path, "acme", {})) as hub:
        Telling(hub.settings.tenants, hub.notices, hub.engine)("acme", "rollout-1", "over")
        assert [one.text for one in hub.notices.standing("acme")] == ["over"]
        assert hub.journal.in_state(list(ActionState), tenant="acme") == []
