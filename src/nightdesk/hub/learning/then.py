"""The score of a recorded decision, added up again by the very tables that it names (law 11)."""

from functools import lru_cache

from sqlalchemy import Connection

from nightdesk.autonomy.evidence import SCORED
from nightdesk.autonomy.learned.scoring import check_scores
from nightdesk.autonomy.learning.tables import Tables
from nightdesk.hub.store import models
from nightdesk.sdk.case import Decision

__all__ = ["check_decision"]


def check_decision(conn: Connection, told: Decision) -> None:
    """Raises ConfigError when the model is not kept, or not what its name says; PolicyError when the score is not its.

    A decision that no model had a part in passes.
    """
    score = told.inputs.get(SCORED)
    if score:
        check_scores(told.inputs, _tables(score["model"], models.body(conn, score["model"])))


@lru_cache(maxsize=4)
def _tables(model_id: str, body: bytes) -> Tables:
    return models.read(model_id, body).tables
