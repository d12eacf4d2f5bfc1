"""Whether the connector could work now, found out by doing what it does: signing, then one read in each region."""

from collections.abc import Mapping

from nightdesk.connectors.aws.client import Aws
from nightdesk.connectors.aws.guardduty import GuardDuty
from nightdesk.connectors.aws.security_hub import SecurityHub
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import VendorError
from nightdesk.sdk.ports import Health

__all__ = ["check"]

_MAX_SKEW = 120.0  # seconds; a signature five minutes off is refused


async def check(context: Context, aws: Aws, desks: Mapping[str, GuardDuty | SecurityHub]) -> Health:
    """GetCallerIdentity, which needs no permission, then a detector, a hub and a page of findings in each region."""
    problems: list[str] = []
    begin, calls = context.clock(), 1
    try:
        await aws.call("sts", "GetCallerIdentity")
    except VendorError as error:
        problems.append(str(error))
    for region in aws.regions if not problems else ():
        for desk in desks.values():
            calls += 1
            try:
                problems += await _look(aws, desk, region)
            except VendorError as error:
                problems.append(f"{region}: {error}")
    latency = (context.clock() - begin).total_seconds() / calls
    skew = aws.clock_skew
    if skew is not None and abs(skew) > _MAX_SKEW:
        problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
    version = "guardduty 2017-11-28, securityhub 2018-10-26, ec2 2016-11-15"
    return Health(not problems, tuple(problems), version=version, clock_skew=skew, latency=latency)


async def _look(aws: Aws, desk: GuardDuty | SecurityHub, region: str) -> list[str]:
    if isinstance(desk, GuardDuty) and not await desk.detector(region):
        return [f"{region}: GuardDuty is not enabled; enable it there, or set guardduty: false"]
    if isinstance(desk, SecurityHub):
        await aws.call("securityhub", "DescribeHub", region)
    await desk.page(region, aws.now, "", 1)
    return []
