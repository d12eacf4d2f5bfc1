"""Renders the console's templates: everything escaped, nothing loaded from elsewhere, nothing kept by a cache."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from nightdesk.hub.console import presentation, untrusted, words

__all__ = ["HEADERS", "Pages"]

FOLDER = Path(__file__).parent

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every page: even markup that slipped through could run and load nothing."""


class Pages:
    """The compiled templates with the filters they use."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            {
                "untrusted": untrusted.untrusted,
                "plain": untrusted.plain,
                "shortened": untrusted.shortened,
                "moment": words.moment,
                "clock": lambda at: f"{at.astimezone(UTC):%H:%M:%S}",
                "iso": lambda at: at.astimezone(UTC).isoformat(timespec="seconds"),
                "age": words.age,
                "severity": words.severity,
                "humanised": words.humanised,
                "verb_name": words.verb_name,
                "outcome": words.OUTCOME.__getitem__,
                "outcome_tone": words.OUTCOME_TONE.__getitem__,
                "verdict": words.VERDICT.__getitem__,
                "mode": words.MODE.__getitem__,
                "state": words.STATE.__getitem__,
                "state_tone": words.STATE_TONE.__getitem__,
                "record": presentation.decision_record,
                "as_text": presentation.text_of,
            }
        )

    def page(self, template: str, model: Mapping[str, Any], *, now: datetime, status: int = 200) -> HTMLResponse:
        """One page or part of a page."""
        html = self._environment.get_template(template).render({**model, "now": now})
        # What a browser cannot be sent (a lone surrogate) becomes a visible mark instead of an error.
        return HTMLResponse(html.encode("utf-8", "replace"), status_code=status, headers=dict(HEADERS))
