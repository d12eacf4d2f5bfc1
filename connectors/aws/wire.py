"""How the simulated AWS speaks: four protocols, told apart by the service that the signature names.

Sources: the protocol of each service's model in botocore, and the Common Errors pages of the API references.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from starlette.responses import Response

__all__ = ["Ask", "AwsError", "Handler", "Operation", "answer", "numbered", "parse", "protocol_of", "refusal"]

PROTOCOLS: Mapping[str, str] = {
    "guardduty": "rest-json",
    "securityhub": "rest-json",
    "wafv2": "json",
    "iam": "query",
    "sts": "query",
    "ec2": "ec2",
}
_VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15", "ec2": "2016-11-15"}
_TARGET = "AWSWAF_20190729."
_REST: tuple[tuple[str, str, re.Pattern[str], str], ...] = tuple(
    (service, method, re.compile(path), operation)
    for service, method, path, operation in (
        ("guardduty", "GET", r"/detector", "ListDetectors"),
        ("guardduty", "POST", r"/detector/(?P<detectorId>[^/]+)/findings", "ListFindings"),
        ("guardduty", "POST", r"/detector/(?P<detectorId>[^/]+)/findings/get", "GetFindings"),
        ("guardduty", "POST", r"/detector/(?P<detectorId>[^/]+)/findings/archive", "ArchiveFindings"),
        ("guardduty", "POST", r"/detector/(?P<detectorId>[^/]+)/findings/unarchive", "UnarchiveFindings"),
        ("guardduty", "POST", r"/detector/(?P<detectorId>[^/]+)/findings/feedback", "UpdateFindingsFeedback"),
        ("securityhub", "GET", r"/accounts", "DescribeHub"),
        ("securityhub", "POST", r"/findings", "GetFindings"),
        ("securityhub", "PATCH", r"/findings/batchupdate", "BatchUpdateFindings"),
    )
)
_CODES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    # What goes wrong, and what each protocol calls it.
    "unknown key": {
        "query": (403, "InvalidClientTokenId"),
        "ec2": (401, "AuthFailure"),
        "": (403, "UnrecognizedClientException"),
    },
    "bad signature": {
        "query": (403, "SignatureDoesNotMatch"),
        "ec2": (401, "AuthFailure"),
        "": (403, "InvalidSignatureException"),
    },
    "old signature": {
        "query": (403, "SignatureDoesNotMatch"),
        "ec2": (400, "RequestExpired"),
        "": (403, "InvalidSignatureException"),
    },
    "unsigned": {
        "query": (403, "MissingAuthenticationToken"),
        "ec2": (401, "AuthFailure"),
        "": (403, "MissingAuthenticationTokenException"),
    },
    "old token": {"query": (403, "ExpiredToken"), "ec2": (400, "RequestExpired"), "": (403, "ExpiredTokenException")},
    "denied": {
        "query": (403, "AccessDenied"),
        "ec2": (403, "UnauthorizedOperation"),
        "": (403, "AccessDeniedException"),
    },
    "throttled": {
        "query": (400, "Throttling"),
        "ec2": (503, "RequestLimitExceeded"),
        "json": (400, "ThrottlingException"),
        "": (429, "TooManyRequestsException"),
    },
    "failed": {
        "query": (503, "ServiceUnavailable"),
        "ec2": (503, "Unavailable"),
        "": (500, "InternalServerErrorException"),
    },
    "unknown operation": {
        "query": (400, "InvalidAction"),
        "ec2": (400, "InvalidAction"),
        "": (404, "UnknownOperationException"),
    },
}


class AwsError(Exception):
    """A refusal: by what goes wrong (a word of the table), or by a code of the service's own with its status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: the JSON's members, or the parameters of a query as they were sent, without Action and Version."""

    service: str
    operation: str
    region: str
    given: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A text that is required. Raises AwsError."""
        value = self.given.get(name)
        if not isinstance(value, str) or not value:
            raise AwsError("MissingParameter", f"The request must contain the parameter {name}")
        return value


Handler = Callable[[Ask], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Operation:
    """How one is served; ``changes`` marks what is no read.

    ``takes`` are the first parts of a query's parameters: others are refused. Unknown members of JSON are passed over.
    """

    handler: Handler
    takes: tuple[str, ...] = ()
    changes: bool = False


def protocol_of(service: str) -> str:
    """The protocol of a service; an unknown one is answered in JSON."""
    return PROTOCOLS.get(service, "rest-json")


def parse(service: str, region: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Ask:
    """What is asked. Raises AwsError."""
    protocol = protocol_of(service)
    if protocol == "rest-json":
        for owner, verb, pattern, operation in _REST:
            found = pattern.fullmatch(path)
            if found and (owner, verb) == (service, method):
                return Ask(service, operation, region, {**_json(body), **found.groupdict()})
        raise AwsError("unknown operation", f"no operation at {method} {path}")
    if (method, path) != ("POST", "/"):
        raise AwsError("unknown operation", f"no operation at {method} {path}")
    if protocol == "json":
        target = headers.get("x-amz-target", "")
        if not target.startswith(_TARGET) or headers.get("content-type") != "application/x-amz-json-1.1":
            raise AwsError("unknown operation", f"no operation {target!r}")
        return Ask(service, target.removeprefix(_TARGET), region, _json(body))
    given = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    if given.pop("Version", "") != _VERSIONS[service]:
        raise AwsError("NoSuchVersion" if protocol == "ec2" else "InvalidAction", "The requested version is not valid")
    return Ask(service, given.pop("Action", ""), region, given)


def numbered(given: Mapping[str, Any], name: str) -> list[str]:
    """The values of ``Name.1``, ``Name.2`` and so on; of IAM ``Name.member.1``."""
    found = [(int(m[1]), str(value)) for key, value in given.items()
             if (m := re.fullmatch(rf"{re.escape(name)}(?:\.member)?\.(\d+)", key))]  # fmt: skip
    return [value for _, value in sorted(found)]


def answer(ask: Ask, result: Mapping[str, Any] | None, request_id: str) -> Response:
    """A success in the service's protocol."""
    protocol, headers = protocol_of(ask.service), {"x-amzn-RequestId": request_id}
    if protocol.endswith("json"):
        media = "application/json" if protocol == "rest-json" else "application/x-amz-json-1.1"
        return Response(json.dumps(result or {}, ensure_ascii=False), 200, headers, media)
    name = f"{ask.operation}Response"
    if protocol == "ec2":
        inner = _xml({"requestId": request_id, **(result or {})}, "item")
    else:
        made = "" if result is None else _xml({f"{ask.operation}Result": result}, "member")
        inner = made + _xml({"ResponseMetadata": {"RequestId": request_id}}, "member")
    space = f"https://{ask.service}.amazonaws.com/doc/{_VERSIONS[ask.service]}/"
    return Response(f'<{name} xmlns="{space}">{inner}</{name}>', 200, headers, "text/xml")


def refusal(service: str, error: AwsError, request_id: str) -> Response:
    """A refusal in the service's protocol."""
    protocol = protocol_of(service)
    table = _CODES.get(error.code)
    status, code = (error.status, error.code) if table is None else table.get(protocol) or table[""]
    if protocol.endswith("json"):
        headers = {"x-amzn-RequestId": request_id, "x-amzn-ErrorType": code}
        body = json.dumps({"message": error.message, "__type": code})
        return Response(body, status, headers, "application/json")
    inside = f"<Code>{escape(code)}</Code><Message>{escape(error.message)}</Message>"
    if protocol == "ec2":
        text = f"<Response><Errors><Error>{inside}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    else:
        name = f"<RequestId>{request_id}</RequestId>"
        text = f"<ErrorResponse><Error><Type>Sender</Type>{inside}</Error>{name}</ErrorResponse>"
    return Response(text, status, {"x-amzn-RequestId": request_id}, "text/xml")


def _json(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise AwsError("SerializationException", "the body is no JSON object")
    return found


def _xml(value: Any, item: str) -> str:
    if isinstance(value, Mapping):
        return "".join(f"<{name}>{_xml(inner, item)}</{name}>" for name, inner in value.items())
    if isinstance(value, list):
        return "".join(f"<{item}>{_xml(inner, item)}</{item}>" for inner in value)
    if isinstance(value, bool):
        return str(value).lower()
    return escape(str(value))
