import re
from collections import Counter
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.playbooks import a_playbook, do, end, isolate, manual, openc2, start, var
from tests.unit.autonomy.playbooks.test_random_workflows import worlds

from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.autonomy.playbooks.model import EXTENSION, Playbook
from nightdesk.autonomy.playbooks.soundness import faults_in
from nightdesk.hub.console.flow import Flow, lay_flow
from nightdesk.hub.console.flow_drawing import draw_flow, in_words
from nightdesk.hub.console.flow_shapes import Box, Line
from nightdesk.hub.console.flow_words import OUTCOMES, Standing

Rect = tuple[int, int, int, int]


def rect(box: Box) -> Rect:
    return box.x, box.y, box.x + box.width, box.y + box.height


def meet(one: Rect, other: Rect) -> bool:
    """Whether their insides have anything in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def within(inner: Rect, outer: Rect) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def points(line: Line) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for letter, first, second in re.findall(r"([MVH])(-?\d+)(?: (-?\d+))?", line.path):
        x, y = found[-1] if found else (0, 0)
        found.append({"M": (int(first), int(second or 0)), "H": (int(first), y), "V": (x, int(first))}[letter])
    return found


def crosses(one: tuple[int, int], other: tuple[int, int], box: Rect) -> bool:
    """Whether that piece of a line runs through the inside of the box."""
    low_x, high_x = sorted((one[0], other[0]))
    low_y, high_y = sorted((one[1], other[1]))
    return (
        low_x < box[2]
        and box[0] < high_x + (low_x == high_x)
        and low_y < box[3]
        and box[1] < high_y + (low_y == high_y)
        and not (low_x == high_x and low_x in {box[0], box[2]})
        and not (low_y == high_y and low_y in {box[1], box[3]})
    )


def check(book: Playbook) -> Flow:
    flow = lay_flow(book)
    solid = [box for box in flow.boxes if box.shape != "frame"]
    frames = [rect(box) for box in flow.boxes if box.shape == "frame"]
    assert Counter(box.step for box in solid if box.step) == Counter(dict.fromkeys(book.workflow, 1))
    for one, other in combinations([rect(box) for box in solid], 2):
        assert not meet(one, other)
    for one, other in combinations(frames, 2):
        assert not meet(one, other) or within(one, other) or within(other, one)
    for line in flow.lines:
        way = points(line)
        for here, there in pairwise(way):
            assert here[0] == there[0] or here[1] == there[1]
            assert not [box for box in solid if crosses(here, there, rect(box))], (line, book.name)
            for frame in frames:
                ours = any(within((x, y, x, y), frame) for x, y in (way[0], way[-1]))
                assert ours or not crosses(here, there, frame), (line, frame)
    for box in flow.boxes:
        assert within(rect(box), (0, 0, flow.width, flow.height))
    for x, y in (point for line in flow.lines for point in points(line)):
        assert within((x, y, x, y), (0, 0, flow.width, flow.height))
    for name in flow.names:
        # At the letters' usual width; the browser's test asks for the real one.
        assert name.x + 7 * len(name.text) <= flow.width
    return flow


@pytest.mark.parametrize("book", bundled().playbooks.values(), ids=lambda book: book.name)
def test_a_bundled_playbook_is_drawn_without_a_line_through_a_box(book: Playbook) -> None:
    flow = check(book)
    assert flow == lay_flow(book), "and the same each time"
    assert len(flow.lines) >= len(book.workflow) - 2


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_so_is_any_sound_one(world: tuple[Playbook, dict[str, Any]]) -> None:
    check(world[0])


@st.composite
def tangled(draw: st.DrawFn) -> Playbook:
    """Sound playbooks whose failures lead to steps of their own, these to others, back, or to ends of their own."""
    steps: dict[str, dict[str, Any]] = {}

    def step(depth: int) -> dict[str, Any]:
        kind = draw(st.sampled_from(["do", "do", "manual", "if", "parallel"] if depth < 2 else ["do", "manual"]))
        if kind == "if":
            return {"type": "if-condition", "condition": "__word__:value = 'a'", "on_true": branch(depth + 1)}
        if kind == "parallel":
            return {"type": "parallel", "next_steps": [branch(depth + 1) for _ in range(draw(st.integers(2, 3)))]}
        return do(isolate()) if kind == "do" else manual()

    def named(body: dict[str, Any]) -> str:
        steps[f"s{len(steps)}"] = body
        return f"s{len(steps) - 1}"

    def branch(depth: int) -> str:
        straight = [named(step(depth)) for _ in range(draw(st.integers(1, 4)))] + [named(end())]
        for here, there in pairwise(straight):
            steps[here]["on_success"] = there
        place: dict[str, float] = {name: number for number, name in enumerate(straight)}
        for number in range(draw(st.integers(0, 4))):
            free = [name for name in place if steps[name]["type"] != "end" and "on_failure" not in steps[name]]
            if not free:
                break
            before = draw(st.sampled_from(free))
            mine = place[before] + 0.4 + number / 100
            side = named(step(depth))
            steps[before]["on_failure"] = side
            later = [name for name, at in place.items() if at > mine]
            steps[side]["on_success"] = draw(st.sampled_from([*later, ""])) or named(end())
            place[side] = mine
            others = [name for name in free if place[name] < mine and "on_failure" not in steps[name]]
            also: bool = draw(st.booleans())
            if others and also:
                steps[draw(st.sampled_from(others))]["on_failure"] = side
        return straight[0]

    steps["start"] = start(branch(0))
    return a_playbook(steps, variables={"__word__": var(value="a")})


@settings(max_examples=120, deadline=None)
@given(tangled())
def test_so_is_one_whose_failures_lead_all_over(book: Playbook) -> None:
    assert faults_in(book, lambda _: None) == []
    check(book)


EVERYTHING = a_playbook(
    {
        "start": start("call"),
        "call": {
            "type": "playbook-action",
            "playbook_id": bundled().find("stolen-credential").id,
            "in_args": ["__word__"],
            "on_success": "loop",
            "on_failure": "hand",
        },
        "hand": manual("by <hand>", settings={"answers": ["yes", "no"]}, on_completion="loop"),
        "loop": {
            "type": "while-condition",
            "condition": "__word__:value = 'a'",
            "on_true": "again",
            "step_extensions": {EXTENSION: {"at_most": 7}},
            "on_completion": "which",
        },
        "again": do(isolate(), openc2("scan", {"device": {"hostname": "x"}}), on_completion="again-end"),
        "again-end": end(),
        "which": {"type": "switch-condition", "switch": "__word__:value", "cases": {"<b>": "b"}, "on_completion": "z"},
        "b": end(),
        "z": end(),
    },
    variables={"__word__": var(value="a")},
    name="<script>alert(1)</script>\u202e",
)


def test_every_kind_of_step_has_its_words() -> None:
    drawing = draw_flow(EVERYTHING)
    said = {piece.label: (piece.caption, piece.style) for piece in drawing.pieces}
    assert said == {
        "call": ("Another playbook", "choice"),
        "hand": ("A person", "person"),
        "loop": ("As long as", "choice"),
        "again": ("Isolate host and 1 more · R2", "deed"),
        "which": ("Which", "choice"),
    }
    assert {name.text for name in drawing.names} == {"again, 7 times at most", "if so", "if <b>", "otherwise"}
    assert [line.style for line in drawing.lines].count("failed") == 1
    assert [line.style for line in drawing.lines].count("again") == 1
    tips = {piece.label: piece.full for piece in drawing.pieces}
    assert tips["hand"] == "A person: hand (by <hand>) [yes | no]"
    assert "\u202e" not in drawing.summary
    (link,) = [piece.link for piece in drawing.pieces if piece.link]
    assert link == f"/console/playbooks/books/{bundled().find('stolen-credential').id}"


@pytest.mark.parametrize(
    ("path", "tip"),
    [
        ("M10 0V50", "M10 50L6 42H14z"),
        ("M10 0V30H60V90", "M60 90L56 82H64z"),
        ("M10 90V40H80", "M80 40L72 36V44z"),
        ("M90 90V40H20", "M20 40L28 36V44z"),
    ],
)
def test_a_way_ends_in_an_arrow_that_points_where_it_leads(path: str, tip: str) -> None:
    assert Line(path, "").tip == tip


def test_a_run_shows_how_each_step_stands_and_which_nobody_came_to() -> None:
    step = next(key for key, one in EVERYTHING.workflow.items() if one.name == "hand")
    waits = Standing("Waits for an answer", "warn", "!")
    drawing = draw_flow(EVERYTHING, {step: waits}, of_run=True)
    styles = {piece.label: piece.style for piece in drawing.pieces}
    assert (styles["hand"], styles["again"]) == ("person warn", "deed untouched")
    assert "Waiting or in doubt: hand." in drawing.summary
    (sentence,) = [one for one in in_words(EVERYTHING, {}, {step: waits}) if one.standing]
    assert (sentence.name, sentence.when, sentence.text) == ("hand", "if call fails", "by <hand> [yes | no]")


def test_every_outcome_of_a_step_has_a_word() -> None:
    from nightdesk.autonomy.playbooks.effects import _FAILED
    from nightdesk.autonomy.playbooks.run import OUTCOMES as GOOD

    words = {*GOOD, *_FAILED.values(), "refused", "undone", "not-done", "timed-out", "abandoned", "done"}
    assert set(OUTCOMES) == words
    assert {OUTCOMES[word].tone for word in GOOD} == {"good", "neutral"}
