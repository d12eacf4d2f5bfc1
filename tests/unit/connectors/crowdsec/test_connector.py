import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from starlette.responses import JSONResponse, Response

import nightdesk.connectors.crowdsec as package
from nightdesk.connectors.crowdsec import Connector
from nightdesk.connectors.crowdsec.durations import duration_text, seconds_of
from nightdesk.connectors.crowdsec.simulator import Simulator
from nightdesk.sdk import ports
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    CursorExpiredError,
    NightdeskError,
    NotFoundError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAlert, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
BAD = "203.0.113.7"


@dataclass
class Site:
    """One served simulator, and the time of both ends."""

    simulator: Simulator
    url: str
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings(self.url), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.lapi")
            context = Context("acme", "lapi", Settings(values), Network(timeout=5), self.time.clock, self.time.sleep)
            connector = Connector(context)
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(self, cursor: Cursor | None = None, *, limit: int = 100) -> list[Batch]:
        async def all_of(connector: Connector) -> list[Batch]:
            return [batch async for batch in connector.pull("alerts", cursor, limit=limit)]

        return self.run(all_of)

    def add(self, count: int = 1, *, ago: float = 300, happened_ago: float = 300) -> list[str]:
        told, at = (self.time.now - timedelta(seconds=seconds) for seconds in (ago, max(ago, happened_ago)))
        begin = len(self.simulator.seen) + len(self.simulator.alerts)
        return [
            self.simulator.add(
                StoryAlert(f"{begin}-{number}", at, "Odd", "ssh-bf", "high", user="root", raised_at=told)
            )
            for number in range(count)
        ]

    def act(self, command: Command) -> ports.Receipt:
        return self.run(lambda connector: connector.act(command))

    def read(self, command: Command) -> ports.Reading:
        return self.run(lambda connector: connector.read_back(command))

    def effect(self, command: Command) -> Effect:
        return self.read(command).effect

    def error(self, work: Callable[[Connector], Awaitable[Any]]) -> NightdeskError:
        with pytest.raises(NightdeskError) as caught:
            self.run(work)
        return caught.value

    def asked(self, path: str) -> list[str]:
        return [seen.query for seen in self.simulator.seen if (seen.method, seen.path) == ("GET", path)]

    def stored(self) -> int:
        return sum(1 for seen in self.simulator.seen if (seen.method, seen.path) == ("POST", "/v1/alerts"))


class Stage:
    """One server for all tests, with another application behind it for each."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    behind = Stage()
    with serve(behind) as served:
        yield behind, served.base_url


@pytest.fixture
def site(stage: tuple[Stage, str]) -> Site:
    time = FakeTime(NOON)
    simulator = Simulator(clock=time.clock)
    stage[0].app = simulator
    return Site(simulator, stage[1], time)


def command(verb: str, address: str = BAD, key: str = "key-1", **fields: Any) -> Command:
    return Command("acme", "action-1", verb, Target.parse(f"address:{address}"), key, NOON, address, **fields)


def block(address: str = BAD, key: str = "key-1", **fields: Any) -> Command:
    duration = fields.pop("duration", 3600)
    return command("ip.block", address, key, parameters={"duration": duration} if duration else {}, **fields)


def unblock(address: str = BAD, key: str = "undo", **fields: Any) -> Command:
    return command("ip.unblock", address, key, **fields)


def ids(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


def reached(batches: list[Batch]) -> Cursor:
    found: Cursor = [json.loads(json.dumps(batch.cursor)) for batch in batches if batch.cursor is not None][-1]
    return found


# Pulling


@pytest.mark.parametrize("limit", [1, 60, 1000])
def test_what_the_newest_hundred_do_not_hold_is_read_one_by_one(site: Site, limit: int) -> None:
    wanted = site.add(130)
    batches = site.pull(limit=limit)
    assert ids(batches) == wanted
    assert [batch.more for batch in batches] == [True] * (len(batches) - 1) + [False]
    assert ids(site.pull(reached(batches))) == []


def test_no_limit_above_a_hundred_is_asked_for_and_none_is_not_either(site: Site) -> None:
    site.add(450)
    assert len(ids(site.pull(limit=5000))) == 450
    limits = {int(query.partition("limit=")[2].partition("&")[0]) for query in site.asked("/v1/alerts")}
    assert limits <= set(range(1, 101))


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_pull_that_stops_after_any_page_goes_on_behind_it(site: Site, stop: int) -> None:
    wanted = site.add(30)
    first = site.pull(limit=7)[:stop]
    assert ids(first) + ids(site.pull(reached(first), limit=7)) == wanted


def test_an_old_attack_that_is_told_late_is_read(site: Site) -> None:
    site.add(3)
    cursor = reached(site.pull())
    late = site.add(ago=0, happened_ago=5 * 86_400)
    assert ids(site.pull(cursor)) == late
    assert not any("since" in query for query in site.asked("/v1/alerts"))


def test_alerts_without_decisions_are_not_hidden_by_a_filter(site: Site) -> None:
    (plain,) = site.add()
    assert site.simulator.alerts[int(plain)].decisions == []
    assert ids(site.pull()) == [plain]


def test_a_missing_number_is_waited_for_for_a_minute(site: Site) -> None:
    first = site.add(2)
    cursor = reached(site.pull())
    site.simulator.burn_numbers()
    second = site.add(2, ago=0)
    assert ids(site.pull(cursor)) == []
    site.time.advance(61)
    assert ids(site.pull(cursor)) == second
    assert ids(site.pull()) == first + second


def test_an_alert_that_is_stored_late_under_its_number_is_read(site: Site) -> None:
    site.add(2)
    cursor = reached(site.pull())
    wanted = site.add(3, ago=0)
    late = site.simulator._alerts.alerts.pop(int(wanted[0]))
    batches = site.pull(cursor)
    assert ids(batches) == []
    site.simulator._alerts.alerts[late.number] = late
    assert ids(site.pull(reached(batches))) == wanted


def test_what_was_flushed_is_not_asked_for_number_by_number(site: Site) -> None:
    read = site.add(2)
    cursor = reached(site.pull())
    wanted = site.add(250)
    for gone in (*read, *wanted[:130]):
        site.simulator.forget(int(gone))
    assert ids(site.pull(cursor)) == wanted[130:]
    assert not site.asked(f"/v1/alerts/{wanted[10]}")
    assert site.asked(f"/v1/alerts/{wanted[140]}")


def test_once_the_servers_clock_was_set_back_alerts_still_come_in_their_order(site: Site) -> None:
    site.add(5, ago=0)
    cursor = reached(site.pull())
    set_back = site.add(2, ago=0)
    for number in set_back:
        site.simulator.alerts[int(number)].created -= timedelta(hours=1)
    batches = site.pull(cursor)
    assert ids(batches) == set_back
    assert ids(site.pull(reached(batches))) == []


@pytest.mark.parametrize("count", [1, 3, 8])
def test_numbers_that_begin_anew_are_noticed(site: Site, stage: tuple[Stage, str], count: int) -> None:
    site.add(3)
    cursor = reached(site.pull())
    site.simulator = stage[0].app = Simulator(clock=site.time.clock)
    site.time.advance(60)
    site.add(count, ago=10)
    with pytest.raises(CursorExpiredError, match="database was made anew"):
        site.pull(cursor)


def test_deleting_the_newest_alert_is_no_new_beginning(site: Site) -> None:
    wanted = site.add(3)
    cursor = reached(site.pull())
    site.simulator.forget(int(wanted[-1]))
    assert ids(site.pull(cursor)) == []
    assert ids(site.pull(cursor)) == []


@pytest.mark.parametrize(
    "cursor", [{}, {"id": "7", "created": None, "latest": 0}, {"id": 7, "created": "x", "latest": 0}]
)
def test_a_cursor_that_is_not_ours_is_said_so(site: Site, cursor: Cursor) -> None:
    with pytest.raises(CursorExpiredError, match="cannot be read"):
        site.pull(cursor)


def test_an_empty_server_moves_no_cursor(site: Site) -> None:
    assert [(list(batch.records), batch.cursor, batch.more) for batch in site.pull()] == [([], None, False)]


def test_the_first_pull_begins_a_day_ago_or_where_the_settings_say(site: Site) -> None:
    old, new = site.add(2, ago=90_000), site.add(2, ago=80_000)
    assert ids(site.pull()) == new
    site.settings = {"start": "2026-10-31T00:00:00Z"}
    assert ids(site.pull()) == old + new
    site.settings = {"start": "yesterday"}
    with pytest.raises(ConfigError, match="start"):
        site.pull()


def test_our_own_blocks_and_community_blocklists_are_not_alerts(site: Site) -> None:
    site.act(block())
    listed = site.simulator.add_blocklist(3)
    (wanted,) = site.add()
    assert ids(site.pull()) == [wanted]
    assert not any("include_capi" in query for query in site.asked("/v1/alerts"))
    site.settings = {"blocklists": True}
    assert ids(site.pull()) == [listed, wanted]


def test_a_record_is_what_the_server_wrote_and_its_key_tells_a_new_number_from_an_old(site: Site) -> None:
    (native_id,) = site.add()
    ((record,),) = (batch.records for batch in site.pull())
    again = site.run(lambda connector: connector.read_one("alerts", native_id))
    assert record == again
    assert json.loads(record.payload)["start_at"].endswith(" +0000 UTC")
    assert record.key == "1:2026-11-01T11:55:00Z"


@pytest.mark.parametrize("native_id", ["0", "4711", "", "-1", "1/../2", "x"])
def test_an_alert_that_is_not_there_is_not_found(site: Site, native_id: str) -> None:
    site.add()
    assert isinstance(site.error(lambda connector: connector.read_one("alerts", native_id)), NotFoundError)


@pytest.mark.parametrize("body", ["{}", "[{}]", '[{"id": "1"}]', "<html>"])
def test_an_answer_of_another_shape_is_an_error(site: Site, stage: tuple[Stage, str], body: str) -> None:
    stage[0].app = Scripted(JSONResponse({"token": "a-token-of-its-own"}), Response(body))
    with pytest.raises(ResponseError):
        site.pull({"id": 1, "created": None, "latest": 0})


def test_another_stream_is_not_pulled(site: Site) -> None:
    async def pull(connector: Connector) -> list[Batch]:
        return [batch async for batch in connector.pull("decisions", None, limit=1)]

    assert isinstance(site.error(pull), UnsupportedError)


# Credentials and errors


def test_a_dead_token_is_renewed_by_a_login_in_json(site: Site) -> None:
    wanted = site.add(2)

    async def across(connector: Connector) -> list[str]:
        first = [batch async for batch in connector.pull("alerts", None, limit=10)]
        site.simulator.restart()
        wanted.extend(site.add(1, ago=0))
        return ids(first) + ids([batch async for batch in connector.pull("alerts", reached(first), limit=10)])

    assert site.run(across) == wanted
    logins = [seen for seen in site.simulator.seen if seen.path == "/v1/watchers/login"]
    assert len(logins) == 2


def test_a_machine_that_waits_for_validation_is_told_so(site: Site) -> None:
    site.simulator.validated = False
    with pytest.raises(AuthError, match="machine nightdesk not validated"):
        site.pull()


def test_a_wrong_bouncer_key_is_a_wrong_credential_though_the_server_says_403(site: Site) -> None:
    site.settings = {"bouncer_key": Secret.literal("wrong")}
    with pytest.raises(AuthError, match="cscli bouncers add"):
        site.read(block())
    assert site.pull()  # alerts need no bouncer


def test_a_403_to_a_machine_is_somebody_in_between(site: Site) -> None:
    site.simulator.faults.add("missing_scope", path="^/v1/alerts")
    with pytest.raises(ScopeError, match="machine account may do this"):
        site.pull()


def test_a_500_that_names_what_is_wrong_is_a_refusal_and_another_is_not(site: Site, stage: tuple[Stage, str]) -> None:
    token = JSONResponse({"token": "a-token-of-its-own"})
    for text, kind in (("validation failure list:\nx", RejectedError), ("database is locked", UnavailableError)):
        stage[0].app = Scripted(JSONResponse(None), token, JSONResponse({"message": text}, 500))
        error = site.error(lambda connector: connector.act(block()))
        assert type(error) is kind
        assert text.partition("\n")[0] in str(error)


def test_the_health_check_names_each_plane(site: Site) -> None:
    assert site.run(lambda connector: connector.check_health()).ok
    site.settings = {"bouncer_key": Secret.literal("wrong"), "machine_id": "nobody"}
    problems = site.run(lambda connector: connector.check_health()).problems
    assert len(problems) == 2
    assert "machine not found" in problems[0]
    assert "bouncer key" in problems[1]


# Blocking


@pytest.mark.parametrize(("address", "scope"), [(BAD, "Ip"), ("2001:db8::7", "Ip"), ("203.0.113.0/24", "Range")])
def test_a_block_is_a_decision_of_our_own_and_is_lifted_by_its_id(site: Site, address: str, scope: str) -> None:
    assert site.effect(block(address)) is Effect.NOT_IN_EFFECT
    receipt = site.act(block(address, reason="beacon", case_id="case-7"))
    assert receipt.changed
    (ban,) = site.simulator.banned(address)
    assert (ban.origin, ban.scope, ban.type) == ("nightdesk:acme", scope, "ban")
    assert ban.until == NOON + timedelta(hours=1)
    message = site.simulator.alerts[int(receipt.native_action_id)].body["message"]
    assert message.startswith("beacon case-7 [nightdesk ")
    assert site.effect(block(address)) is Effect.IN_EFFECT
    assert site.act(unblock(address)).changed
    assert site.effect(unblock(address)) is Effect.IN_EFFECT
    assert not site.simulator.banned(address)
    deleted = [(seen.path, seen.query) for seen in site.simulator.seen if seen.method == "DELETE"]
    assert deleted == [(f"/v1/decisions/{ban.number}", "")]


def test_the_same_command_again_changes_nothing(site: Site) -> None:
    before = site.read(block())
    site.act(block())
    site.time.advance(1800)
    assert not site.act(block()).changed
    assert site.act(block(pre_state=before.state)).changed  # the answer to an earlier try was lost
    assert site.stored() == 1


def test_an_answer_that_was_lost_leaves_no_second_ban(site: Site) -> None:
    site.simulator.faults.add("lost_reply", times=1, method="POST", path="^/v1/alerts")
    assert isinstance(site.error(lambda connector: connector.act(block())), UnavailableError)
    assert site.effect(block()) is Effect.IN_EFFECT
    site.act(block())
    assert len(site.simulator.banned(BAD)) == 1


def test_a_longer_wish_gets_a_ban_beside_the_shorter_one(site: Site) -> None:
    site.act(block(duration=600))
    assert site.effect(block(key="key-2", duration=7200)) is Effect.NOT_IN_EFFECT
    assert site.act(block(key="key-2", duration=7200)).changed
    assert not site.act(block(key="key-3", duration=600)).changed
    assert len(site.simulator.banned(BAD)) == 2
    site.act(unblock())
    assert not site.simulator.banned(BAD)


def test_without_a_duration_a_ban_lasts_a_year_and_an_hour_is_not_enough(site: Site) -> None:
    site.act(block())
    receipt = site.act(block(key="key-2", duration=None))
    assert receipt.changed
    assert receipt.losses == ()
    assert max(ban.until for ban in site.simulator.banned(BAD)) == NOON + timedelta(hours=8760)
    assert not site.act(block(key="key-3", duration=None)).changed


def test_a_ban_ends_by_itself_and_is_read_as_ended(site: Site) -> None:
    site.act(block(duration=90))
    site.time.advance(89)
    assert site.read(block(duration=90)).state["until"] == "2026-11-01T12:01:30Z"
    site.time.advance(1)
    assert site.effect(block(duration=90)) is Effect.NOT_IN_EFFECT


@pytest.mark.parametrize("seconds", [-7200, 7200])
def test_the_seconds_of_a_ban_count_by_the_servers_clock(site: Site, seconds: int) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": seconds})
    site.act(block(duration=90))
    (ban,) = site.simulator.banned(BAD)
    assert ban.until == NOON + timedelta(seconds=seconds + 90)
    assert site.effect(block(duration=90)) is Effect.IN_EFFECT


def test_what_another_ban_covers_long_enough_is_blocked_already(site: Site) -> None:
    site.simulator.ban("203.0.113.0/24", duration="4h")
    assert site.effect(block()) is Effect.IN_EFFECT
    assert not site.act(block()).changed
    assert site.stored() == 0
    assert site.act(block(duration=86_400)).changed


@pytest.mark.parametrize("other", ["captcha", "ended", "narrower", "another address"])
def test_what_does_not_ban_the_address_is_no_block(site: Site, other: str) -> None:
    target = "203.0.113.0/24" if other == "narrower" else BAD
    value = "203.0.113.8" if other == "another address" else BAD
    site.simulator.ban(
        value, kind="captcha" if other == "captcha" else "ban", duration="1s" if other == "ended" else "4h"
    )
    site.time.advance(1)
    assert site.effect(block(target)) is Effect.NOT_IN_EFFECT


def test_an_unblock_never_ends_what_somebody_else_bans(site: Site) -> None:
    site.act(block())
    theirs = site.simulator.ban(BAD)
    receipt = site.act(unblock())
    assert receipt.losses == (f"decision {theirs.number} of cscli on 203.0.113.7/32 stays: end it in CrowdSec",)
    assert site.simulator.banned(BAD) == [theirs]
    reading = site.read(unblock())
    assert reading.effect is Effect.NOT_IN_EFFECT
    assert (reading.state["blocked"], reading.state["ours"]) == (True, False)
    with pytest.raises(RejectedError, match="decision 2 of cscli"):
        site.act(unblock())


def test_an_undo_does_not_mind_a_ban_that_somebody_made_since(site: Site) -> None:
    before = dict(site.read(block()).state)
    site.act(block(pre_state=before))
    site.simulator.ban(BAD, duration="10m")
    undo = unblock(pre_state=before, undoes=True)
    assert site.effect(undo) is Effect.NOT_IN_EFFECT
    site.act(undo)
    assert site.effect(undo) is Effect.IN_EFFECT
    assert site.simulator.banned(BAD)


def test_what_only_somebody_else_bans_is_not_called_unblocked(site: Site) -> None:
    site.simulator.ban(BAD)
    before = dict(site.read(unblock()).state)
    wish = unblock(pre_state=before)
    with pytest.raises(RejectedError, match="not banned by nightdesk"):
        site.act(wish)
    assert site.effect(wish) is Effect.NOT_IN_EFFECT


def test_an_undo_does_not_mind_a_ban_that_stood_before(site: Site) -> None:
    site.simulator.ban(BAD, duration="10m")
    before = dict(site.read(block()).state)
    site.act(block(pre_state=before))
    undo = unblock(pre_state=before, undoes=True)
    assert site.effect(undo) is Effect.NOT_IN_EFFECT
    assert site.act(undo).losses == ()
    assert site.effect(undo) is Effect.IN_EFFECT
    assert not site.act(undo).changed


def test_another_tenants_ban_and_our_wider_range_are_not_ended_with_an_address(site: Site) -> None:
    site.simulator.ban(BAD, origin="nightdesk:umbrella")
    site.act(block("203.0.113.0/24"))
    with pytest.raises(RejectedError, match=r"nightdesk:umbrella.*203\.0\.113\.0/24"):
        site.act(unblock())
    site.act(unblock("203.0.113.0/24"))
    assert [ban.origin for ban in site.simulator.banned(BAD)] == ["nightdesk:umbrella"]


def test_a_decision_that_vanished_meanwhile_is_what_was_wanted(site: Site, stage: tuple[Stage, str]) -> None:
    row = {"id": 9, "origin": "nightdesk:acme", "type": "ban", "scope": "Ip", "value": BAD, "duration": "1h"}
    gone = JSONResponse({"message": "decision with id '9' doesn't exist: unable to delete"}, 500)
    stage[0].app = Scripted(JSONResponse([row]), JSONResponse({"token": "a-token-of-its-own"}), gone)
    assert site.act(unblock()).native_action_id == "9"


def test_an_ipv4_address_inside_ipv6_is_the_ipv4_address(site: Site) -> None:
    site.act(block(f"::ffff:{BAD}"))
    assert [ban.scope for ban in site.simulator.banned(BAD)] == ["Ip"]


@pytest.mark.parametrize("duration", [-5, 8760 * 3600 + 1, True, "2d"])
def test_a_duration_that_the_server_would_take_wrongly_is_refused(site: Site, duration: Any) -> None:
    assert isinstance(site.error(lambda connector: connector.act(block(duration=duration))), RejectedError)
    assert site.stored() == 0


@pytest.mark.parametrize("parameter", ["direction", "scope"])
def test_what_is_the_bouncers_business_is_refused(site: Site, parameter: str) -> None:
    wish = command("ip.block", parameters={parameter: "inbound"})
    assert isinstance(site.error(lambda connector: connector.act(wish)), UnsupportedError)


def test_a_verb_that_is_not_declared_is_refused(site: Site) -> None:
    wish = command("domain.block")
    assert isinstance(site.error(lambda connector: connector.act(wish)), UnsupportedError)
    assert isinstance(site.error(lambda connector: connector.read_back(wish)), UnsupportedError)


def test_a_vendor_that_says_yes_and_does_nothing_is_read_as_nothing(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    assert site.act(block()).changed
    assert site.effect(block()) is Effect.NOT_IN_EFFECT
    site.simulator.faults.clear()
    site.simulator.faults.add("late_effect", options={"seconds": 5})
    site.act(block())
    assert site.effect(block()) is Effect.NOT_IN_EFFECT
    site.time.advance(5)
    assert site.effect(block()) is Effect.IN_EFFECT


def test_a_long_reason_keeps_the_mark_and_fits_every_database(site: Site) -> None:
    receipt = site.act(block(reason="x" * 4000))
    message = site.simulator.alerts[int(receipt.native_action_id)].body["message"]
    assert len(message) == 255
    assert message.endswith("]")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3h59m59.9s", 14_399.9),
        ("-73h47m1.5s", -265_621.5),
        ("1.5ms", 0.0015),
        ("20µs", 2e-5),
        ("0", 0.0),
        *((text, None) for text in ("2d", "5", "3 hours", "", None, "h")),
    ],
)
def test_durations_are_read_as_go_reads_them(text: Any, seconds: float | None) -> None:
    assert seconds_of(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("seconds", "text"), [(3600, "3600s"), (1.5, "1500ms"), (0.001, "1ms")])
def test_durations_are_written_in_whole_numbers(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
