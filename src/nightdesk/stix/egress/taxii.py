"""What a TAXII server's answer to a push means: what it has in this version arrived, whatever it calls it.

Source: TAXII 2.1 sections 4.3 and 5.4. A server may count an object that it already has as failed, and some do
(medallion 3.0.0: "Unable to process object"); pushing again after a lost answer would then never succeed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

__all__ = ["undelivered"]


def undelivered(
    objects: Sequence[Mapping[str, Any]], status: Mapping[str, Any], stored: Callable[[str], Collection[str]]
) -> list[str]:
    """The ids of the pushed objects that the server does not have.

    ``stored`` asks it for the versions of one object; none when it has no such object. It is asked only when the
    status counts failures, and only about what failed, if the status names it.
    """
    failed = int(status.get("failure_count", 0))
    if not failed:
        return []
    named = {str(one["id"]) for one in status.get("failures", ())}
    doubtful = [entry for entry in objects if len(named) < failed or entry["id"] in named]
    return [entry["id"] for entry in doubtful if not _among(entry, stored(entry["id"]))]


def _among(entry: Mapping[str, Any], versions: Collection[str]) -> bool:
    version = entry.get("modified") or entry.get("created")
    if version is None:
        return bool(versions)  # an observable has no versions: there or not
    return datetime.fromisoformat(version) in {datetime.fromisoformat(one) for one in versions}
