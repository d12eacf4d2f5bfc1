import asyncio
from collections.abc import Mapping
from datetime import timedelta

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from nightdesk.connectors.aws.simulator import Simulator
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.testing import StoryAccount, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime

URL = "http://aws.example.com"
FORM = {"content-type": "application/x-www-form-urlencoded"}
VERSIONS = {"ec2": "2016-11-15", "iam": "2010-05-08", "sts": "2011-06-15"}


def signed(
    made: Simulator, service: str, method: str, path: str, body: str, headers: Mapping[str, str], secret: str = ""
) -> dict[str, str]:
    """The headers that botocore signs, which is not how the simulator computes a signature."""
    request = AWSRequest(method, URL + path, headers=dict(headers), data=body.encode())
    credentials = Credentials(made.key_id, secret or made.secret)
    SigV4Auth(credentials, service, "us-east-1" if service == "iam" else "eu-west-1").add_auth(request)
    return dict(request.headers.items())


def send(made: Simulator, method: str, path: str, body: str, headers: Mapping[str, str]) -> httpx.Response:
    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url=URL) as client:
            return await client.request(method, path, content=body, headers=headers)

    return asyncio.run(once())


def post(made: Simulator, service: str, path: str, body: str, secret: str = "") -> httpx.Response:
    return send(made, "POST", path, body, signed(made, service, "POST", path, body, {}, secret))


def ask(made: Simulator, service: str, query: str, secret: str = "") -> httpx.Response:
    body = f"Action={query}" if "Version=" in query else f"Version={VERSIONS[service]}&Action={query}"
    return send(made, "POST", "/", body, signed(made, service, "POST", "/", body, FORM, secret))


@pytest.fixture
def simulator() -> Simulator:
    made = Simulator(secret="s3cret")
    made.add_devices([StoryDevice("web", "Web-01", ("192.0.2.10",))])
    made.add_accounts([StoryAccount("ann", "ann", "ann@corp.example.com")])
    return made


def test_a_request_is_taken_as_it_was_signed_and_in_no_other_way(simulator: Simulator) -> None:
    path, body = "/detector/a%20b/findings?x=2&a=1", '{"maxResults":1}'
    fine = signed(simulator, "guardduty", "POST", path, body, {"x-amz-extra": "a  b"})
    assert send(simulator, "POST", path, body, fine).json()["__type"] == "BadRequestException"  # no such detector
    stamp, authorization = fine["X-Amz-Date"], fine["Authorization"]
    spoiled: list[tuple[str, str, dict[str, str]]] = [
        (path, '{"maxResults":2}', {}),
        (path.replace("a=1", "a=2"), body, {}),
        (path.replace("a%20b", "a%20c"), body, {}),
        (path, body, {"x-amz-extra": "c"}),
        (path, body, {"x-amz-unsigned": "1"}),
        (path, body, {"X-Amz-Date": f"{stamp[:-2]}{9 - int(stamp[-2])}Z"}),
        (path, body, {"Authorization": authorization.replace("eu-west-1", "eu-west-2")}),
        (path, body, {"Authorization": authorization.replace("host;", "")}),
    ]
    for where, what, more in spoiled:
        response = send(simulator, "POST", where, what, {**fine, **more})
        assert (response.status_code, response.json()["__type"]) == (403, "InvalidSignatureException"), (where, more)


def test_a_signature_is_good_for_five_minutes_either_way() -> None:
    for minutes, status in ((4, 200), (-4, 200), (6, 403), (-6, 403)):
        moment = utc_now() + timedelta(minutes=minutes)
        late = Simulator(clock=FakeTime(moment).clock)
        assert ask(late, "sts", "GetCallerIdentity").status_code == status, minutes


@pytest.mark.parametrize(
    ("service", "query", "code"),
    [
        ("ec2", "DescribeInstances&InstanceId.1=i-0123456789abcdef0", "InvalidInstanceID.NotFound"),
        ("ec2", "DescribeInstances&Colour=red", "UnknownParameter"),
        ("ec2", "DescribeInstances&MaxResults=2", "InvalidParameterValue"),
        ("ec2", "DescribeInstances&Filter.1.Name=name&Filter.1.Value.1=a", "InvalidParameterValue"),
        ("ec2", "DescribeInstances&DryRun=true", "DryRunOperation"),
        ("ec2", "DescribeInstances&Version=2014-01-01", "NoSuchVersion"),
        ("ec2", "RunInstances", "InvalidAction"),
        ("iam", "GetUser&UserName=bob", "NoSuchEntity"),
        ("iam", "PutUserPolicy&UserName=ann&PolicyName=p&PolicyDocument=x", "MalformedPolicyDocument"),
        ("sts", "AssumeRole&RoleArn=arn&RoleSessionName=xy&DurationSeconds=60", "ValidationError"),
    ],
)
def test_what_the_query_protocols_do_not_know_is_refused(
    simulator: Simulator, service: str, query: str, code: str
) -> None:
    assert f"<Code>{code}</Code>" in ask(simulator, service, query).text
    wrong = "<Code>AuthFailure</Code>" if service == "ec2" else "<Code>SignatureDoesNotMatch</Code>"
    assert wrong in ask(simulator, service, query, "another").text


def test_filters_and_sizes_of_findings_are_checked_before_there_are_any(simulator: Simulator) -> None:
    path = f"/detector/{simulator.guardduty.detectors['eu-west-1']}/findings"
    names = '["{}"]'.format('","'.join("a" * 51))
    for service, where, body in (
        ("guardduty", path, '{"maxResults":51}'),
        ("guardduty", path, '{"findingCriteria":{"criterion":{"createdAt":{"greaterThan":1}}}}'),
        ("guardduty", path, '{"findingCriteria":{"criterion":{"updatedAt":{"equals":1}}}}'),
        ("guardduty", f"{path}/get", f'{{"findingIds":{names}}}'),
        ("securityhub", "/findings", '{"MaxResults":101}'),
        ("securityhub", "/findings", '{"Filters":{"Colour":[]}}'),
        ("securityhub", "/findings", '{"Filters":{"UpdatedAt":[{"Start":"2026-01-01T00:00:00Z"}]}}'),
        ("securityhub", "/findings", '{"NextToken":"stale"}'),
    ):
        refused = post(simulator, service, where, body)
        assert refused.status_code == 400, body
        assert refused.headers["x-amzn-errortype"] in {"BadRequestException", "InvalidInputException"}, body


def test_get_findings_of_security_hub_is_throttled_after_a_burst_of_six() -> None:
    made = Simulator(clock=FakeTime(utc_now()).clock)
    assert [post(made, "securityhub", "/findings", "{}").status_code for _ in range(7)] == [200] * 6 + [429]
