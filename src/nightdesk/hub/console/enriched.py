"""What sources said of a case's entities, beside each entity with the source's name and the answer's age."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import Connection

from nightdesk.autonomy.guardrails import DecisionContext
from nightdesk.hub.enrichment.answers import from_row, newest
from nightdesk.hub.enrichment.words import STATUS, line_of
from nightdesk.hub.store.enrichment import kept_of
from nightdesk.hub.store.queries import CasePage
from nightdesk.sdk.enrichment import Enrichment, EnrichmentStatus

__all__ = ["AnswerView", "known_of"]


@dataclass(frozen=True, slots=True)
class AnswerView:
    """One source's answer. The lines may hold text that others wrote: show them as untrusted."""

    source: str
    status: str
    tone: str
    fetched_at: datetime
    lines: tuple[str, ...]
    reason: str


def known_of(conn: Connection, page: CasePage, now: datetime) -> dict[str, list[AnswerView]]:
    """By entity what the newest decision knew, and what came after it; empty where nothing is configured."""
    answers = {(one.source, one.entity): one for one in _decided_on(page)}
    sources = sorted({source for source, _ in answers})
    keys = sorted({entity for _, entity in answers})
    for row in kept_of(conn, page.case.tenant, sources, keys):
        stored = from_row(row)
        if stored is not None:
            answers[stored.source, stored.entity] = _newest(answers.get((stored.source, stored.entity)), stored)
    found: dict[str, list[AnswerView]] = {}
    for (_, entity), answer in answers.items():
        found.setdefault(entity, []).append(_view(answer, now))
    return found


def _decided_on(page: CasePage) -> tuple[Enrichment, ...]:
    """What the newest decision of a machine saw; a record of another version shows nothing rather than half."""
    for decision in reversed(page.decisions):
        context: Mapping[str, object] = decision.inputs.get("context", {})
        if context.get("enrichment"):
            try:
                return DecisionContext.from_json(context).enrichment
            except ValidationError:
                return ()
    return ()


def _newest(before: Enrichment | None, stored: Enrichment) -> Enrichment:
    if before is not None and before.status is EnrichmentStatus.PENDING:
        return stored
    return newest(before, stored) or stored


def _view(answer: Enrichment, now: datetime) -> AnswerView:
    late = answer.status is EnrichmentStatus.OK and answer.ttl > 0 and now >= answer.fresh_until
    status = EnrichmentStatus.STALE if late else answer.status
    tone = "neutral" if answer.answered and not late else "warn"
    lines = tuple(line_of(fact) for fact in answer.facts)
    return AnswerView(answer.source, STATUS[status], tone, answer.fetched_at, lines, answer.reason)
