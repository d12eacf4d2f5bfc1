"""What an operator let nightdesk do: on which agents, with which commands of theirs. Nothing is done beyond it."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["Options", "Timed"]

_AGENT = re.compile(r"\d{3,}")
_SCRIPT = re.compile(r"[A-Za-z0-9][\w.-]*")
_COMMAND = re.compile(r"([A-Za-z_][\w.-]*?)(\d+)|!([A-Za-z0-9][\w.-]*)")
_INDEX = re.compile(r"[a-z0-9][a-z0-9_.:*,-]*")
_MOST_LEVEL = 16


@dataclass(frozen=True, slots=True)
class Timed:
    """A command that blocks an address; the agents undo it after ``seconds``, None when they never do."""

    name: str
    seconds: int | None


@dataclass(frozen=True, slots=True)
class Options:
    """The settings that widen what may be done; every list is empty until somebody fills it."""

    index: str
    minimum_level: int
    overlap: timedelta
    page_size: int
    block_agents: tuple[str, ...]
    block_commands: tuple[Timed, ...]
    unblock_script: str
    firewall_report: str
    account_agents: tuple[str, ...]
    account_domains: tuple[str, ...]
    enable_script: str
    scripts: tuple[str, ...]

    @classmethod
    def of(cls, context: Context) -> "Options":
        """Reads the settings. Raises ConfigError with all that is wrong."""
        settings, problems = context.settings, list[Problem]()

        def number(name: str, default: int, least: int, most: int) -> int:
            value = settings.integer(name, default)
            if not least <= value <= most:
                problems.append(Problem(context.instance, name, f"must be {least} to {most}, is {value}"))
            return value

        def words(name: str, fits: Callable[[str], object], form: str) -> tuple[str, ...]:
            found = tuple(dict.fromkeys(part.strip() for part in settings.text(name).split(",") if part.strip()))
            wrong = [word for word in found if not fits(word)]
            if wrong:
                problems.append(Problem(context.instance, name, f"{wrong[0]!r}: {form}"))
            return found

        script = "write the file name of a script in the agents' active-response/bin, without a path"
        agents = "write agent ids as Wazuh shows them, such as 003; 000 is the manager, which answers nothing"
        index = settings.text("index", "wazuh-alerts-*")
        if not _INDEX.fullmatch(index):
            problems.append(Problem(context.instance, "index", "write names of indices, such as wazuh-alerts-*"))
        made = cls(
            index=index,
            minimum_level=number("minimum_level", 7, 0, _MOST_LEVEL),
            overlap=timedelta(minutes=number("overlap", 30, 1, 1440)),
            page_size=number("page_size", 500, 1, 10_000),
            block_agents=words("block_agents", _is_agent, agents),
            block_commands=_timed(
                words(
                    "block_commands",
                    _COMMAND.fullmatch,
                    "write a name of ar.conf with its seconds, such as firewall-drop3600, or !script",
                )
            ),
            unblock_script=next(iter(words("unblock_script", _SCRIPT.fullmatch, script)), ""),
            firewall_report=settings.text("firewall_report", "nightdesk-firewall"),
            account_agents=words("account_agents", _is_agent, agents),
            account_domains=tuple(
                word.lower() for word in words("account_domains", str, "write domains, such as corp.example.com")
            ),
            enable_script=next(iter(words("enable_script", _SCRIPT.fullmatch, script)), ""),
            scripts=words("scripts", _SCRIPT.fullmatch, script),
        )
        if problems:
            raise ConfigError(problems)
        return made

    def timed(self, seconds: float | None) -> Timed:
        """The command that blocks shortest but long enough; the longest there is when none does, or none is asked."""

        def length(command: Timed) -> float:
            return float("inf") if command.seconds is None else command.seconds

        enough = [command for command in self.block_commands if seconds is not None and length(command) >= seconds]
        return min(enough, key=length) if enough else max(self.block_commands, key=length)


def _is_agent(text: str) -> bool:
    return _AGENT.fullmatch(text) is not None and int(text) > 0


def _timed(names: Iterable[str]) -> tuple[Timed, ...]:
    found = [(name, _COMMAND.fullmatch(name)) for name in names]
    return tuple(Timed(name, int(match[2] or 0) or None) for name, match in found if match)
