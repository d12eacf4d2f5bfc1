"""A stranger of the language: reads commands, and sends them to a consumer over HTTP; runs with otupy.

The library has no credentials, gives bodies a content coding that HTTP does not have, and lacks the target ``command``:
these are put right here.
"""

import contextlib
import json
import sys
from typing import Any

import otupy  # type: ignore[import-not-found]  # its own environment has it
import requests
from otupy.encoders.json import JSONEncoder  # type: ignore[import-not-found]  # see above
from otupy.transfers.http import http_transfer  # type: ignore[import-not-found]  # see above


class Any_(str):  # noqa: N801, SLOT000  # a type for the library's tables, which take whatever it is made of
    """A value that the library passes on as it is."""

    def __new__(cls, value: Any) -> Any:
        """The value itself."""
        return value

    @classmethod
    def fromdict(cls, value: Any, _: Any) -> Any:
        """The value itself."""
        return value


class CommandRef(str):  # noqa: SLOT000  # as the library's own types
    """The language's reference to a command."""


def profile(given: dict[str, Any]) -> None:
    """Tells the library our profile, from what the test says of it."""
    nsid, words, results = given["nsid"], given["arguments"], given["results"]
    otupy.extension(nsid)(type("OurArgs", (otupy.Args,), {"fieldtypes": dict.fromkeys(words, Any_)}))
    otupy.extension(nsid)(type("OurResults", (otupy.Results,), {"fieldtypes": dict.fromkeys(results, Any_)}))
    otupy.Extensions["Targets"].add("command", CommandRef)
    for number, name in enumerate(given["targets"]):
        thing = type(f"Thing{number}", (otupy.Map,), {"fieldtypes": {"uid": str, "mailbox": str}})
        otupy.target(name.partition(":")[2], nsid)(thing)


def _post(token: str) -> Any:
    def post(url: str, *, headers: dict[str, str], **options: Any) -> Any:
        sent = {name: value for name, value in headers.items() if name != "Content-Encoding"}
        answer = requests.post(url, headers={**sent, "Authorization": f"Bearer {token}"}, **options)
        answer.headers.setdefault("Content-Encoding", "json")
        return answer

    return post


def answer(given: dict[str, Any]) -> list[dict[str, Any]]:
    """How the library reads each command, and what it was answered when it sent it."""
    http_transfer.requests = type("Requests", (), {"post": staticmethod(_post(given.get("token", "")))})
    answers = []
    for text in given["commands"]:
        command = JSONEncoder.decode(json.dumps(text), otupy.Command)
        answers.append({"read": json.loads(JSONEncoder.encode(command))})
        if "port" in given:
            transfer = http_transfer.HTTPTransfer(given["host"], given["port"])
            message = otupy.Producer("soar.example.com", JSONEncoder(), transfer).sendcmd(command)
            answers[-1] |= {"response": json.loads(JSONEncoder.encode(message.content)), "to": message.to}
    return answers


with contextlib.redirect_stdout(sys.stderr):
    asked = json.load(sys.stdin)
    profile(asked)
    answers = answer(asked)
json.dump(answers, sys.stdout)
