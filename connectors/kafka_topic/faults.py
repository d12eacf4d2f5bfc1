"""What a broker's error code asks of us.

Codes: https://kafka.apache.org/protocol.html#protocol_error_codes
"""

from collections.abc import Sequence
from typing import Any

from nightdesk.sdk.errors import (
    AuthError,
    CursorExpiredError,
    NotFoundError,
    RejectedError,
    ScopeError,
    UnavailableError,
    VendorError,
)

__all__ = ["fault", "passing"]

_AUTH = frozenset({"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "_SSL", "UNSUPPORTED_SASL_MECHANISM"})
_SCOPE = {
    "TOPIC_AUTHORIZATION_FAILED": "Read and Describe on the topic",
    "GROUP_AUTHORIZATION_FAILED": "Describe on the group",
    "CLUSTER_AUTHORIZATION_FAILED": "Describe on the cluster",
}
_MISSING = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_ID"})
_EXPIRED = frozenset({"OFFSET_OUT_OF_RANGE", "_AUTO_OFFSET_RESET"})
# The cluster is between two states: a leader is chosen, a broker starts, a connection is made anew.
_PASSING = frozenset(
    {
        "_ALL_BROKERS_DOWN", "_MAX_POLL_EXCEEDED", "_TIMED_OUT", "_TRANSPORT", "BROKER_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "FENCED_LEADER_EPOCH", "KAFKA_STORAGE_ERROR",
        "LEADER_NOT_AVAILABLE", "NETWORK_EXCEPTION", "NOT_COORDINATOR", "NOT_LEADER_FOR_PARTITION",
        "OFFSET_NOT_AVAILABLE", "REPLICA_NOT_AVAILABLE", "REQUEST_TIMED_OUT", "UNKNOWN_LEADER_EPOCH",
    }
)  # fmt: skip

_Plain = AuthError | ScopeError | NotFoundError | CursorExpiredError | UnavailableError | RejectedError


def passing(error: Any) -> bool:
    """Whether the client goes on by itself."""
    return bool(error.retriable()) or error.name() in _PASSING


def fault(error: Any, topic: str, said: Sequence[Any]) -> VendorError:
    """The error to raise; ``said`` is what was told in passing: a refused login shows as a lost connection."""
    kind, words = _meaning(error, said)
    return kind(words, vendor="kafka_topic", operation=f"read topic {topic}")


def _meaning(error: Any, said: Sequence[Any]) -> tuple[type[_Plain], str]:
    told = [one for one in (*said, error) if one is not None]
    refused = next((one for one in told if one.name() in _AUTH), None)
    if refused is not None:
        text = "the brokers refuse us: check security, certificates, user name and password"
        return AuthError, f"{text} ({refused.name()})"
    if not told:
        return UnavailableError, "the brokers do not answer"
    last = error if error is not None else told[-1]
    name, words = last.name(), f"{last.str()} ({last.name()})"
    if name in _SCOPE:
        return ScopeError, f"we lack the operations {_SCOPE[name]}: {name}"
    if name in _MISSING:
        return NotFoundError, f"there is no such topic, or none for us: {words}"
    if name in _EXPIRED:
        return CursorExpiredError, f"the brokers no longer have the offset that we stand at: {words}"
    if passing(last) or name.startswith("_"):
        return UnavailableError, words
    return RejectedError, words
