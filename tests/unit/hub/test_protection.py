from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.protection import never_touch
from nightdesk.hub.setup import starter_policy
from nightdesk.sdk.case import Check
from nightdesk.sdk.targets import Target
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


def an_action(verb: str, target: str, tenant: str = "acme") -> Action:
    return Action(
        tenant=tenant,
        action_id="act-1",
        verb=verb,
        target=Target.parse(target),
        generation=1,
        idempotency_key="k",
        state=ActionState.APPROVED,
        created_at=NOW,
        updated_at=NOW,
        requested_by="carol",
        approval="direct",
    )


def the_guard() -> Callable[[Action], Check]:
    tenant = TenantSettings(
        scope=Scope("acme", "Acme", TenantKey(bytes(32))),
        policy=parse_policy(starter_policy(), file="starter"),
        quiet=timedelta(0),
        window=timedelta(hours=4),
        leases={},
        instances={},
        roles={},
        tokens={},
    )
    return never_touch({"acme": tenant})


def test_a_persons_own_command_cannot_touch_what_a_rule_protects() -> None:
    check = the_guard()(an_action("host.isolate", "host:dc-01"))
    assert not check.passed
    assert "keep-running" in check.value


def test_anything_else_may_be_isolated() -> None:
    assert the_guard()(an_action("host.isolate", "host:ws-0042")).passed


def test_taking_back_is_always_allowed() -> None:
    assert the_guard()(an_action("host.release", "host:dc-01")).passed


def test_a_write_back_is_no_containment() -> None:
    assert the_guard()(an_action("alert.set_disposition", "alert:dc-01")).passed


def test_another_tenants_rules_do_not_hold_here() -> None:
    other = replace(an_action("host.isolate", "host:dc-01"), tenant="globex")
    assert the_guard()(other).passed
