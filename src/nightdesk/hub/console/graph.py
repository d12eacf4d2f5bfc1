"""Lays out a case's graph: who and where on the left, the alerts in the middle, with what on the right.

The same case gives the same drawing: groups in order of first appearance, entities at the mean height of their alerts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nightdesk.hub.console.untrusted import plain, shortened
from nightdesk.hub.console.words import ENTITY_KIND, severity
from nightdesk.sdk.case import Alert, Case, Entity, EntityKind

__all__ = ["Edge", "Graph", "Node", "draw"]

_LEFT_KINDS = frozenset({EntityKind.HOST, EntityKind.DEVICE, EntityKind.ACCOUNT, EntityKind.EMAIL, EntityKind.RESOURCE})
_WIDTH = 960
_COLUMN_WIDTH = (250, 270, 250)
_COLUMN_X = (10, 345, 700)
_NODE_HEIGHT = 44
_GAP = 14
_MARGIN = 34
_MOST = 12
_LETTERS = (29, 27, 29)
_KIND_ORDER = tuple(EntityKind)


@dataclass(frozen=True, slots=True)
class Node:
    """One box: two lines of text and a style; ``full`` is the whole text for its tooltip."""

    x: int
    y: int
    width: int
    height: int
    style: str
    caption: str
    label: str
    full: str

    @property
    def middle(self) -> int:
        """The height its edges meet it at."""
        return self.y + self.height // 2


@dataclass(frozen=True, slots=True)
class Edge:
    """One curve from an alert's box to an entity's, as an SVG path."""

    path: str
    style: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Everything the template draws; ``summary`` says the same in words for those who do not see it."""

    width: int
    height: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class _Group:
    """Alerts that say the same of the same entities: drawn as one box with a number."""

    alert: Alert
    keys: tuple[str, ...]
    size: int


def draw(case: Case) -> Graph:
    """The drawing of this case."""
    groups = _grouped(case.alerts)
    shown, rest = groups[:_MOST], groups[_MOST:]
    degree: dict[str, int] = {}
    for group in shown:
        for key in group.keys:
            degree[key] = degree.get(key, 0) + group.size
    entities = [entity for entity in case.entities if entity.key in degree]
    left = _chosen([entity for entity in entities if entity.kind in _LEFT_KINDS], degree)
    right = _chosen([entity for entity in entities if entity.kind not in _LEFT_KINDS], degree)
    hidden = len(case.entities) - len(left) - len(right)

    rows = max(len(left), len(shown) + bool(rest), len(right), 1)
    height = _MARGIN + rows * (_NODE_HEIGHT + _GAP) + 4
    alerts = _column(1, [_alert_node(group) for group in shown] + _more(rest), height)
    place = dict(zip((group.alert.alert_id for group in shown), alerts, strict=False))
    mean = {
        entity.key: sum(place[g.alert.alert_id].middle for g in shown if entity.key in g.keys)
        / sum(entity.key in g.keys for g in shown)
        for entity in (*left, *right)
    }
    sides = [sorted(side, key=lambda e: (mean[e.key], _KIND_ORDER.index(e.kind), e.value)) for side in (left, right)]
    boxes: dict[str, Node] = {}
    for column, side in ((0, sides[0]), (2, sides[1])):
        drawn = _column(column, [_entity_node(entity, column) for entity in side], height)
        boxes.update(zip((entity.key for entity in side), drawn, strict=True))
    edges = [
        _edge(place[group.alert.alert_id], boxes[key], severity(group.alert.severity_id)[1])
        for group in shown
        for key in group.keys
        if key in boxes
    ]
    return Graph(_WIDTH, height, (*alerts, *boxes.values()), tuple(edges), _summary(case, groups, hidden))


def _grouped(alerts: Sequence[Alert]) -> list[_Group]:
    found: dict[tuple[str, str, tuple[str, ...]], _Group] = {}
    for alert in alerts:
        keys = tuple(sorted({entity.key for entity in alert.entities}))
        mark = (alert.title, alert.product, keys)
        seen = found.get(mark)
        found[mark] = replace(seen, size=seen.size + 1) if seen else _Group(alert, keys, 1)
    return list(found.values())


def _chosen(entities: list[Entity], degree: Mapping[str, int]) -> list[Entity]:
    return sorted(entities, key=lambda entity: (-degree[entity.key], entity.key))[:_MOST]


def _alert_node(group: _Group) -> tuple[str, str, str, str]:
    word, style = severity(group.alert.severity_id)
    times = f" × {group.size}" if group.size > 1 else ""
    title = plain(group.alert.title)
    return style, f"{word} alert{times}", shortened(title, _LETTERS[1]), f"{word} alert{times}: {title}"


def _entity_node(entity: Entity, column: int) -> tuple[str, str, str, str]:
    kind, value = ENTITY_KIND[entity.kind], plain(entity.value)
    role = "" if entity.role in {"", "other"} else f" · {plain(entity.role).replace('-', ' ')}"
    return (
        f"entity {entity.kind}",
        shortened(f"{kind}{role}", 34),
        shortened(value, _LETTERS[column]),
        f"{kind}: {value}",
    )


def _more(rest: Sequence[_Group]) -> list[tuple[str, str, str, str]]:
    if not rest:
        return []
    number = sum(group.size for group in rest)
    text = f"{number} more in the timeline"
    return [("unknown", "Alerts", text, text)]


def _column(column: int, contents: Sequence[tuple[str, str, str, str]], height: int) -> list[Node]:
    """Boxes from top to bottom, the column centred in the drawing."""
    used = len(contents) * (_NODE_HEIGHT + _GAP) - _GAP
    top = _MARGIN + (height - _MARGIN - _GAP - 4 - used) // 2 if contents else 0
    return [
        Node(
            _COLUMN_X[column],
            top + row * (_NODE_HEIGHT + _GAP) + _GAP // 2,
            _COLUMN_WIDTH[column],
            _NODE_HEIGHT,
            *content,
        )
        for row, content in enumerate(contents)
    ]


def _edge(alert: Node, entity: Node, style: str) -> Edge:
    leftwards = entity.x < alert.x
    start = alert.x if leftwards else alert.x + alert.width
    end = entity.x + entity.width if leftwards else entity.x
    bend = (start + end) // 2
    return Edge(f"M{start} {alert.middle}C{bend} {alert.middle} {bend} {entity.middle} {end} {entity.middle}", style)


def _summary(case: Case, groups: Sequence[_Group], hidden: int) -> str:
    text = f"{len(case.alerts)} alerts in {len(groups)} groups touch {len(case.entities)} entities."
    return text + (f" {hidden} less connected entities are only in the list." if hidden else "")
