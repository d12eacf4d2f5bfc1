"""The simulated authentication methods of users: each kind has its own address, and the default one goes last."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.microsoft_entra_id.payloads import guid
from nightdesk.connectors.microsoft_entra_id.simulated_directory import DirectoryApi
from nightdesk.connectors.microsoft_entra_id.wire import GraphError, Pages, Permissions, Routes, Wire
from nightdesk.sdk.testing import Directory, Member

__all__ = ["MethodsApi"]

_READ: Permissions = tuple(
    frozenset({name}) for name in ("UserAuthenticationMethod.Read.All", "UserAuthenticationMethod.ReadWrite.All")
)
_WRITE: Permissions = (frozenset({"UserAuthenticationMethod.ReadWrite.All"}),)
_PASSWORD = {
    "@odata.type": "#microsoft.graph.passwordAuthenticationMethod",
    "id": "28c10230-6103-485e-b985-444c60001490",
}
_KINDS: Mapping[str, str] = {  # the first is the default one
    "microsoftAuthenticatorMethods": "#microsoft.graph.microsoftAuthenticatorAuthenticationMethod",
    "phoneMethods": "#microsoft.graph.phoneAuthenticationMethod",
    "fido2Methods": "#microsoft.graph.fido2AuthenticationMethod",
    "emailMethods": "#microsoft.graph.emailAuthenticationMethod",
    "softwareOathMethods": "#microsoft.graph.softwareOathAuthenticationMethod",
    "windowsHelloForBusinessMethods": "#microsoft.graph.windowsHelloForBusinessAuthenticationMethod",
    "temporaryAccessPassMethods": "#microsoft.graph.temporaryAccessPassAuthenticationMethod",
    "platformCredentialMethods": "#microsoft.graph.platformCredentialAuthenticationMethod",
}
_METHODS = Pages("authentication/methods", {}, most=100, default=100)


class MethodsApi:
    """As many methods as a member has factors, one of each kind; ``unheard_of`` adds a kind that is new."""

    def __init__(self, wire: Wire, directory: Directory, users: DirectoryApi) -> None:
        self.unheard_of = False
        self._wire = wire
        self._directory = directory
        self._users = users
        self._deleted: dict[str, set[str]] = {}

    def routes(self) -> Routes:
        """What can be called; the password cannot be deleted, so it has no such address."""
        base = "/users/{name}/authentication"
        deletions = tuple(("DELETE", f"{base}/{kind}/{{method}}", _WRITE, self._delete) for kind in _KINDS)
        return (("GET", f"{base}/methods", _READ, self._list), *deletions)

    def _of(self, member: Member) -> dict[str, str]:
        """The ids of the member's methods by kind; the last one deleted is seen until its deletion takes effect."""
        self._directory.settle()
        if not member.factors:
            return {}
        kinds = list(_KINDS)[: member.factors]
        gone = self._deleted.get(member.account_id, set())
        left = [kind for kind in kinds if kind not in gone] or kinds[:1]
        return {kind: guid("method", member.account_id, kind) for kind in left}

    async def _list(self, request: Request) -> Response:
        member = self._users.member(request)
        rows: list[dict[str, Any]] = [_PASSWORD]
        rows += [{"@odata.type": _KINDS[kind], "id": name} for kind, name in self._of(member).items()]
        if self.unheard_of:
            rows.append(
                {"@odata.type": "#microsoft.graph.palmAuthenticationMethod", "id": guid("palm", member.account_id)}
            )
        return self._wire.page(request, rows, _METHODS)

    async def _delete(self, request: Request) -> Response:
        member, kind = self._users.member(request), request.url.path.split("/")[-2]
        self._users.guard(member)
        there = self._of(member)
        if there.get(kind) != request.path_params["method"]:
            raise GraphError(404, "resourceNotFound", "The authentication method is not found.")
        if len(there) > 1 and kind == next(iter(_KINDS)):
            message = (
                f"The requested authentication method id of [{there[kind]}] matches the user's current default "
                "authentication method, and cannot be deleted until the default authentication method is changed"
            )
            raise GraphError(400, "badRequest", message)
        self._deleted.setdefault(member.account_id, set()).add(kind)
        if len(there) == 1:
            self._directory.change(member.account_id, "reset_factors")
        return Response(status_code=204)
