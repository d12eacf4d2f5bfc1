"""Scenario 1 on a real hub: a flood of a rule that is closed by signature, an attack in it, and a line for people."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.hubs import REGISTRY, a_story_alert, balanced, bind, browsing, opened

from nightdesk.hub.hub import Hub
from nightdesk.hub.store import cases, decisions, queries
from nightdesk.sdk.case import Case, CaseStatus
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime

_HOSTS, _FLOOD, _FLOOR = 30, 400, 60
_POLICY = b"""
policy_id: p
version: "1"
rules:
  - {id: noise, owner: jane@example.org, when: {rule_name: Noise},
     then: {close: {verdict: benign-positive, at_once: true}}}
"""


class TestScenario1FloodDigest:
    """A hundred times the usual alerts of a benign rule, with a real attack inside."""

    def test_the_attack_goes_to_a_person_nothing_more_is_closed_and_people_get_one_line(self, tmp_path: Path) -> None:
        time = FakeTime()
        simulator: Any = REGISTRY.simulator("crowdstrike_falcon")(clock=time.clock)
        numbers = iter(range(10_000))

        def alert(rule: str, host: int) -> str:
            found = a_story_alert(f"a-{next(numbers)}", time.clock(), host)
            return str(simulator.add(replace(found, rule_id=rule, title=rule)))

        with serve(simulator) as served:
            bound = {"main": (simulator, served.base_url)}
            secret = tmp_path / "secrets" / "acme.console"
            config = bind(tmp_path, "acme", bound, policy=_POLICY, limits={"flood_floor": _FLOOR})
            with opened(config, time) as hub:
                for hour in range(5):  # what is usual: four an hour, closed
                    usual = [alert("noise", 4 * hour + place) for place in range(4)]
                    self._works(hub)
                    hub.watch()
                    assert {self._case(hub, one).status for one in usual} == {CaseStatus.CLOSED}
                    time.advance(3600)
                assert self._told(hub) == []

                flood = [alert("noise", number % _HOSTS) for number in range(_FLOOD // 2)]
                attack = alert("dump", 7)
                flood += [alert("noise", number % _HOSTS) for number in range(_FLOOD // 2)]
                self._works(hub)
                for _ in range(3):
                    hub.watch()
                balanced(hub.store)
                hit = self._case(hub, attack)
                assert hit.status is CaseStatus.ESCALATED
                last = {self._case(hub, one).case_id for one in flood[_FLOOR:]}
                with hub.store.read() as conn:
                    checks = {one.name: one.passed for one in decisions.decisions(conn, "acme", min(last))[-1].checks}
                assert not checks["flood"]
                assert {self._case(hub, one).status for one in flood[_FLOOR:]} == {CaseStatus.ESCALATED}

                (text,) = self._told(hub)
                assert int(text.split()[0]) in range(_FLOOD + 1, _FLOOD + 6)  # the last of the usual may be among them
                assert "in the hour before" in text
                assert "usually" in text
                assert f"noise ({_FLOOD} on {_HOSTS})" in text
                with browsing(hub) as client:
                    client.post("/console/login", data={"token": secret.read_text().strip(), "tenant": "acme"})
                    page = client.get("/console/")
                assert page.status_code == 200
                assert page.text.count("alerts in the hour before") == 1

                time.advance(2 * 3600)
                hub.watch()
                assert self._told(hub) == []
                after = alert("noise", _HOSTS + 1)
                self._works(hub)
                assert self._case(hub, after).status is CaseStatus.CLOSED

    @staticmethod
    def _works(hub: Hub) -> None:
        async def go() -> None:
            await hub.once()
            await hub.bindings.aclose()

        asyncio.run(go())

    @staticmethod
    def _told(hub: Hub) -> list[str]:
        return [one.text for one in hub.notices.standing("acme") if one.kind == "flood"]

    @staticmethod
    def _case(hub: Hub, native: str) -> Case:
        with hub.store.read() as conn:
            rows = queries.case_list(conn, "acme", limit=1000)
            found = cases.cases(conn, "acme", [row.case_id for row in rows])
        return next(case for case in found.values() if any(one.native_id == native for one in case.alerts))
