from typing import Any

import pytest
from tests.desks import CASE, Desktop
from tests.hubs import browsing

from nightdesk.hub.setup import private_file

_TOKENS = {"ann": "analyst", "bob": "approver", "vera": "viewer", "feed": "service"}


@pytest.fixture
def desk(tmp_path: Any) -> Any:
    from contextlib import ExitStack

    for name in _TOKENS:
        private_file(tmp_path / "secrets" / f"token.{name}", f"token-{name}\n".encode())
    tokens = {name: {"role": role, "secret": f"file:secrets/token.{name}"} for name, role in _TOKENS.items()}
    with ExitStack() as stack:
        yield Desktop(stack, tmp_path, ["edr"], tokens=tokens)


@pytest.fixture
def ask(desk: Desktop) -> Any:
    with browsing(desk.hub) as client:

        def send(method: str, path: str, who: str, **options: Any) -> Any:
            return client.request(
                method, f"/v1/playbooks{path}", headers={"Authorization": f"Bearer token-{who}"}, **options
            )

        yield send


def test_a_run_is_started_looked_at_and_answered(desk: Desktop, ask: Any) -> None:
    body = {"case_id": CASE, "variables": {"__host__": "ws-0042"}}
    begun = ask("POST", "/beaconing-host/runs", "ann", json=body)
    assert begun.status_code == 201
    run_id = begun.json()["run_id"]
    assert (begun.json()["started_by"], begun.json()["tenant"], begun.json()["case_id"]) == ("ann", "acme", CASE)
    seen = ask("GET", f"/runs/{run_id}", "vera").json()
    assert [(one["name"], one["person"]) for one in seen["waiting"]] == [("Isolate or watch?", True)]
    refused = ask("POST", f"/runs/{run_id}/answers", "ann", json={"step": "Isolate or watch?", "answer": "perhaps"})
    assert refused.status_code == 404
    assert "answer one of isolate, watch" in refused.json()["detail"]
    answered = ask("POST", f"/runs/{run_id}/answers", "bob", json={"step": "Isolate or watch?", "answer": "isolate"})
    assert answered.status_code == 200
    (waiting,) = answered.json()["waiting"]
    assert waiting["next"].startswith("nightdesk approve act-")
    again = ask("POST", f"/runs/{run_id}/answers", "bob", json={"step": "Isolate or watch?", "answer": "isolate"})
    assert again.status_code == 404
    assert desk.run(run_id).answers.popitem()[1] == "bob"  # type: ignore[attr-defined]  # a dictionary in fact


def test_every_playbook_is_listed_with_what_it_needs(ask: Any) -> None:
    rows = {row["name"]: row for row in ask("GET", "", "vera").json()}
    assert len(rows) == 5
    assert rows["ransomware-host"]["roles"]["required"] == ["edr"]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/nothing/runs", {"case_id": CASE}, 404, "no playbook 'nothing'"),
        ("/beaconing-host/runs", {"case_id": CASE}, 422, "__host__: needs a host"),
        ("/stolen-credential/runs", {"case_id": CASE, "variables": {"account": "x"}}, 422, "is no external variable"),
        ("/beaconing-host/runs", {"case_id": ""}, 422, "at least 1 character"),
        ("/beaconing-host/runs", {"case_id": CASE, "approve": True}, 422, "Extra inputs"),
    ],
)
def test_what_cannot_be_started_says_why_and_does_nothing(
    desk: Desktop, ask: Any, path: str, body: Any, status: int, said: str
) -> None:
    answer = ask("POST", path, "ann", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]
    assert desk.actions() == []


@pytest.mark.parametrize(("who", "status"), [("vera", 403), ("feed", 403), ("nobody", 401)])
def test_only_people_who_act_start_a_run(ask: Any, who: str, status: int) -> None:
    answer = ask("POST", "/beaconing-host/runs", who, json={"case_id": CASE, "variables": {"__host__": "ws-0042"}})
    assert answer.status_code == status
    assert ask("GET", "/runs/run-000001", "vera").status_code == 404
