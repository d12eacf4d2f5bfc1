"""Calls to AWS as the rest of the connector makes them: awaited, paced, retried when that is safe, errors as ours."""

import asyncio
import importlib
import importlib.util
import random
import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import structlog

from nightdesk.connectors.aws.answers import Answer, Keys
from nightdesk.sdk.answers import Setback
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import AuthError, ConfigError, Problem, ResponseError
from nightdesk.sdk.redaction import Redactor
from nightdesk.sdk.retry import MAX_ATTEMPTS, RateBudget, backoff

__all__ = ["VENDOR", "Aws", "words"]

VENDOR = "aws"

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")
_ENDPOINT = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[\w./~-]*)?")
_GLOBAL = {"cn": "cn-north-1", "us-gov": "us-gov-west-1", "": "us-east-1"}  # where IAM of a partition is signed for
_PER_MINUTE = {"securityhub": 180}  # GetFindings: 3 a second
_OTHERS_PER_MINUTE = 600
_READS = re.compile(r"(?:Get|List|Describe|AssumeRole)")
_SESSION = 3600  # seconds; the default of AssumeRole, and the most that a role in a chain may have
_EARLY = timedelta(minutes=5)
_DRIP = 10  # a call may take this many times the timeout, which itself bounds only each silence
_log = structlog.get_logger(__name__)


class Aws:
    """One instance's access to one account (through a role: to the role's) in its regions."""

    def __init__(self, context: Context, *, jitter: Callable[[], float] = random.random) -> None:
        self._context = context
        self._jitter = jitter
        settings = context.settings
        self.regions = words(settings.text("regions"))
        self._endpoint = settings.text("endpoint_url")
        self._key_id, self._secret = settings.text("access_key_id"), settings.secret("secret_access_key")
        self._token = settings.secret("session_token") if settings.has("session_token") else None
        self._role, self._external = settings.text("role_arn"), settings.text("external_id")
        problems = [*self._problems()]
        if problems:
            raise ConfigError([Problem(context.instance, key, message) for key, message in problems])
        self._temporary: tuple[Keys, datetime] | None = None
        self._role_lock = asyncio.Lock()
        self._redactor = Redactor()
        self._redactor.learn(urlsplit(context.network.proxy or "").password or "")
        self._budgets: dict[str, RateBudget] = {}
        self._boto: Any = None
        self._boto_lock = threading.Lock()
        self.clock_skew: float | None = None

    @property
    def home(self) -> str:
        """The region that answers for what has none (IAM)."""
        return _GLOBAL[_partition(self.regions[0])]

    @property
    def now(self) -> int:
        """Our own time, in nanoseconds."""
        return int(self._context.clock().timestamp() * 1000) * 1_000_000

    async def call(
        self,
        service: str,
        operation: str,
        region: str = "",
        *,
        expects: tuple[str, ...] = (),
        **parameters: Any,
    ) -> Answer:
        """One call. Reads are repeated when they break; whatever was throttled is. Raises VendorError.

        ``expects`` are error codes that are an answer to the caller: they come as its ``refusal``.
        """
        region = region or (self.home if service == "iam" else self.regions[0])
        renewed = False
        attempt = 0
        while True:
            keys = await self._keys(service)
            outcome = await self._attempt(service, operation, region, parameters, keys, expects)
            if isinstance(outcome, Answer):
                return outcome
            if isinstance(outcome.error, AuthError) and keys.token and self._role and not renewed:
                self._temporary, renewed = None, True
                continue
            attempt += 1
            allowed = outcome.untouched or (outcome.transient and _READS.match(operation) is not None)
            if not allowed or attempt >= MAX_ATTEMPTS:
                raise outcome.error
            await self._context.sleep(backoff(attempt, self._jitter))

    async def rows(
        self, service: str, operation: str, *path: str, region: str = "", **parameters: Any
    ) -> list[dict[str, Any]]:
        """Every object of the list at that path of the answer, all pages of it. Raises VendorError."""
        name = "Marker" if service == "iam" else "NextToken"
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            more: dict[str, Any] = {name: token} if token else {}
            answer = await self.call(service, operation, region, **parameters, **more)
            found += answer.rows(*path)
            following = str(answer.document.get(name) or "")
            if not following:
                return found
            if following == token:
                raise ResponseError("the page token repeats", vendor=VENDOR, operation=f"{service}:{operation}")
            token = following

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._boto is not None:
            await asyncio.to_thread(self._boto.close)

    def _problems(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        if importlib.util.find_spec("boto3") is None:
            found.append(("", "needs boto3, which is an extra: install nightdesk[aws]"))
        wrong = [name for name in self.regions if not _REGION.fullmatch(name)]
        if wrong or not self.regions:
            found.append(("regions", f"{', '.join(wrong) or 'nothing'} is no region; write names like eu-west-1"))
        elif len({_partition(name) for name in self.regions}) > 1:
            found.append(("regions", "are of several partitions, which share no keys; make one instance for each"))
        if self._endpoint and not _ENDPOINT.fullmatch(self._endpoint):
            found.append(("endpoint_url", "must be http(s)://host[:port][/path], without credentials or query"))
        if self._external and not self._role:
            found.append(("external_id", "is for a role; give role_arn too"))
        return found

    async def _keys(self, service: str) -> Keys:
        """What to sign with: our own keys, or those of the role that they may take on."""
        own = Keys(self._key_id, self._secret.reveal(), self._token.reveal() if self._token else "")
        self._redactor.learn(own.secret, own.token)
        if not self._role or service == "sts":
            return own
        async with self._role_lock:
            if self._temporary is None or self._temporary[1] - _EARLY <= self._context.clock():
                self._temporary = await self._assume()
            return self._temporary[0]

    async def _assume(self) -> tuple[Keys, datetime]:
        name = re.sub(r"[^\w+=,.@-]", "-", f"nightdesk-{self._context.instance}")[:64]
        given: dict[str, Any] = {"RoleArn": self._role, "RoleSessionName": name, "DurationSeconds": _SESSION}
        given |= {"ExternalId": self._external} if self._external else {}
        found = (await self.call("sts", "AssumeRole", **given)).document.get("Credentials") or {}
        ends = found.get("Expiration")
        parts = [str(found.get(part) or "") for part in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
        if not all(parts) or not isinstance(ends, datetime):
            raise ResponseError("no credentials in the answer", vendor=VENDOR, operation="sts:AssumeRole")
        keys = Keys(*parts)
        self._redactor.learn(keys.secret, keys.token)
        return keys, ends.astimezone(UTC)

    async def _attempt(
        self,
        service: str,
        operation: str,
        region: str,
        parameters: Mapping[str, Any],
        keys: Keys,
        expects: tuple[str, ...],
    ) -> Answer | Setback:
        budget = self._budgets.get(f"{service} {region}")
        if budget is None:
            pace = _PER_MINUTE.get(service, _OTHERS_PER_MINUTE)
            budget = RateBudget(pace, self._context.clock, self._context.sleep)
            self._budgets[f"{service} {region}"] = budget
        await budget.take()
        begin = self._context.clock()
        outcome: Answer | Setback
        try:
            async with asyncio.timeout(self._context.network.timeout * _DRIP):
                outcome = await asyncio.to_thread(
                    self._exchange, service, region, operation, dict(parameters), keys, expects
                )
        except TimeoutError as error:
            outcome = _refusals().meaning(error, f"{service}:{operation}", region, self._redactor)
        if isinstance(outcome, Answer) and outcome.moment is not None:
            self.clock_skew = outcome.moment / 1e9 - self._context.clock().timestamp()
        _log.debug(
            "vendor call",
            tenant=self._context.tenant,
            instance=self._context.instance,
            vendor=VENDOR,
            operation=f"{service}:{operation}",
            region=region,
            ms=round((self._context.clock() - begin).total_seconds() * 1000, 1),
            error=type(outcome.error).__name__ if isinstance(outcome, Setback) else None,
        )
        return outcome

    def _exchange(
        self,
        service: str,
        region: str,
        operation: str,
        parameters: dict[str, Any],
        keys: Keys,
        expects: tuple[str, ...],
    ) -> Answer | Setback:
        """In a worker thread: the SDK blocks, and importing it takes a third of a second."""
        module = importlib.import_module("nightdesk.connectors.aws.boto")
        with self._boto_lock:
            if self._boto is None:
                self._boto = module.Boto(self._context.network, endpoint_url=self._endpoint, clock=self._context.clock)
        try:
            answer: Answer = self._boto.exchange(service, region, operation, parameters, keys)
        except module.FAILURES as error:
            code = _refusals().code_of(error)
            if code in expects:
                return Answer({}, refusal=code)
            setback: Setback = _refusals().meaning(error, f"{service}:{operation}", region, self._redactor)
            return setback
        return answer


def words(text: str) -> tuple[str, ...]:
    """The different words of a setting, in order."""
    return tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", text) if word))


def _partition(region: str) -> str:
    return next((name for name in ("cn", "us-gov") if region.startswith(f"{name}-")), "")


def _refusals() -> ModuleType:
    return importlib.import_module("nightdesk.connectors.aws.refusals")
