import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

import nightdesk.connectors.ibm_qradar as package
from nightdesk.connectors.ibm_qradar import Connector
from nightdesk.connectors.ibm_qradar.offenses import Offenses
from nightdesk.connectors.ibm_qradar.simulator import ALL_CAPABILITIES, Simulator
from nightdesk.sdk import errors
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.records import Cursor, RawRecord
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
WEEK = "SELECT sourceip, username FROM events WHERE INOFFENSE(1201) LAST 7 DAYS"
ADDRESS = "address:203.0.113.7"


@dataclass
class Site:
    """One simulator reached without a socket; every call builds its own connector."""

    simulator: Simulator
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)

    def __call__(self, method: str, *given: Any, **named: Any) -> Any:
        async def once() -> Any:
            connector = self.connector()
            try:
                return await getattr(connector, method)(*given, **named)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def connector(self) -> Connector:
        given = {**self.simulator.settings("https://qradar.example.com"), **self.settings}
        values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.qradar")
        network = Network(timeout=5, transport=httpx.ASGITransport(self.simulator))
        return Connector(Context("acme", "qradar", Settings(values), network, self.time.clock, self.time.sleep))

    def pull(self, cursor: Cursor | None = None, *, limit: int = 50, between: Any = None) -> tuple[list[Any], Any]:
        async def drained() -> tuple[list[RawRecord], Any]:
            connector = self.connector()
            batches = []
            async for batch in connector.pull("offenses", cursor, limit=limit):
                batches.append(batch)
                if between is not None:
                    between()
            await connector.aclose()
            return [record for batch in batches for record in batch.records], batches[-1].cursor

        return asyncio.run(drained())

    def add(self, uid: str, *, ago: float = 60, **options: Any) -> str:
        told = self.time.now - timedelta(seconds=ago)
        return self.simulator.add(StoryAlert(uid, told, f"Rule {uid}", uid, "high", **options))

    def one(self, native_id: str) -> dict[str, Any]:
        return dict(json.loads(self("read_one", "offenses", native_id).payload))

    def asked(self, path: str) -> list[dict[str, list[str]]]:
        return [parse_qs(seen.query) for seen in self.simulator.seen if seen.path == f"/api{path}"]


def console(*versions: str, **settings: str) -> Site:
    time = FakeTime(NOON)
    return Site(Simulator(clock=time.clock, versions=versions or ("19.0", "20.0")), time, dict(settings))


@pytest.fixture
def site() -> Site:
    return console()


def command(verb: str, target: str, key: str = "key-1", **fields: Any) -> Command:
    found = Target.parse(target)
    return Command("acme", "action-1", verb, found, key, NOON, found.value, **fields)


def dispose(native_id: str, key: str = "key-1", pre_state: Any = None, **words: Any) -> Command:
    return command(
        "alert.set_disposition", f"alert:{native_id}", key, parameters=words, pre_state=dict(pre_state or {})
    )


def test_what_an_offense_points_at_stands_in_its_place_and_the_documents_beside_it(site: Site) -> None:
    for uid in ("a", "b"):
        site.add(uid, source_address="203.0.113.9", destination_address="10.1.2.3")
    record = site.pull()[0][0]
    offense, raw = json.loads(record.payload), site.simulator.offenses[1201]
    assert offense["source_address_ids"] == ["203.0.113.9"]
    assert offense["local_destination_address_ids"] == ["10.1.2.3"]
    assert [rule["name"] for rule in offense["rules"]] == ["Rule a"]
    assert json.dumps(raw, separators=(",", ":")).encode() in record.payload
    assert offense["documents"]["source_addresses"][0]["id"] == raw["source_address_ids"][0]
    assert len(site.asked("/siem/source_addresses")) == 1


def test_names_of_the_company_are_found_and_what_the_console_forgot_stays_an_id(site: Site) -> None:
    native_id = site.add("a")
    site.simulator.add_type(2001, "Badge Number")
    reason = site.simulator.add_reason("Confirmed", deleted=True)
    site.simulator.edit(
        native_id, offense_type=2001, closing_reason_id=reason, source_address_ids=[77], rules=[{"id": 5}]
    )
    offense = site.one(native_id)
    assert (offense["offense_type"], offense["closing_reason_id"]) == ("Badge Number", "Confirmed")
    assert (offense["source_address_ids"], offense["rules"]) == ([77], [{"id": 5}])


def test_without_the_right_to_see_rules_offenses_come_by_the_rules_numbers(site: Site) -> None:
    site.add("a")
    site.simulator.capabilities.discard("View Custom Rules")
    assert "name" not in json.loads(site.pull()[0][0].payload)["rules"][0]


def test_an_offense_that_changes_while_pages_are_read_hides_no_other(site: Site) -> None:
    wanted = {site.add(f"a{number}", ago=600 - number) for number in range(7)}
    records, _ = site.pull(limit=2, between=lambda: site.simulator.grow("1201"))
    assert {record.native_id for record in records} == wanted


def test_more_changes_in_one_millisecond_than_a_page_holds_are_all_read(site: Site) -> None:
    wanted = [site.add(f"a{number}") for number in range(9)]
    _, cursor = site.pull()
    for native_id in wanted:
        site.simulator.edit(native_id, assigned_to="jane", last_persisted_time=1793534400000)
    assert sorted(record.native_id for record in site.pull(cursor, limit=2)[0]) == wanted


def test_an_offense_that_a_slow_host_made_late_comes_under_its_passed_number(site: Site) -> None:
    first = site.add("a")
    _, cursor = site.pull()
    late = site.simulator.renumber(site.add("late", ago=3600), int(first) - 40)
    records, cursor = site.pull(cursor)
    assert [record.native_id for record in records] == [late]
    assert not site.pull(cursor)[0]


def test_growth_is_a_new_version_silence_is_none_and_what_was_before_the_start_stays_there(site: Site) -> None:
    site.add("old", ago=90_000)
    native_id = site.add("a")
    (first,), cursor = site.pull()
    assert not site.pull(cursor)[0]
    site.simulator.grow(native_id)
    (again,), cursor = site.pull(cursor)
    assert (again.native_id, again.key == first.key) == (native_id, False)
    site.time.advance(3600)
    assert not site.pull(cursor)[0]


def test_an_old_console_tells_closings_at_once() -> None:
    site = console("13.0", "14.0")
    native_id = site.add("a")
    (record,), cursor = site.pull()
    assert "last_persisted_time" not in json.loads(record.payload)
    site.time.advance(3600)
    site.simulator.edit(native_id, status="CLOSED", close_time=1793538000000, closing_reason_id=2)
    (record,), _ = site.pull(cursor)
    assert json.loads(record.payload)["closing_reason_id"] == "Non-Issue"


def test_a_page_that_does_not_say_where_to_go_on_is_an_error(site: Site) -> None:
    for number in range(3):
        site.add(f"a{number}")
    site.simulator.faults.add("drifted_field", options={"field": "id"})
    with pytest.raises(errors.ResponseError, match="came without id"):
        site.pull(limit=2)


@pytest.mark.parametrize("change", [{"newest_id": "x"}, {"met_ids": None}, {"seen": None}])
def test_a_cursor_of_somebody_else_is_refused(site: Site, change: dict[str, Any]) -> None:
    with pytest.raises(errors.CursorExpiredError):
        site.pull({**site.pull()[1], **change})


@pytest.mark.parametrize(
    ("served", "pinned", "used"),
    [("24.0 25.0 26.0", "", (26, 0)), ("26.0 27.0 28.0", "", (27, 0)), ("18.0 20.0", "18.0", (18, 0))],
)
def test_the_version_is_the_newest_that_both_know_unless_one_is_pinned(served: str, pinned: str, used: Any) -> None:
    site = console(*served.split(), api_version=pinned)
    assert asyncio.run(site.connector()._console.version()) == used
    assert bool(site.asked("/help/versions")) is not bool(pinned)


@pytest.mark.parametrize(
    ("served", "settings", "error", "text"),
    [
        ("30.0", {}, errors.RejectedError, r"serves API 30\.0, this connector knows 10\.1 to 27\.0; set api_version"),
        ("24.0", {"api_version": "20.0"}, errors.RejectedError, r"20\.0 is not supported; supported are 24\.0"),
        ("24.0", {"api_version": "9.1"}, errors.ConfigError, "api_version"),
        ("24.0", {"page_size": 0}, errors.ConfigError, "page_size"),
        ("24.0", {"token": Secret.literal("not-deployed")}, errors.AuthError, "Deploy Changes"),
    ],
)
def test_what_does_not_fit_the_console_is_said(served: str, settings: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        console(served, **settings).pull()


def test_the_reason_is_looked_up_by_its_text_and_read_back(site: Site) -> None:
    native_id = site.add("a")
    site.simulator.retire_reasons()
    number = site.simulator.add_reason("false-positive, tuned")
    wish = dispose(native_id, status="closed", disposition="false-positive", comment="benign script")
    assert site("read_back", wish).effect is Effect.NOT_IN_EFFECT
    assert site("write_back", wish).changed
    assert site.simulator.offenses[1201]["closing_reason_id"] == number
    reading = site("read_back", wish)
    assert (reading.effect, reading.state["disposition"]) == (Effect.IN_EFFECT, "false-positive")
    assert not site("write_back", wish).changed
    assert len(site.simulator.alert_state(native_id)["comments"]) == 1


def test_reasons_of_ones_own_say_what_the_usual_ones_cannot(site: Site) -> None:
    wish = dispose(site.add("a"), status="closed", disposition="duplicate")
    assert site("write_back", wish).losses == ("disposition=duplicate: QRadar keeps it as Non-Issue",)
    number = site.simulator.add_reason("Seen Before")
    site.settings = {"closing_reasons": "duplicate = Seen Before; true-positive = System"}
    assert site("read_back", wish).effect is Effect.NOT_IN_EFFECT
    assert site("write_back", wish).losses == ()
    assert site.simulator.offenses[1201]["closing_reason_id"] == number
    with pytest.raises(errors.RejectedError, match=r"no closing reason 'System'.*'Non-Issue'"):  # reserved
        site("write_back", dispose("1201", status="closed", disposition="true-positive"))
    site.settings = {"closing_reasons": "dupe = Seen Before"}
    with pytest.raises(errors.ConfigError, match="closing_reasons"):
        site("write_back", wish)


def test_what_an_open_offense_cannot_say_is_refused_or_named(site: Site) -> None:
    native_id = site.add("a")
    with pytest.raises(errors.RejectedError, match="is open"):
        site("write_back", dispose(native_id, disposition="true-positive", comment="too early"))
    assert not site.simulator.mutations()
    assert "closed offenses only" in site("write_back", dispose(native_id, status="open", disposition="test")).losses[0]
    assert "'Non-Issue'" in site("write_back", dispose(native_id, status="closed")).losses[0]


def test_an_undo_restores_hidden_and_a_reason_of_the_companys_own(site: Site) -> None:
    hidden, closed = site.add("a"), site.add("b")
    number = site.simulator.add_reason("Red Team")
    site.simulator.edit(hidden, status="HIDDEN")
    site.simulator.edit(closed, status="CLOSED", closing_reason_id=number)
    for native_id, status in ((hidden, "closed"), (closed, "open")):
        before = site("read_back", dispose(native_id, status=status)).state
        site("write_back", dispose(native_id, status=status))
        undo = dispose(native_id, "undo", before, status=before["status"])
        assert site("write_back", undo).changed
        assert site("read_back", undo).effect is Effect.IN_EFFECT
    assert [site.simulator.offenses[n]["status"] for n in (1201, 1202)] == ["HIDDEN", "CLOSED"]
    assert site.simulator.offenses[1202]["closing_reason_id"] == number


def test_whoever_was_quicker_to_close_it_is_no_failure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, other, reasons = site.add("a"), site.add("b"), Offenses.reasons

    async def meanwhile(offenses: Offenses) -> Any:
        for native_id in (quick, other):
            site.simulator.edit(native_id, status="CLOSED", closing_reason_id=2)
        return await reasons(offenses)

    monkeypatch.setattr(Offenses, "reasons", meanwhile)
    assert not site("write_back", dispose(quick, status="closed", disposition="benign-positive")).changed
    site.simulator.edit(other, status="OPEN")
    with pytest.raises(errors.RejectedError, match="is closed"):
        site("write_back", dispose(other, status="closed", disposition="false-positive"))


def test_a_note_whose_answer_was_lost_is_not_written_twice(site: Site) -> None:
    native_id = site.add("a")
    wish = command("alert.comment", f"alert:{native_id}", parameters={"comment": "50% of 'em + more"})
    site.simulator.faults.add("lost_reply", method="POST", times=1)
    with pytest.raises(errors.UnavailableError):
        site("write_back", wish)
    assert not site("write_back", wish).changed
    assert site("read_back", wish).effect is Effect.IN_EFFECT
    (note,) = site.simulator.alert_state(native_id)["comments"]
    assert note.startswith("50% of 'em + more [nightdesk ")


@pytest.mark.parametrize("text", ["x" * 2001, "…" * 1000])
def test_a_note_too_long_for_a_url_is_refused_before_it_is_sent(site: Site, text: str) -> None:
    with pytest.raises(errors.RejectedError, match="travels in the URL"):
        site("write_back", command("alert.comment", f"alert:{site.add('a')}", parameters={"comment": text}))
    assert not site.simulator.mutations()


@pytest.mark.parametrize("native_id", ["1202", "12a", "../1201"])
def test_an_offense_that_is_not_there_is_not_found(site: Site, native_id: str) -> None:
    site.add("a")
    with pytest.raises(errors.NotFoundError):
        site.one(native_id)


@pytest.mark.parametrize(
    ("kind", "target", "name", "again"),
    [
        ("ip", "address:2001:db8::7", "nightdesk-ip", "2001:db8::7"),
        ("domain", "domain:Bad.Example.com", "nightdesk-domain", "BAD.example.com"),
        ("url", "url:https://bad.example.com/a%20b?c=1&d", "nightdesk-url", "https://bad.example.com/a%20b?c=1&d"),
    ],
)
def test_a_value_is_listed_found_among_many_and_taken_out(
    site: Site, kind: str, target: str, name: str, again: str
) -> None:
    for number in range(30):
        site.simulator.put(name, f"198.51.100.{number}")
    block, unblock = command(f"{kind}.block", target), command(f"{kind}.unblock", target, "key-2")
    assert [site("act", block).changed for _ in range(2)] == [True, False]
    reading = site("read_back", block)
    assert (reading.effect, reading.state["source"]) == (Effect.IN_EFFECT, "nightdesk:acme")
    assert "firewall" in reading.state["enforced_by"]
    site.simulator.put(name, again, "nightdesk:acme")
    assert site("act", unblock).changed
    assert site("read_back", unblock).effect is Effect.IN_EFFECT
    assert len(site.simulator.entries(name)) == 30


def test_somebody_elses_entry_counts_and_is_never_taken_out(site: Site) -> None:
    site.simulator.put("nightdesk-ip", "203.0.113.7", "threat feed")
    assert not site("act", command("ip.block", ADDRESS)).changed
    with pytest.raises(errors.RejectedError, match="by threat feed, not by nightdesk:acme"):
        site("act", command("ip.unblock", ADDRESS))
    assert "203.0.113.7" in site.simulator.entries("nightdesk-ip")


def test_what_an_earlier_try_did_is_a_change_of_this_command(site: Site) -> None:
    wish = command("ip.block", ADDRESS, pre_state={"listed": False})
    site.simulator.faults.add("lost_reply", method="POST", times=4)
    with pytest.raises(errors.UnavailableError):
        site("act", wish)
    site.simulator.faults.clear()
    assert site("act", wish).changed
    site.simulator.faults.add("lost_reply", method="DELETE", times=1)
    assert site("act", command("ip.unblock", ADDRESS)).changed
    assert not site.simulator.entries("nightdesk-ip")


def test_an_accepted_value_is_no_effect_until_the_set_holds_it_and_none_after_its_time(site: Site) -> None:
    site.simulator.add_set("nightdesk-ip", "IP", timedelta(days=1))
    wish = command("ip.block", ADDRESS)
    site.simulator.faults.add("accepted_then_failed")
    assert site("act", wish).changed
    assert site("read_back", wish).effect is Effect.NOT_IN_EFFECT
    site.simulator.faults.clear()
    site("act", wish)
    assert site("read_back", wish).effect is Effect.IN_EFFECT
    site.time.advance(86_400)
    assert site("read_back", wish).effect is Effect.NOT_IN_EFFECT


@pytest.mark.parametrize(("counts", "orders"), [("FIRST_SEEN", ["POST", "DELETE", "POST"]), ("LAST_SEEN", ["POST"])])
def test_an_element_is_renewed_as_its_set_counts_and_ends_when_the_set_says(
    site: Site, counts: str, orders: list[str]
) -> None:
    site.simulator.add_set("nightdesk-ip", "IP", timedelta(days=1, hours=2, minutes=3, seconds=4), counts)
    wish = command("ip.block", ADDRESS)
    site("act", wish)
    begin = site.time.clock()
    lives = timedelta(days=1, hours=2, minutes=3, seconds=4)
    assert datetime.fromisoformat(site("read_back", wish).state["ends_at"]) == begin + lives
    site.time.advance(86_400)
    before = len(site.simulator.mutations())
    assert site("act", replace(wish, idempotency_key="renewal-1", renewal=1)).changed
    assert [one.method for one in site.simulator.mutations()[before:]] == orders
    assert datetime.fromisoformat(site("read_back", wish).state["ends_at"]) == site.time.clock() + lives


def test_an_element_of_a_set_that_keeps_its_own_for_ever_has_no_end_and_nobody_elses_is_renewed(site: Site) -> None:
    wish = command("ip.block", ADDRESS)
    site("act", wish)
    assert "ends_at" not in site("read_back", wish).state
    site.simulator.add_set("nightdesk-ip", "IP", timedelta(days=1))
    site.simulator.put("nightdesk-ip", ADDRESS.partition(":")[2], "threat feed")
    before = len(site.simulator.mutations())
    assert not site("act", replace(wish, idempotency_key="renewal-1", renewal=1)).changed
    assert len(site.simulator.mutations()) == before


@pytest.mark.parametrize(
    ("settings", "verb", "target", "error", "text"),
    [
        ({"enforced_by": ""}, "ip.block", ADDRESS, errors.ConfigError, "which firewall or rule"),
        ({"ip_set": "a/b"}, "ip.block", ADDRESS, errors.ConfigError, "letters, digits"),
        ({"ip_set": ""}, "ip.block", ADDRESS, errors.ConfigError, "ip_set: is required for ip.block"),
        ({"ip_set": "nightdesk-url"}, "ip.block", ADDRESS, errors.RejectedError, "of type ALN; ip.block needs"),
        ({"ip_set": "gone"}, "ip.block", ADDRESS, errors.NotFoundError, "no reference set 'gone'"),
        ({}, "ip.block", "address:203.0.113.0/24", errors.UnsupportedError, "no networks"),
        ({}, "url.block", 'url:https://bad.example.com/"', errors.UnsupportedError, "quotes"),
        ({}, "hash.block", f"file:{'ab' * 32}", errors.UnsupportedError, "not declared"),
    ],
)
def test_what_no_set_can_hold_is_refused(
    site: Site, settings: Any, verb: str, target: str, error: type[Exception], text: str
) -> None:
    site.settings = settings
    with pytest.raises(error, match=text):
        site("act", command(verb, target))
    assert not site.simulator.mutations()


def test_a_search_is_waited_for_read_and_deleted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("a", source_address="203.0.113.9", user="jdoe")
    assert site("search", WEEK, limit=9) == [{"sourceip": "203.0.113.9", "username": "jdoe"}]
    site.simulator.faults.add("accepted_then_failed")
    with pytest.raises(errors.RejectedError, match="ERROR: The query ran out of memory"):
        site("search", WEEK, limit=9)
    site.simulator.faults.clear()
    monkeypatch.setattr("nightdesk.connectors.ibm_qradar.simulated_ariel._STEPS", ("WAIT",))
    with pytest.raises(errors.UnavailableError, match="not finish within 300 s"):
        site("search", WEEK, limit=9)
    assert not site.simulator.searches


@pytest.mark.parametrize("query", ["SELECT * FROM events", "SELECT * FROM events WHERE username = ' LAST 2 DAYS'", " "])
def test_a_search_without_a_time_window_is_refused(site: Site, query: str) -> None:
    with pytest.raises(errors.RejectedError):
        site("search", query, limit=9)
    assert not site.asked("/ariel/searches")


@pytest.mark.parametrize("capability", sorted(ALL_CAPABILITIES))
def test_a_missing_capability_is_named_by_the_health_check_or_on_use(site: Site, capability: str) -> None:
    wish = dispose(site.add("a"), status="closed", disposition="test")
    assert site("check_health").version == "7.5.0"
    site.simulator.capabilities.discard(capability)
    said = " ".join(site("check_health").problems)
    for method, asked in (("write_back", wish), ("act", command("ip.block", ADDRESS))):
        try:
            site(method, asked)
        except errors.ScopeError as error:
            said += str(error)
    assert f"'{capability}'" in said


def test_the_health_check_sees_a_misfit_set_and_a_wrong_clock(site: Site) -> None:
    site.settings = {"domain_set": "nightdesk-ip"}
    site.simulator.faults.add("clock_skew", options={"seconds": 900})
    problems = site("check_health").problems
    assert "needs one of type ALN or ALNIC" in problems[0]
    assert "differs by 900 s" in problems[1]
