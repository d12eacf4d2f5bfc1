"""Authentication methods: all but the password deleted, so that the user must enrol again."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.microsoft_entra_id.client import VENDOR, Graph, segment
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Factors"]

_WRITE = "UserAuthenticationMethod.ReadWrite.All"
_PASSWORD = "#microsoft.graph.passwordAuthenticationMethod"  # noqa: S105  # a type
_TYPE = "#microsoft.graph.{}AuthenticationMethod"
_PATHS: Mapping[str, str] = {
    _TYPE.format(kind): f"{kind}Methods"
    for kind in (
        "phone",
        "microsoftAuthenticator",
        "fido2",
        "email",
        "softwareOath",
        "windowsHelloForBusiness",
        "temporaryAccessPass",
        "platformCredential",
    )
}


class Factors:
    """The authentication methods of the users of one tenant."""

    verbs = frozenset({"account.require_reauth_factors"})

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def act(self, command: Command) -> Receipt:
        """Deletes every method that can be; a kind that this connector does not know stays and is named."""
        command.only()
        methods = await self._methods(command.native_id)
        lost = tuple(
            f"factor: {kind} is not known here and was kept" for kind in sorted(set(map(_kind, methods)) - set(_PATHS))
        )
        known = [method for method in methods if _kind(method) in _PATHS]
        if not known:
            return Receipt(command.native_id, changed=command.began_otherwise("factors", 0), losses=lost)
        # The default method goes only after the others, and nothing says which it is: who is refused goes again.
        waiting, refused = known, len(known) + 1
        while waiting and len(waiting) < refused:
            refused = len(waiting)
            waiting = [method for method in waiting if not await self._deleted(command, method, last=len(waiting) == 1)]
        if waiting:
            kinds = ", ".join(sorted(map(_kind, waiting)))
            raise RejectedError(
                f"{kinds} of {command.native_id} cannot be deleted", vendor=VENDOR, operation=command.verb
            )
        return Receipt(command.native_id, losses=lost, evidence={"deleted": sorted(map(_kind, known))})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether nothing but the password is left; methods that nobody may delete here do not count as gone."""
        command.only()
        kinds = sorted(map(_kind, await self._methods(command.native_id)))
        return (
            (Effect.NOT_IN_EFFECT if kinds else Effect.IN_EFFECT),
            {"factors": len(kinds), "kinds": kinds},
            str(len(kinds)),
        )

    async def _methods(self, account_id: str) -> list[Mapping[str, Any]]:
        path, operation = f"/users/{segment(account_id)}/authentication/methods", "read factors"
        found = await self._graph.every(path, operation=operation, scope=_WRITE)
        if not found:
            raise ResponseError("not even the password is among the methods", vendor=VENDOR, operation=operation)
        return [method for method in found if _kind(method) != _PASSWORD]

    async def _deleted(self, command: Command, method: Mapping[str, Any], *, last: bool) -> bool:
        base = f"/users/{segment(command.native_id)}/authentication"
        path = f"{base}/{_PATHS[_kind(method)]}/{segment(str(method.get('id')))}"
        try:
            await self._graph.ask("DELETE", path, operation=command.verb, scope=_WRITE)
        except NotFoundError:
            return True  # gone already: an earlier try, or the user
        except RejectedError:
            if last:
                raise
            return False
        return True


def _kind(method: Mapping[str, Any]) -> str:
    return str(method.get("@odata.type") or "")
