"""Changes of one alert: a workflow job that is followed to its end, and notes, told apart by our marker."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.carbon_black_cloud import triage
from nightdesk.connectors.carbon_black_cloud.alerts import API, Alerts, alert_id, window
from nightdesk.connectors.carbon_black_cloud.client import VENDOR, Cloud
from nightdesk.connectors.carbon_black_cloud.memory import Memory
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import Wish

__all__ = ["Workflow"]

_CLOSE = "org.alerts.close EXECUTE"
_JOBS = "jobs.status READ"
_WRITE_NOTES, _READ_NOTES = "org.alerts.notes CREATE", "org.alerts.notes READ"
_POLLS, _PAUSE = 10, 1.0  # looks at a job, seconds between them; what takes longer is for read_back
_MILLISECOND = 1_000_000


class Workflow:
    """Writes to one alert at a time."""

    def __init__(self, cloud: Cloud, alerts: Alerts, context: Context) -> None:
        self._cloud = cloud
        self._alerts = alerts
        self._context = context
        self._jobs: Memory[str] = Memory()

    async def write(self, command: Command) -> Receipt:
        """Status and verdict in one job, then the note, each only when it is missing."""
        wish = Wish.of(command)
        alert, _ = await self._alerts.read(command.native_id)
        now = triage.state(alert)
        missing = triage.change(now, wish, command)
        said = bool(wish.comment) and await self._said(command.native_id, wish.marker)
        job = ""
        if missing.fields:
            job = await self._ask(command, alert, missing.fields)
            await self._follow(command, job)
        if wish.comment and not said:
            await self._cloud.ask(
                "POST",
                self._notes(command.native_id),
                operation=command.verb,
                scope=_WRITE_NOTES,
                body={"note": wish.comment},
            )
        repeated = said or triage.VERDICTS.repeated(command, wish)
        changed = bool(missing.fields) or repeated or (bool(wish.comment) and command.verb == "alert.comment")
        return Receipt(job or command.native_id, changed=changed, losses=missing.losses, evidence={"before": now})

    async def written(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the alert (or its notes) is as wished; where it is not, how the job stands that was to make it so."""
        wish = Wish.of(command)
        if command.verb == "alert.comment":
            said = await self._said(command.native_id, wish.marker)
            return (Effect.IN_EFFECT if said else Effect.NOT_IN_EFFECT), {}, "noted" if said else "no such note"
        alert, _ = await self._alerts.read(command.native_id)
        now = triage.state(alert)
        native = ", ".join(now[name] for name in ("native_status", "determination", "closure_reason"))
        if not triage.change(now, wish, command).fields:
            return Effect.IN_EFFECT, now, native
        job = self._jobs.get(command.idempotency_key)
        if job is None:
            return Effect.NOT_IN_EFFECT, now, native
        word = await self._job(job)
        running = word not in {"COMPLETED", "FAILED"}
        effect = Effect.FAILED if word == "FAILED" else Effect.PENDING if running else Effect.NOT_IN_EFFECT
        return effect, now, f"{native}; job {word}"

    async def _ask(self, command: Command, alert: Mapping[str, Any], fields: Mapping[str, str]) -> str:
        arrived = instant(alert.get("backend_timestamp"))
        if arrived is None:
            message = "the alert has no backend_timestamp, so no time range can be given that holds it"
            raise ResponseError(message, vendor=VENDOR, operation=command.verb)
        now = int(self._context.clock().timestamp() * 1000) * _MILLISECOND
        answer = await self._cloud.record(
            "POST",
            self._cloud.path(API, "alerts", "workflow"),
            operation=command.verb,
            scope=_CLOSE,
            # The selector is a search: the one id, and a range with its arrival in it, which would be two weeks else.
            body={
                "criteria": {"id": [alert_id(command.native_id)]},
                "time_range": window(arrived - _MILLISECOND, now),
                **fields,
            },
        )
        job = str(answer.get("request_id") or "")
        if not job:
            message = "the answer names no job, so nobody knows whether the change was taken"
            raise ResponseError(message, vendor=VENDOR, operation=command.verb)
        self._jobs.note(command.idempotency_key, job)
        return job

    async def _follow(self, command: Command, job: str) -> None:
        """Looks for a while. Raises what a job that ended otherwise than with this one alert means."""
        word = ""
        for _ in range(_POLLS):
            word = await self._job(job)
            if word in {"COMPLETED", "FAILED"}:
                break
            await self._context.sleep(_PAUSE)
        if word == "FAILED":
            raise RejectedError(f"the job {job} failed", vendor=VENDOR, operation=command.verb)
        if word != "COMPLETED":
            return
        progress = await self._cloud.record("GET", f"{self._job_path(job)}/progress", operation="read job", scope=_JOBS)
        total = progress.get("num_total")
        if total == 0:
            message = f"the job {job} matched no alert, so {command.native_id} is as it was"
            raise NotFoundError(message, vendor=VENDOR, operation=command.verb)
        if isinstance(total, int) and total > 1:
            message = f"the job {job} changed {total} alerts instead of {command.native_id} alone; look at them"
            raise ResponseError(message, vendor=VENDOR, operation=command.verb)

    async def _job(self, job: str) -> str:
        answer = await self._cloud.record("GET", self._job_path(job), operation="read job", scope=_JOBS)
        return str(answer.get("status") or "").upper()

    async def _said(self, native_id: str, mark: str) -> bool:
        answer = await self._cloud.record("GET", self._notes(native_id), operation="read notes", scope=_READ_NOTES)
        notes = answer.get("results")
        return isinstance(notes, list) and any(
            mark in str(note.get("note")) for note in notes if isinstance(note, dict)
        )

    def _notes(self, native_id: str) -> str:
        return self._cloud.path(API, "alerts", alert_id(native_id), "notes")

    def _job_path(self, job: str) -> str:
        return self._cloud.path("jobs/v1", "jobs", job)
