"""The simulated IAM and STS: users, keys and inline policies; a change shows once it is done, as late as it likes.

Sources: https://docs.aws.amazon.com/IAM/latest/APIReference/ and https://docs.aws.amazon.com/STS/latest/APIReference/
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.aws.payloads import digits
from nightdesk.connectors.aws.simulated_signature import Credential
from nightdesk.connectors.aws.wire import Ask, AwsError, Operation
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Directory, Member, StoryAccount
from nightdesk.sdk.testing.directory import Change

__all__ = ["UsersApi", "user_id"]

_MOST = 1000


@dataclass(slots=True)
class _Policies:
    """The inline policies of a user, and changes of them that were accepted; None takes one away."""

    there: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[Change, str, str | None]] = field(default_factory=list)


class UsersApi:
    """The users of one account. ``role`` and ``external_id`` are what AssumeRole gives and asks for."""

    def __init__(self, clock: Clock, directory: Directory, account: str, keys: dict[str, Credential]) -> None:
        self._clock = clock
        self._directory = directory
        self._account = account
        self._keys = keys
        self._policies: dict[str, _Policies] = {}
        self.passwords: set[str] = set()
        self.role = f"arn:aws:iam::{account}:role/nightdesk"
        self.external_id = ""

    def iam(self) -> dict[str, Operation]:
        """What can be called of IAM."""
        policy = ("UserName", "PolicyName")
        return {
            "GetUser": Operation(self._get, ("UserName",)),
            "ListUsers": Operation(self._list, ("Marker", "MaxItems", "PathPrefix")),
            "ListAccessKeys": Operation(self._list_keys, ("UserName", "Marker", "MaxItems")),
            "UpdateAccessKey": Operation(self._update_key, ("UserName", "AccessKeyId", "Status"), changes=True),
            "GetUserPolicy": Operation(self._get_policy, policy),
            "PutUserPolicy": Operation(self._put_policy, (*policy, "PolicyDocument"), changes=True),
            "DeleteUserPolicy": Operation(self._delete_policy, policy, changes=True),
            "GetLoginProfile": Operation(self._get_password, ("UserName",)),
            "DeleteLoginProfile": Operation(self._delete_password, ("UserName",), changes=True),
        }

    def sts(self, who: Callable[[], str]) -> dict[str, Operation]:
        """What can be called of STS; ``who`` gives the ARN of the caller."""
        assume = ("RoleArn", "RoleSessionName", "ExternalId", "DurationSeconds")
        return {
            "GetCallerIdentity": Operation(lambda _: {"Account": self._account, "Arn": who(), "UserId": "AIDAEXAMPLE"}),
            "AssumeRole": Operation(self._assume, assume),
        }

    def create(self, accounts: Iterable[StoryAccount]) -> None:
        """Creates users, with a password for the console."""
        for account in accounts:
            name = user_id(account.account_id)
            if name not in self._directory.accounts:
                self._directory.add([replace(account, account_id=name)])
                self.passwords.add(name)

    def settle(self) -> None:
        """Carries out what is due."""
        self._directory.settle()
        for policies in self._policies.values():
            for change, name, document in policies.asked:
                if change.done and document is None:
                    policies.there.pop(name, None)
                elif change.done:
                    policies.there[name] = str(document)
            policies.asked = [row for row in policies.asked if not (row[0].done or row[0].failed)]

    def _user(self, member: Member) -> dict[str, Any]:
        arn = f"arn:aws:iam::{self._account}:user/{member.name}"
        created = "2026-01-01T00:00:00Z"
        return {"Path": "/", "UserName": member.name, "UserId": member.account_id, "Arn": arn, "CreateDate": created}

    def _member(self, ask: Ask) -> Member:
        self.settle()
        name = ask.text("UserName")
        for member in self._directory.accounts.values():
            if member.name == name:
                return member
        raise AwsError("NoSuchEntity", f"The user with name {name} cannot be found.", 404)

    def _get(self, ask: Ask) -> Mapping[str, Any]:
        return {"User": self._user(self._member(ask))}

    def _list(self, ask: Ask) -> Mapping[str, Any]:
        self.settle()
        size, begin = str(ask.given.get("MaxItems", "100")), str(ask.given.get("Marker", "0"))
        if not size.isdecimal() or not 1 <= int(size) <= _MOST or not begin.isdecimal():
            raise AwsError("ValidationError", "MaxItems is 1 to 1000, Marker is what the page before gave")
        end = int(begin) + int(size)
        rows = [self._user(member) for member in self._directory.accounts.values()]
        more = {"Marker": str(end)} if end < len(rows) else {}
        return {"Users": rows[int(begin) : end], "IsTruncated": bool(more), **more}

    def _list_keys(self, ask: Ask) -> Mapping[str, Any]:
        member = self._member(ask)
        rows = [
            {"UserName": member.name, "AccessKeyId": key, "Status": "Active" if on else "Inactive"}
            for key, on in member.keys.items()
        ]
        return {"AccessKeyMetadata": rows, "IsTruncated": False}

    def _update_key(self, ask: Ask) -> None:
        member, key, status = self._member(ask), ask.text("AccessKeyId"), ask.text("Status")
        if key not in member.keys:
            raise AwsError("NoSuchEntity", f"The Access Key with id {key} cannot be found.", 404)
        if status not in {"Active", "Inactive"}:
            raise AwsError("ValidationError", "Status is Active or Inactive")
        self._directory.change(member.account_id, "activate_key" if status == "Active" else "deactivate_key", key)
        self.settle()

    def _get_policy(self, ask: Ask) -> Mapping[str, Any]:
        member, name = self._member(ask), ask.text("PolicyName")
        document = self._of(member).there.get(name)
        if document is None:
            raise AwsError("NoSuchEntity", f"The user policy with name {name} cannot be found.", 404)
        return {"UserName": member.name, "PolicyName": name, "PolicyDocument": quote(document, safe="")}

    def _put_policy(self, ask: Ask) -> None:
        member, name, text = self._member(ask), ask.text("PolicyName"), ask.text("PolicyDocument")
        statements = _statements(text)
        if sum(len(one) for one in self._of(member).there.values()) + len(text) > 2048:
            raise AwsError("LimitExceeded", f"Maximum policy size of 2048 bytes exceeded for user {member.name}", 409)
        everything = any(
            (one["Effect"], one.get("Action"), one.get("Resource")) == ("Deny", "*", "*") for one in statements
        )
        change = self._directory.change(member.account_id, "disable" if everything else "enable", name)
        self._of(member).asked.append((change, name, text))
        self.settle()

    def _delete_policy(self, ask: Ask) -> None:
        member, name = self._member(ask), ask.text("PolicyName")
        if name not in self._of(member).there:
            raise AwsError("NoSuchEntity", f"The user policy with name {name} cannot be found.", 404)
        self._of(member).asked.append((self._directory.change(member.account_id, "enable", name), name, None))
        self.settle()

    def _get_password(self, ask: Ask) -> Mapping[str, Any]:
        member = self._member(ask)
        if member.account_id not in self.passwords:
            raise AwsError("NoSuchEntity", f"Login Profile for User {member.name} cannot be found.", 404)
        return {"LoginProfile": {"UserName": member.name, "CreateDate": "2026-01-01T00:00:00Z"}}

    def _delete_password(self, ask: Ask) -> None:
        self._get_password(ask)
        self.passwords.discard(self._member(ask).account_id)

    def _of(self, member: Member) -> _Policies:
        return self._policies.setdefault(member.account_id, _Policies())

    def _assume(self, ask: Ask) -> Mapping[str, Any]:
        seconds, session = str(ask.given.get("DurationSeconds", "3600")), ask.text("RoleSessionName")
        if (
            not seconds.isdecimal()
            or not 900 <= int(seconds) <= 43_200
            or not re.fullmatch(r"[\w+=,.@-]{2,64}", session)
        ):
            raise AwsError(
                "ValidationError", "DurationSeconds is 900 to 43200, RoleSessionName 2 to 64 plain characters"
            )
        if ask.text("RoleArn") != self.role or str(ask.given.get("ExternalId", "")) != self.external_id:
            raise AwsError("denied", f"is not authorized to perform: sts:AssumeRole on resource: {ask.text('RoleArn')}")
        until: datetime = self._clock() + timedelta(seconds=int(seconds))
        seed = f"{self.external_id} {until.isoformat()} {len(self._keys)}"
        key, secret, token = (
            f"ASIA{digits(f'key {seed}', 16).upper()}",
            digits(f"secret {seed}", 40),
            digits(f"token {seed}", 64),
        )
        arn = f"arn:aws:sts::{self._account}:assumed-role/nightdesk/{session}"
        self._keys[key] = Credential(secret, arn, token, until)
        given = {"AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token}
        return {"Credentials": {**given, "Expiration": f"{until:%Y-%m-%dT%H:%M:%SZ}"}}


def _statements(text: str) -> list[dict[str, Any]]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    statements = document.get("Statement") if isinstance(document, dict) else None
    fine = isinstance(statements, list) and all(
        isinstance(one, dict)
        and one.get("Effect") in {"Allow", "Deny"}
        and re.fullmatch(r"[0-9A-Za-z]*", one.get("Sid", ""))
        for one in statements
    )
    if not fine or not isinstance(statements, list):
        raise AwsError("MalformedPolicyDocument", "Syntax errors in policy.")
    return statements


def user_id(account_id: str) -> str:
    """What a story's account is called here."""
    known = re.fullmatch(r"AIDA[0-9A-Z]{17}", account_id)
    return account_id if known else f"AIDA{digits(f'user {account_id}', 17).upper()}"
