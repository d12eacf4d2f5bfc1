import json
from pathlib import Path
from typing import Any

import pytest
from tests.playbooks import a_document, do, end, isolate, start

from nightdesk.autonomy.playbooks.library import Library, bundled, parse, read_files
from nightdesk.sdk.errors import ConfigError, UnsupportedError

STEPS = {"start": start("a"), "a": do(isolate(), on_completion="b"), "b": end()}


def _parse(**changes: Any) -> dict[str, str]:
    """Pointer and message of everything wrong with the document so changed."""
    document = {**a_document(STEPS), **changes}
    with pytest.raises(ConfigError) as error:
        parse(json.dumps(document).encode(), "a.json")
    assert {one.file for one in error.value.problems} == {"a.json"}
    return {one.key: one.message for one in error.value.problems}


def test_every_fault_of_shape_is_told_at_once_with_its_place() -> None:
    document = a_document(STEPS)
    step = next(name for name, body in document["workflow"].items() if body["name"] == "a")
    document["workflow"][step] |= {"delay": -1, "shell": True}
    found = _parse(workflow=document["workflow"], type="recipe", priority=101)
    assert found.keys() == {"/type", "/priority", f"/workflow/{step}/delay", f"/workflow/{step}/shell"}
    assert found[f"/workflow/{step}/shell"] == "is no property of CACAO 2.0 here"


def test_a_step_type_that_the_standard_lacks_is_named() -> None:
    document = a_document(STEPS)
    step = next(name for name, body in document["workflow"].items() if body["name"] == "a")
    document["workflow"][step]["type"] = "goto"
    assert _parse(workflow=document["workflow"]) == {f"/workflow/{step}": "is no step type of CACAO 2.0"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "is no JSON"),
        (b"[" * 200_000, "is no JSON"),
        (b" " * 1_000_001, "at most 1000000"),
        (b"[]", "valid dictionary"),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(data, "a.json")
    assert said in str(error.value)


def test_all_files_are_read_before_anything_is_said(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps(a_document(STEPS)))
    (tmp_path / "same.json").write_text(json.dumps(a_document(STEPS)))
    (tmp_path / "wrong.json").write_text("{")
    with pytest.raises(ConfigError) as error:
        read_files([tmp_path, tmp_path / "missing.json"])
    said = {Path(one.file).name: one.message for one in error.value.problems}
    assert said.keys() == {"same.json", "wrong.json", "missing.json"}
    assert "is the id of" in said["same.json"]


def test_a_playbook_is_found_by_id_and_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(a_document(STEPS)))
    library = read_files([tmp_path], beside=bundled())
    mine = library.find("mine")
    assert library.find(mine.id) is mine
    assert library.get("nothing") is None
    assert library.name_of(mine.id) == "mine"
    with pytest.raises(
        UnsupportedError, match=r"no playbook .nothing.; there are beaconing-host, .*mine, .*ransomware-host"
    ):
        library.find("nothing")


def test_the_bundled_ones_are_in_order() -> None:
    assert len(bundled().playbooks) == 5
    assert bundled().problems() == []


def test_no_word_hides_in_base64() -> None:
    """Law 9: a vendor's name in a command is found as one in a description is."""
    book = parse(
        json.dumps(a_document({**STEPS, "a": do(isolate("acme-edr-console"), on_completion="b")})).encode(), "a"
    )
    library = Library({book.id: book}, {book.id: "a.json"})
    assert "acme_edr" in library.problems(unnamed={"acme_edr", "other"})[0].message
    assert library.problems(unnamed={"acme_edr_console_x", "edrs"}) == []
