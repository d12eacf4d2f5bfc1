import gzip
import zlib
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from sqlalchemy.exc import OperationalError

from nightdesk.hub.api import bodies
from nightdesk.hub.store.intake import waiting
from nightdesk.hub.store.ledger import audit_ledger, ledger
from nightdesk.hub.store.quarantine import listed, one
from nightdesk.sdk.errors import AuthError, MappingError
from nightdesk.sdk.records import Batch, RawRecord


@pytest.fixture
def furnished(hub: Any) -> Any:
    hub.receivers[("north", "edr-main")] = (object(), "detections", "acme_edr")
    return hub


@pytest.fixture
def site(stage: Any, furnished: Any) -> Any:
    return stage.site(furnished)


def _waiting(hub: Any) -> list[Any]:
    with hub.store.read() as conn:
        return waiting(conn, limit=1000)


def _aside(hub: Any, tenant: str = "north") -> list[Any]:
    with hub.store.read() as conn:
        return [one(conn, tenant, row.seq) for row in listed(conn, tenant)]


def test_pushed_records_are_stored_verbatim_under_the_tenant_of_the_token(site: Any, furnished: Any) -> None:
    answer = site.post("/v1/ingest/edr-main", "north-feed", content=b'[{"id": 1},{"id": 2}]')
    assert answer.status_code == 200
    assert answer.json() == {"received": 2, "duplicate": 0, "quarantined": 0, "waiting": 2}
    rows = _waiting(furnished)
    assert [(row.tenant, row.instance, row.stream, row.product, row.payload) for row in rows] == [
        ("north", "edr-main", "detections", "acme_edr", b'{"id": 1}'),
        ("north", "edr-main", "detections", "acme_edr", b'{"id": 2}'),
    ]
    assert furnished.woken == 1


def test_the_same_push_again_is_all_duplicates(site: Any) -> None:
    site.post("/v1/ingest/edr-main", "north-feed", content=b'{"id": 1}')
    answer = site.post("/v1/ingest/edr-main", "north-feed", content=b'{"id": 1}')
    assert answer.json() == {"received": 1, "duplicate": 1, "quarantined": 0, "waiting": 0}


def test_a_truncated_body_is_kept_with_its_offset_and_the_sender_is_told(site: Any, furnished: Any) -> None:
    answer = site.post("/v1/ingest/edr-main", "north-feed", content=b'{"id": 1}\n{"id": 2, "title": "tru')
    assert answer.status_code == 200
    body = answer.json()
    assert (body["received"], body["waiting"], body["quarantined"]) == (2, 1, 1)
    assert body["problems"][0]["where"] == "@10"
    aside = _aside(furnished)
    assert [(row.payload, row.pointer) for row in aside] == [(b'{"id": 2, "title": "tru', "@10")]
    with furnished.store.read() as conn:
        assert audit_ledger(conn) == []


def test_a_gzip_body_is_unpacked(site: Any, furnished: Any) -> None:
    packed = gzip.compress(b'{"id": 1}\n') + gzip.compress(b'{"id": 2}\n')
    headers = {"Content-Encoding": "gzip"}
    assert site.post("/v1/ingest/edr-main", "north-feed", content=packed, headers=headers).json()["waiting"] == 2
    assert [row.payload for row in _waiting(furnished)] == [b'{"id": 1}', b'{"id": 2}']


@pytest.mark.parametrize("damage", [lambda data: data[:-12], lambda data: data[:20] + b"\0\0\0\0" + data[24:]])
def test_a_damaged_gzip_body_is_kept_as_it_was_sent(site: Any, furnished: Any, damage: Any) -> None:
    sent = damage(gzip.compress(b'{"id": "' + bytes(range(65, 91)) * 40 + b'"}'))
    answer = site.post("/v1/ingest/edr-main", "north-feed", content=sent, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["quarantined"]) == (200, 1)
    assert [row.payload for row in _aside(furnished)] == [sent]


def test_a_gzip_bomb_is_refused_at_the_limit_and_nothing_is_stored(
    site: Any, furnished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join([bomb.compress(b" " * (1 << 20)) for _ in range(80)]) + bomb.flush()
    assert len(packed) < 100_000 < bodies.MAX_BODY < 80 << 20
    answer = site.post("/v1/ingest/edr-main", "north-feed", content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert "smaller parts" in answer.json()["what_to_do"]
    with furnished.store.read() as conn:
        assert ledger(conn) == []


def test_a_body_over_the_limit_is_refused_by_what_arrives_and_not_by_what_is_declared(site: Any) -> None:
    part = b" " * (1 << 20)

    async def endless() -> Any:
        for _ in range(65):
            yield part

    answer = site.post("/v1/ingest/edr-main", "north-feed", content=endless())
    assert answer.status_code == 413


def test_another_encoding_is_refused(site: Any) -> None:
    answer = site.post("/v1/ingest/edr-main", "north-feed", content=b"x", headers={"Content-Encoding": "br"})
    assert answer.status_code == 415


def test_an_empty_body_is_refused(site: Any) -> None:
    answer = site.post("/v1/ingest/edr-main", "north-feed", content=b" \n")
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:nightdesk:problem:empty-body")


@pytest.mark.parametrize(
    ("token", "status"), [("", 401), ("wrong", 401), ("north-viewer", 403), ("south-feed", 404), ("north-bound", 403)]
)
def test_only_a_delivering_token_of_the_instances_tenant_may_push(
    site: Any, furnished: Any, token: str, status: int
) -> None:
    answer = site.post("/v1/ingest/edr-main", token, content=b'{"id": 1}')
    assert answer.status_code == status
    problem = answer.json()
    assert {"type", "title", "status", "detail", "where", "what_to_do"} == set(problem)
    assert _waiting(furnished) == []


def test_an_unknown_path_is_a_problem_too(site: Any) -> None:
    answer = site.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["what_to_do"]


class _Pushed:
    """A connector that cuts its own bodies."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Mapping[str, str], bytes]] = []

    def receive(self, stream: str, headers: Mapping[str, str], body: bytes) -> Batch:
        self.seen.append((stream, headers, body))
        if headers.get("x-signature") == "wrong":
            raise AuthError("the signature does not match", vendor="acme_edr")
        if body.startswith(b"<"):
            raise MappingError("this is XML", pointer="@0")
        return Batch([RawRecord(body, "key-1", "det-1")], None)


def test_a_connector_that_receives_gets_the_unpacked_body_without_packing_headers(site: Any, furnished: Any) -> None:
    connector = _Pushed()
    furnished.receivers[("north", "hook")] = (connector, "webhook", "acme_edr")
    body = gzip.compress(b'{"id": 1}')
    site.post("/v1/ingest/hook", "north-feed", content=body, headers={"Content-Encoding": "gzip", "X-Acme": "7"})
    stream, headers, seen = connector.seen[0]
    assert (stream, seen, headers["x-acme"]) == ("webhook", b'{"id": 1}', "7")
    assert not {"content-encoding", "content-length"} & set(headers)
    assert [row.key for row in _waiting(furnished)] == ["key-1"]


def test_what_a_connector_cannot_read_is_kept_whole(site: Any, furnished: Any) -> None:
    furnished.receivers[("north", "hook")] = (_Pushed(), "webhook", "acme_edr")
    answer = site.post("/v1/ingest/hook", "north-feed", content=b"<alert/>")
    assert answer.json()["quarantined"] == 1
    assert [(row.payload, "this is XML" in row.reason) for row in _aside(furnished)] == [(b"<alert/>", True)]


def test_a_connector_may_refuse_the_sender(site: Any, furnished: Any) -> None:
    furnished.receivers[("north", "hook")] = (_Pushed(), "webhook", "acme_edr")
    answer = site.post("/v1/ingest/hook", "north-feed", content=b"{}", headers={"X-Signature": "wrong"})
    assert answer.status_code == 401
    assert _waiting(furnished) == []


def test_a_store_that_is_busy_asks_the_sender_to_come_back(
    site: Any, furnished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_work: Any) -> Any:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    monkeypatch.setattr(furnished.store, "transact", locked)
    answer = site.post("/v1/ingest/edr-main", "north-feed", content=b'{"id": 1}')
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "database is locked" not in answer.text
    assert furnished.woken == 0


def test_the_description_of_the_api_names_the_endpoint(site: Any) -> None:
    described = orjson.loads(site.get("/v1/openapi.json").content)
    assert "/v1/ingest/{connector}" in described["paths"]
    assert not [path for path in described["paths"] if path.startswith("/console")]
