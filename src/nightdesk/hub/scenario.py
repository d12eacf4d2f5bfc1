"""A story in a file, told to the simulators of a whole estate: devices, accounts, alerts, and who raises them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nightdesk.hub.swap.recorded import RecordedAccount, RecordedAlert, RecordedDevice, bundled
from nightdesk.sdk.errors import ConfigError, Problem
from nightdesk.sdk.testing import Simulator, StoryAlert, StoryDevice
from nightdesk.sdk.testing.story import StoryProcess

__all__ = ["Scenario", "Told", "bundled_scenario", "read_scenario", "tell"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScenarioAlert(RecordedAlert):
    """One alert of the story; ``vendors`` raise it, all that can when none is named."""

    vendors: tuple[str, ...] = ()


class Scenario(_Strict):
    """The file. Times of alerts are ``seconds`` after the story's beginning."""

    title: str
    devices: tuple[RecordedDevice, ...] = ()
    accounts: tuple[RecordedAccount, ...] = ()
    alerts: Annotated[tuple[ScenarioAlert, ...], Field(min_length=1)]

    def estate(self) -> dict[str, StoryDevice]:
        """Its hosts by name, with the processes its alerts name running on them."""
        running: dict[str, list[StoryProcess]] = {}
        for alert in self.alerts:
            if alert.process is not None:
                running.setdefault(alert.host, []).append(alert.process.told())
        return {device.hostname: device.told(tuple(running.get(device.hostname, ()))) for device in self.devices}

    def stories(self, vendor: str, begin: datetime) -> Iterator[StoryAlert]:
        """The alerts that this vendor raises, in order."""
        estate = self.estate()
        for number, alert in enumerate(self.alerts):
            if not alert.vendors or vendor in alert.vendors:
                yield alert.told(f"{begin:%Y%m%d%H%M%S}-{number:04d}", begin, estate)


@dataclass(frozen=True, slots=True)
class Told:
    """What one vendor's simulator was told: the native ids of its alerts."""

    vendor: str
    alerts: tuple[str, ...]


def tell(scenario: Scenario, simulators: Mapping[str, Simulator], raising: frozenset[str], now: datetime) -> list[Told]:
    """Enrols everybody everywhere and raises each vendor's alerts; ``raising`` vendors can raise some."""
    last = max(alert.seconds for alert in scenario.alerts)
    begin = now - timedelta(seconds=last + 60)
    told = []
    for vendor, simulator in simulators.items():
        simulator.add_devices(scenario.estate().values())
        simulator.add_accounts(account.told() for account in scenario.accounts)
        alerts = scenario.stories(vendor, begin) if vendor in raising else ()
        told.append(Told(vendor, tuple(simulator.add(alert) for alert in alerts)))
    return told


def read_scenario(path: Path) -> Scenario:
    """Reads a story. Raises ConfigError with every problem."""
    try:
        return Scenario.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error}")]) from error
    except ValidationError as error:
        raise ConfigError(
            [Problem(str(path), ".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
        ) from error


def bundled_scenario() -> Scenario:
    """The cases of the rehearsal as one story."""
    edr, identity = bundled("edr"), bundled("identity")
    return Scenario(
        title="What the rehearsals use: ransomware, a beacon, a tool; three accounts",
        devices=tuple(device for case in edr.cases for device in case.devices),
        accounts=tuple(account for case in identity.cases for account in case.accounts),
        alerts=tuple(ScenarioAlert(**alert.model_dump()) for case in edr.cases for alert in case.alerts),
    )
