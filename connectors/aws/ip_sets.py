"""WAF IP sets: replaced whole under a lock token, so that nobody else's change is lost.

Source: https://docs.aws.amazon.com/waf/latest/APIReference/API_UpdateIPSet.html
"""

import re
from ipaddress import ip_network
from typing import Any

from nightdesk.connectors.aws.addresses import Network, covers
from nightdesk.connectors.aws.client import VENDOR, Aws
from nightdesk.sdk.errors import RejectedError, ResponseError, UnavailableError

__all__ = ["ARN", "IpSet"]

ARN = re.compile(r"arn:aws[\w-]*:wafv2:([a-z0-9-]+):\d{12}:(regional|global)/ipset/([\w-]{1,128})/([\w-]{1,36})")

_LOCK = "WAFOptimisticLockException"
_TRIES = 5


class IpSet:
    """One IP set by its ARN, which must fit ``ARN``."""

    def __init__(self, aws: Aws, arn: str) -> None:
        found = ARN.fullmatch(arn)
        if found is None:
            raise RejectedError(f"{arn!r} is no ARN of an IP set", vendor=VENDOR, operation="ip.block")
        self.name = arn
        self._aws = aws
        self._region, scope, name, key = found.groups()
        self._where: dict[str, Any] = {
            "Name": name,
            "Id": key,
            "Scope": "CLOUDFRONT" if scope == "global" else "REGIONAL",
        }
        self._version = 0

    async def takes(self, network: Network) -> bool:
        """The one version that the set is of."""
        if not self._version:
            await self._read()
        return network.version == self._version

    async def blocks(self, network: Network) -> bool:
        """Whether a range of the set covers it."""
        return any(_covers(text, network) for text in (await self._read())[0])

    async def add(self, network: Network) -> None:
        """Puts it in."""
        await self._change(network, wanted=True)

    async def remove(self, network: Network) -> bool:
        """Takes it out; a wider range that covers it too is not touched, and is the error."""
        return await self._change(network, wanted=False)

    async def _change(self, network: Network, *, wanted: bool) -> bool:
        """Reads, changes one entry, writes back; once more when another hand was faster."""
        for _ in range(_TRIES):
            addresses, token = await self._read()
            others = [text for text in addresses if ip_network(text, strict=False) != network]
            wider = next((text for text in others if _covers(text, network)), "")
            if wider and not wanted:
                message = f"{self.name} blocks {network} by {wider}, which stands for more; change it in AWS"
                raise RejectedError(message, vendor=VENDOR, operation="ip.unblock")
            after = [*others, str(network)] if wanted else others
            if len(after) == len(addresses):
                return False
            answer = await self._aws.call(
                "wafv2", "UpdateIPSet", self._region, expects=(_LOCK,), Addresses=after, LockToken=token, **self._where
            )
            if not answer.refusal:
                return True
        message = f"{self.name} was changed by others {_TRIES} times while we changed it; ask again"
        raise UnavailableError(message, vendor=VENDOR, operation="wafv2:UpdateIPSet")

    async def _read(self) -> tuple[list[str], str]:
        document: Any = (await self._aws.call("wafv2", "GetIPSet", self._region, **self._where)).document
        found, token = document.get("IPSet"), str(document.get("LockToken") or "")
        if not isinstance(found, dict) or not token:
            raise ResponseError("no IP set in the answer", vendor=VENDOR, operation="wafv2:GetIPSet")
        self._version = 6 if found.get("IPAddressVersion") == "IPV6" else 4
        return [str(text) for text in found.get("Addresses") or ()], token


def _covers(text: str, network: Network) -> bool:
    return covers(ip_network(text, strict=False), network)
