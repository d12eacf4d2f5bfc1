"""Sources as a configuration binds them, over the bundled connectors and their simulators; and what it refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.enriching import VENDOR, an_alert_of, decided, enriched, oracle, plugin_registry, worked
from tests.hubs import REGISTRY, bind, browsing, run_cli

from nightdesk.connectors.virustotal.simulator import Simulator as LookUps
from nightdesk.hub.config import load_config
from nightdesk.hub.enrichment.asking import entity_of
from nightdesk.hub.enrichment.directory_settings import LDAP
from nightdesk.hub.enrichment.verdicts import Verdicts
from nightdesk.hub.store import cases, queries
from nightdesk.hub.store.codec import dump, stamp
from nightdesk.hub.store.schema import verdict_label
from nightdesk.sdk.case import Outcome
from nightdesk.sdk.enrichment import AssetFact, IdentityFact, IntelFact, VerdictsFact
from nightdesk.sdk.errors import ConfigError, RejectedError
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.cases import an_entity
from nightdesk.sdk.testing.fake_time import FakeTime

HASH = f"{1:064x}"


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def lookups(time: FakeTime) -> Iterator[tuple[LookUps, str]]:
    simulator = LookUps(clock=time.clock)
    with serve(simulator) as served:
        yield simulator, served.base_url


def told(hub: Any) -> dict[tuple[str, str], dict[str, Any]]:
    answers = decided(hub)[-1].inputs["context"]["enrichment"]
    return {(one["source"], one["entity"]): one for one in answers}


def test_a_bound_product_is_asked_for_the_host_by_its_name(tmp_path: Path, time: FakeTime) -> None:
    with enriched(tmp_path, {"devices": {"kind": "inventory", "connector": "main"}}, time) as (hub, simulator):
        an_alert_of(simulator, time)
        worked(hub)
        answer = told(hub)["devices", "host:ws-0000"]
        assert answer["status"] == "ok"
        assert answer["facts"][0]["native_id"]
        assert {entity.partition(":")[0] for _, entity in told(hub)} == {"host"}
        assert decided(hub)[-1].outcome is Outcome.CLOSE


def test_a_source_of_intelligence_is_asked_about_what_outsiders_can_know(
    tmp_path: Path, time: FakeTime, lookups: tuple[LookUps, str]
) -> None:
    lookups[0].know("files", HASH, "malicious", at=time.clock())
    sources = {"opinions": {"kind": "opinions", "connector": "vt"}}
    with enriched(tmp_path, sources, time, bound={"vt": lookups}, tlp="amber") as (hub, simulator):
        an_alert_of(simulator, time)
        worked(hub)
        fact = told(hub)["opinions", f"file:sha256:{HASH}"]["facts"][0]
        assert (fact["verdict"], fact["count"] > 0) == ("malicious", True)
        assert fact["newest"] is not None
        assert decided(hub)[-1].reason_code == "abstain-intel"


def test_a_marking_that_no_third_party_may_see_is_refused_and_nobody_is_asked(
    tmp_path: Path, time: FakeTime, lookups: tuple[LookUps, str]
) -> None:
    sources = {"opinions": {"kind": "opinions", "connector": "vt", "required": False}}
    with enriched(tmp_path, sources, time, bound={"vt": lookups}, tlp="amber+strict") as (hub, simulator):
        an_alert_of(simulator, time)
        worked(hub)
        answers = {one["status"] for one in told(hub).values()}
        assert answers == {"refused"}
        assert not hub.enrichments.lookups.counts, "no question was put"
        assert decided(hub)[-1].outcome is Outcome.CLOSE


def test_a_plugins_audience_is_held_against_the_marking_too(tmp_path: Path, time: FakeTime) -> None:
    sources = {"feed": {"kind": "oracle", "settings": {"audience": "community"}}}
    with enriched(tmp_path, sources, time, tlp="amber") as (hub, simulator):
        an_alert_of(simulator, time)
        worked(hub)
        assert oracle("acme", "feed").asked == []
        assert decided(hub)[-1].reason_code == "abstain-enrichment"
        assert "TLP:AMBER" in told(hub)["feed", "host:ws-0000"]["reason"]


def test_only_the_kinds_that_are_wanted_are_asked_about(tmp_path: Path, time: FakeTime) -> None:
    with enriched(tmp_path, {"feed": {"kind": "oracle", "entities": ["host"]}}, time) as (hub, simulator):
        an_alert_of(simulator, time)
        worked(hub)
        assert oracle("acme", "feed").asked == ["host:ws-0000"]


def test_more_things_than_are_asked_about_give_the_case_to_a_person(tmp_path: Path, time: FakeTime) -> None:
    with enriched(tmp_path, {"feed": {"kind": "oracle"}}, time, enrichment={"max_entities": 2}) as (hub, simulator):
        an_alert_of(simulator, time)
        worked(hub)
        assert decided(hub)[-1].inputs["context"]["missing"] == ["2 more things than are asked about"]


def test_confirmed_verdicts_of_the_tenant_are_its_history(tmp_path: Path, time: FakeTime) -> None:
    with enriched(tmp_path, {"history": {"kind": "verdicts", "days": 30}}, time) as (hub, simulator):
        an_alert_of(simulator, time)
        worked(hub)
        assert decided(hub)[-1].outcome is Outcome.CLOSE
        with hub.store.begin() as conn:
            (row,) = queries.case_list(conn, "acme", limit=10)
            assert cases.cases(conn, "acme", [row.case_id])
            for number, (state, verdict) in enumerate(
                [("confirmed", "true-positive"), ("confirmed", "true-positive"), ("provisional", "false-positive")]
            ):
                values = {
                    "tenant": "acme", "seq": number, "label_id": f"l{number}", "unit": "rule-9", "case_id": row.case_id,
                    "analyst": "jane", "state": state, "at": stamp(time.clock()), "body": dump({"verdict": verdict}),
                }  # fmt: skip
                conn.execute(verdict_label.insert().values(values))
        history = Verdicts(hub.store, 30, 60.0)
        entity = an_entity("host:ws-0000")
        answer = history.know("acme", [entity], time.clock())[entity.key]
        assert answer.facts == (VerdictsFact("rule-9", "true-positive", 2, time.clock()),)
        assert history.know("umbrella", [entity], time.clock())[entity.key].facts == (), "law 3"
        an_alert_of(simulator, time, "alert-2")
        worked(hub)
        assert decided(hub)[-1].reason_code == "abstain-prior-verdicts"
        time.advance(31 * 86400)
        assert history.know("acme", [entity], time.clock())[entity.key].facts == ()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"kind": "inventory", "connector": "nobody"}, "no connector 'nobody'"),
        ({"kind": "opinions", "connector": "main"}, "has no opinions"),
        ({"kind": "indicators", "connector": "main"}, "brings no STIX indicators"),
        ({"kind": "assets_csv", "file": "missing.csv"}, "is no file"),
        ({"kind": "crystal_ball"}, "no kind 'crystal_ball'"),
        ({"kind": "oracle", "settings": {"colour": "red"}}, "has no such setting"),
        ({"kind": "oracle", "settings": {"audience": "aunt"}}, "must be one of"),
        ({"kind": "ldap", "settings": {"server": "ldaps://x"}}, "is required"),
        ({"kind": "oracle", "entities": ["process"]}, "nobody is asked about process"),
        ({"kind": "oracle", "colour": "red"}, "no such key"),
        ({"kind": "opinions", "connector": "vt"}, "would never be asked"),
    ],
)
def test_what_a_configuration_cannot_mean_is_said_with_its_key(
    tmp_path: Path, source: dict[str, Any], text: str
) -> None:
    main = REGISTRY.simulator(VENDOR)()
    bound: Any = {"main": (main, "http://127.0.0.1:9"), "vt": (LookUps(), "http://127.0.0.1:9")}
    path = bind(tmp_path, "acme", bound, enrichment={"sources": {"s": source}})
    with pytest.raises(ConfigError) as told_of:
        load_config(path, plugin_registry())
    assert any(text in one.message and "enrichment" in one.key for one in told_of.value.problems), told_of.value


def test_a_plugins_kind_joins_the_bundled_one_and_takes_none_away() -> None:
    registry = plugin_registry()
    assert set(registry.enrichers) == {"ldap", "oracle"}
    assert registry.enrichers["ldap"] is LDAP
    assert registry.broken == {}


def test_a_thing_is_named_as_cases_name_it() -> None:
    assert entity_of("domain:Bad.Example.com.").key == "domain:bad.example.com"
    assert entity_of("account:CORP\\JDoe").value == "corp\\jdoe"
    assert entity_of("email:Jane@Example.com").value == "jane@example.com"
    for text in ("nonsense", "process:x", "host:", "address:nonsense"):
        with pytest.raises(RejectedError):
            entity_of(text)


def a_desk(folder: Path) -> Path:
    """A configuration with two sources in files."""
    main = REGISTRY.simulator(VENDOR)()
    text = "hostname,criticality,owner\nws-1,high,ops\nws-2,huge,ops\n"
    sources = {
        "cmdb": {"kind": "assets_csv", "file": "assets.csv"},
        "history": {"kind": "verdicts"},
    }
    folder.mkdir(exist_ok=True)
    (folder / "assets.csv").write_text(text, encoding="utf-8")
    return bind(folder, "acme", {"main": (main, "http://127.0.0.1:9")}, enrichment={"sources": sources})


def test_the_command_shows_what_each_source_says_and_how_old_it_is(tmp_path: Path) -> None:
    config = a_desk(tmp_path)
    done = run_cli("enrich", "host:ws-1", "--tenant", "acme", "--config", config, "--json")
    assert done.exit_code == 0, done.output
    answers = {one["source"]: one for one in orjson.loads(done.stdout)["answers"]}
    assert answers["cmdb"]["facts"][0]["criticality"] == "high"
    assert answers["cmdb"]["age_seconds"] >= 0
    assert answers["history"]["status"] == "nothing-known"
    assert "huge" in str(orjson.loads(done.stdout)["problems"]["cmdb"])
    plain = run_cli("enrich", "host:ws-1", "--tenant", "acme", "--config", config)
    assert "criticality high" in plain.stdout


def test_the_command_wants_a_tenant_a_thing_and_a_source(tmp_path: Path) -> None:
    config = a_desk(tmp_path)
    assert run_cli("enrich", "host:ws-1", "--config", config).exit_code == 2
    assert run_cli("enrich", "host:ws-1", "--tenant", "umbrella", "--config", config).exit_code == 2
    assert run_cli("enrich", "ws-1", "--tenant", "acme", "--config", config).exit_code == 1


def test_a_list_is_checked_and_signed_by_commands(tmp_path: Path) -> None:
    config = a_desk(tmp_path)
    entry = {"entity": "domain:a.example.com", "owner": "jane", "expires": "2020-01-01", "reason": "x"}
    path = tmp_path / "ours.yaml"
    path.write_text(yaml.safe_dump({"name": "ours", "entries": [entry]}), encoding="utf-8")
    told_of = orjson.loads(run_cli("allow-list", "check", path, "--json").stdout)
    assert told_of["entries"][0]["expired"] is True
    key = config.parent / "secrets" / "owner.pem"
    assert run_cli("allow-list", "sign", path, "--as", "owner", "--key", key).exit_code == 0
    assert (tmp_path / "ours.yaml.sig").exists()
    path.write_text("name: ours\nentries: [{entity: x}]\n", encoding="utf-8")
    assert run_cli("allow-list", "sign", path, "--as", "owner", "--key", key).exit_code == 2


def test_the_page_of_a_case_shows_facts_beside_their_entity_and_escapes_them(tmp_path: Path, time: FakeTime) -> None:
    with enriched(tmp_path, {"cmdb": {"kind": "oracle"}, "down": {"kind": "oracle"}}, time) as (hub, simulator):
        oracle("acme", "cmdb").says["host:ws-0000"] = (
            AssetFact("high", "<script>alert(1)</script>"),
            IdentityFact("x", vip=True),
            IntelFact("malicious", "feed", 3),
        )
        oracle("acme", "down").everything = TimeoutError()
        an_alert_of(simulator, time)
        worked(hub)
        with hub.store.read() as conn:
            (row,) = queries.case_list(conn, "acme", limit=10)
        with browsing(hub) as client:
            token = hub.settings.tenants["acme"].tokens["console"].secret.reveal()
            client.post("/console/login", data={"token": token})
            page = client.get(f"/console/cases/{row.case_id}").text
            numbers = client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).text
    assert "criticality high" in page
    assert "malicious by feed" in page
    assert "no answer in time" in page
    assert "<script>alert(1)" not in page
    families = {one.name: one for one in text_string_to_metric_families(numbers)}
    counted = {
        (sample.labels["source"], sample.labels["status"]): sample.value
        for sample in families["nightdesk_enrichment_answers"].samples
        if sample.name.endswith("_total")
    }
    assert counted["down", "timeout"] + counted.get(("down", "error"), 0) == 4
    assert counted["cmdb", "ok"] == 1
