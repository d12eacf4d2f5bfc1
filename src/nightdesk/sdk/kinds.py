"""What an action can be done to, and how much one can hurt."""

from enum import IntEnum, StrEnum

__all__ = ["Risk", "TargetKind"]


class Risk(IntEnum):
    """How much an action can hurt; a deterministic gate reads it."""

    R0 = 0
    """Read or note."""
    R1 = 1
    """Reversible, no user feels it."""
    R2 = 2
    """Reversible, one user or host feels it."""
    R3 = 3
    """Wide or hard to reverse."""
    R4 = 4
    """Never without a human."""


class TargetKind(StrEnum):
    """What an action is done to."""

    HOST = "host"
    PROCESS = "process"
    FILE = "file"
    ADDRESS = "address"
    DOMAIN = "domain"
    URL = "url"
    ACCOUNT = "account"
    MEMBERSHIP = "membership"
    CREDENTIAL = "credential"
    EMAIL = "email"
    SENDER = "sender"
    ARTIFACT = "artifact"
    INDICATOR = "indicator"
    SEARCH = "search"
    ALERT = "alert"
    CASE = "case"
    PERSON = "person"
