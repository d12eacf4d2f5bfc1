"""An AWS account that is strict about what AWS is strict about: signatures, permissions, regions, filters, tokens.

All services answer at one address, told apart by the service that the signature names. Sources: the documentation that
each ``simulated_*.py`` names.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.aws.payloads import digits, finding_payload
from nightdesk.connectors.aws.payloads_hub import asff_payload
from nightdesk.connectors.aws.simulated_guardduty import GuardDutyApi
from nightdesk.connectors.aws.simulated_hub import HubApi
from nightdesk.connectors.aws.simulated_instances import InstancesApi, instance_id
from nightdesk.connectors.aws.simulated_signature import Credential, check, service_of
from nightdesk.connectors.aws.simulated_users import UsersApi, user_id
from nightdesk.connectors.aws.simulated_walls import WallsApi
from nightdesk.connectors.aws.wire import Ask, AwsError, Operation, answer, parse, protocol_of, refusal
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAccount, StoryAlert, StoryDevice

__all__ = ["Simulator"]

_FAULTS = {
    "rate_limited": "throttled",
    "expired_token": "old token",
    "missing_scope": "denied",
    "server_error": "failed",
}
_VERDICTS = {"USEFUL": "true-positive", "NOT_USEFUL": "false-positive", "TRUE_POSITIVE": "true-positive",
             "FALSE_POSITIVE": "false-positive", "BENIGN_POSITIVE": "benign-positive"}  # fmt: skip
_FREE = frozenset({"sts:GetCallerIdentity"})
_PER_SECOND, _BURST = 3.0, 6.0  # of GetFindings of Security Hub


class Simulator(testing.Simulator):
    """One account. The first region has the instances, and the alerts that do not say another one (label ``region``).

    ``denied`` are the IAM actions that the key may not do, ``closed`` regions that the account has not enabled. With
    ``role`` the settings take on a role, and the key may do nothing else. An alert is GuardDuty's unless its label
    ``product`` is ``security_hub``.
    """

    vendor = "aws"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        regions: tuple[str, ...] = ("eu-west-1",),
        denied: Iterable[str] = (),
        closed: Iterable[str] = (),
        role: bool = False,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.denied, self.closed, self._role = set(denied), set(closed), role
        self.regions = regions
        self.account = str(int(digits(f"account {self.secret}", 12), 16) % 10**12).zfill(12)
        self.key_id = f"AKIA{digits(f'key {self.secret}', 16).upper()}"
        self.keys = {self.key_id: Credential(self.secret, f"arn:aws:iam::{self.account}:user/nightdesk")}
        self.users = UsersApi(self.now, self.directory, self.account, self.keys)
        self.users.external_id = digits(f"external {self.secret}", 16) if role else ""
        self.instances = InstancesApi(self.fleet, regions[0])
        self.walls = WallsApi(regions[0], self.account)
        detectors = {region: digits(f"detector {region} {self.secret}", 32) for region in regions}
        self.guardduty = GuardDutyApi(detectors, self.drift)
        self.hub = HubApi(self.now, self.account, set(regions), self.drift)
        self.calls: list[tuple[str, Ask]] = []
        self._caller, self._numbers = "", 0
        self._changed: list[SeenRequest] = []
        self._bucket = (_BURST, self.now())
        self._table: Mapping[str, Mapping[str, Operation]] = {
            "guardduty": self.guardduty.operations(),
            "securityhub": self.hub.operations(),
            "ec2": {**self.instances.operations(), **self.walls.ec2()},
            "wafv2": self.walls.wafv2(),
            "iam": self.users.iam(),
            "sts": self.users.sts(lambda: self._caller),
        }

    def routes(self) -> list[BaseRoute]:
        """One for all: the signature says which service is asked."""
        return [Route("/{path:path}", self._serve, methods=["GET", "POST", "PATCH", "PUT", "DELETE"])]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        role = {"role_arn": self.users.role, "external_id": self.users.external_id} if self._role else {}
        return {
            "endpoint_url": base_url,
            "regions": ",".join(self.regions),
            "access_key_id": self.key_id,
            "secret_access_key": Secret.literal(self.secret),
            "isolation_groups": self.instances.isolation,
            "selective_groups": self.instances.selective,
            "network_acls": self.walls.acl,
            "waf_ip_sets": self.walls.set_arn,
            **role,
        }

    def add_devices(self, devices: Iterable[StoryDevice]) -> None:
        """Starts instances in the first region."""
        self.instances.launch(devices)

    def add_accounts(self, accounts: Iterable[StoryAccount]) -> None:
        """Creates IAM users."""
        self.users.create(accounts)

    def add(self, alert: StoryAlert) -> str:
        """Raises a finding when it was told; its instance and its user are made if they are new."""
        region = alert.labels.get("region", self.regions[0])
        detector = self.guardduty.detectors[region]
        place: dict[str, Any] = {"account": self.account, "region": region, "detector": detector}
        if alert.device:
            self.add_devices([alert.device])
            place["instance"] = self.instances.describe(instance_id(alert.device.device_id))
        if alert.user:
            place["user"] = self._user(alert)
        if alert.labels.get("product") == "security_hub":
            finding = asff_payload(alert, place)
            self.hub.put(region, finding)
            return str(finding["Id"])
        finding = finding_payload(alert, place)
        native_id = str(finding["id"])
        if self.guardduty.find(native_id) is not None:
            raise ValueError(f"the story raises {alert.uid} twice")
        self.guardduty.findings[region][native_id] = finding
        return native_id

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, disposition and note in our words."""
        found = self.guardduty.find(native_id)
        if found is not None:
            service = found["service"]
            word = _VERDICTS.get(str(service.get("userFeedback")), "")
            return {"status": "closed" if service["archived"] else "open", "disposition": word, "comments": []}
        finding = self.hub.find(native_id)
        if finding is None:
            raise KeyError(native_id)
        closed = finding["Workflow"]["Status"] in {"RESOLVED", "SUPPRESSED"} or finding["RecordState"] == "ARCHIVED"
        note = (finding.get("Note") or {}).get("Text", "")
        word = _VERDICTS.get(str(finding.get("VerificationState")), "")
        return {"status": "closed" if closed else "open", "disposition": word, "comments": [note] if note else []}

    def mutations(self) -> list[SeenRequest]:
        """Most services are asked by POST, so the operation tells what could have changed something."""
        return list(self._changed)

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """A refusal in REST's protocol, of no service in particular."""
        made = refusal("", AwsError("InternalServerErrorException", message, status), self._request_id())
        made.headers.update(headers or {})
        return made

    def _fault_response(self, fault: testing.Fault, request: Request) -> Response:
        """Faults in the words of the service that is asked."""
        word = _FAULTS.get(fault.kind)
        if word is None:
            return super()._fault_response(fault, request)
        service = service_of(request.headers)
        message = "is not authorized to perform this" if word == "denied" else f"{word}, says the fault plan"
        return refusal(service, AwsError(word, message), self._request_id())

    async def _serve(self, request: Request) -> Response:
        service = service_of(request.headers)
        try:
            body = await request.body()
            raw_path, query = request.scope.get("raw_path", b"").decode(), request.scope["query_string"].decode()
            headers = [(name.decode(), value.decode("latin-1")) for name, value in request.scope["headers"]]
            path = raw_path.partition("?")[0]
            signed = check(request.method, path, query, headers, body, self.keys, self.now())
            ask = parse(service, signed.region, request.method, request.url.path, request.headers, body)
            operation = self._table.get(service, {}).get(ask.operation) or _UNKNOWN
            self._allow(ask, self.keys[signed.key].who, own=signed.key == self.key_id)
            _known(ask, operation)
            self.calls.append((f"{service}:{ask.operation}", ask))
            if operation.changes:
                self._changed.append(SeenRequest(request.method, request.url.path, f"Action={ask.operation}"))
            return answer(ask, operation.handler(ask), self._request_id())
        except AwsError as error:
            return refusal(service, error, self._request_id())

    def _allow(self, ask: Ask, who: str, *, own: bool) -> None:
        """Raises AwsError for a region or an action that is not allowed, and for too many requests."""
        self._caller = who
        wrong = ask.region in self.closed or (ask.service == "iam" and ask.region != "us-east-1")
        if wrong or (ask.service != "iam" and ask.region not in {*self.regions, *self.closed}):
            raise AwsError("unknown key", f"The security token included in the request is invalid in {ask.region}.")
        action = f"{ask.service}:{ask.operation}"
        bound = self._role and own and action != "sts:AssumeRole"
        if action not in _FREE and (bound or action in self.denied):
            message = f"User: {who} is not authorized to perform: {action} on resource: *"
            raise AwsError("denied", message)
        if action == "securityhub:GetFindings":
            now = self.now()
            tokens = min(self._bucket[0] + (now - self._bucket[1]).total_seconds() * _PER_SECOND, _BURST) - 1
            if tokens < 0:
                raise AwsError("throttled", "Rate exceeded")
            self._bucket = (tokens, now)

    def _user(self, alert: StoryAlert) -> Mapping[str, Any]:
        member = next((one for one in self.directory.accounts.values() if alert.user in {one.name, one.email}), None)
        if member is None:
            account = StoryAccount(
                f"story {alert.user}", alert.user, "", key_ids=(f"AKIA{digits(alert.user, 16).upper()}",)
            )
            self.add_accounts([account])
            member = self.directory.accounts[user_id(account.account_id)]
        arn = f"arn:aws:iam::{self.account}:user/{member.name}"
        key = next(iter(member.keys), f"AKIA{digits(member.name, 16).upper()}")
        return {"UserId": member.account_id, "UserName": member.name, "AccessKeyId": key, "Arn": arn}

    def _request_id(self) -> str:
        self._numbers += 1
        return f"00000000-0000-4000-8000-{self._numbers:012x}"


def _refused(ask: Ask) -> None:
    raise AwsError("unknown operation", f"The action {ask.operation} is not valid for this web service.")


_UNKNOWN = Operation(_refused)


def _known(ask: Ask, operation: Operation) -> None:
    """Raises AwsError for a parameter that the operation does not have, and ends a dry run."""
    if protocol_of(ask.service) not in {"ec2", "query"}:
        return
    strange = sorted({name.partition(".")[0] for name in ask.given} - {*operation.takes, "DryRun"})
    if strange:
        code = "UnknownParameter" if ask.service == "ec2" else "ValidationError"
        raise AwsError(code, f"The parameter {strange[0]} is not recognized")
    if ask.given.get("DryRun") == "true":
        raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
