from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.routing import Route
from nightdesk.autonomy.surroundings import Surroundings
from nightdesk.autonomy.windows import Maintenance, Window
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.lookout import HubLookout
from nightdesk.hub.namesakes import Namesakes
from nightdesk.hub.shared import bundled
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk import manifest
from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.targets import Account, Asset, Target
from nightdesk.sdk.testing.cases import CASE_TIME
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

NOW = CASE_TIME
SPAN: dict[str, Any] = {"starts": NOW - timedelta(hours=1), "ends": NOW + timedelta(hours=1)}
TENANT = TenantSettings(
    scope=Scope("acme", "Acme", TenantKey(bytes(32)), "green"),
    policy=Policy.unsigned(),
    quiet=timedelta(0),
    window=timedelta(hours=4),
    leases={},
    instances={},
    roles={},
    tokens={},
    assets={
        "host:ws-0042": AssetFacts("workstation", ("finance",)),
        "host:dc01": AssetFacts("server", ("domain-controller",), ports=(88,)),
        "host:core-sw": AssetFacts("network-device"),
        "host:10.0.0.77": AssetFacts("server", resolves_to=2),
        "account:jdoe": AssetFacts(tags=("vip",)),
        "account:corp\\bg-admin": AssetFacts(tags=("break-glass",), privileged=True, groups=("Ops",)),
    },
    pap="amber",
    change_windows=(Window("move", **SPAN), Window("later", starts=NOW + timedelta(days=1), ends=None)),
    maintenance=(Maintenance(Window("patching", **SPAN), "jane", hosts=("ws-*",)),),
)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[HubLookout, SqlJournal]]:
    opened = Store.open(f"sqlite:///{tmp_path / 'hub.db'}", synchronous="NORMAL")
    journal = SqlJournal(opened)
    yield HubLookout({"acme": TENANT}, opened, journal, bundled(), lambda *_: (7, 3.0)), journal
    opened.close()


def an_action(name: str = "host.isolate", target: str = "host:ws-0042", tenant: str = "acme") -> Action:
    return Action(
        tenant=tenant,
        action_id="act-1",
        verb=name,
        target=Target.parse(target),
        generation=1,
        idempotency_key="k",
        state=ActionState.PROPOSED,
        created_at=NOW,
        updated_at=NOW,
        approval="policy",
    )


def a_route(found: Asset | Account | None = None, **fields: Any) -> Route:
    declared = manifest.Action(stability="beta", scope="s", docs="d", read_back="r", parameters=("tlp",))
    return Route("main", "vendor", "1", declared, object(), found, **fields)


def test_a_host_is_what_the_inventory_the_vendor_and_the_tenant_say(stage: tuple[HubLookout, SqlJournal]) -> None:
    asset = Asset("1", "WS-0042", ("192.0.2.42",), "workstation", ("lab",))
    around = stage[0].survey(an_action(), a_route(asset, shares="community"), NOW)
    assert around.inventory == AssetFacts("workstation", ("finance",))
    assert around.vendor == AssetFacts("workstation", ("lab",), names=("WS-0042", "192.0.2.42"))
    assert (around.tlp, around.pap, around.shared_with, around.tells_tlp) == ("green", "amber", "community", True)
    assert (around.alerts_last_hour, around.alerts_hour_median, around.fleet_size) == (7, 3.0, 4)
    assert around.change_windows == ("move", "patching")
    assert around.policy_sha256 == Policy.unsigned().sha256


@pytest.mark.parametrize(
    ("target", "asset"),
    [
        ("host:dc01.corp.example.com", None),
        ("host:10.0.0.5", Asset("1", "DC01.corp.example.com")),
    ],
)
def test_another_name_of_a_listed_host_brings_its_warnings_and_no_more(
    target: str, asset: Asset | None, stage: tuple[HubLookout, SqlJournal]
) -> None:
    around = stage[0].survey(an_action(target=target), a_route(asset), NOW)
    assert around.inventory is None
    assert around.vendor is not None
    assert (around.vendor.tags, around.vendor.ports) == (("domain-controller",), (88,))


@pytest.mark.parametrize(
    ("target", "asset", "asset_type", "resolves_to"),
    [
        ("host:core-sw.corp.example.com", None, "network-device", 1),
        ("host:core-sw.corp.example.com", Asset("1", "core-sw", asset_type="workstation"), "network-device", 1),
        ("host:dc01.corp.example.com", Asset("1", "dc01", asset_type="iot"), "iot", 1),
        ("host:unheard", Asset("1", "unheard", ("10.0.0.77",), "workstation"), "server", 2),
        ("host:ws-0042.corp.example.com", Asset("1", "ws-0042", asset_type="other"), "other", 1),
    ],
)
def test_the_graver_type_of_a_host_under_another_name_counts(
    target: str, asset: Asset | None, asset_type: str, resolves_to: int, stage: tuple[HubLookout, SqlJournal]
) -> None:
    around = stage[0].survey(an_action(target=target), a_route(asset), NOW)
    assert around.inventory is None
    assert around.vendor is not None
    assert (around.vendor.asset_type, around.vendor.resolves_to) == (asset_type, resolves_to)


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("account:bg-admin", None),
        ("account:BG-Admin@corp.example.com", None),
        ("account:S-1-5-21-1-2-3-1105", Account("1", "BG-ADMIN")),
        ("account:00u1", Account("1", "00u1", email="bg-admin@corp.example.com")),
    ],
)
def test_an_account_under_another_spelling_brings_its_warnings_and_is_no_better_known(
    target: str, found: Account | None, stage: tuple[HubLookout, SqlJournal]
) -> None:
    around = stage[0].survey(an_action("account.disable", target), a_route(found), NOW)
    assert around.inventory is None
    assert around.vendor is not None
    assert (around.vendor.tags, around.vendor.groups, around.vendor.privileged) == (("break-glass",), ("Ops",), True)
    assert not around.vendor.asked


@pytest.mark.parametrize(("privileged", "asked"), [(None, False), (False, True), (True, True)])
def test_an_account_is_what_the_directory_says(
    privileged: bool | None, asked: bool, stage: tuple[HubLookout, SqlJournal]
) -> None:
    found = Account("1", "jdoe", email="jdoe@corp.example.com", privileged=privileged, groups=("Staff",))
    around = stage[0].survey(an_action("account.disable", "account:JDoe"), a_route(found), NOW)
    assert around.inventory == AssetFacts(tags=("vip",))
    assert around.vendor is not None
    assert (around.vendor.privileged, around.vendor.asked) == (bool(privileged), asked)
    assert (around.vendor.groups, around.vendor.names) == (("Staff",), ("jdoe", "jdoe@corp.example.com"))


def test_what_many_are_behind_is_named(stage: tuple[HubLookout, SqlJournal]) -> None:
    around = stage[0].survey(an_action("ip.block", "address:8.8.8.8"), a_route(), NOW)
    assert around.shared_as == "8.8.8.8/32"


def test_the_last_approval_counts_and_not_what_was_noted_since(stage: tuple[HubLookout, SqlJournal]) -> None:
    lookout, journal = stage
    action = journal.create(an_action(), actor="test")
    for minutes, state in enumerate(["approved", "awaiting_approval", "approved", "approved"], 1):
        at = NOW + timedelta(minutes=minutes)
        action = journal.move(action, ActionState(state), at=at, actor="test", detail={})
    assert lookout.survey(action, a_route(), NOW).approved_at == NOW + timedelta(minutes=3)


def test_what_only_tells_is_not_looked_into_and_strangers_are_not_known(stage: tuple[HubLookout, SqlJournal]) -> None:
    told = stage[0].survey(an_action("notify.send", "person:soc"), a_route(), NOW)
    assert (told.tlp, told.inventory, told.approved_at, told.policy_sha256) == ("green", None, None, "")
    assert stage[0].survey(an_action(tenant="globex"), a_route(), NOW) == Surroundings()


@pytest.mark.parametrize(
    ("entity", "found"),
    [
        (Entity(EntityKind.ACCOUNT, "jdoe"), True),
        (Entity(EntityKind.ACCOUNT, "CORP\\JDoe"), True),
        (Entity(EntityKind.ACCOUNT, "S-1-5-21-1-2-3-1105", facts={"email": "jdoe@corp.example.com"}), True),
        (Entity(EntityKind.ACCOUNT, "jdoe2"), False),
        (Entity(EntityKind.HOST, "jdoe"), False),
        (Entity(EntityKind.EMAIL, "jdoe"), False),
    ],
)
def test_a_vip_is_found_under_any_name(entity: Entity, found: bool) -> None:
    assert TENANT.namesakes.vips([entity]) == ((entity.key,) if found else ())
    assert Namesakes({}).vips([entity]) == ()


def test_a_host_that_is_a_vips_is_found_by_its_address_as_well() -> None:
    listed = Namesakes({"host:10.0.0.5": AssetFacts("workstation", ("vip",)), "host:ws-1": AssetFacts(tags=("VIP",))})
    names = ["10.0.0.5", "10.0.0.6", "ws-1.corp.example.com", "ws-2"]
    assert listed.vips([Entity(EntityKind.HOST, name) for name in names]) == (
        "host:10.0.0.5",
        "host:ws-1.corp.example.com",
    )
    assert listed.hosts == 2
