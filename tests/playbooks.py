"""Playbooks for tests, written by the names of their steps; the ids are made of the names."""

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.autonomy.playbooks.interpreter import advance
from nightdesk.autonomy.playbooks.model import EXTENSION, Playbook
from nightdesk.autonomy.playbooks.run import Act, Answered, Ask, Event, Run, RunState, Told, Wish, Withdraw
from nightdesk.autonomy.playbooks.standing import begin

__all__ = [
    "HOST",
    "Desk",
    "a_document",
    "a_playbook",
    "do",
    "end",
    "isolate",
    "manual",
    "openc2",
    "ref",
    "start",
    "var",
]

_SPACE = uuid.UUID("11111111-2222-5333-8444-555555555555")
_AGENT = f"group--{uuid.uuid5(_SPACE, 'agent')}"
_WAYS = ("on_completion", "on_success", "on_failure", "on_true", "on_false")
HOST: Mapping[str, Any] = {"device": {"hostname": "ws-0042"}}
Json = dict[str, Any]


def ref(kind: str, name: str) -> str:
    """The id of the step of that name."""
    return f"{kind}--{uuid.uuid5(_SPACE, name)}"


def openc2(action: str, target: Mapping[str, Any], **args: Any) -> Json:
    """A command; ``args`` are OpenC2's, ours under ``ours``."""
    ours = args.pop("ours", None)
    if ours is not None:
        args["x-nightdesk"] = ours
    text = json.dumps({"action": action, "target": target, **({"args": args} if args else {})})
    return {
        "type": "openc2-http",
        "command": "POST /openc2-command HTTP/1.1",
        "content_b64": base64.b64encode(text.encode()).decode(),
    }


def isolate(host: str = "ws-0042", **args: Any) -> Json:
    """``host.isolate``."""
    return openc2("contain", {"device": {"hostname": host}}, **args)


def start(following: str) -> Json:
    """The start step."""
    return {"type": "start", "on_completion": following}


def end() -> Json:
    """An end step."""
    return {"type": "end"}


def do(*commands: Json, settings: Json | None = None, **fields: Any) -> Json:
    """An action step."""
    extension = {"step_extensions": {EXTENSION: settings}} if settings else {}
    return {"type": "action", "commands": list(commands), "agent": _AGENT, **extension, **fields}


def manual(text: str = "look at it", **fields: Any) -> Json:
    """A manual step."""
    return do({"type": "manual", "command": text}, **fields)


def var(kind: str = "string", value: str | None = None, **fields: Any) -> Json:
    """A variable."""
    return {"type": kind, **({} if value is None else {"value": value}), **fields}


def a_document(
    steps: Mapping[str, Json],
    *,
    variables: Mapping[str, Json] | None = None,
    header: Json | None = None,
    exception: str = "",
    name: str = "a playbook",
    **fields: Any,
) -> Json:
    """The CACAO document; steps name each other by their names, and the one that starts is called ``start``."""
    kinds = {step: body["type"] for step, body in steps.items()}

    def known(step: str) -> str:
        return ref(kinds[step], f"{name}/{step}") if step in kinds else step

    workflow = {}
    for step, body in steps.items():
        made = {"name": step, **body}
        for way in _WAYS:
            if way in made:
                made[way] = known(made[way])
        if "next_steps" in made:
            made["next_steps"] = [known(each) for each in made["next_steps"]]
        if "cases" in made:
            made["cases"] = {value: known(each) for value, each in made["cases"].items()}
        workflow[known(step)] = made
    ours = {
        "verbs": ">=1,<2",
        "purpose": "to be tested",
        "roles": {"required": ["edr"], "optional": ["chat", "identity", "ticketing", "firewall"]},
        **(header or {}),
    }
    return {
        "type": "playbook",
        "spec_version": "cacao-2.0",
        "id": ref("playbook", name),
        "name": name,
        "created_by": ref("identity", "tests"),
        "created": "2026-11-01T00:00:00.000Z",
        "modified": "2026-11-01T00:00:00.000Z",
        **({"playbook_variables": dict(variables)} if variables else {}),
        "workflow_start": known("start"),
        **({"workflow_exception": known(exception)} if exception else {}),
        "workflow": workflow,
        "playbook_extensions": {EXTENSION: ours},
        "agent_definitions": {_AGENT: {"type": "group", "name": "the desk"}},
        "extension_definitions": {
            EXTENSION: {
                "type": "extension-definition",
                "name": "x-nightdesk",
                "created_by": ref("identity", "tests"),
                "schema": "docs/reference/playbooks.md",
                "version": "1.0.0",
            }
        },
        **fields,
    }


def a_playbook(steps: Mapping[str, Json], **fields: Any) -> Playbook:
    """The document, read."""
    return Playbook.model_validate(a_document(steps, **fields))


class Desk:
    """The world round a run: does each wish once by its key, as a journal would, and says how it ended.

    ``outcomes`` and ``answers`` are by the name of the step; what has none is effective, or answered ``done``. None
    means that nothing comes back. The run is stored and read again after each look.
    """

    def __init__(
        self,
        playbook: Playbook,
        *called: Playbook,
        outcomes: Mapping[str, str | None] | None = None,
        answers: Mapping[str, str | Sequence[str] | None] | None = None,
        **variables: str,
    ) -> None:
        self.now = datetime(2026, 11, 1, 12, tzinfo=UTC)
        self.outcomes = dict(outcomes or {})
        self.answers = {name: [text] if isinstance(text, str) else text for name, text in (answers or {}).items()}
        self.names = {step: body.name for book in (playbook, *called) for step, body in book.workflow.items()}
        self.acts: dict[str, Act] = {}
        self.asks: dict[str, Ask] = {}
        self.withdrawn: list[Withdraw] = []
        self.run = begin(
            playbook,
            {one.id: one for one in called},
            tenant="acme",
            run_id="run-1",
            case_id="case-1",
            started_by="ann",
            variables={f"__{name}__": value for name, value in variables.items()},
            now=self.now,
        )

    def look(self, *events: Event, told: Sequence[Event] | None = None) -> tuple[Wish, ...]:
        """One look; its wishes are done. ``told`` is what is known by then, of itself all of ``events``."""
        known = self.events() if told is None else told
        run, wishes = advance(self.run, (*known, *events), self.now)
        for wish in wishes:
            if isinstance(wish, Act):
                self.acts.setdefault(wish.key, wish)
            elif isinstance(wish, Ask):
                self.asks.setdefault(wish.key, wish)
            else:
                self.withdrawn.append(wish)
        self.run = Run.from_json(json.loads(json.dumps(run.to_json())))
        return wishes

    def events(self) -> list[Event]:
        """What is known of everything that was ever wanted."""
        found: list[Event] = []
        for key in self.acts:
            name = self.name(key)
            found.append(Told(key, f"act-{key}", self.outcomes.get(name, "effective") or "", name))
        for key in self.asks:
            texts = self.answers.get(self.name(key), ["done"])
            if texts:
                # Each asking of a step in a loop takes the next answer, the last one from then on.
                nth = sum(self.name(one) == self.name(key) for one in list(self.asks)[: list(self.asks).index(key)])
                text = texts[min(nth, len(texts) - 1)]
                found.append(Answered(key, "bob", text, done=text != "failed"))
        return found

    def name(self, key: str) -> str:
        """The step's name in a key."""
        parts = [part for part in key.split("/") if "--" in part]
        return self.names[parts[-1]]

    def play(self, *, looks: int = 500, step: float = 0.0) -> Run:
        """Looks until the run is over or nothing moves; time goes ``step`` seconds between looks."""
        for _ in range(looks):
            before = self.run
            self.look()
            if self.run.state is not RunState.RUNNING or (self.run == before and not step):
                return self.run
            self.now += timedelta(seconds=step)
        raise AssertionError(f"not over after {looks} looks: {self.run.branches}")

    @property
    def done(self) -> list[str]:
        """Name and outcome of each step that was done, in order."""
        return [f"{visit.name}: {visit.outcome}" for visit in self.run.visits]
