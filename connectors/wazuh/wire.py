"""How the two simulated services say no: OpenSearch's error envelope, and the server API's."""

from datetime import datetime, timedelta, timezone
from typing import Any

__all__ = ["SearchRefusedError", "ServerRefusedError", "local_time"]

_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Permission Denied", 404: "Not Found"}
_ZONE = timezone(timedelta(hours=1))  # where the managers stand


class SearchRefusedError(Exception):
    """An error of the indexer."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.kind, self.reason = status, kind, reason

    def body(self) -> dict[str, Any]:
        """The envelope."""
        cause = {"type": self.kind, "reason": self.reason}
        return {"error": {"root_cause": [cause], **cause}, "status": self.status}


class ServerRefusedError(Exception):
    """An error of the server API; ``code`` is Wazuh's own number, 0 for none."""

    def __init__(self, status: int, detail: str, code: int = 0) -> None:
        super().__init__(detail)
        self.status, self.detail, self.code = status, detail, code

    def body(self) -> dict[str, Any]:
        """The envelope."""
        title = _TITLES.get(self.status, "Wazuh Error")
        return {"title": title, "detail": self.detail, **({"error": self.code} if self.code else {})}


def local_time(moment: datetime) -> str:
    """A time as alerts have it: milliseconds, and the manager's own offset without a colon."""
    local = moment.astimezone(_ZONE)
    return f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond // 1000:03d}{local:%z}"
