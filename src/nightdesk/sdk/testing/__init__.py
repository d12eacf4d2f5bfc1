"""The kit that connector authors use: simulator base, fault plan, device fleet, stories, server, contract suite."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nightdesk.sdk.testing.serve import Served, serve  # its module has its name: later it would hide the function

if TYPE_CHECKING:
    from nightdesk.sdk.testing.directory import Directory, Member
    from nightdesk.sdk.testing.estate import Device, Fleet
    from nightdesk.sdk.testing.faults import Fault, FaultPlan
    from nightdesk.sdk.testing.simulator import SeenRequest, Simulator
    from nightdesk.sdk.testing.story import StoryAccount, StoryAlert, StoryDevice, StorySighting

__all__ = [
    "Device",
    "Directory",
    "Fault",
    "FaultPlan",
    "Fleet",
    "Member",
    "SeenRequest",
    "Served",
    "Simulator",
    "StoryAccount",
    "StoryAlert",
    "StoryDevice",
    "StorySighting",
    "serve",
]

_HOMES = {
    "Device": "estate",
    "Directory": "directory",
    "Fault": "faults",
    "FaultPlan": "faults",
    "Fleet": "estate",
    "Member": "directory",
    "SeenRequest": "simulator",
    "Simulator": "simulator",
    "StoryAccount": "story",
    "StoryAlert": "story",
    "StoryDevice": "story",
    "StorySighting": "story",
}


def __getattr__(name: str) -> Any:
    """Imports on first use: every run of pytest loads ``pytest_plugin`` from here, and should not pay for the rest."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
