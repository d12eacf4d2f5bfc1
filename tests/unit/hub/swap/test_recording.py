import asyncio
from datetime import timedelta
from pathlib import Path

from tests.hubs import REGISTRY, a_story_alert, bind, opened

from nightdesk.autonomy.engine import Approval
from nightdesk.hub.store import queries
from nightdesk.hub.swap.recorded import RecordedCases, read_cases
from nightdesk.hub.swap.recording import record
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import serve

_EDR = min(name for name, one in REGISTRY.manifests.items() if "edr" in one.roles and one.pulls)


def _recorded(tmp_path: Path, *, role: str = "edr", days: float = 30) -> RecordedCases | None:
    simulator = REGISTRY.simulator(_EDR)()
    simulator.add(a_story_alert("alert-1", utc_now(), 1))
    (device,) = simulator.fleet.devices.values()

    async def go() -> RecordedCases | None:
        with serve(simulator) as served, opened(bind(tmp_path, "acme", {"main": (simulator, served.base_url)})) as hub:
            try:
                await hub.once()
                with hub.store.read() as conn:
                    case_id = queries.case_list(conn, "acme", limit=5)[0].case_id
                target = Target.parse(f"host:{device.hostname}")
                hub.engine.propose(
                    "acme", "host.isolate", target, requested_by="ann", approval=Approval.DIRECT, case_id=case_id
                )
                for _ in range(100):
                    await hub.once(pull=False)
                    if all(one.accepted_at for one in hub.journal.of_case("acme", case_id)):
                        break
                    await asyncio.sleep(0.05)
            finally:
                await hub.bindings.aclose()
            with hub.store.read() as conn:
                return record(conn, "acme", role, since=utc_now() - timedelta(days=days))

    return asyncio.run(go())


def test_a_case_is_recorded_without_its_vendor_and_can_be_rehearsed_elsewhere(tmp_path: Path) -> None:
    found = _recorded(tmp_path)
    assert found is not None
    (case,) = found.cases
    assert [action.verb for action in case.actions] == ["host.isolate"]
    assert case.actions[0].target.removeprefix("host:") in {device.hostname.lower() for device in case.devices}
    assert [alert.severity for alert in case.alerts]
    assert _EDR not in found.dump()
    file = tmp_path / "cases.yaml"
    file.write_text(found.dump(), encoding="utf-8")
    assert read_cases(file) == found


def test_what_another_role_did_or_what_is_too_old_is_not_recorded(tmp_path: Path) -> None:
    assert _recorded(tmp_path / "a", role="identity") is None
    assert _recorded(tmp_path / "b", days=-1) is None
