"""Secrets of a run by the names of their variables: hidden in their place, masked wherever else they are told."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.playbooks import a_playbook, end, manual, start, var

from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.autonomy.playbooks.run import Run
from nightdesk.autonomy.playbooks.standing import begin
from nightdesk.hub.console.veil import Veil, is_secret

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def a_run(**values: str) -> Run:
    names = {f"__{name}__": var(value=value) for name, value in values.items()}
    book = a_playbook({"start": start("a"), "a": manual(on_completion="z"), "z": end()}, variables=names)
    facts: dict[str, Any] = {"tenant": "acme", "run_id": "run-1", "case_id": "c", "started_by": "ann"}
    return begin(book, {}, **facts, variables={}, now=NOW)


@pytest.mark.parametrize("name", ["__password__", "__API_KEY__", "__clientSecret__", "__bearer-token__", "__db_pwd__"])
def test_a_name_tells_a_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["__host__", "__access_key_id__", "__case__", "__key_name__", "__passenger__"])
def test_other_names_tell_none(name: str) -> None:
    assert not is_secret(name)


def test_a_secret_is_masked_in_every_text_and_spelling() -> None:
    veil = Veil(a_run(password='a"b c/ü', host="ws-0042"))
    assert veil.text('it is a"b c/ü, or a%22b%20c%2F%C3%BC, or a\\"b c/\\u00fc') == "it is ***, or ***, or ***"
    assert veil.variables({"__host__": "ws-0042", "__password__": "x", "__other__": "", "__said__": 'a"b c/ü'}) == [
        ("__host__", "ws-0042"),
        ("__other__", "–"),
        ("__password__", "(hidden: a secret by its name)"),
        ("__said__", "***"),
    ]


def test_a_secret_in_a_longer_one_leaves_no_rest_of_it() -> None:
    assert Veil(a_run(token="abcd", secret="abcdefgh")).text("abcdefgh abcd") == "*** ***"


def test_what_is_too_short_to_look_for_is_hidden_in_its_own_place() -> None:
    veil = Veil(a_run(password="a"))
    assert veil.text("an apple") == "an apple"
    assert veil.variables({"__password__": "a"}) == [("__password__", "(hidden: a secret by its name)")]


def test_the_value_that_a_variable_has_by_now_is_one_as_well() -> None:
    run = a_run(token="first-one")
    veil = Veil(replace(run, variables={"0": {"__token__": "second-one"}, "0.1": {"__token__": "third-one"}}))
    assert veil.text("first-one second-one third-one") == "*** *** ***"


def test_no_bundled_playbook_has_its_targets_hidden() -> None:
    assert not [name for book in bundled().playbooks.values() for name in book.playbook_variables if is_secret(name)]
