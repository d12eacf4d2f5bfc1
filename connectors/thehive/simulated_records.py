"""The simulated alerts, cases and comments: what may be written to them, and the triple that exists only once."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.thehive.payloads import ALERT_STAGES, CASE_STAGES, ME
from nightdesk.connectors.thehive.wire import RefusedError, millis
from nightdesk.sdk.context import Clock

__all__ = ["Records"]

_FIELDS: Mapping[str, type] = {"title": str, "description": str, "severity": int, "tags": list, "tlp": int, "pap": int}
_CASE: Mapping[str, type] = {**_FIELDS, "status": str, "summary": str, "impactStatus": str, "assignee": str}
_ALERT: Mapping[str, type] = {**_FIELDS, "type": str, "source": str, "sourceRef": str, "status": str, "date": int}
_CHANGES = frozenset({"addTags", "removeTags"})
_LENGTHS: Mapping[str, int] = {"title": 512, "type": 32, "source": 64, "sourceRef": 128, "description": 1_048_576}
_IMPACTS = ("NotApplicable", "WithImpact", "NoImpact")
_RANGES: Mapping[str, range] = {"severity": range(1, 5), "tlp": range(4), "pap": range(4)}
_INVALID = "InvalidFormatAttributeError"


class Records:
    """All of one organisation, each by its id. Comments do not move the ``_updatedAt`` of what they are about."""

    def __init__(self, clock: Clock) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}
        self.cases: dict[str, dict[str, Any]] = {}
        self.comments: dict[str, dict[str, Any]] = {}
        self.stages = dict(CASE_STAGES)
        self._clock = clock
        self._last = 4095

    def raise_alert(self, given: Mapping[str, Any], user: str = ME) -> dict[str, Any]:
        """A new alert. Raises RefusedError; for a triple that is there already with a CreateError."""
        values = self._values(given, _ALERT, ("type", "source", "sourceRef", "title", "description"))
        triple = tuple(values[name] for name in ("type", "source", "sourceRef"))
        if any(triple == (one["type"], one["source"], one["sourceRef"]) for one in self.alerts.values()):
            raise RefusedError(400, f"Alert {'/'.join(triple)} already exists", "CreateError")
        if values.get("status", "New") not in ALERT_STAGES:
            raise RefusedError(400, f"Alert status {values['status']} not found", "BadRequest")
        made = {**self._entity(user), "status": "New", **_defaults(), **values}
        self.alerts[made["_id"]] = made
        return made

    def open_case(self, given: Mapping[str, Any], user: str = ME) -> dict[str, Any]:
        """A new case. Raises RefusedError."""
        values = self._values(given, _CASE, ("title", "description"))
        self._known_status(values.get("status", "New"))
        made = {**self._entity(user), "number": len(self.cases) + 1, "status": "New", **_defaults(), **values}
        self.cases[made["_id"]] = made
        return made

    def promote(self, alert: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """The case of an alert. Raises RefusedError for one that is imported already."""
        if alert.get("caseId"):
            raise RefusedError(400, "Alert is already imported", "BadRequest")
        fields = {name: alert[name] for name in ("title", "description", "severity", "tags", "tlp", "pap")}
        made = self.open_case({**fields, **given})
        alert |= {"caseId": made["_id"], "status": "Imported"}
        self._touch(alert, ME)
        return made

    def change_case(self, case: dict[str, Any], given: Mapping[str, Any], user: str = ME) -> None:
        """A PATCH. Raises RefusedError for an unknown field or label."""
        values = self._values(given, _CASE, (), _CHANGES)
        self._known_status(values.get("status", case["status"]))
        tags = [*case["tags"], *values.pop("addTags", ())]
        gone = values.pop("removeTags", ())
        case |= {"tags": [tag for tag in dict.fromkeys(tags) if tag not in gone], **values}
        self._touch(case, user)

    def merge(self, *names: str) -> dict[str, Any]:
        """What a person merges: a new case with all alerts and comments, the others gone."""
        first = self.cases[names[0]]
        made = self.open_case({name: first[name] for name in ("title", "description", "severity")})
        for one in (*self.alerts.values(), *self.comments.values()):
            field = "caseId" if "caseId" in one else "of"
            if one.get(field) in names:
                one[field] = made["_id"]
        for name in names:
            del self.cases[name]
        return made

    def say(self, of: str, given: Mapping[str, Any], user: str = ME) -> dict[str, Any]:
        """A comment on a case or an alert. Raises RefusedError."""
        message = given.get("message")
        if not isinstance(message, str) or not message:
            raise RefusedError(400, "Invalid format for message: None, expected string", _INVALID)
        made: dict[str, Any] = {
            "_id": self._next(),
            "createdBy": user,
            "createdAt": millis(self._clock()),
            "message": message,
            "of": of,
        }
        self.comments[made["_id"]] = made
        return made

    def edit_comment(self, name: str, message: str) -> None:
        """A changed comment."""
        self.comments[name] |= {"message": message, "updatedAt": millis(self._clock())}

    def _known_status(self, label: str) -> None:
        if label not in self.stages:
            raise RefusedError(400, f"CaseStatus {label} not found", "BadRequest")

    def _values(
        self,
        given: Mapping[str, Any],
        known: Mapping[str, type],
        needed: tuple[str, ...],
        more: frozenset[str] = frozenset(),
    ) -> dict[str, Any]:
        """The fields as they are kept. Raises RefusedError for the first that does not fit."""
        for name in needed:
            if not given.get(name):
                raise RefusedError(400, f"Invalid format for {name}: None, expected string", _INVALID)
        for name, value in given.items():
            kind = known.get(name, list if name in more else None)
            fits = kind is not None and isinstance(value, kind) and not isinstance(value, bool)
            fits = fits and (not isinstance(value, str) or len(value) <= _LENGTHS.get(name, 10**9))
            fits = fits and value in _RANGES.get(name, (value,))
            if name == "impactStatus":
                fits = value in _IMPACTS
            if not fits:
                raise RefusedError(400, f"Invalid format for {name}: {str(value)[:40]}", _INVALID)
        return dict(given)

    def _entity(self, user: str) -> dict[str, Any]:
        return {"_id": self._next(), "_createdBy": user, "_createdAt": millis(self._clock())}

    def _touch(self, record: dict[str, Any], user: str) -> None:
        record |= {"_updatedBy": user, "_updatedAt": millis(self._clock())}

    def _next(self) -> str:
        self._last += 4096
        return f"~{self._last}"


def _defaults() -> dict[str, Any]:
    return {"severity": 2, "tlp": 2, "pap": 2, "tags": []}
