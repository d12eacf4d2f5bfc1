"""The kit that connector authors use: simulator base, fault plan, device fleet, stories, server, contract suite."""

from nightdesk.sdk.testing.estate import Device, Fleet
from nightdesk.sdk.testing.faults import Fault, FaultPlan
from nightdesk.sdk.testing.serve import Served, serve
from nightdesk.sdk.testing.simulator import SeenRequest, Simulator
from nightdesk.sdk.testing.story import StoryAlert, StoryDevice

__all__ = [
    "Device",
    "Fault",
    "FaultPlan",
    "Fleet",
    "SeenRequest",
    "Served",
    "Simulator",
    "StoryAlert",
    "StoryDevice",
    "serve",
]
