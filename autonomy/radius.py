"""What one containment counts as, for the guards that count: a host, an account or an indicator."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from nightdesk.sdk.verbs import VERBS, Risk, TargetKind, verb

__all__ = ["FAMILIES", "Bucket", "bucket"]


class Bucket(StrEnum):
    """Who feels it."""

    HOST = "host"
    ACCOUNT = "account"
    INDICATOR = "indicator"


_KINDS = {
    TargetKind.HOST: Bucket.HOST,
    TargetKind.PROCESS: Bucket.HOST,
    TargetKind.ACCOUNT: Bucket.ACCOUNT,
    TargetKind.MEMBERSHIP: Bucket.ACCOUNT,
    TargetKind.CREDENTIAL: Bucket.ACCOUNT,
}


def bucket(name: str) -> Bucket:
    """What an action of that verb counts as; a file is on one host, a hash everywhere."""
    if name.startswith("file."):
        return Bucket.HOST
    return _KINDS.get(verb(name).target, Bucket.INDICATOR)


FAMILIES: Mapping[Bucket, tuple[str, ...]] = MappingProxyType(
    {
        which: tuple(
            sorted({one.family for one in VERBS.values() if one.risk >= Risk.R2 and bucket(one.name) is which})
        )
        for which in Bucket
    }
)
"""The families of everything that somebody feels."""
