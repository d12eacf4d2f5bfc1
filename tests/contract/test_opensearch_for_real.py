"""The Wazuh connector's reading half against OpenSearch itself, and the simulated indexer held against its answers.

A Wazuh indexer is an OpenSearch with the security plugin, which is not here: permissions are the simulator's to refuse.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, TypeVar

import httpx
import pytest
from tests.goldens import ACME, normalizer
from tests.hubs import REGISTRY
from tests.servers.opensearch import OpenSearch, opensearch

from nightdesk.connectors.elastic_security import Connector as Elastic
from nightdesk.connectors.wazuh import Connector
from nightdesk.connectors.wazuh.simulator import Simulator
from nightdesk.connectors.wazuh.wire import local_time
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.manifest import validate_settings
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import AccountQuery, Target
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import ACCOUNT, an_alert

pytestmark = pytest.mark.slow
T = TypeVar("T")
BAD = "203.0.113.7"
# As Wazuh's own template has it: texts are keywords, and a time may have an offset without a colon.
_TEMPLATE = {
    "index_patterns": ["wazuh-*"],
    "template": {
        "settings": {"number_of_shards": 3, "number_of_replicas": 0},
        "mappings": {
            "date_detection": False,
            "dynamic_templates": [{"texts": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}],
            "properties": {
                "timestamp": {"type": "date", "format": "date_optional_time||epoch_millis"},
                "@timestamp": {"type": "date"},
                "rule": {"properties": {"level": {"type": "long"}}},
            },
        },
    },
}


@dataclass
class Site:
    """An indexer that a simulated manager ships to."""

    server: OpenSearch
    simulator: Simulator
    time: FakeTime
    shipped: int = 0

    def ship(self) -> None:
        """Everything that the simulator has written and the indexer has not."""
        documents = self.simulator.search.documents[self.shipped :]
        self.shipped += len(documents)
        self.server.index([(one.index, one.source) for one in documents])

    def raise_alerts(self, count: int, *, ago: float = 60, prefix: str = "real") -> list[str]:
        made = [self.simulator.add(an_alert(self.time, f"{prefix}-{n}", seconds_ago=ago)) for n in range(count)]
        self.ship()
        return made

    def put(self, **changes: Any) -> dict[str, Any]:
        """One alert of which something differs."""
        self.simulator.add(an_alert(self.time, "put"))
        plain = self.simulator.search.documents.pop()
        source = {name: value for name, value in {**plain.source, **changes}.items() if value is not None}
        self.server.index([(plain.index, source)])
        return source

    def run(self, work: Callable[[Connector], Awaitable[T]], **changes: Any) -> T:
        given = {**self.simulator.settings(self.server.url), **changes}
        values = validate_settings(REGISTRY.manifest("wazuh"), given, file="nightdesk.yaml", key="siem")
        context = Context("acme", "siem", Settings(values), Network(timeout=30), self.time.clock, self.time.sleep)

        async def once() -> T:
            connector = Connector(context)
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pages(self, cursor: Cursor | None = None, *, limit: int = 500, **changes: Any) -> list[Batch]:
        async def all_of(connector: Connector) -> list[Batch]:
            return [batch async for batch in connector.pull("alerts", cursor, limit=limit)]

        return self.run(all_of, **changes)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearch]:
    with opensearch(tmp_path_factory.mktemp("opensearch")) as running:
        assert running.ask("PUT", "/_index_template/wazuh", _TEMPLATE).status_code == 200
        yield running


@pytest.fixture
def site(server: OpenSearch) -> Site:
    assert server.ask("DELETE", "/wazuh-*").status_code == 200
    time = FakeTime()
    time.advance(10)
    return Site(server, Simulator(clock=time.clock), time)


def _records(pages: list[Batch]) -> list[RawRecord]:
    assert not [failure for page in pages for failure in page.failures]
    return [record for page in pages for record in page.records]


def _ids(pages: list[Batch]) -> list[str]:
    return [record.native_id for record in _records(pages)]


def _second(native_id: str) -> int:
    return int(native_id.partition(".")[0])


# Alerts


@pytest.mark.parametrize("limit", [1, 7, 50, 61, 500])
def test_a_burst_of_one_instant_comes_out_once_in_any_page_size(site: Site, limit: int) -> None:
    wanted = site.raise_alerts(61) if limit > 1 else site.raise_alerts(9)
    pages = site.pages(limit=limit)
    assert max(len(page.records) for page in pages) <= limit
    assert sorted(_ids(pages)) == sorted(wanted)
    assert _ids(site.pages(pages[-1].cursor, limit=limit)) == []


def test_days_are_read_in_the_order_of_time_through_every_index(site: Site) -> None:
    wanted = [alert for hours in (40, 17, 3, 1) for alert in site.raise_alerts(2, ago=hours * 3600, prefix=str(hours))]
    start = f"{site.time.now - timedelta(hours=48):%Y-%m-%dT%H:%M:%SZ}"
    found = _ids(site.pages(limit=3, start=start))
    assert sorted(found) == sorted(wanted)
    assert [_second(one) for one in found] == [_second(one) for one in wanted]
    assert sorted(_ids(site.pages())) == sorted(wanted[2:]), "without a start, of the last 24 hours"
    days = {f"wazuh-alerts-4.x-{(site.time.now - timedelta(hours=back)).astimezone(UTC):%Y.%m.%d}" for back in (40, 1)}
    assert days <= set(site.server.ask("GET", "/wazuh-*/_settings").json())


def test_restarted_after_any_page_it_goes_on_without_a_loss(site: Site) -> None:
    wanted = set(site.raise_alerts(8))
    for limit in (1, 3):
        pages = site.pages(limit=limit)
        for number, page in enumerate(pages):
            rest = site.pages(page.cursor, limit=limit)
            assert set(_ids(pages[: number + 1])) | set(_ids(rest)) == wanted


def test_the_indexer_restarts_between_two_pages_and_nothing_there_had_to_outlive_it(site: Site) -> None:
    wanted = site.raise_alerts(6)

    async def interrupted(connector: Connector) -> list[Batch]:
        drain = connector.pull("alerts", None, limit=2)
        pages = [await anext(drain)]
        site.server.stop()
        site.server.start()
        return [*pages, *[page async for page in drain]]

    assert sorted(_ids(site.run(interrupted))) == sorted(wanted)


def test_alerts_that_two_nodes_gave_one_id_part_at_a_pages_edge(site: Site) -> None:
    first = site.put()
    same = {"id": first["id"], "timestamp": first["timestamp"]}
    site.put(**same, cluster={"name": "wazuh", "node": "node02"})
    site.put(**same, cluster=None)
    site.put(**same, manager={"name": "another"})
    site.put(**same)  # shipped again
    for limit in (1, 2, 3):
        keys = [record.key.rpartition(":")[0] for record in _records(site.pages(limit=limit))]
        assert sorted(keys) == ["another/node01", "wazuh-manager", "wazuh-manager/node01", "wazuh-manager/node02"]
    with pytest.raises(RejectedError, match="each have one of this id"):
        site.run(lambda connector: connector.read_one("alerts", first["id"]))


def test_what_is_shipped_late_is_met_by_the_overlap(site: Site) -> None:
    early = site.raise_alerts(3, ago=30, prefix="early")
    pages = site.pages(limit=2)
    assert sorted(_ids(pages)) == sorted(early)
    same = site.raise_alerts(2, ago=30, prefix="same instant")
    older = site.raise_alerts(2, ago=29 * 60, prefix="older")
    site.raise_alerts(1, ago=40 * 60, prefix="too late")
    later = site.pages(pages[-1].cursor, limit=2)
    assert sorted(_ids(later)) == sorted(same + older)


def test_what_becomes_searchable_during_a_drain_is_read_then_or_at_the_next(site: Site) -> None:
    wanted = set(site.raise_alerts(4, ago=30))

    async def joined(connector: Connector) -> list[Batch]:
        drain = connector.pull("alerts", None, limit=2)
        pages = [await anext(drain)]
        wanted.update(site.raise_alerts(1, ago=600, prefix="behind"), site.raise_alerts(1, ago=5, prefix="ahead"))
        return [*pages, *[page async for page in drain]]

    pages = site.run(joined)
    assert set(_ids(pages)) | set(_ids(site.pages(pages[-1].cursor))) == wanted


def test_an_alert_is_what_the_manager_wrote_and_is_understood(site: Site) -> None:
    (native_id,) = site.raise_alerts(1)
    (record,) = _records(site.pages())
    source = site.simulator.search.documents[-1].source
    assert json.loads(record.payload)["_source"] == source
    assert source["timestamp"].endswith("+0100")
    one = site.run(lambda connector: connector.read_one("alerts", native_id))
    assert (one.key, json.loads(one.payload)["_source"]) == (record.key, source)
    with pytest.raises(NotFoundError):
        site.run(lambda connector: connector.read_one("alerts", "1.1"))
    told = normalizer().normalize("wazuh", record.payload, ACME)
    assert told.alert.native_id == native_id
    assert told.loss.lost == ()


def test_only_what_is_wanted_is_read(site: Site) -> None:
    site.put(rule={"level": 6, "id": "1", "description": "x", "groups": ["x"]})
    grave = site.put(rule={"level": 7, "id": "1", "description": "x", "groups": ["x"]})
    site.put(rule={"level": 9, "id": "1", "description": "x", "groups": ["x"]}, location="nightdesk-firewall")
    ours = {"parameters": {"alert": {"data": {"nightdesk": "[nightdesk 0]"}}}}
    site.put(rule={"level": 9, "id": "1", "description": "x", "groups": ["active_response"]}, data=ours)
    assert _ids(site.pages(minimum_level=7)) == [grave["id"]]


def test_a_manager_whose_clock_is_ahead_hides_nobody_elses_alerts(site: Site) -> None:
    ahead = site.put(timestamp=local_time(site.time.now + timedelta(hours=2)))
    pages = site.pages()
    assert _ids(pages) == [ahead["id"]]
    late = site.raise_alerts(1, ago=0)
    assert _ids(site.pages(pages[-1].cursor)) == late


def test_no_index_yet_is_no_error_and_no_health_either(site: Site) -> None:
    assert _ids(site.pages()) == []
    assert _ids(site.pages(index="wazuh-alerts-4.x-2020.01.01")) == []
    health = site.run(lambda connector: connector.check_health())
    assert any("shows no index" in problem for problem in health.problems)
    site.raise_alerts(1)
    health = site.run(lambda connector: connector.check_health())
    assert not any("shows no index" in problem for problem in health.problems)


# What the read-backs ask


def test_a_block_is_read_from_the_listings_and_is_known_as_ours_by_its_report(site: Site) -> None:
    def command(verb: str) -> Command:
        target = Target.parse(f"address:{BAD}")
        return Command("acme", verb, verb, target, f"key-{verb}", site.time.clock(), native_id=BAD)

    with serve(site.simulator) as api:
        split = {"server_url": api.base_url}
        site.simulator.agents.settle()
        site.ship()
        wish = command("ip.block")
        assert site.run(lambda connector: connector.read_back(wish), **split).effect is Effect.NOT_IN_EFFECT
        assert site.run(lambda connector: connector.act(wish), **split).changed
        site.ship()
        assert site.run(lambda connector: connector.act(wish), **split).changed, "the report has its marker"
        assert len(site.simulator.mutations()) == 1
        for _ in range(2):  # the newest of several listings counts
            site.time.advance(60)
            site.simulator.agents.settle()
            site.ship()
        reading = site.run(lambda connector: connector.read_back(wish), **split)
        assert (reading.effect, reading.state["ours"]) == (Effect.IN_EFFECT, True)
        assert site.run(lambda connector: connector.act(command("ip.unblock")), **split).changed
        site.time.advance(60)
        site.simulator.agents.settle()
        site.ship()
        assert site.run(lambda connector: connector.read_back(wish), **split).effect is Effect.NOT_IN_EFFECT


def test_an_account_is_found_in_the_inventory_by_its_whole_login(site: Site) -> None:
    site.simulator.add_accounts([ACCOUNT])
    site.ship()
    (account,) = site.run(lambda connector: connector.find_account(AccountQuery(email=ACCOUNT.email)))
    assert (account.native_id, account.enabled) == ("903/jdoe", True)
    assert not site.run(lambda connector: connector.find_account(AccountQuery(name="jdo")))


# The simulated indexer, held against the server


_BY_TIME = [{"timestamp": {"order": "asc"}}, {"id": {"order": "asc"}}]
_ASKED: tuple[tuple[str, Any], ...] = (
    ("/wazuh-alerts-*/_search", None),
    ("/wazuh-alerts-*/_search", {"size": 0}),
    ("/wazuh-alerts-*/_search", {"size": 3, "sort": _BY_TIME}),
    ("/wazuh-alerts-*/_search", {"size": 3, "from": 2, "sort": _BY_TIME, "track_total_hits": False}),
    ("/wazuh-alerts-*/_search", {"sort": [{"timestamp": {"order": "desc"}}, {"id": {"order": "desc"}}]}),
    ("/wazuh-alerts-*/_search", {"sort": [{"cluster.node": {"order": "asc", "missing": "_last"}}, *_BY_TIME]}),
    ("/wazuh-alerts-*/_search", {"sort": [{"cluster.node": {"order": "desc"}}, *_BY_TIME]}),
    ("/wazuh-alerts-*/_search", {"sort": _BY_TIME, "query": {"term": {"rule.groups": "sysmon"}}}),
    ("/wazuh-alerts-*/_search", {"sort": _BY_TIME, "query": {"term": {"rule.groups": "sys"}}}),
    ("/wazuh-alerts-*/_search", {"sort": _BY_TIME, "query": {"terms": {"agent.id": ["001", "901"]}}}),
    ("/wazuh-alerts-*/_search", {"sort": _BY_TIME, "query": {"exists": {"field": "cluster.node"}}}),
    ("/wazuh-alerts-*/_search", {"sort": _BY_TIME, "query": {"exists": {"field": "cluster"}}}),
    ("/wazuh-alerts-*/_search", {"sort": _BY_TIME, "query": {"exists": {"field": "nothing"}}}),
    ("/wazuh-alerts-*/_search", {"sort": _BY_TIME, "query": {"range": {"rule.level": {"gte": 5, "lt": 14}}}}),
    ("/wazuh-alerts-*/_search", {"query": {"range": {"timestamp": {"gte": 1793534350000, "format": "epoch_millis"}}}}),
    ("/wazuh-alerts-*/_search", {"query": {"range": {"timestamp": {"gt": "2026-11-01T12:00:00.000Z"}}}}),
    (
        "/wazuh-alerts-*/_search",
        {"sort": _BY_TIME, "query": {"bool": {"must_not": [{"term": {"cluster.node": "node02"}}]}}},
    ),
    ("/wazuh-alerts-*/_search", {"query": {"bool": {"filter": [{"term": {"id": "1.1"}}]}}}),
    ("/wazuh-alerts-*/_search", {"size": 10_001}),
    ("/wazuh-alerts-*/_search", {"size": 1, "from": 10_000}),
    ("/wazuh-alerts-*/_search", {"siz": 1}),
    ("/wazuh-alerts-*/_search", {"search_after": [1]}),
    ("/wazuh-alerts-*/_search", {"sort": _BY_TIME, "search_after": [1]}),
    ("/wazuh-alerts-*/_search", {"sort": _BY_TIME, "search_after": [1793534350000, "zzz"]}),
    ("/wazuh-alerts-*/_search", {"query": {"nothing": {}}}),
    ("/wazuh-alerts-*/_search", {"query": {"range": {"timestamp": {"since": 1}}}}),
    ("/wazuh-alerts-*/_search?routin=x", {}),
    ("/wazuh-none-*/_search", {}),
    ("/wazuh-none-*/_search?allow_no_indices=false", {}),
    ("/wazuh-alerts-4.x-2020.01.01/_search", {}),
    ("/wazuh-alerts-4.x-2020.01.01/_search?ignore_unavailable=true", {}),
    ("/wazuh-alerts-4.x-2020.01.01,wazuh-alerts-*/_search?ignore_unavailable=true", {"size": 0}),
)


def _answer(client: httpx.Client, path: str, body: Any) -> Any:
    """What tells a client how to go on; without a sort the order of hits is nobody's promise."""
    answer = client.post(path, json=body)
    said: Mapping[str, Any] = answer.json()
    if "error" in said:
        return answer.status_code, _cause(said["error"])
    hits = [[hit["_source"]["id"], hit["_source"]["manager"]["name"], hit.get("sort")] for hit in said["hits"]["hits"]]
    rows = hits if body and "sort" in body else sorted(hits, key=str)
    return answer.status_code, said["hits"].get("total"), said["_shards"]["failed"], said["timed_out"], rows


def _cause(error: Mapping[str, Any]) -> str:
    """The innermost type: OpenSearch wraps what a shard says."""
    causes = error.get("root_cause") or [error]
    return str(causes[0]["type"])


def test_the_simulated_indexer_answers_as_the_server_does(site: Site) -> None:
    site.raise_alerts(3)
    for node, level in (("node02", 3), (None, 15)):
        rule = {"level": level, "id": "1", "description": "x", "groups": ["x", "sysmon"]}
        source = site.put(rule=rule, cluster={"name": "wazuh", "node": node} if node else {"name": "wazuh"})
        site.simulator.ship(source)
    auth = (site.simulator.username, site.simulator.secret)
    with (
        serve(site.simulator) as served,
        httpx.Client(base_url=served.base_url, auth=auth) as one,
        httpx.Client(base_url=site.server.url) as other,
    ):
        # What the manager has written by now: asking the simulator makes it write, and the two must hold the same.
        one.post("/wazuh-alerts-*/_search")
        listings = [
            each for each in site.simulator.search.documents if each.source.get("location") == "nightdesk-firewall"
        ]
        site.server.index([(each.index, each.source) for each in listings])
        rows = [(asked, _answer(one, *asked), _answer(other, *asked)) for asked in _ASKED]
    differences = [f"{asked}\n  server    {told}\n  simulator {said}" for asked, said, told in rows if said != told]
    assert not differences, "\n".join(differences)


# Elastic's reader


def test_the_reader_for_elastic_does_not_take_this_for_elasticsearch(site: Site) -> None:
    given = {"elasticsearch_url": site.server.url, "kibana_url": site.server.url, "api_key": Secret.literal("key")}
    values = validate_settings(REGISTRY.manifest("elastic_security"), given, file="nightdesk.yaml", key="siem")

    async def drain() -> None:
        connector = Elastic(Context("acme", "siem", Settings(values), Network(timeout=30)))
        try:
            async for _ in connector.pull("alerts", None, limit=10):
                pass
        finally:
            await connector.aclose()

    # OpenSearch has its points in time elsewhere; past them the vendor's client would miss Elastic's name in answers.
    with pytest.raises(RejectedError, match=r"open point in time.*HTTP 400"):
        asyncio.run(drain())
