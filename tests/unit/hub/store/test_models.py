"""Stored models: what is in use, what became of each, and the alarms about them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from nightdesk.autonomy.learned.artefact import ANYBODY, Claim, Learned
from nightdesk.autonomy.learning.catalogue import NAMES
from nightdesk.autonomy.learning.champion import Entry, Standing
from nightdesk.autonomy.learning.priors import Fleet
from nightdesk.autonomy.learning.tables import Line, Platt, Steps, Tables
from nightdesk.autonomy.levels.gate import Certificate
from nightdesk.hub.store import Store, audit, models
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.testing.cases import CASE_TIME

_NOTHING = (0.0,) * len(NAMES)
_TABLES = Tables(
    -1.5,
    tuple(Steps(name, (1.0,), (-0.1, 0.2), 0.0, 2.0, 1.0) for name in NAMES),
    Line(0.0, _NOTHING, _NOTHING, (1.0,) * len(NAMES)),
    Platt(),
    Platt(),
)
_CERTIFICATE = Certificate(-4.0, 7, 320, 0, 0.01, 0.05)
_CLAIM = Claim(_CERTIFICATE, _CERTIFICATE, {"edr/r": _CERTIFICATE}, frozenset({"edr/busy"}), 0, "enough")
_LEARNED = Learned(
    _TABLES,
    Fleet({"edr/r": {"acme": [1, 2]}}, {}, {}),
    {ANYBODY: _CLAIM, "acme": _CLAIM},
    (1.0, 2.5),
    {"acme": {"alerts": ((1.0,), (3, 4))}},
    {"groups": 7.0},
)


def _kept(store: Store, standing: Standing = Standing.CHALLENGER) -> Entry:
    entry = Entry(_LEARNED.model_id, CASE_TIME, standing, "", CASE_TIME, "in shadow")
    with store.begin() as conn:
        models.keep(conn, entry, _LEARNED)
    return entry


def test_a_model_is_read_back_as_it_was(store: Store) -> None:
    entry = _kept(store)
    with store.read() as conn:
        assert models.learned(conn, entry.model_id) == _LEARNED
        assert models.entries(conn) == [entry]
        assert models.in_use(conn) is None
        assert models.champion(conn) is None
        assert models.newest_training(conn) == CASE_TIME


def test_what_becomes_of_it_stands_in_the_audit(store: Store) -> None:
    entry = replace(_kept(store), standing=Standing.CHAMPION, reason="closes more")
    with store.begin() as conn:
        models.restate(conn, entry, at=CASE_TIME + timedelta(days=1))
    with store.read() as conn:
        assert models.in_use(conn) == (entry.model_id, CASE_TIME)
        assert models.champion(conn) == (entry, _LEARNED)
        (line,) = audit.entries(conn, models.FLEET, limit=10)
    assert (line.event, line.detail["reason"]) == ("model.champion", "closes more")


def test_another_content_or_none_is_refused(store: Store) -> None:
    entry = _kept(store)
    with store.read() as conn:
        stored = models.body(conn, entry.model_id)
        with pytest.raises(ConfigError, match="is not stored"):
            models.learned(conn, "0" * 64)
    with pytest.raises(ConfigError, match="is not what its name says"):
        models.read("0" * 64, stored)
    with pytest.raises(ConfigError, match="no learnt model"):
        models.read(entry.model_id, b'{"learned": {}}')


def test_alarms_are_of_one_tenant_and_news_once(store: Store) -> None:
    with store.begin() as conn:
        assert models.ring(conn, "acme", {"": ["b", "a"], "edr/r@-": []}, at=CASE_TIME)
        assert not models.ring(conn, "acme", {"": ["a", "b"]}, at=CASE_TIME)
        assert models.alarms(conn, "acme") == {"": ["a", "b"]}
        assert models.alarms(conn, "zeta") == {}
        assert models.ring(conn, "acme", {}, at=CASE_TIME)
        assert [one.event for one in audit.entries(conn, "acme", limit=10)] == ["model.alarms", "model.alarms"]
