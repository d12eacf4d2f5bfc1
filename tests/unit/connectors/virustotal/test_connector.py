import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.responses import JSONResponse

import nightdesk.connectors.virustotal as package
from nightdesk.connectors.virustotal import Connector
from nightdesk.connectors.virustotal.places import url_id
from nightdesk.connectors.virustotal.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import NightdeskError, RateLimitError, RejectedError, ResponseError, UnsupportedError
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Opinion
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted
from nightdesk.sdk.verbs import TargetKind

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
URL = "https://bad.example.com/payload"
HASH = "ab" * 32


@dataclass
class Site:
    """One simulator, one connector for a whole test, and the time of both ends."""

    time: FakeTime = field(default_factory=lambda: FakeTime(NOON))

    def __post_init__(self) -> None:
        self.simulator = Simulator(clock=self.time.clock)
        self.app: Any = self.simulator
        self.settings: dict[str, Any] = {}

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings("https://vt.example.com"), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.vt")
            network = Network(timeout=5, transport=httpx.ASGITransport(self.app))
            connector = Connector(Context("acme", "vt", Settings(values), network, self.time.clock, self.time.sleep))
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def enrich(self, *targets: str) -> list[Opinion]:
        async def all_of(connector: Connector) -> list[Opinion]:
            return [opinion for target in targets for opinion in await connector.enrich(Target.parse(target))]

        return self.run(all_of)

    def error(self, work: Callable[[Connector], Awaitable[Any]]) -> NightdeskError:
        with pytest.raises(NightdeskError) as caught:
            self.run(work)
        return caught.value

    def paths(self) -> list[str]:
        return [seen.path.removeprefix("/api/v3") for seen in self.simulator.seen]


@pytest.fixture
def site() -> Site:
    return Site()


def detonation(value: str, key: str = "key-1", at: datetime = NOON, **fields: Any) -> Command:
    target = Target(TargetKind.ARTIFACT, value)
    return Command("acme", "action-1", "artifact.detonate", target, key, at, target.value, **fields)


# Opinions


@pytest.mark.parametrize(
    ("stats", "verdict"),
    [
        ({"malicious": 5}, "malicious"),
        ({"malicious": 4}, "suspicious"),
        ({"malicious": 1, "suspicious": 2}, "suspicious"),
        ({"malicious": 2}, "unknown"),
        ({}, "benign"),
        ({"harmless": 0, "undetected": 9}, "unknown"),
    ],
)
def test_one_or_two_engines_are_noise_and_silence_of_many_is_benign(
    site: Site, stats: dict[str, int], verdict: str
) -> None:
    site.simulator.know("domains", "bad.example.com", "benign", at=None, **stats)
    (opinion,) = site.enrich("domain:bad.example.com")
    assert opinion.verdict == verdict


def test_the_threshold_is_a_setting(site: Site) -> None:
    site.settings = {"threshold": 10}
    site.simulator.know("domains", "bad.example.com", "benign", malicious=9)
    assert site.enrich("domain:bad.example.com")[0].verdict == "suspicious"


def test_an_old_analysis_makes_nothing_benign_and_is_called_stale(site: Site) -> None:
    long_ago = NOON - timedelta(days=91)
    site.simulator.know("domains", "old.example.com", "benign", at=long_ago)
    site.simulator.know("domains", "bad.example.com", "malicious", at=long_ago)
    old, bad = site.enrich("domain:old.example.com", "domain:bad.example.com")
    assert (old.verdict, "stale" in old.labels) == ("unknown", True)
    assert (bad.verdict, "stale" in bad.labels) == ("malicious", True)
    assert bad.evidence["last_analysis_date"] == "2026-08-02T12:00:00Z"


def test_an_opinion_says_what_it_is_based_on(site: Site) -> None:
    site.simulator.judge(Target.parse(f"file:{HASH}"), "malicious")
    (opinion,) = site.enrich(f"file:{HASH.upper()}")
    assert (opinion.source, opinion.score) == ("VirusTotal", 44)
    assert opinion.labels == ("trojan.example",)
    assert opinion.link == f"https://www.virustotal.com/gui/file/{HASH}"
    assert opinion.evidence["last_analysis_stats"]["malicious"] == 40


def test_what_is_not_known_is_no_opinion_and_no_failure(site: Site) -> None:
    assert site.enrich("domain:new.example.com", f"file:{HASH}", f"url:{URL}", "address:203.0.113.9") == []
    assert len(site.simulator.spent) == 4


@pytest.mark.parametrize(
    "private",
    [
        "address:10.1.2.3",
        "address:192.168.0.7",
        "address:100.64.0.1",
        "address:fd00::1",
        "address:::ffff:10.0.0.1",
        "domain:printer.local",
        "domain:wiki.corp.example.com",
        "url:http://intranet/login",
        "url:http://10.0.0.7/a",
        "url:https://[fd00::1]/a",
        "url:https://user:pass@bad.example.com/",
        "url:https://wiki.corp.example.com/a",
        "url:nonsense",
    ],
)
def test_what_is_ones_own_is_never_sent(site: Site, private: str) -> None:
    site.settings = {"internal_domains": "corp.example.com, other.example"}
    assert site.enrich(private) == []
    assert site.simulator.seen == []


@pytest.mark.parametrize("target", ["address:203.0.113.0/24", "host:ws-0042"])
def test_a_network_and_a_host_are_not_kinds_that_it_knows(site: Site, target: str) -> None:
    assert isinstance(site.error(lambda connector: connector.enrich(Target.parse(target))), UnsupportedError)


def test_the_id_of_a_url_is_its_base64_without_padding(site: Site) -> None:
    site.simulator.judge(Target.parse(f"url:{URL}"), "malicious")
    (opinion,) = site.enrich(f"url:{URL}")
    assert opinion.verdict == "malicious"
    assert site.paths() == [f"/urls/{url_id(URL)}"]
    assert "=" not in url_id(URL)


def test_an_answer_is_used_again_for_a_while(site: Site) -> None:
    site.simulator.judge(Target.parse("domain:bad.example.com"), "malicious")

    async def thrice(connector: Connector) -> int:
        target = Target.parse("domain:bad.example.com")
        await connector.enrich(target)
        await connector.enrich(target)
        before = len(site.simulator.spent)
        site.time.advance(4 * 3600)
        await connector.enrich(target)
        return before

    assert site.run(thrice) == 1
    assert len(site.simulator.spent) == 2


@pytest.mark.parametrize("body", [{"hello": 1}, {"data": {"id": "x"}}, []])
def test_an_answer_of_another_shape_is_an_error(site: Site, body: Any) -> None:
    site.app = Scripted(JSONResponse(body))
    error = site.error(lambda connector: connector.enrich(Target.parse("domain:bad.example.com")))
    assert isinstance(error, ResponseError)


# Quotas


def test_look_ups_wait_for_their_turn_so_that_no_minute_has_too_many(site: Site) -> None:
    names = [f"domain:n{number}.example.com" for number in range(10)]
    assert site.enrich(*names) == []
    spent = site.simulator.spent
    assert len(spent) == len(site.simulator.seen) == 10  # none was refused
    assert all((later - first).total_seconds() >= 60 for first, later in zip(spent, spent[4:], strict=False))


def test_once_the_day_is_used_up_nothing_is_asked_before_midnight(site: Site) -> None:
    site.simulator.per_day = 1

    async def day(connector: Connector) -> tuple[RateLimitError, RateLimitError, int]:
        await connector.enrich(Target.parse("domain:a.example.com"))
        caught = []
        for name in ("b", "c"):
            with pytest.raises(RateLimitError) as raised:
                await connector.enrich(Target.parse(f"domain:{name}.example.com"))
            caught.append(raised.value)
            asked = len(site.simulator.seen)
        site.time.now = datetime(2026, 11, 2, tzinfo=UTC)
        await connector.enrich(Target.parse("domain:d.example.com"))
        return caught[0], caught[1], asked

    first, second, asked = site.run(day)
    assert "2026-11-02T00:00:00Z" in str(first)
    assert 11 * 3600 < second.retry_after < 12 * 3600
    assert (first.status, second.status) == (429, None)
    # One answered, one refused and tried again three times, the quotas asked for; the third was never sent.
    assert asked == 6
    assert len(site.simulator.seen) == 7


def test_our_own_limit_of_a_day_is_kept(site: Site) -> None:
    site.settings = {"requests_per_day": 2}
    error = site.error(
        lambda connector: asyncio.gather(*(connector.enrich(Target.parse(f"domain:{n}.example.com")) for n in "abc"))
    )
    assert isinstance(error, RateLimitError)
    assert "requests_per_day" in str(error)
    assert len(site.simulator.spent) == 2


def test_too_many_in_a_minute_do_not_end_the_day(site: Site) -> None:
    site.settings = {"requests_per_minute": 60}
    site.simulator.per_minute = 1
    names = [f"domain:n{number}.example.com" for number in range(2)]

    async def both(connector: Connector) -> None:
        await connector.enrich(Target.parse(names[0]))
        with pytest.raises(RateLimitError):
            await connector.enrich(Target.parse(names[1]))
        site.time.advance(60)
        await connector.enrich(Target.parse(names[1]))

    site.run(both)
    assert len(site.simulator.spent) == 2


def test_a_refusal_for_a_quota_that_is_not_used_up_is_one_of_a_minute(site: Site) -> None:
    refusal = JSONResponse({"error": {"code": "QuotaExceededError", "message": "Quota exceeded"}}, 429)
    day = {"user": {"used": 7, "allowed": 500}}
    quotas = JSONResponse({"data": {"api_requests_daily": day}})
    found = JSONResponse({"data": {"attributes": {}}})
    site.app = Scripted(*[refusal] * 4, quotas, found)

    async def both(connector: Connector) -> RateLimitError:
        with pytest.raises(RateLimitError) as caught:
            await connector.enrich(Target.parse("domain:a.example.com"))
        site.time.advance(60)
        assert len(await connector.enrich(Target.parse("domain:a.example.com"))) == 1
        return caught.value

    assert site.run(both).retry_after == 60


def test_health_costs_no_look_up_with_a_user_and_one_without(site: Site) -> None:
    assert site.run(lambda connector: connector.check_health()).ok
    assert site.simulator.spent == []
    site.settings = {"user": None}
    assert site.run(lambda connector: connector.check_health()).ok
    assert len(site.simulator.spent) == 1


def test_health_tells_that_the_quota_is_used_up(site: Site) -> None:
    site.simulator.per_day = 1
    site.enrich("domain:a.example.com")
    health = site.run(lambda connector: connector.check_health())
    assert not health.ok
    assert "1 of 1" in health.problems[0]


def test_the_key_is_never_part_of_an_address(site: Site) -> None:
    site.run(lambda connector: connector.check_health())
    site.enrich("domain:a.example.com")
    assert not [seen for seen in site.simulator.seen if site.simulator.secret in seen.path + seen.query]


# Analyses


def test_nothing_is_submitted_unless_it_is_allowed(site: Site) -> None:
    site.settings = {"detonate": False}
    error = site.error(lambda connector: connector.act(detonation(URL)))
    assert isinstance(error, UnsupportedError)
    assert "detonate: true" in str(error)
    assert site.simulator.seen == []


def test_an_analysis_is_pending_until_its_result_is_there(site: Site) -> None:
    async def whole(connector: Connector) -> list[Any]:
        receipt = await connector.act(detonation(URL))
        first = (await connector.read_back(detonation(URL))).effect
        again = await connector.act(detonation(URL))
        site.time.advance(60)
        last = (await connector.read_back(detonation(URL))).effect
        return [receipt.changed, first, again.native_action_id == receipt.native_action_id, last]

    assert site.run(whole) == [True, Effect.PENDING, True, Effect.IN_EFFECT]
    assert site.paths().count("/urls") == 1
    assert site.run(lambda connector: connector.act(detonation(URL))).changed is False


def test_an_analysis_that_never_ends_is_never_in_effect(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    site.run(lambda connector: connector.act(detonation(URL)))
    site.time.advance(86_400)
    assert site.run(lambda connector: connector.read_back(detonation(URL))).effect is Effect.NOT_IN_EFFECT


def test_a_known_file_is_analysed_anew_and_an_unknown_one_is_not_uploaded(site: Site) -> None:
    error = site.error(lambda connector: connector.act(detonation(HASH)))
    assert isinstance(error, RejectedError)
    assert "no file is uploaded" in str(error)
    site.simulator.know("files", HASH, "malicious", at=NOON - timedelta(days=3))
    later = detonation(HASH, at=site.time.now)
    assert site.run(lambda connector: connector.act(later)).changed is True
    site.time.advance(60)
    reading = site.run(lambda connector: connector.read_back(later))
    assert reading.effect is Effect.IN_EFFECT
    assert reading.state["last_analysis_stats"]["malicious"] == 40


@pytest.mark.parametrize("own", ["http://10.0.0.7/a", "https://user:pass@bad.example.com/", "http://wiki.local/x"])
def test_what_is_ones_own_is_never_submitted(site: Site, own: str) -> None:
    assert isinstance(site.error(lambda connector: connector.act(detonation(own))), RejectedError)
    assert site.simulator.seen == []


def test_another_parameter_or_verb_is_refused(site: Site) -> None:
    wish = detonation(URL, parameters={"mode": "fast"})
    assert isinstance(site.error(lambda connector: connector.act(wish)), UnsupportedError)
    assert site.simulator.mutations() == []
