"""IAM users: disabled by a policy that denies everything and by their keys; single keys made inactive and active.

The policy is also the record of which keys were active before: its statement is named after them. Source:
https://docs.aws.amazon.com/IAM/latest/APIReference/
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from nightdesk.connectors.aws.client import VENDOR, Aws
from nightdesk.sdk.errors import NotFoundError, ScopeError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Account, AccountQuery

__all__ = ["Accounts"]

_POLICY = "nightdesk-disabled"
_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_USER_ID = re.compile(r"A[A-Z0-9]{15,127}")
_KEY = re.compile(r"key([A-Z0-9]{16,128})")  # ids have capitals and digits alone
_LOST = "console password: deleted; account.enable cannot bring it back"


class Accounts:
    """The users of one AWS account. ``passwords``: disabling deletes the console password too."""

    def __init__(self, aws: Aws, *, passwords: bool = False) -> None:
        self._aws = aws
        self._passwords = passwords
        self._names: dict[str, str] = {}

    async def disable(self, command: Command) -> Receipt:
        """Denies everything, then makes the active keys inactive; each step only where it is missing."""
        command.only()
        name = await self._name(command.native_id)
        state = await self._state(name)
        active = [key for key, on in state["keys"].items() if on]
        done = False
        if not state["denied"] or active:
            recorded = sorted({*state["recorded"], *active})
            await self._iam("PutUserPolicy", name, PolicyName=_POLICY, PolicyDocument=_deny(recorded))
            done = True
        for key in active:
            await self._iam("UpdateAccessKey", name, AccessKeyId=key, Status="Inactive")
        lost: tuple[str, ...] = ()
        if self._passwords and state["console"]:
            await self._iam("DeleteLoginProfile", name)
            done, lost = True, (_LOST,)
        changed = done or command.began_otherwise("enabled", False)
        return Receipt(command.native_id, changed=changed, losses=lost, evidence={"keys_before": state["keys"]})

    async def enable(self, command: Command) -> Receipt:
        """Makes the keys active that were so before, then takes the policy away: in this order it can be repeated."""
        command.only()
        name = await self._name(command.native_id)
        state = await self._state(name)
        before = command.pre_state.get("keys")
        were = {str(key) for key, on in before.items() if on} if isinstance(before, Mapping) else set()
        wanted = were | set(state["recorded"])
        inactive = [key for key, on in state["keys"].items() if key in wanted and not on]
        for key in inactive:
            await self._iam("UpdateAccessKey", name, AccessKeyId=key, Status="Active")
        if state["denied"]:
            await self._iam("DeleteUserPolicy", name, PolicyName=_POLICY)
        gone = sorted(wanted - set(state["keys"]))
        lost = tuple(f"access key {key}: was deleted meanwhile" for key in gone)
        changed = bool(inactive) or state["denied"] or command.began_otherwise("enabled", True)
        return Receipt(command.native_id, changed=changed, losses=lost)

    async def set_key(self, command: Command) -> Receipt:
        """Makes one access key of the user inactive or active."""
        name, key, on = await self._key(command)
        wanted = command.verb == "credential.restore"
        if on is wanted:
            return Receipt(key, changed=command.began_otherwise("active", wanted))
        await self._iam("UpdateAccessKey", name, AccessKeyId=key, Status="Active" if wanted else "Inactive")
        return Receipt(key)

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the user or the key is so."""
        if command.verb.startswith("credential."):
            _, _, on = await self._key(command)
            done = on is (command.verb == "credential.restore")
            return _effect(done), {"active": on}, "Active" if on else "Inactive"
        command.only()
        state = await self._state(await self._name(command.native_id))
        if command.verb == "account.enable":
            done = not state["denied"]
        else:
            done = not state["enabled"] and not (self._passwords and state["console"])
        native = f"{'denied' if state['denied'] else 'not denied'}, {sum(state['keys'].values())} active keys"
        return _effect(done), {name: value for name, value in state.items() if name != "recorded"}, native

    async def find(self, query: AccountQuery) -> Sequence[Account]:
        """By id, else by name; IAM knows no addresses, no domains and no security identifiers."""
        if query.native_id:
            names = [name for name in [await self._search(query.native_id)] if name]
        elif query.domain:
            names = []  # an account of a directory; one of the same name here is another one
        else:
            names = [name for name in dict.fromkeys((query.name, query.email)) if _NAME.fullmatch(name)]
        found: dict[str, Account] = {}
        for name in names:
            user = await self._user(name)
            user_id = str(user.get("UserId") or "")
            if user_id and str(user.get("UserName") or "").casefold() == name.casefold():
                self._names[user_id] = str(user["UserName"])
                found[user_id] = Account(user_id, str(user["UserName"]), enabled=await self._enabled(user))
        return list(found.values())

    async def _enabled(self, user: Mapping[str, Any]) -> bool | None:
        """None when we may not look."""
        try:
            return bool((await self._state(str(user["UserName"])))["enabled"])
        except ScopeError:
            return None

    async def _key(self, command: Command) -> tuple[str, str, bool]:
        command.only()
        key, name = command.target.key_id, await self._name(command.native_id)
        keys = await self._keys(name)
        if key not in keys:
            raise NotFoundError(f"{name} has no access key {key!r}", vendor=VENDOR, operation="iam:ListAccessKeys")
        return name, key, keys[key]

    async def _name(self, user_id: str) -> str:
        """What the user of that id is called now: a name may have passed on to somebody else. Raises NotFoundError."""
        name = self._names.get(user_id, "")
        if name and (await self._user(name)).get("UserId") == user_id:
            return name
        found = await self._search(user_id)
        if not found:
            raise NotFoundError(f"no user has the id {user_id!r}", vendor=VENDOR, operation="iam:ListUsers")
        self._names[user_id] = found
        return found

    async def _search(self, user_id: str) -> str:
        """Looks through all users, since IAM finds them by name only."""
        if not _USER_ID.fullmatch(user_id):
            return ""
        rows = await self._aws.rows("iam", "ListUsers", "Users", MaxItems=1000)
        return next((str(row.get("UserName")) for row in rows if row.get("UserId") == user_id), "")

    async def _user(self, name: str) -> Mapping[str, Any]:
        try:
            found = (await self._iam("GetUser", name)).get("User")
        except NotFoundError:
            return {}
        return found if isinstance(found, Mapping) else {}

    async def _keys(self, name: str) -> dict[str, bool]:
        rows = await self._aws.rows("iam", "ListAccessKeys", "AccessKeyMetadata", UserName=name)
        return {str(row.get("AccessKeyId")): row.get("Status") == "Active" for row in rows}

    async def _state(self, name: str) -> dict[str, Any]:
        keys = await self._keys(name)
        try:
            text = (await self._iam("GetUserPolicy", name, PolicyName=_POLICY)).get("PolicyDocument")
        except NotFoundError:
            text = None
        denied, recorded = _read(text)
        state: dict[str, Any] = {
            "enabled": not denied or any(keys.values()),
            "denied": denied,
            "keys": keys,
            "recorded": recorded,
        }
        if self._passwords:
            try:
                await self._iam("GetLoginProfile", name)
            except NotFoundError:
                state["console"] = False
            else:
                state["console"] = True
        return state

    async def _iam(self, operation: str, name: str, **parameters: Any) -> Mapping[str, Any]:
        return (await self._aws.call("iam", operation, UserName=name, **parameters)).document


def _deny(keys: Sequence[str]) -> str:
    sid = "nightdesk" + "".join(f"key{key}" for key in keys)
    statement = {"Sid": sid, "Effect": "Deny", "Action": "*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _read(document: Any) -> tuple[bool, list[str]]:
    """Whether the policy denies everything, and the keys that it says were active."""
    if isinstance(document, str):
        try:
            document = json.loads(unquote(document))
        except ValueError:
            document = None
    statements = document.get("Statement") if isinstance(document, Mapping) else None
    denied, keys = False, []
    for statement in statements if isinstance(statements, list) else [statements]:
        if isinstance(statement, Mapping) and "Condition" not in statement:
            everything = (statement.get("Effect"), statement.get("Action"), statement.get("Resource"))
            denied = denied or everything == ("Deny", "*", "*")
            keys += _KEY.findall(str(statement.get("Sid") or ""))
    return denied, keys


def _effect(done: bool) -> Effect:
    return Effect.IN_EFFECT if done else Effect.NOT_IN_EFFECT
