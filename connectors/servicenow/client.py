"""ServiceNow's Table API over HTTP: three ways to sign in, query terms that cannot break out, refusals that say why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError, ResponseError, ScopeError, VendorError
from nightdesk.sdk.http import Auth, BasicAuth, HeaderAuth, HttpClient, OAuth2ClientCredentials

__all__ = ["VENDOR", "Row", "TableApi", "term"]

VENDOR = "servicenow"
_TOKEN_PATH = "/oauth_token.do"  # noqa: S105  # a path
_REQUESTS_PER_MINUTE = 300
_RULES = ("business rule", "data policy")  # these refuse with a 403 too, whatever the roles
_WAYS = (("username", "password"), ("client_id", "client_secret"), ("api_key",))


@dataclass(frozen=True, slots=True)
class Row:
    """One record, each field as the database has it and as the session's user sees it."""

    fields: Mapping[str, Any]

    def has(self, name: str) -> bool:
        """False for a field that an ACL hides: it is left out of the answer."""
        return isinstance(self.fields.get(name), Mapping)

    def value(self, name: str) -> str:
        """The stored value; numbers and booleans are texts too, times are UTC."""
        return self._part(name, "value")

    def shown(self, name: str) -> str:
        """The display value, times in the user's zone and form."""
        return self._part(name, "display_value")

    def _part(self, name: str, part: str) -> str:
        field = self.fields.get(name)
        found = field.get(part) if isinstance(field, Mapping) else None
        return "" if found is None else str(found)


def term(field: str, operator: str, value: str) -> str:
    """One term of an encoded query. Raises RejectedError for a value that would be more than a value."""
    if any(letter == "^" or not letter.isprintable() for letter in value) or value.lower().startswith("javascript:"):
        message = f"{value[:60]!r} cannot stand in a query of ServiceNow: it holds '^', a control character or a script"
        raise RejectedError(message, vendor=VENDOR, operation="build query")
    return f"{field}{operator}{value}"


class TableApi:
    """One instance. Every call names the role it needs, so that a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=context.settings.text("base_url"),
            auth=_auth(context.settings, context.instance),
            requests_per_minute=_REQUESTS_PER_MINUTE,
            inspect=_awake,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def rows(
        self, table: str, query: str, fields: Sequence[str], *, limit: int, operation: str, role: str
    ) -> list[Row]:
        """The records of a query, at most ``limit``; fewer are no sign of the end, since ACLs hide rows afterwards.

        A term that the instance does not understand is ignored: the caller checks that each row is what was asked for.
        """
        params = {"sysparm_query": query, "sysparm_limit": str(limit), "sysparm_no_count": "true"}
        found = await self._ask("GET", table, fields, operation=operation, role=role, params=params)
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise ResponseError("the result is no list of records", vendor=VENDOR, operation=operation)
        return [Row(row) for row in found]

    async def one(self, table: str, sys_id: str, fields: Sequence[str], *, operation: str, role: str) -> Row:
        """The record of that id. Raises NotFoundError."""
        return _row(await self._ask("GET", f"{table}/{sys_id}", fields, operation=operation, role=role), operation)

    async def create(self, table: str, body: Mapping[str, str], fields: Sequence[str], *, role: str) -> Row:
        """A new record as it was kept: what an ACL protects is dropped without a word."""
        operation = "create ticket"
        return _row(await self._ask("POST", table, fields, operation=operation, role=role, json=body), operation)

    async def change(
        self, table: str, sys_id: str, body: Mapping[str, str], fields: Sequence[str], *, operation: str, role: str
    ) -> Row:
        """The record as it is after the change; dropped fields as in ``create``."""
        path = f"{table}/{sys_id}"
        return _row(await self._ask("PATCH", path, fields, operation=operation, role=role, json=body), operation)

    async def _ask(
        self,
        method: str,
        path: str,
        fields: Sequence[str],
        *,
        operation: str,
        role: str,
        params: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Any:
        shape = {
            "sysparm_fields": ",".join(fields),
            "sysparm_display_value": "all",
            "sysparm_exclude_reference_link": "true",
        }
        try:
            answer = await self._http.json(
                method, f"/api/now/table/{path}", operation=operation, params={**(params or {}), **shape}, json=json
            )
        except ScopeError as error:
            raise _refused(error, role) from error
        return answer.get("result") if isinstance(answer, Mapping) else None


def _row(found: Any, operation: str) -> Row:
    row = Row(found if isinstance(found, Mapping) else {})
    if not row.value("sys_id"):
        raise ResponseError("the result is no record with a sys_id", vendor=VENDOR, operation=operation)
    return row


def _refused(error: ScopeError, role: str) -> VendorError:
    """A 403 as what it is: a rule of the instance refuses for good, else a role or an ACL is missing."""
    # What the HTTP client says first is advice without the role's name; what ServiceNow says comes behind it.
    theirs = str(error).partition(f"names for {error.operation}: ")[2].removesuffix(f" (HTTP {error.status})")
    if any(rule in theirs.lower() for rule in _RULES):
        message = f"a rule of the instance refuses this: {theirs}"
        return RejectedError(message, vendor=VENDOR, operation=error.operation, status=error.status)
    message = (
        f"grant the integration user the {role}; if it has it, an ACL of the table refuses: {theirs or 'no reason'}"
    )
    return ScopeError(message, vendor=VENDOR, operation=error.operation, status=error.status)


def _awake(response: httpx.Response, operation: str) -> VendorError | None:
    """A page instead of JSON is no answer, whatever its status says."""
    if "text/html" not in response.headers.get("content-type", ""):
        return None
    message = (
        "a web page came instead of JSON; the instance hibernates (wake it in a browser), or single sign-on or a proxy"
        " answers in its place (check base_url)"
    )
    return ResponseError(message, vendor=VENDOR, operation=operation, status=response.status_code)


def _auth(settings: Settings, instance: str) -> Auth:
    given = [way for way in _WAYS if any(settings.has(name) for name in way)]
    if len(given) != 1 or not all(settings.has(name) for name in given[0]):
        problem = "give username and password, or client_id and client_secret, or api_key"
        raise ConfigError([Problem(instance, "username", problem)])
    match given[0]:
        case ("username", _):
            return BasicAuth(settings.text("username"), settings.secret("password"))
        case ("client_id", _):
            return OAuth2ClientCredentials(_TOKEN_PATH, settings.text("client_id"), settings.secret("client_secret"))
        case _:
            return HeaderAuth("x-sn-apikey", settings.secret("api_key"))
