"""What the simulated Real Time Response holds: sessions, the commands run in them, and what became of each."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ntpath import basename
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.payloads import timestamp
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Fleet
from nightdesk.sdk.testing.estate import Order, OrderKind

__all__ = ["KINDS", "Run", "Session", "Shell"]

KINDS: Mapping[str, OrderKind] = {"kill": "kill", "get": "fetch", "runscript": "script"}
"""The commands that are simulated."""

_IDLE = timedelta(minutes=10)
_QUEUE = timedelta(days=7)
_SCRIPT = re.compile(r"-CloudFile='([\w.-]+)'(?: -CommandLine=```([^`]*)```)?")


@dataclass
class Run:
    """One command: the order it became on the device, or why it could not become one."""

    request_id: str
    base: str
    line: str
    level: str
    at: datetime
    order: Order | None = None
    refusal: str = ""
    queued: bool = False
    deleted_at: str | None = None


@dataclass
class Session:
    """One session; ``queued`` when its host was offline as it began, ``touched`` is when it was last used."""

    session_id: str
    device_id: str
    origin: str
    at: datetime
    queued: bool
    touched: datetime
    runs: list[Run] = field(default_factory=list)


class Shell:
    """The sessions of one API client; ``scripts`` are the tenant's custom scripts and what each prints."""

    def __init__(self, clock: Clock, fleet: Fleet) -> None:
        self.sessions: dict[str, Session] = {}
        self.scripts: dict[str, str] = {}
        self._clock = clock
        self._fleet = fleet
        self._runs = 0

    def known(self, device_id: str) -> bool:
        """Whether there is such a sensor at all."""
        return device_id in self._fleet.devices

    def waits(self, device_id: str) -> bool:
        """Whether a session is open that waits for its host, which is given again even to who would not wait."""
        return any(each.queued and self.alive(each) for each in self.sessions.values() if each.device_id == device_id)

    def online(self, device_id: str) -> bool:
        """Whether the sensor can be reached."""
        device = self._fleet.devices.get(device_id)
        return device is not None and self._fleet.is_online(device)

    def alive(self, session: Session) -> bool:
        """False once it idled out."""
        return self._clock() - session.touched < (_QUEUE if session.queued else _IDLE)

    def open(self, device_id: str, origin: str) -> tuple[Session, int]:
        """The open session on the host, given again, or a new one; and how many there were."""
        now, online = self._clock(), self.online(device_id)
        mine = [each for each in self.sessions.values() if each.device_id == device_id and self.alive(each)]
        session = next((each for each in mine if online or each.queued), None)
        if session is None:
            name = f"10000000-0000-4000-8000-{len(self.sessions) + 1:012x}"
            session = self.sessions[name] = Session(name, device_id, origin, now, not online, now)
        session.touched = now
        return session, len(mine)

    def run(self, session: Session, level: str, base: str, line: str) -> Run:
        """Takes a command; on an offline host it waits."""
        self._runs += 1
        session.touched = now = self._clock()
        made = Run(f"20000000-0000-4000-8000-{self._runs:012x}", base, line, level, now)
        made.queued = not self.online(session.device_id)
        subject, made.refusal = self._subject(session.device_id, base, line.partition(" ")[2].strip())
        if not made.refusal:
            made.order = self._fleet.ask(session.device_id, KINDS[base], subject)
        session.runs.append(made)
        return made

    def withdraw(self, run: Run) -> bool:
        """Takes a command out of the queue; False when it is not there any more."""
        if not run.queued or run.order is None or run.order.done:
            return False
        run.order.failed, run.deleted_at = True, timestamp(self._clock())
        return True

    def output(self, run: Run) -> tuple[str, str, bool]:
        """Standard output, error output, and whether the command has ended."""
        self._fleet.settle()
        if run.order is None:
            return "", run.refusal, True
        if run.order.failed:
            return "", f"{run.base}: the operation could not be completed", True
        if not run.order.done:
            return "", "", False
        script = _SCRIPT.fullmatch(run.line.partition(" ")[2])
        return (self.scripts[script[1]] if script else run.line), "", True

    def files(self, session: Session) -> list[dict[str, Any]]:
        """What the session's ``get`` commands took."""
        self._fleet.settle()
        return [self._file(session, run, run.order, number) for number, run in enumerate(session.runs, 1)
                if run.base == "get" and run.order is not None and not run.order.failed]  # fmt: skip

    def shown(self, session: Session) -> dict[str, Any]:
        """A queued command is in no log until it ran."""
        ran = [run for run in session.runs if not run.deleted_at and (not run.queued or self.output(run)[2])]
        return {
            "id": session.session_id,
            "device_id": session.device_id,
            "hostname": self._fleet.devices[session.device_id].hostname,
            "user_id": "@me",
            "origin": session.origin,
            "created_at": timestamp(session.at),
            "updated_at": timestamp(session.touched),
            "deleted_at": None if self.alive(session) else timestamp(session.touched + _IDLE),
            "offline_queued": session.queued,
            "commands_queued": any(run.queued for run in session.runs),
            "cloud_request_ids": [run.request_id for run in ran],
            "logs": [{**_entry(run), "current_directory": "C:\\"} for run in ran],
        }

    def queue(self, session: Session) -> dict[str, Any]:
        """What waited or waits in it."""
        commands = [{**_entry(run), "status": self._waiting([run]), "deleted_at": run.deleted_at}
                    for run in session.runs if run.queued]  # fmt: skip
        return {
            "id": session.session_id,
            "aid": session.device_id,
            "status": self._waiting(session.runs),
            "Commands": commands,
        }

    def _waiting(self, runs: Iterable[Run]) -> str:
        pending = any(run.queued and (run.deleted_at or not self.output(run)[2]) for run in runs)
        return "PENDING" if pending else "FINISHED"

    def _subject(self, device_id: str, base: str, rest: str) -> tuple[str, str]:
        """What the command is about on the device, or what the sensor says instead."""
        device = self._fleet.devices[device_id]
        if base == "kill":
            known = rest.isdecimal() and int(rest) in device.processes
            return rest, "" if known else f"Cannot find a process with the process identifier {rest}."
        if base == "get":
            path = rest[1:-1] if rest.startswith('"') and rest.endswith('"') and len(rest) > 1 else rest
            split = " " in path and path == rest
            return path, "Check your filename. Couldn't 'get' the file." if split or path not in device.files else ""
        found = _SCRIPT.fullmatch(rest)
        return rest, "" if found and found[1] in self.scripts else "The file could not be found in the cloud."

    def _file(self, session: Session, run: Run, order: Order, number: int) -> dict[str, Any]:
        moment, ended = timestamp(run.at), order.done
        return {
            "id": f"{number}",
            "session_id": session.session_id,
            "cloud_request_id": run.request_id,
            "name": f"\\Device\\HarddiskVolume3\\{basename(order.subject)}",
            "sha256": self._fleet.devices[session.device_id].files[order.subject].sha256 if ended else "",
            "size": 4096 if ended else 0,
            "complete": ended,
            "progress": 1.0 if ended else 0.0,
            "stage": "FINISHED" if ended else "UPLOADING",
            "status": "COMPLETED" if ended else "IN_PROGRESS",
            "error_message": "",
            "created_at": moment,
            "updated_at": moment,
            "deleted_at": None,
        }


def _entry(run: Run) -> dict[str, Any]:
    return {
        "base_command": run.base,
        "command_string": run.line,
        "cloud_request_id": run.request_id,
        "created_at": timestamp(run.at),
        "updated_at": timestamp(run.at),
    }
