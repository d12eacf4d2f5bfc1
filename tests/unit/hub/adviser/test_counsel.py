"""The adviser over a real socket: what it may cause, what it may not, and that nobody waits for it (law 7)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from tests.hubs import REGISTRY, a_story_alert, bind, opened, pullers
from tests.injections import INJECTIONS

from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.setup import private_file
from nightdesk.hub.store import queries
from nightdesk.hub.store.decisions import decisions
from nightdesk.sdk.case import Decision, Outcome
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.testing import serve

_VENDOR = pullers()[0]
_POLICY = b"""policy_id: p
version: 1
rules:
- id: noise
  owner: alice
  when: {rule_name: unusual-tool, severity_at_most: medium}
  then: {close: {verdict: benign-positive, at_once: true}}
"""
_KEY = "a-key-of-the-adviser-that-nobody-may-see"


@dataclass
class _Model:
    """An endpoint that answers what it is told to, and keeps what it was asked."""

    verdict: str = "undetermined"
    status: int = 200
    extra: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def app(self) -> FastAPI:
        made = FastAPI()

        @made.post("/v1/chat/completions")
        async def complete(request: Request) -> JSONResponse:
            body = await request.json()
            self.asked.append((request.headers.get("authorization", ""), body))
            told = orjson.loads(body["messages"][1]["content"])
            answer = {
                "summary": INJECTIONS[0], "hypotheses": [], "checks": [], "verdict": self.verdict, "confidence": 90,
                "evidence_refs": [alert["alert_id"] for alert in told["alerts"]], **self.extra,
            }  # fmt: skip
            content = orjson.dumps(answer).decode()
            return JSONResponse({"choices": [{"message": {"content": content}}]}, status_code=self.status)

        return made


@contextmanager
def _night(folder: Path, model: _Model, policy: bytes = _POLICY) -> Iterator[Hub]:
    simulator = REGISTRY.simulator(_VENDOR)()
    simulator.add(a_story_alert("one", utc_now(), 1))
    private_file(folder / "secrets" / "model", f"{_KEY}\n".encode())
    with serve(simulator) as vendor, serve(model.app()) as served:
        adviser = {"url": f"{served.base_url}/v1", "model": "m-1", "key": "file:secrets/model", "shares": "none"}
        config = bind(folder, "acme", {"main": (simulator, vendor.base_url)}, policy=policy, adviser=adviser)
        with opened(config) as hub:
            asyncio.run(_work(hub))
            yield hub


async def _work(hub: Hub) -> None:
    await hub.once()
    await hub.bindings.aclose()


def _decided(hub: Hub) -> list[Decision]:
    with hub.store.read() as conn:
        (row,) = queries.case_list(conn, "acme")
        return decisions(conn, "acme", row.case_id)


@pytest.fixture
def rule(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A policy that closes what this vendor's alert is, by the name that its mapping gives the rule."""
    model = _Model()
    with _night(tmp_path_factory.mktemp("look"), model, policy=_POLICY) as hub, hub.store.read() as conn:
        (row,) = queries.case_list(conn, "acme")
        page = queries.case_page(conn, "acme", row.case_id)
    assert page is not None
    return _POLICY.replace(b"unusual-tool", page.case.alerts[0].rule_name.encode())


@pytest.mark.parametrize("verdict", ["undetermined", "false-positive", "benign-positive"])
def test_law_07_what_it_thinks_is_benign_changes_nothing(tmp_path: Path, rule: bytes, verdict: str) -> None:
    model = _Model(verdict)
    with _night(tmp_path, model, rule) as hub:
        assert [one.outcome for one in _decided(hub)] == [Outcome.CLOSE]
        assert len(model.asked) == 1
        assert hub.counsel.counts["acme", "taken"] == 1


def test_what_it_takes_for_an_attack_is_open_again_and_a_person_s(tmp_path: Path, rule: bytes) -> None:
    model = _Model("likely-true-positive")
    with _night(tmp_path, model, rule) as hub:
        before, after = _decided(hub)
        assert before.outcome is Outcome.CLOSE
        assert (after.outcome, after.reason_code) == (Outcome.REOPEN, "adviser-raised")
        assert INJECTIONS[0] not in " ".join(after.reasons)
        assert len(model.asked) == 1
        asyncio.run(_work(hub))
        assert len(_decided(hub)) == 2


def test_it_is_asked_with_its_key_and_nothing_of_ours_is_in_the_question(tmp_path: Path, rule: bytes) -> None:
    model = _Model()
    with _night(tmp_path, model, rule) as hub:
        ((authorization, body),) = model.asked
        assert authorization == f"Bearer {_KEY}"
        assert _KEY not in orjson.dumps(body).decode()
        assert "acme" not in body["messages"][1]["content"]
        assert body["model"] == "m-1"
        assert hub.counsel.counts == {("acme", "taken"): 1}


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({"status": 500}, "failed"),
        ({"status": 401}, "failed"),
        ({"extra": {"action": "host.isolate"}}, "dropped"),
        ({"extra": {"evidence_refs": ["of another tenant"]}}, "dropped"),
        ({"verdict": "close"}, "dropped"),
    ],
)
def test_without_a_usable_answer_everything_is_as_without_an_adviser(
    tmp_path: Path, rule: bytes, change: dict[str, Any], counted: str
) -> None:
    with _night(tmp_path, _Model(**change), rule) as hub:
        assert [one.outcome for one in _decided(hub)] == [Outcome.CLOSE]
        assert hub.counsel.counts == {("acme", counted): 1}


def test_what_a_person_sees_anyway_is_not_asked_about(tmp_path: Path) -> None:
    model = _Model()
    with _night(tmp_path, model, b"policy_id: p\nversion: 1\n") as hub:
        assert [one.outcome for one in _decided(hub)] == [Outcome.ESCALATE]
    assert model.asked == []


@pytest.mark.parametrize(
    ("adviser", "told"),
    [
        ({"url": "ftp://model", "model": "m", "shares": "none"}, "adviser.url"),
        ({"url": "http://127.0.0.1:1/v1", "model": "m"}, "adviser.shares"),
        (
            {"url": "http://127.0.0.1:1/v1", "model": "m", "shares": "none", "key": "env:NIGHTDESK_NO_SUCH"},
            "adviser.key",
        ),
        ({"url": "http://127.0.0.1:1/v1", "shares": "none"}, "adviser.model"),
    ],
)
def test_an_adviser_that_cannot_be_or_may_not_learn_of_cases_is_refused(
    tmp_path: Path, adviser: dict[str, Any], told: str
) -> None:
    simulator = REGISTRY.simulator(_VENDOR)()
    config = bind(tmp_path, "acme", {"main": (simulator, "http://127.0.0.1:9")}, adviser=adviser, tlp="amber+strict")
    changed = config.read_text()
    if told == "adviser.shares":
        config.write_text(changed.replace("tlp: amber+strict", "tlp: red"))
    with pytest.raises(ConfigError, match=told):
        load_config(config, REGISTRY)
