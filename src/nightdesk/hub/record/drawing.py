"""A decision's picture as one SVG file: no script, nothing loaded from elsewhere, light or dark as its reader likes."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nightdesk.hub.console.decision_picture import Picture

__all__ = ["svg"]

_STYLE = """
.decision-picture { --card: #ffffff; --raised: #eef0f6; --line: #d9dde8; --text: #1b2133; --muted: #576078;
 --good: #0f6b46; --calm: #2b4fb0; --warn: #865100; --bad: #b3202f; --neutral: #4a5268;
 --critical: #b3122a; --high: #c2470a; --medium: #94690a; --low: #2b6cb0; --informational: #5b667d; --unknown: #737d93;
 font-family: system-ui, "Noto Sans", "Liberation Sans", Arial, sans-serif; }
@media (prefers-color-scheme: dark) {
.decision-picture { --card: #161c2e; --raised: #1e263c; --line: #2b3550; --text: #e6e9f3; --muted: #9aa5c0;
 --good: #6ee0ac; --calm: #9dbcff; --warn: #f5c469; --bad: #ff9aa5; --neutral: #b5bed4;
 --critical: #ff6b7d; --high: #ff9a5c; --medium: #f0c24f; --low: #6fb1f5; --informational: #93a0bd;
 --unknown: #8792ad; }
}
.ground { fill: var(--card); }
.name { fill: var(--muted); font-size: 12px; }
.heading-name { fill: var(--muted); font-size: 12px; font-weight: 600; }
.way { fill: none; stroke: var(--tone, var(--muted)); stroke-width: 1.5; opacity: 0.55; }
.one-case { fill: var(--card); stroke: var(--muted); stroke-width: 3; }
.box .shape { fill: var(--raised); stroke: var(--line); }
.box .stripe { fill: var(--tone); }
.box text { fill: var(--text); unicode-bidi: isolate; }
.box .caption { fill: var(--muted); font-size: 11px; }
.box .label { font-size: 13px; font-weight: 560; }
.box .under { fill: var(--tone); font-size: 11.5px; }
""" + "".join(
    f".{tone} {{ --tone: var(--{tone}); }}\n"
    for tone in (
        "good", "calm", "warn", "bad", "neutral", "critical", "high", "medium", "low", "informational", "unknown",
    )
)  # fmt: skip


def svg(picture: Picture) -> bytes:
    """The file's bytes; the same picture gives the same."""
    made = Environment(
        loader=PackageLoader("nightdesk.hub.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The style is ours and holds no foreign text; everything else is escaped.
    text = made.get_template("decision_picture.svg").render(picture=picture, style=Markup(_STYLE))  # noqa: S704
    return text.lstrip().encode() + b"\n"
