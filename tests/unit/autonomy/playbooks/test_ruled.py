import pytest
from tests.playbooks import a_playbook, do, end, isolate, ref, start, var
from tests.ruled import BOOK, policy_for

from nightdesk.autonomy.playbooks.content import content_of
from nightdesk.autonomy.playbooks.library import Library
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.ruled import playbook_problems
from nightdesk.autonomy.policy_file import parse_policy


def problems(policy: bytes, *books: Playbook) -> dict[str, str]:
    library = Library({book.id: book for book in books}, {book.id: f"{book.name}.json" for book in books})
    found = playbook_problems(parse_policy(policy, file="p.yaml"), library, file="p.yaml")
    assert {one.file for one in found} <= {"p.yaml"}
    return {one.key: one.message for one in found}


def test_a_rule_that_fits_its_playbook_has_none() -> None:
    assert problems(policy_for(inputs={"__host__": "victim-host"}), BOOK) == {}


def test_a_missing_playbook_is_named_with_those_there_are() -> None:
    other = a_playbook({"start": start("z"), "z": end()}, name="other")
    found = problems(policy_for(), other)
    assert found["rules[0].then.playbook.id"].startswith(f"no playbook {BOOK.id}; there are other ({other.id})")


def test_a_changed_playbook_is_told_with_its_new_hash() -> None:
    changed = BOOK.model_copy(update={"description": "new"})
    said = problems(policy_for(), changed)["rules[0].then.playbook.sha256"]
    assert content_of(changed, {}) in said
    assert "signed again" in said


def test_an_unsound_playbook_is_told() -> None:
    broken = a_playbook({"start": start("a"), "a": do(isolate("__x__:value"), on_completion="z"), "z": end()}, name="b")
    assert "not sound" in problems(policy_for(broken), broken)["rules[0].then.playbook.id"]


@pytest.mark.parametrize(
    ("name", "word", "words"),
    [
        ("__colour__", "host", "is no input of contain; it has __host__"),
        ("__host__", "account", "takes a host, and account is none"),
        ("__host__", "attacker-address", "takes a host, and attacker-address is none"),
    ],
)
def test_an_input_that_does_not_fit_is_told(name: str, word: str, words: str) -> None:
    assert problems(policy_for(inputs={name: word}), BOOK) == {f"rules[0].then.playbook.inputs.{name}": words}


def test_what_the_case_gives_by_itself_is_not_chosen() -> None:
    book = a_playbook(
        {"start": start("z"), "z": end()},
        variables={"__case__": var(external=True)},
        header={"inputs": {"__case__": "case"}},
        name="c",
    )
    assert problems(policy_for(book, inputs={"__case__": "host"}), book) == {
        "rules[0].then.playbook.inputs.__case__": "is the case by itself: remove it"
    }


def test_the_hash_is_of_the_content_and_of_all_that_is_called() -> None:
    again = Playbook.model_validate_json(BOOK.model_dump_json())
    assert content_of(again, {}) == content_of(BOOK, {})
    step = ref("action", "contain/tell")
    slower = {**BOOK.workflow, step: BOOK.workflow[step].model_copy(update={"delay": 1})}
    assert content_of(BOOK.model_copy(update={"workflow": slower}), {}) != content_of(BOOK, {})
    other = a_playbook({"start": start("z"), "z": end()}, name="other")
    assert content_of(BOOK, {other.id: other}) != content_of(BOOK, {})
