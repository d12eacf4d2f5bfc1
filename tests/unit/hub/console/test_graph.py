import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from nightdesk.hub.console.graph import draw
from nightdesk.sdk.case import Case, CaseStatus, Entity, EntityKind

_WHEN = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)


def _case(*alerts: Any) -> Case:
    return Case("north", "ND-1", "A case", CaseStatus.OPEN, 4, _WHEN, _WHEN, tuple(alerts))


def test_the_same_case_gives_the_same_drawing(stage: Any) -> None:
    case = _case(stage.alert(1), stage.alert(2, title="Other"))
    assert draw(case) == draw(case)


def test_alerts_stand_between_who_and_what(stage: Any) -> None:
    graph = draw(_case(stage.alert(1)))
    place = {node.label: node.x for node in graph.nodes}
    assert place["ws-0042"] == place["example\\j.doe"] < place["Encoded PowerShell started…"] < place["203.0.113.77"]


def test_equal_alerts_are_one_box_with_their_number(stage: Any) -> None:
    graph = draw(_case(*(stage.alert(number) for number in range(5))))
    assert [node.caption for node in graph.nodes if "alert" in node.caption] == ["High alert × 5"]
    assert len(graph.edges) == 4


def test_every_edge_ends_at_a_box(stage: Any) -> None:
    graph = draw(_case(stage.alert(1), stage.alert(2, title="Other", entities=(Entity(EntityKind.HOST, "ws-1"),))))
    sides = {f"{x} {node.middle}" for node in graph.nodes for x in (node.x, node.x + node.width)}
    for edge in graph.edges:
        start = edge.path[1:].partition("C")[0]
        end = " ".join(edge.path.split()[-2:])
        assert {start, end} <= sides


@pytest.mark.parametrize("number", [1, 12, 13, 400])
def test_boxes_never_overlap_and_stay_inside(stage: Any, number: int) -> None:
    alerts = [
        stage.alert(
            n, title=f"Alert {n}", entities=(Entity(EntityKind.HOST, f"ws-{n}"), Entity(EntityKind.FILE, f"{n}"))
        )
        for n in range(number)
    ]
    graph = draw(_case(*alerts))
    columns: dict[int, list[Any]] = {}
    for node in graph.nodes:
        assert node.y >= 0
        assert node.y + node.height <= graph.height
        assert node.x + node.width <= graph.width
        columns.setdefault(node.x, []).append(node)
    for nodes in columns.values():
        ordered = sorted(nodes, key=lambda node: node.y)
        for above, below in itertools.pairwise(ordered):
            assert above.y + above.height <= below.y
    assert len(graph.nodes) <= 12 * 3 + 1


def test_what_is_left_out_is_said(stage: Any) -> None:
    alerts = [stage.alert(n, title=f"Alert {n}", entities=(Entity(EntityKind.HOST, f"ws-{n}"),)) for n in range(20)]
    graph = draw(_case(*alerts))
    assert "8 more in the timeline" in [node.label for node in graph.nodes]
    assert "8 less connected entities" in graph.summary


def test_hidden_characters_are_marks_in_the_drawing_too(stage: Any) -> None:
    graph = draw(_case(stage.alert(1, title="a\u202eb", entities=(Entity(EntityKind.FILE, "x\u200by"),))))
    assert {"a[U+202E]b", "x[U+200B]y"} <= {node.label for node in graph.nodes}


def test_a_case_without_alerts_is_an_empty_drawing() -> None:
    assert draw(_case()).nodes == ()
