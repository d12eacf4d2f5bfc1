import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

import httpx
import pytest
from starlette.responses import JSONResponse, Response

import nightdesk.connectors.okta as package
from nightdesk.connectors.okta import Connector
from nightdesk.connectors.okta.client import SCOPES, following
from nightdesk.connectors.okta.simulator import ALL_SCOPES, Simulator
from nightdesk.connectors.okta.wire import OktaError
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
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Account, AccountQuery, Target
from nightdesk.sdk.testing import Member, StoryAccount, StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
URL = "https://acme.example.com"
ANN = StoryAccount("ann", "ann", "ann@corp.example.com", groups=("finance",))
BOB = StoryAccount("bob", "bob", "bob@corp.example.com", privileged=True)
ZONE = "address:203.0.113.77"


@dataclass
class Site:
    """One org and the time of both ends; every call builds its own connector."""

    app: Any
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def simulator(self) -> Simulator:
        assert isinstance(self.app, Simulator)
        return self.app

    def connector(self) -> Connector:
        mine = self.app.settings(URL) if isinstance(self.app, Simulator) else {"base_url": URL}
        values = validate_settings(MANIFEST, {**mine, **self.settings}, file="nightdesk.yaml", key="connectors.okta")
        network = Network(timeout=5, transport=httpx.ASGITransport(self.app))
        return Connector(Context("tenant-a", "okta", Settings(values), network, self.time.clock, self.time.sleep))

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            connector = self.connector()
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(self, cursor: Cursor | None = None, *, limit: int = 100) -> list[Batch]:
        async def drained(connector: Connector) -> list[Batch]:
            return [batch async for batch in connector.pull("system_log", cursor, limit=limit)]

        return self.run(drained)

    def add(self, uid: str, *, ago: float = 0, told_ago: float | None = None, **options: Any) -> str:
        told = self.time.now - timedelta(seconds=ago if told_ago is None else told_ago)
        at = self.time.now - timedelta(seconds=ago)
        return self.simulator.add(StoryAlert(uid, at, "Odd sign-in", "rule-1", "high", raised_at=told, **options))

    def find(self, **query: str) -> list[Account]:
        return list(self.run(lambda connector: connector.find_account(AccountQuery(**query))))

    def member(self, name: str) -> Member:
        return self.simulator.directory.accounts[f"00u{name}"]

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def read(self, command: Command) -> Reading:
        return self.run(lambda connector: connector.read_back(command))

    def health(self) -> Health:
        return self.run(lambda connector: connector.check_health())

    def asked(self) -> list[str]:
        """What could have changed something, as method, path and query."""
        return [f"{request.method} {request.path}?{request.query}" for request in self.simulator.mutations()]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def site(time: FakeTime) -> Site:
    simulator = Simulator(clock=time.clock)
    simulator.add_accounts([ANN, BOB])
    return Site(simulator, time)


def command(site: Site, verb: str, name: str = "ann", target: str = "", **changes: Any) -> Command:
    native_id = f"00u{name}" if name else ""
    wanted = Target.parse(target or f"account:{name}@corp.example.com")
    return Command("tenant-a", f"a-{verb}", verb, wanted, f"key-{verb}", site.time.now, native_id=native_id, **changes)


def names(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


def scripted(time: FakeTime, *answers: Response) -> Site:
    return Site(Scripted(*answers), time, {"api_token": Secret.literal("token")})


def links(after: str, body: Any = ()) -> Response:
    response = JSONResponse(list(body))
    response.headers.append("Link", f'<{URL}/api/v1/logs?limit=100>; rel="self"')
    response.headers.append("Link", f'<https://acme.okta.com/api/v1/logs?after={after}&limit=100>; rel="next"')
    return response


# Pulling


def test_the_first_query_polls_by_arrival_so_it_has_since_and_never_until(site: Site) -> None:
    site.pull()
    query = parse_qs(site.simulator.seen[0].query)
    assert query["since"] == ["2026-10-31T12:00:00.000Z"]
    assert query["sortOrder"] == ["ASCENDING"]
    assert query["filter"] == [MANIFEST.settings["filter"].default]
    assert "until" not in query


def test_the_next_poll_calls_the_stored_link_as_it_was_given(site: Site) -> None:
    site.add("one")
    cursor = site.pull()[-1].cursor
    assert cursor is not None
    site.add("two")
    before = len(site.simulator.seen)
    assert len(names(site.pull(cursor))) == 1
    assert site.simulator.seen[before].query == cursor["next"]
    assert "after=" in cursor["next"]


def test_an_empty_page_ends_the_pull_and_moves_the_cursor(site: Site) -> None:
    first = site.pull()[-1].cursor
    site.simulator.add(StoryAlert("quiet", NOON, "t", "r", "low"))
    site.simulator.log.arrivals[-1].event.update(eventType="user.session.start", severity="INFO")
    (batch,) = site.pull(first)
    assert (list(batch.records), batch.more) == ([], False)
    assert batch.cursor is not None
    assert first is not None
    assert batch.cursor["next"] != first["next"]


def test_an_event_that_arrives_days_after_it_was_published_is_read(site: Site) -> None:
    site.add("one")
    cursor = site.pull()[-1].cursor
    late = site.add("late", ago=3 * 86_400, told_ago=0)
    assert names(site.pull(cursor)) == [late]


def test_a_refused_link_restarts_before_the_newest_event_and_nothing_comes_twice(site: Site) -> None:
    for number in range(5):
        site.add(f"early-{number}", ago=number)
    cursor = site.pull(limit=2)[-1].cursor
    site.simulator.log.forget_cursors()
    site.time.advance(60)
    late = site.add("meanwhile", ago=3600, told_ago=0)
    before = len(site.simulator.seen)
    assert names(site.pull(cursor, limit=2)) == [late]
    again = parse_qs(site.simulator.seen[before + 1].query)
    assert again["since"] == ["2026-11-01T11:50:00.000Z"]


def test_a_new_link_that_is_refused_too_is_an_expired_cursor(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = site.pull()[-1].cursor

    def refuse(token: str, _: str) -> None:
        if token:
            raise OktaError(400, "Api validation failed: after")

    monkeypatch.setattr(site.simulator.log, "_after", refuse)
    site.add("one")
    with pytest.raises(CursorExpiredError):
        site.pull(cursor)


def test_another_filter_goes_on_from_the_newest_event_with_a_query_of_its_own(site: Site) -> None:
    site.add("one", ago=7200)
    cursor = site.pull()[-1].cursor
    site.settings["filter"] = ""
    site.add("two")
    before = len(site.simulator.seen)
    assert len(names(site.pull(cursor))) == 1
    query = parse_qs(site.simulator.seen[before].query)
    assert query["since"] == ["2026-11-01T09:50:00.000Z"]
    assert "filter" not in query


def test_a_link_of_another_page_size_is_kept_but_for_its_size(site: Site) -> None:
    cursor = site.pull(limit=50)[-1].cursor
    assert cursor is not None
    wanted = {site.add(f"n-{number}") for number in range(5)}
    batches = site.pull(cursor, limit=2)
    assert set(names(batches)) == wanted
    assert max(len(batch.records) for batch in batches) == 2


def test_only_the_query_of_a_link_counts_for_an_org_has_several_hosts() -> None:
    assert following(httpx.Response(200, headers=links("x").headers.raw)) == "after=x&limit=100"
    assert following(httpx.Response(200)) == ""


def test_a_page_without_a_link_or_with_the_same_again_is_an_error(time: FakeTime) -> None:
    event = {"uuid": "u-1", "published": "2026-11-01T11:00:00.000Z"}
    with pytest.raises(ResponseError, match="is missing"):
        scripted(time, JSONResponse([event])).pull()
    with pytest.raises(ResponseError, match="repeats"):
        scripted(time, links("x", [event])).pull()


def test_events_come_verbatim_and_what_is_none_becomes_a_failure(time: FakeTime) -> None:
    raw = b'[ {"uuid":"u-1",  "published" : "2026-11-01T11:00:00.000Z", "n":1.10}, 7 ]'
    answer = Response(raw, media_type="application/json", headers={"Link": f'<{URL}/api/v1/logs?after=y>; rel="next"'})
    batch = scripted(time, answer, links("z")).pull()[0]
    (record,) = batch.records
    assert record.payload == b'{"uuid":"u-1",  "published" : "2026-11-01T11:00:00.000Z", "n":1.10}'
    assert record.key == record.native_id == "u-1"
    assert [failure.payload for failure in batch.failures] == [b"7"]


def test_nothing_older_than_the_retention_is_asked_for(site: Site) -> None:
    site.settings["start"] = "2020-01-01T00:00:00Z"
    site.add("one")
    assert len(names(site.pull())) == 1
    assert parse_qs(site.simulator.seen[0].query)["since"] == ["2026-08-03T12:00:00.000Z"]


@pytest.mark.parametrize("cursor", [{"position": {}, "next": "", "filter": ""}, {"position": {"start": "x"}}])
def test_a_cursor_of_somebody_else_is_an_expired_one(site: Site, cursor: Cursor) -> None:
    with pytest.raises(CursorExpiredError):
        site.pull(cursor)


def test_a_filter_that_okta_does_not_read_is_rejected_with_its_words(site: Site) -> None:
    site.settings["filter"] = 'eventType eqq "x"'
    with pytest.raises(RejectedError, match="Unrecognized attribute operator 'eqq'"):
        site.pull()
    assert "eqq" in site.health().problems[0]


def test_an_event_is_searched_by_its_uuid_within_the_retention(site: Site) -> None:
    site.add("other")
    wanted = site.add("old", ago=80 * 86_400)
    assert site.run(lambda connector: connector.read_one("system_log", wanted)).native_id == wanted
    before = len(site.simulator.seen)
    for name in ("0" * 8, 'x" or uuid pr'):
        with pytest.raises(NotFoundError):
            site.run(lambda connector, name=name: connector.read_one("system_log", name))  # type: ignore[misc]
    assert len(site.simulator.seen) == before + 1, "a filter is not made of a quote"


def test_a_search_gives_the_newest_events_of_the_week_first(site: Site) -> None:
    wanted = [site.add(f"n-{number}", ago=number) for number in range(3)]
    rows = site.run(lambda connector: connector.search('severity eq "WARN"', limit=2))
    assert [row["uuid"] for row in rows] == wanted[:2]
    with pytest.raises(RejectedError):
        site.run(lambda connector: connector.search(" ", limit=2))


# Signing in, and refusals


def test_a_token_is_sent_as_ssws_with_a_space(time: FakeTime) -> None:
    site = scripted(time, links("x"))
    site.pull()
    assert site.app.seen[0].headers["authorization"] == "SSWS token"


def test_a_service_app_signs_in_with_its_key_and_renews_its_token(time: FakeTime) -> None:
    site = Site(Simulator(clock=time.clock, oauth=True), time)
    site.add("one")

    async def twice(connector: Connector) -> int:
        for _ in range(2):
            assert (await connector.check_health()).ok
            time.advance(3601)
        return [request.path for request in site.simulator.seen].count("/oauth2/v1/token")

    assert site.run(twice) == 2
    assert set(SCOPES) == ALL_SCOPES
    assert site.simulator.mutations() == []


def test_only_the_configured_scopes_are_asked_for(time: FakeTime) -> None:
    site = Site(Simulator(clock=time.clock, oauth=True, scopes=["okta.logs.read", "okta.users.read"]), time)
    with pytest.raises(AuthError, match="scopes are not configured"):
        site.pull()
    site.settings["scopes"] = "okta.logs.read, okta.users.read"
    assert site.health().ok


@pytest.mark.parametrize(("options", "text"), [({"dpop": True}, "DPoP"), ({}, "signature is invalid")])
def test_an_app_that_wants_dpop_or_has_another_key_is_refused_once(
    time: FakeTime, options: dict[str, Any], text: str
) -> None:
    site = Site(Simulator(clock=time.clock, oauth=True, **options), time)
    if not options:
        site.settings["private_key"] = Secret.literal(Simulator(oauth=True).tokens.private_key)
    with pytest.raises(AuthError, match=text):
        site.pull()
    assert len(site.simulator.seen) == 1


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"client_id": "0oa1", "private_key": Secret.literal("k")}, "api_token"),
        ({"api_token": None}, "api_token"),
        ({"api_token": None, "client_id": "0oa1"}, "api_token"),
        ({"base_url": "https://acme-admin.okta.com"}, "base_url"),
        ({"base_url": "https://acme-admin.okta-emea.com"}, "base_url"),
        ({"page_size": 1001}, "page_size"),
        ({"start": "yesterday"}, "start"),
    ],
)
def test_a_wrong_setting_is_named(site: Site, settings: dict[str, Any], key: str) -> None:
    site.settings.update(settings)
    with pytest.raises(ConfigError) as caught:
        site.connector()
    assert [problem.key for problem in caught.value.problems] == [key]


def test_a_missing_right_is_named_with_what_okta_says(site: Site) -> None:
    site.simulator.scopes.discard("okta.logs.read")
    with pytest.raises(ScopeError, match=r"grant okta\.logs\.read .*You do not have permission"):
        site.pull()


def test_a_forbidden_state_is_no_missing_right_though_both_are_403(site: Site) -> None:
    site.simulator.users.record("00uann").provider = "LDAP"
    with pytest.raises(RejectedError, match="current status"):
        site.act(command(site, "account.reset_password"))


def test_a_rate_limit_is_waited_for_until_its_reset_by_okta_s_own_clock(site: Site) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": 500})
    site.simulator.faults.add("rate_limited", times=1, options={"retry_after": 7})
    site.pull()
    assert site.time.slept[0] == pytest.approx(7, abs=1)


# Finding accounts


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"email": "ANN@corp.example.com"}, ["00uann"]),
        ({"name": "ann@corp.example.com"}, ["00uann"]),
        ({"name": "Ann"}, ["00uann"]),
        ({"name": "ann", "domain": "corp.example.com"}, ["00uann"]),
        ({"name": "ann", "domain": "CORP"}, ["00uann"]),
        ({"name": "ann", "domain": "OTHER"}, []),
        ({"name": "ann", "domain": "OKTA"}, []),
        ({"name": "an"}, []),
        ({"name": "ann", "email": "ann@other.example.com"}, []),
        ({"native_id": "00uann"}, ["00uann"]),
        ({"native_id": "ann"}, []),
        ({"sid": "S-1-5-21-1"}, []),
        ({"name": 'x" or id pr or id eq "'}, []),
    ],
)
def test_an_account_is_found_by_what_is_exactly_its_own(site: Site, query: dict[str, str], found: list[str]) -> None:
    assert [account.native_id for account in site.find(**query)] == found


def test_one_name_in_two_domains_is_two_accounts(site: Site) -> None:
    site.simulator.add_accounts([StoryAccount("ann2", "ann", "ann@lab.example.com")])
    assert {account.native_id for account in site.find(name="ann")} == {"00uann", "00uann2"}
    assert [account.native_id for account in site.find(name="ann", domain="lab")] == ["00uann2"]


def test_a_user_of_active_directory_is_found_in_its_domain(site: Site) -> None:
    site.simulator.add_accounts([StoryAccount("cy", "cy", "cy@mail.example.com", "ad.example.com")])
    assert site.find(name="cy", domain="ad") == []
    site.simulator.users.record("00ucy").provider = "ACTIVE_DIRECTORY"
    assert [account.native_id for account in site.find(name="cy", domain="ad")] == ["00ucy"]


def test_an_account_says_whether_it_is_an_administrator_or_that_nobody_may_know(site: Site) -> None:
    (ann,), (bob,) = site.find(name="ann"), site.find(name="bob")
    assert (ann.privileged, bob.privileged) == (False, True)
    assert ann.groups == ("Everyone", "finance")
    assert (ann.domain, ann.enabled) == ("corp.example.com", True)
    site.simulator.scopes -= {"okta.roles.read", "okta.groups.read"}
    (blind,) = site.find(name="bob")
    assert (blind.privileged, blind.groups) == (None, ())


# Users


def test_suspending_keeps_sessions_and_is_undone(site: Site) -> None:
    wish = command(site, "account.disable")
    before = site.read(wish)
    assert (before.effect, before.state["enabled"], before.native_state) == (Effect.NOT_IN_EFFECT, True, "ACTIVE")
    assert site.act(wish).changed
    assert (site.member("ann").enabled, site.member("ann").sessions) == (False, 1)
    assert site.read(wish).effect is Effect.IN_EFFECT
    assert not site.act(wish).changed
    assert site.act(command(site, "account.disable", pre_state=before.state)).changed, "it was our own earlier try"
    assert site.member("ann").changes == 1
    assert site.act(command(site, "account.enable")).changed
    assert site.read(wish).native_state == "ACTIVE"


@pytest.mark.parametrize("status", ["LOCKED_OUT", "PROVISIONED", "STAGED", "PASSWORD_EXPIRED", "RECOVERY"])
def test_who_is_not_active_cannot_be_suspended_and_the_error_says_so(site: Site, status: str) -> None:
    site.simulator.users.record("00uann").status = status
    with pytest.raises(RejectedError, match=f"only to users who are ACTIVE, and this one is {status}"):
        site.act(command(site, "account.disable"))
    assert site.asked() == []


def test_a_deactivated_user_is_disabled_already_and_never_activated(site: Site) -> None:
    site.simulator.users.record("00uann").status = "DEPROVISIONED"
    assert not site.act(command(site, "account.disable")).changed
    assert site.read(command(site, "account.disable")).effect is Effect.IN_EFFECT
    with pytest.raises(RejectedError, match="DEPROVISIONED"):
        site.act(command(site, "account.enable"))


def test_a_lost_reply_is_an_error_and_the_repeat_finds_the_effect(site: Site) -> None:
    wish = command(site, "account.disable", pre_state={"enabled": True})
    site.simulator.faults.add("lost_reply", method="POST", times=1)
    with pytest.raises(UnavailableError):
        site.act(wish)
    assert site.act(wish).changed
    assert site.member("ann").changes == 1


def test_somebody_who_is_faster_makes_no_error(site: Site) -> None:
    async def late(connector: Connector) -> Receipt:
        ask = connector._okta.ask

        async def slow(method: str, path: str, **options: Any) -> httpx.Response:
            if method == "POST":
                site.simulator.directory.change("00uann", "disable")
            return await ask(method, path, **options)

        connector._okta.ask = slow  # type: ignore[method-assign]
        return await connector.act(command(site, "account.disable"))

    assert not site.run(late).changed


def test_a_receipt_is_no_effect_while_the_status_says_otherwise(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    wish = command(site, "account.disable")
    site.act(wish)
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    site.time.advance(30)
    assert site.read(wish).effect is Effect.IN_EFFECT


def test_sessions_end_with_their_tokens_and_the_log_is_the_proof(site: Site) -> None:
    wish = command(site, "account.revoke_sessions")
    site.time.advance(1)
    site.act(wish)
    assert site.asked() == ["DELETE /api/v1/users/00uann/sessions?oauthTokens=true&forgetDevices=true"]
    assert site.simulator.users.record("00uann").tokens == 0
    reading = site.read(wish)
    assert reading.effect is Effect.IN_EFFECT
    assert reading.state["event"] in site.simulator.log.events
    site.act(wish)
    assert site.member("ann").changes == 1, "new sessions are not ended by a repeat"


@pytest.mark.parametrize("ahead", [0, 900, -900])
def test_a_lost_reply_does_not_end_sessions_twice(site: Site, ahead: float) -> None:
    """A DELETE is safe to repeat for most; this one would end the sessions that began since."""
    if ahead:
        site.simulator.faults.add("clock_skew", options={"seconds": ahead})
    site.simulator.faults.add("lost_reply", method="DELETE", times=1)
    wish = command(site, "account.revoke_sessions")
    site.time.advance(1)
    with pytest.raises(UnavailableError):
        site.act(wish)
    assert site.member("ann").changes == 1
    assert site.read(wish).effect is Effect.IN_EFFECT


def test_only_this_user_s_sessions_and_only_those_ended_since_count(site: Site) -> None:
    site.simulator.directory.change("00uann", "revoke_sessions")
    site.time.advance(60)
    site.simulator.directory.change("00ubob", "revoke_sessions")
    assert site.read(command(site, "account.revoke_sessions")).effect is Effect.NOT_IN_EFFECT


def test_sessions_that_were_promised_to_end_and_did_not_are_not_in_effect(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    wish = command(site, "account.revoke_sessions")
    assert site.act(wish).changed
    site.time.advance(60)
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT


def test_a_reset_password_is_recovery_and_nothing_else(site: Site) -> None:
    wish = command(site, "account.reset_password")
    site.act(wish)
    assert site.asked() == ["POST /api/v1/users/00uann/lifecycle/reset_password?sendEmail=true"]
    assert site.read(wish).native_state == "RECOVERY"
    assert site.member("ann").sessions == 1
    site.member("ann").must_change_password = False
    site.simulator.users.record("00uann").password_changed = site.time.now + timedelta(seconds=60)
    reading = site.read(wish)
    assert (reading.native_state, reading.effect) == ("ACTIVE", Effect.IN_EFFECT), "the user chose a new one"


def test_an_expired_password_is_not_reset_for_the_attacker_could_choose_the_next(site: Site) -> None:
    site.simulator.directory.change("00uann", "expire_password")
    wish = command(site, "account.reset_password")
    assert (site.read(wish).effect, site.read(wish).native_state) == (Effect.NOT_IN_EFFECT, "PASSWORD_EXPIRED")
    assert site.act(wish).changed
    assert site.read(wish).native_state == "RECOVERY"


def test_the_link_of_a_reset_without_mail_is_kept_nowhere(site: Site) -> None:
    site.settings["reset_by_mail"] = False
    receipt = site.act(command(site, "account.reset_password"))
    assert site.asked()[-1].endswith("sendEmail=false")
    assert "one-time" not in repr(receipt)


@pytest.mark.parametrize(("status", "provider"), [("SUSPENDED", "OKTA"), ("STAGED", "OKTA"), ("ACTIVE", "FEDERATION")])
def test_a_password_that_okta_cannot_reset_is_refused_before_the_call(site: Site, status: str, provider: str) -> None:
    record = site.simulator.users.record("00uann")
    record.status, record.provider = status, provider
    with pytest.raises(RejectedError):
        site.act(command(site, "account.reset_password"))
    assert site.asked() == []


def test_factors_are_gone_or_new_after_a_reset(site: Site) -> None:
    wish = command(site, "account.require_reauth_factors")
    assert site.read(wish).state["factors"] == 1
    assert site.act(wish).changed
    assert site.read(wish).state["factors"] == 0
    site.time.advance(60)
    site.member("ann").factors = 1
    assert site.read(wish).effect is Effect.IN_EFFECT, "it was enrolled since"
    later = command(site, "account.require_reauth_factors", pre_state={"factors_reset": False})
    site.time.advance(60)
    assert site.read(wish).effect is Effect.IN_EFFECT
    assert site.act(later).changed
    assert site.member("ann").changes == 1


def test_no_verb_deletes_or_deactivates_a_user(site: Site) -> None:
    for verb in MANIFEST.acts:
        target = {
            "account.remove_from_group": "membership:ann/finance",
            "account.add_to_group": "membership:ann/finance",
        }
        asked = command(site, verb, target=ZONE if verb.startswith("ip.") else target.get(verb, ""))
        try:
            site.act(asked)
        except RejectedError:
            continue  # one verb may forbid the next
    assert len(site.asked()) >= 8
    assert not [
        line for line in site.asked() if "deactivate" in line or line.startswith("DELETE /api/v1/users/00uann?")
    ]


def test_an_administrator_above_ours_is_refused_as_a_missing_right(site: Site) -> None:
    with pytest.raises(ScopeError, match="protects this administrator"):
        site.act(command(site, "account.disable", "bob"))


def test_a_login_in_place_of_an_id_is_nobody(site: Site) -> None:
    for name in ("ann", "../groups", ""):
        wish = command(site, "account.disable")
        with pytest.raises(NotFoundError):
            site.act(Command(**{**{f: getattr(wish, f) for f in wish.__slots__}, "native_id": name}))
    assert site.asked() == []


@pytest.mark.parametrize("verb", ["account.disable", "account.remove_from_group", "ip.block"])
def test_a_parameter_that_a_verb_has_not_is_refused(site: Site, verb: str) -> None:
    targets = {"ip.block": ZONE, "account.remove_from_group": "membership:ann/finance"}
    with pytest.raises(UnsupportedError, match="duration"):
        site.act(command(site, verb, target=targets.get(verb, ""), parameters={"duration": 60}))


def test_a_clock_that_differs_does_not_hide_an_effect(site: Site) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": -90})
    wish = command(site, "account.revoke_sessions")
    site.act(wish)
    assert site.read(wish).effect is Effect.IN_EFFECT
    assert site.health().ok


# Groups


@pytest.mark.parametrize("by_id", [False, True])
def test_a_membership_ends_and_is_given_back(site: Site, by_id: bool) -> None:
    group = site.simulator.groups.make("finance")
    target = f"membership:ann@corp.example.com/{group.group_id if by_id else 'Finance'}"
    wish = command(site, "account.remove_from_group", target=target)
    before = site.read(wish)
    assert (before.effect, before.state["member"]) == (Effect.NOT_IN_EFFECT, True)
    assert site.act(wish).changed
    assert site.read(wish).effect is Effect.IN_EFFECT
    assert not site.act(wish).changed
    assert site.act(command(site, "account.remove_from_group", target=target, pre_state=before.state)).changed
    site.act(command(site, "account.add_to_group", target=target))
    assert site.member("ann").groups == {"finance"}


def test_two_groups_of_one_name_must_be_told_apart_by_id(site: Site) -> None:
    other = site.simulator.groups.make("finance", kind="APP_GROUP")
    with pytest.raises(RejectedError, match=other.group_id):
        site.act(command(site, "account.remove_from_group", target="membership:ann/finance"))
    with pytest.raises(NotFoundError, match="no group"):
        site.act(command(site, "account.remove_from_group", target="membership:ann/financ"))


def test_groups_that_others_keep_are_refused(site: Site) -> None:
    site.simulator.groups.make("finance").ruled = True
    with pytest.raises(RejectedError):
        site.act(command(site, "account.remove_from_group", target="membership:ann/finance"))
    with pytest.raises(RejectedError, match="BUILT_IN"):
        site.act(command(site, "account.remove_from_group", target="membership:ann/everyone"))


# Addresses


def test_an_address_is_added_to_the_zone_and_nothing_else_of_it_changes(site: Site) -> None:
    site.settings["block_zone"] = "SOC"
    zone_id = site.simulator.zones.make("SOC", "BLOCKLIST", "198.51.100.1-198.51.100.9")
    site.simulator.zones.zones[zone_id]["proxies"] = [{"type": "CIDR", "value": "192.0.2.1/32"}]
    wish, back = (command(site, verb, "", ZONE) for verb in ("ip.block", "ip.unblock"))
    was = dict(site.simulator.zones.zones[zone_id])
    assert site.act(wish).changed
    zone = site.simulator.zones.zones[zone_id]
    assert zone["gateways"][-1] == {"type": "CIDR", "value": "203.0.113.77/32"}
    assert {**zone, "gateways": was["gateways"]} == was
    assert site.read(wish).effect is Effect.IN_EFFECT
    assert not site.act(wish).changed
    assert site.act(back).changed
    assert site.simulator.zones.zones[zone_id] == was
    assert not site.act(back).changed


@pytest.mark.parametrize("entry", ["203.0.113.0/24", "203.0.113.70-203.0.113.80"])
def test_an_entry_for_more_addresses_blocks_and_is_not_taken_away(site: Site, entry: str) -> None:
    site.settings["block_zone"] = site.simulator.zones.make("SOC", "BLOCKLIST", entry, "203.0.113.77/32")
    assert not site.act(command(site, "ip.block", "", ZONE)).changed
    with pytest.raises(RejectedError, match=entry):
        site.act(command(site, "ip.unblock", "", ZONE))
    assert site.asked() == []


def test_a_zone_that_does_not_block_is_an_error_and_no_effect(site: Site) -> None:
    zone_id = site.simulator.zones.make("SOC", "BLOCKLIST", "203.0.113.77/32")
    site.settings["block_zone"] = "SOC"
    site.simulator.zones.zones[zone_id]["status"] = "INACTIVE"
    wish = command(site, "ip.block", "", ZONE)
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    with pytest.raises(RejectedError, match="INACTIVE"):
        site.act(wish)
    site.settings["block_zone"] = "LegacyIpZone"
    with pytest.raises(RejectedError, match="BlockedIpZone, SOC"):
        site.act(wish)


def test_two_blocks_at_once_do_not_lose_each_other(site: Site) -> None:
    async def both(connector: Connector) -> list[Receipt]:
        wishes = (command(site, "ip.block", "", f"address:203.0.113.{number}") for number in (1, 2))
        return await asyncio.gather(*map(connector.act, wishes))

    site.run(both)
    zone = next(zone for zone in site.simulator.zones.zones.values() if zone["name"] == "BlockedIpZone")
    assert [entry["value"] for entry in zone["gateways"]] == ["203.0.113.1/32", "203.0.113.2/32"]


def test_the_last_entry_of_a_zone_that_is_not_okta_s_stays(site: Site) -> None:
    site.settings["block_zone"] = site.simulator.zones.make("SOC", "BLOCKLIST", "203.0.113.77/32")
    with pytest.raises(RejectedError):
        site.act(command(site, "ip.unblock", "", ZONE))


def test_ipv6_is_not_offered(site: Site) -> None:
    with pytest.raises(UnsupportedError, match="IPv4"):
        site.act(command(site, "ip.block", "", "address:2001:db8::7"))


# Health


def test_the_health_check_uses_the_configured_query_and_names_every_missing_right(site: Site) -> None:
    site.settings["block_zone"] = "SOC"
    site.simulator.scopes -= {"okta.users.read", "okta.networkZones.read"}
    problems = site.health().problems
    assert [name for name in SCOPES for text in problems if f"grant {name} " in text] == [
        "okta.users.read",
        "okta.networkZones.read",
    ]
    assert "filter" in parse_qs(site.simulator.seen[0].query)


def test_a_clock_far_off_is_a_problem(site: Site) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": 200})
    assert "clock differs by 200 s" in site.health().problems[0]


def test_what_is_not_declared_is_refused(site: Site) -> None:
    wish = command(site, "credential.revoke", target="credential:ann/key")
    for work in (site.act, site.read):
        with pytest.raises(UnsupportedError, match="not declared"):
            work(wish)
    with pytest.raises(NightdeskError, match="no stream 'alerts'"):
        site.run(lambda connector: connector.read_one("alerts", "x"))
