"""The TAXII connector against medallion, the reference server of OASIS, and the simulator held against what it answers.

taxii2-client, which the connector does not use, looks from outside.
"""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import stix2
from taxii2client.v21 import Collection
from tests.consumers import FOLDER, clean_environment, python_of

import nightdesk.connectors.taxii as package
from nightdesk.connectors.taxii import Connector
from nightdesk.connectors.taxii.payloads import COMMUNITY, stix_time
from nightdesk.connectors.taxii.simulator import Simulator
from nightdesk.hub.enrichment.config import IndicatorsConfig
from nightdesk.hub.enrichment.indicators import Indexer
from nightdesk.hub.enrichment.intel_index import IntelIndex
from nightdesk.hub.store import Store
from nightdesk.sdk.context import Context, Network, Settings, utc_now
from nightdesk.sdk.enrichment import IntelFact
from nightdesk.sdk.errors import AuthError, NotFoundError, ScopeError
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.records import Cursor, RawRecord
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.cases import an_entity

pytestmark = pytest.mark.slow
T = TypeVar("T")
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
MEDIA = "application/taxii+json;version=2.1"
MOST = 20
SHARED, OURS, CLOSED = (f"8d1f0c5e-6f0d-4a39-9e58-0d3f1f1c7a1{number}" for number in range(3))


@dataclass
class Site:
    """A running medallion, connectors to it, and other people's eyes and hands."""

    url: str

    def run(self, work: Callable[[Connector], Awaitable[T]], **changes: Any) -> T:
        async def once() -> T:
            given = {
                "base_url": f"{self.url}/acme",
                "collection": SHARED,
                "publish_collection": OURS,
                "username": "hub",
                "password": Secret.literal("secret"),
                **changes,
            }
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="taxii")
            connector = Connector(Context("acme", "taxii", Settings(values), Network(timeout=10)))
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def outside(self, collection: str) -> Collection:
        return Collection(f"{self.url}/acme/collections/{collection}/", user="hub", password="secret")

    def share(self, count: int, prefix: str = "1") -> list[str]:
        """Posts indicators in one request: they share one date_added."""
        made = [an_indicator(f"{prefix}{number:03d}") for number in range(count)]
        assert self.outside(SHARED).add_objects({"objects": made}).failure_count == 0
        return [one["id"] for one in made]

    def pages(self, cursor: Cursor | None = None, *, limit: int = 100) -> list[tuple[list[RawRecord], Cursor]]:
        async def all_of(connector: Connector) -> list[tuple[list[RawRecord], Cursor]]:
            found = []
            async for batch in connector.pull("objects", cursor, limit=limit):
                assert not batch.failures
                found.append((list(batch.records), json.loads(json.dumps(batch.cursor))))
            return found

        return self.run(all_of)

    def drain(self, cursor: Cursor | None = None, *, limit: int = 100) -> tuple[list[RawRecord], Cursor]:
        pages = self.pages(cursor, limit=limit)
        return [record for records, _ in pages for record in records], pages[-1][1]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with medallion(tmp_path) as url:
        yield Site(url)


@contextmanager
def medallion(folder: Path) -> Iterator[str]:
    rights = {SHARED: (True, True), OURS: (True, True), CLOSED: (True, False)}
    collections = [
        {
            "id": name,
            "title": name,
            "can_read": read,
            "can_write": write,
            "media_types": ["application/stix+json;version=2.1"],
            "objects": [],
            "manifest": [],
        }
        for name, (read, write) in rights.items()
    ]
    root = {"title": "Acme", "versions": [MEDIA], "max_content_length": 100_000_000}
    data = {
        "/discovery": {"title": "real", "default": "/acme/", "api_roots": ["/acme/"]},
        "acme": {"information": root, "status": [], "collections": collections},
    }
    backend = {
        "module": "medallion.backends.memory_backend",
        "module_class": "MemoryBackend",
        "filename": str(folder / "data.json"),
    }
    config = {"backend": backend, "users": {"hub": "secret"}, "taxii": {"max_page_size": MOST}}
    (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    command = [str(python_of("taxii")), str(FOLDER / "taxii_serve.py"), str(folder / "config.json")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=clean_environment(), text=True) as process,
    ):
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port, (folder / "log").read_text(encoding="utf-8")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def an_indicator(number: str, **changes: Any) -> dict[str, Any]:
    told = stix_time(utc_now() - timedelta(days=1))
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--00000000-0000-4000-8000-{number:>012}",
        "created_by_ref": COMMUNITY,
        "created": told,
        "modified": told,
        "pattern": f"[domain-name:value = 'bad{number}.example.com']",
        "pattern_type": "stix",
        "valid_from": told,
        **changes,
    }


def command(verb: str, about: str = "domain:bad.example.com", key: str = "key-1", **fields: Any) -> Command:
    target = Target.parse(f"indicator:{about}")
    return Command("acme", "action-1", verb, target, key, utc_now(), target.value, **fields)


def act(site: Site, wish: Command) -> Any:
    return site.run(lambda connector: connector.act(wish))


def effect(site: Site, wish: Command) -> Effect:
    return site.run(lambda connector: connector.read_back(wish)).effect


def test_what_was_posted_together_comes_out_once_in_any_page_size(site: Site) -> None:
    wanted = site.share(45)
    for limit in (2, 7, 20, 100):
        records, cursor = site.drain(limit=limit)
        assert [record.native_id for record in records] == wanted, limit
        again, _ = site.drain(cursor, limit=limit)
        assert again == [], limit


def test_payloads_are_the_objects_as_they_were_posted(site: Site) -> None:
    site.share(3)
    records, _ = site.drain(limit=2)
    for record in records:
        assert json.loads(record.payload) == site.outside(SHARED).get_object(record.native_id)["objects"][0]


def test_a_sweep_that_broke_off_after_any_page_loses_none_of_the_same_instant(site: Site) -> None:
    wanted = set(site.share(5))
    pages = site.pages(limit=2)
    assert len(pages) == 3
    stored: set[str] = set()
    for records, cursor in pages:
        stored |= {record.native_id for record in records}
        rest, _ = site.drain(cursor, limit=2)
        assert stored | {record.native_id for record in rest} == wanted
        assert not stored & {record.native_id for record in rest}


def test_what_is_added_or_revised_later_comes_next(site: Site) -> None:
    first = site.share(3)
    _, cursor = site.drain()
    (added,) = site.share(1, "2")
    revoked = an_indicator("1001", modified=stix_time(utc_now()), revoked=True)
    site.outside(SHARED).add_objects({"objects": [revoked]})
    records, cursor = site.drain(cursor)
    assert {record.native_id for record in records} == {added, first[1]}
    (version,) = [json.loads(record.payload) for record in records if record.native_id == first[1]]
    assert version["revoked"] is True
    assert site.drain(cursor)[0] == []


def test_only_the_types_that_are_wanted_are_read(site: Site) -> None:
    identity = {"type": "identity", "id": COMMUNITY, "name": "Community", "identity_class": "group"}
    times = {"spec_version": "2.1", "created": stix_time(utc_now()), "modified": stix_time(utc_now())}
    site.outside(SHARED).add_objects({"objects": [{**identity, **times}]})
    (indicator,) = site.share(1)
    assert [record.native_id for record in site.drain()[0]] == [indicator]

    async def everything(connector: Connector) -> set[str]:
        return {r.native_id async for batch in connector.pull("objects", None, limit=10) for r in batch.records}

    assert site.run(everything, types="") == {COMMUNITY, indicator}


def test_one_object_is_read_in_its_newest_version(site: Site) -> None:
    (native_id,) = site.share(1)
    newer = an_indicator("1000", modified=stix_time(utc_now()), name="newer")
    site.outside(SHARED).add_objects({"objects": [newer]})
    record = site.run(lambda connector: connector.read_one("objects", native_id))
    assert json.loads(record.payload)["name"] == "newer"
    with pytest.raises(NotFoundError):
        site.run(lambda connector: connector.read_one("objects", "indicator--00000000-0000-4000-8000-00000000dead"))


def test_published_is_stix_that_others_read_and_withdrawn_is_revoked(site: Site) -> None:
    end = stix_time(utc_now() + timedelta(days=30))
    said = {"name": "Beacon", "description": "seen 'here'", "confidence": 80, "tlp": "amber", "valid_until": end}
    wish = command("indicator.publish", parameters=said)
    assert effect(site, wish) is Effect.NOT_IN_EFFECT
    receipt = act(site, wish)
    assert effect(site, wish) is Effect.IN_EFFECT
    assert act(site, wish).changed is False
    (made,) = site.outside(OURS).get_object(receipt.native_action_id)["objects"]
    parsed = stix2.parse(made, version="2.1", allow_custom=False)
    assert parsed.pattern == "[domain-name:value = 'bad.example.com']"
    assert (made["name"], made["confidence"], made["valid_until"]) == ("Beacon", 80, end)
    author = site.outside(OURS).get_object(made["created_by_ref"])["objects"][0]
    assert stix2.parse(author, version="2.1").name == "nightdesk of acme"
    back = command("indicator.withdraw", key="key-2")
    act(site, back)
    assert (effect(site, back), effect(site, wish)) == (Effect.IN_EFFECT, Effect.NOT_IN_EFFECT)
    (revoked,) = site.outside(OURS).get_object(receipt.native_action_id)["objects"]
    assert revoked["revoked"] is True
    assert revoked["modified"] > made["modified"]
    anew = act(site, command("indicator.publish", key="key-3"))
    assert anew.native_action_id != receipt.native_action_id


def test_a_version_that_is_there_already_is_no_failure(site: Site) -> None:
    wish = command("indicator.publish")
    twice = site.run(lambda connector: asyncio.gather(connector.act(wish), connector.act(wish)))
    assert len({receipt.native_action_id for receipt in twice}) == 1
    versions = site.outside(OURS).object_versions(twice[0].native_action_id)["versions"]
    assert len(versions) == 1


def test_our_own_are_not_read_back_as_news(site: Site) -> None:
    act(site, command("indicator.publish"))

    async def own(connector: Connector) -> list[RawRecord]:
        return [record async for batch in connector.pull("objects", None, limit=10) for record in batch.records]

    assert site.run(own, collection=OURS) == []


def test_health_tells_what_the_account_may_not_do(site: Site) -> None:
    good = site.run(lambda connector: connector.check_health())
    assert (good.ok, good.problems) == (True, ())
    bad = site.run(lambda connector: connector.check_health(), publish_collection=CLOSED)
    assert not bad.ok
    assert "can_write" in bad.problems[0]
    with pytest.raises(ScopeError):
        site.run(lambda connector: connector.act(command("indicator.publish")), publish_collection=CLOSED)
    with pytest.raises(AuthError):
        site.run(lambda connector: connector.read_one("objects", "indicator--x"), password=Secret.literal("wrong"))


def test_the_simulator_answers_as_the_real_server(site: Site) -> None:
    site.share(3)
    simulator = Simulator(secret="secret")
    simulator.username = "hub"
    simulator.shared.put([an_indicator(f"1{number:03d}") for number in range(3)])
    names = {SHARED: simulator.shared.collection_id, CLOSED: simulator.shared.collection_id}
    with serve(simulator) as served:
        real = [(one, _answer(site.url, one, {})) for one in _ASKED]
        simulated = [(one, _answer(served.base_url, one, names)) for one in _ASKED]
    assert [pair for pair in zip(simulated, real, strict=True) if pair[0] != pair[1]] == []


_OBJECTS = f"/acme/collections/{SHARED}/objects/"
_ASKED: tuple[dict[str, Any], ...] = (
    {"path": "/acme/", "user": ""},
    {"path": "/acme/", "accept": "*/*"},
    {"path": "/acme/", "accept": "application/taxii+json;version=2.0"},
    {"path": "/acme/"},
    {"path": "/acme"},
    {"path": "/nobody/"},
    {"path": f"/acme/collections/{SHARED}/"},
    {"path": "/acme/collections/nothing/"},
    {"path": _OBJECTS, "query": "limit=0"},
    {"path": _OBJECTS, "query": "limit=-1"},
    {"path": _OBJECTS, "query": "limit=x"},
    {"path": _OBJECTS, "query": "limit=2"},
    {"path": _OBJECTS, "query": "limit=100"},
    {"path": _OBJECTS, "query": "limit=2&next=nothing"},
    {"path": _OBJECTS, "query": "added_after=yesterday"},
    {"path": _OBJECTS, "query": "added_after=2090-01-01T00:00:00.000000Z"},
    {"path": _OBJECTS, "query": "match%5Btype%5D=malware"},
    {"path": f"{_OBJECTS}indicator--00000000-0000-4000-8000-000000001001/"},
    {"path": f"{_OBJECTS}indicator--nothing/"},
    {"path": f"/acme/collections/{SHARED}/manifest/"},
    {"path": f"/acme/collections/{CLOSED}/objects/", "post": {"objects": []}},
    {"path": f"/acme/collections/{CLOSED}/objects/", "post": {"objects": []}, "content": "application/json"},
    {"path": "/acme/status/nothing/"},
)


def _answer(url: str, asked: dict[str, Any], names: dict[str, str]) -> tuple[Any, ...]:
    """Status, media type, the keys and the number of objects, and which of the standard's headers came."""
    path = asked["path"]
    for ours, theirs in names.items():
        path = path.replace(ours, theirs)
    answer = httpx.request(
        "POST" if "post" in asked else "GET",
        f"{url}{path}" + (f"?{asked['query']}" if "query" in asked else ""),
        auth=(asked.get("user", "hub"), "secret"),
        headers={"Accept": asked.get("accept", MEDIA), "Content-Type": asked.get("content", MEDIA)},
        content=json.dumps(asked["post"]).encode() if "post" in asked else None,
    )
    media = answer.headers.get("content-type", "").partition(";")[0]
    if media != "application/taxii+json":
        return (answer.status_code, *((media,) if answer.status_code != 308 else ()))
    body = answer.json()
    dated = sorted(name for name in answer.headers if name.startswith("x-taxii"))
    if answer.is_success and "objects" in body:
        return answer.status_code, sorted(body), len(body["objects"]), body.get("more"), dated
    return answer.status_code, sorted(body) if answer.is_success and body else (), dated


def test_a_tenants_index_is_brought_up_to_date_from_a_real_collection(site: Site, tmp_path: Path) -> None:
    """What a stranger posted, over more pages than one, is found by its value; what they revoked is not."""
    site.share(MOST + 5)
    wide = an_indicator("9001", pattern="[ipv4-addr:value ISSUBSET '198.51.100.0/24']", confidence=60)
    dear = an_indicator("9002", pattern="[url:value MATCHES '^(a+)+$']")
    site.outside(SHARED).add_objects({"objects": [wide, dear]})
    store = Store.open(f"sqlite:///{tmp_path}/nightdesk.db")
    config = IndicatorsConfig(kind="indicators", connector="feed")

    def poll() -> Indexer:
        async def once(connector: Connector) -> Indexer:
            made = Indexer("acme", "intel", config, MANIFEST, lambda: connector, store, utc_now)
            await made.poll()
            return made

        return site.run(once)

    def hits(key: str) -> list[IntelFact]:
        entity = an_entity(key)
        told = IntelIndex("intel", config, store).know("acme", [entity], utc_now())[entity.key]
        return [fact for fact in told.facts if isinstance(fact, IntelFact)]

    try:
        assert len(poll().aside) == 1
        assert all(hits(f"domain:bad1{number:03d}.example.com") for number in range(MOST + 5))
        assert [fact.confidence for fact in hits("address:198.51.100.9")] == [60]
        assert hits("address:198.51.101.9") == []
        revoked = an_indicator("1000", modified=stix_time(utc_now()), revoked=True)
        site.outside(SHARED).add_objects({"objects": [revoked]})
        poll()
        assert hits("domain:bad1000.example.com") == []
        assert hits("domain:bad1001.example.com")
    finally:
        store.close()
