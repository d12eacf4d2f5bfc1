"""Law 3: no default tenant and no cross-talk, with the same vendor, the same hosts and the same bytes at both."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs
from tests.hubs import REGISTRY, a_story_alert, balanced, bind, browsing, opened, pullers, run_cli, together

from nightdesk.hub.hub import Hub
from nightdesk.hub.store import queries
from nightdesk.hub.store.alerts import bundles
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime

_TENANTS = ("acme", "umbrella")
_OF_EVERYBODY = {  # facts of the world, the same at everybody by STIX 2.1 section 2.9, and the standard's own objects
    "artifact", "autonomous-system", "directory", "domain-name", "email-addr", "email-message", "file", "ipv4-addr",
    "ipv6-addr", "mac-addr", "mutex", "network-traffic", "process", "software", "url", "user-account",
    "windows-registry-key", "x509-certificate", "extension-definition", "marking-definition",
}  # fmt: skip


@pytest.fixture(scope="module", params=pullers())
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub, two tenants; both were told the very same bytes of the one simulator."""
    folder = tmp_path_factory.mktemp("tenants")
    time = FakeTime()
    simulator = REGISTRY.simulator(request.param)(clock=time.clock)
    for number in range(3):
        simulator.add(a_story_alert(f"same-{number}", time.clock(), number))
    with serve(simulator) as served:
        configs = [bind(folder / slug, slug, {"main": (simulator, served.base_url)}) for slug in _TENANTS]
        with opened(together(*configs), time) as made:

            async def go() -> None:
                await made.once()
                await made.bindings.aclose()

            asyncio.run(go())
            yield made


def _objects(hub: Hub, tenant: str) -> dict[str, dict[str, Any]]:
    with hub.store.read() as conn:
        pages = [queries.case_page(conn, tenant, row.case_id) for row in queries.case_list(conn, tenant, limit=100)]
        ids = [alert.alert_id for page in pages if page is not None for alert in page.case.alerts]
        found = bundles(conn, tenant, ids)
    return {one["id"]: one for stored in found.values() for one in orjson.loads(stored.bundle)["objects"]}


def test_both_tenants_got_everything(hub: Hub) -> None:
    rows = {(row.tenant, row.received, row.normalised) for row in balanced(hub.store) if row.received}
    assert rows == {(tenant, 3, 3) for tenant in _TENANTS}


def test_only_facts_of_the_world_have_the_same_id_at_two_tenants(hub: Hub) -> None:
    ours, theirs = (_objects(hub, tenant) for tenant in _TENANTS)
    assert {one["type"] for one in ours.values()} == {one["type"] for one in theirs.values()}
    shared = set(ours) & set(theirs)
    authors = {ours[one]["created_by_ref"] for one in shared if one.startswith("extension-definition--")}
    assert {one.partition("--")[0] for one in shared - authors} <= _OF_EVERYBODY
    assert len(authors) == 1  # the project, which wrote the extensions


def test_no_object_of_a_tenant_names_another_one(hub: Hub) -> None:
    for tenant, other in (_TENANTS, _TENANTS[::-1]):
        assert other not in orjson.dumps(list(_objects(hub, tenant).values())).decode().lower()


def test_a_case_holds_alerts_of_one_tenant(hub: Hub) -> None:
    seen: dict[str, set[str]] = {}
    for tenant in _TENANTS:
        with hub.store.read() as conn:
            for row in queries.case_list(conn, tenant, limit=100):
                page = queries.case_page(conn, tenant, row.case_id)
                assert page is not None
                assert {alert.tenant for alert in page.case.alerts} == {tenant}
                assert {decision.tenant for decision in page.decisions} == {tenant}
                seen.setdefault(tenant, set()).update(alert.alert_id for alert in page.case.alerts)
    assert len(seen["acme"]) == len(seen["umbrella"]) == 3
    assert not seen["acme"] & seen["umbrella"]


def test_a_token_sees_the_numbers_of_its_own_tenant_alone(hub: Hub) -> None:
    tokens = {slug: hub.settings.tenants[slug].tokens["console"].secret.reveal() for slug in _TENANTS}
    with browsing(hub) as client:
        numbers = client.get("/metrics", headers={"Authorization": f"Bearer {tokens['acme']}"}).text
    assert 'tenant="acme"' in numbers
    assert "umbrella" not in numbers
    for line in numbers.splitlines():
        assert line.startswith("#") or 'tenant="acme"' in line, f"a number without a tenant: {line}"


def test_a_console_shows_the_cases_of_its_own_tenant_alone(hub: Hub) -> None:
    with hub.store.read() as conn:
        ours = [row.case_id for row in queries.case_list(conn, "acme", limit=100)]
    assert ours
    with browsing(hub) as client:
        token = hub.settings.tenants["acme"].tokens["console"].secret.reveal()
        assert client.post("/console/login", data={"token": token}).status_code == 303
        for case_id in ours:
            page = client.get(f"/console/cases/{case_id}")
            assert page.status_code == 200
            assert "umbrella" not in (page.text + client.get(f"/console/cases/{case_id}/bundle").text).lower()


def test_a_case_of_another_tenant_is_not_found(tmp_path: Path) -> None:
    time = FakeTime()
    first, second = (REGISTRY.simulator(pullers()[0])(clock=time.clock) for _ in range(2))
    for number in range(3):
        second.add(a_story_alert(f"theirs-{number}", time.clock(), number))
    with serve(first) as one, serve(second) as two:
        configs = [
            bind(tmp_path / "acme", "acme", {"main": (first, one.base_url)}),
            bind(tmp_path / "umbrella", "umbrella", {"main": (second, two.base_url)}),
        ]
        with opened(together(*configs), time) as hub, capture_logs() as lines:

            async def go() -> None:
                await hub.once()
                await hub.bindings.aclose()

            asyncio.run(go())
            with hub.store.read() as conn:
                theirs = [row.case_id for row in queries.case_list(conn, "umbrella", limit=100)]
                assert queries.case_list(conn, "acme", limit=100) == []
                assert queries.case_page(conn, "acme", theirs[0]) is None
            for slug, status in (("acme", 404), ("umbrella", 200)):
                token = hub.settings.tenants[slug].tokens["console"].secret.reveal()
                with browsing(hub) as client:
                    assert client.post("/console/login", data={"token": token}).status_code == 303
                    for part in ("", "/version", "/bundle"):
                        assert client.get(f"/console/cases/{theirs[0]}{part}").status_code == status
                    health = client.get("/healthz", headers={"Authorization": f"Bearer {token}"}).text
                    assert slug in health
                    assert ("umbrella" in health) == (slug == "umbrella")
    said = [line for line in lines if "instance" in line or "action" in line]
    assert said
    assert all(line.get("tenant") in _TENANTS for line in said)


@pytest.mark.parametrize(
    "command",
    [
        ["cases"],
        ["cases", "show", "CASE-1"],
        ["quarantine"],
        ["quarantine", "replay"],
        ["ledger"],
        ["act", "host.isolate", "host:ws-1", "--as", "ann"],
        ["approve", "action-1", "--as", "ann"],
        ["reject", "action-1", "--as", "ann"],
        ["undo", "action-1", "--as", "ann"],
        ["stop", "--as", "ann", "--reason", "drill"],
        ["start", "--as", "ann", "--reason", "over"],
        ["switches"],
        ["autonomy", "status"],
        ["autonomy", "queue", "--as", "ann"],
        ["autonomy", "judge", "item-1", "--as", "ann", "--verdict", "test"],
        ["autonomy", "promote", "p/r@1", "--as", "ann", "--reason", "noise"],
        ["autonomy", "agree", "p/r@1", "--as", "ann", "--reason", "noise"],
        ["autonomy", "withdraw", "p/r@1", "--as", "ann", "--reason", "odd"],
        ["autonomy", "canary", "plant", "file.json", "--as", "ann", "--connector", "c", "--origin", "o"],
        ["autonomy", "canary", "reveal", "canary-1", "--as", "ann"],
        ["autonomy", "canary", "list"],
        ["vendors", "check"],
        ["init", "somewhere"],
        ["normalize", "auto", "file.json", "--out", "out"],
    ],
    ids=" ".join,
)
def test_no_command_guesses_a_tenant(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.json").write_text("{}", encoding="utf-8")
    result = run_cli(*command)
    assert result.exit_code == 2
    assert "--tenant" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]
