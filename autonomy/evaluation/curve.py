"""A curve of shares, drawn for a terminal in one line and for a page as SVG; no library is needed for eight points."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = ["Curve", "sparkline", "svg"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 400, 64, 24, 48, 56


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, share from 0 to 1), in the order of x; ``marks`` are what to write below each x."""

    title: str
    x: str
    points: tuple[tuple[float, float], ...]
    marks: tuple[str, ...]


def sparkline(shares: Sequence[float]) -> str:
    """One block a share: the lowest is 0, the highest 1."""
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, int(max(0.0, share) * len(_BLOCKS)))] for share in shares)


def svg(curve: Curve) -> str:
    """A stand-alone picture: a line with its points, a grid of quarters, and each point's value to be read out."""
    xs = [x for x, _ in curve.points]
    low, high = (min(xs), max(xs)) if xs else (0.0, 1.0)
    span = (high - low) or 1.0

    def across(x: float) -> float:
        return _LEFT + (x - low) / span * (_WIDTH - _LEFT - _RIGHT)

    def up(share: float) -> float:
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"',
        ' font-family="sans-serif">',
        f"<title>{escape(curve.title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="28" font-size="16" fill="#1a1a1a">{escape(curve.title)}</text>',
    ]
    for quarter in range(5):
        y = up(quarter / 4)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d0d0"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" font-size="12" text-anchor="end" fill="#444444">'
            f"{quarter * 25} %</text>"
        )
    line = " ".join(f"{across(x):.1f},{up(share):.1f}" for x, share in curve.points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#0b5cad" stroke-width="2"/>')
    for (x, share), mark in zip(curve.points, curve.marks, strict=True):
        place = f'cx="{across(x):.1f}" cy="{up(share):.1f}"'
        parts.append(f'<circle {place} r="4" fill="#0b5cad"><title>{escape(mark)}: {share:.1%}</title></circle>')
        parts.append(
            f'<text x="{across(x):.1f}" y="{_HEIGHT - 34}" font-size="12" text-anchor="middle" fill="#444444">'
            f"{escape(mark)}</text>"
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle:.1f}" y="{_HEIGHT - 10}" font-size="12" text-anchor="middle" fill="#444444">'
        f"{escape(curve.x)}</text>"
    )
    return "\n".join([*parts, "</svg>", ""])
