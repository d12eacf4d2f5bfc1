"""The vendor's own SDK, cut down to one signed exchange: no environment, no profile, no retry, no other host.

The only module that imports boto3; ``client.py`` imports it when the first call is made.
"""

import logging
import os
import re
import threading
from datetime import UTC
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore
import orjson
from boto3.session import Session as BotoSession
from botocore.auth import SigV4Auth
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError
from botocore.session import Session as CoreSession

from nightdesk import __version__
from nightdesk.connectors.aws.answers import Answer, BrokenAnswerError, Keys, StrayRequestError
from nightdesk.sdk.context import Clock, Network

__all__ = ["FAILURES", "Boto"]

# At DEBUG botocore writes signed headers, session tokens and the answer of AssumeRole.
logging.getLogger("botocore").setLevel(logging.INFO)

FAILURES = (ClientError, BotoCoreError, ResponseParserError, BrokenAnswerError, StrayRequestError)
"""All that can come out of one exchange."""

_VERSIONS = {
    "guardduty": "2017-11-28",
    "securityhub": "2018-10-26",
    "ec2": "2016-11-15",
    "iam": "2010-05-08",
    "sts": "2011-06-15",
    "wafv2": "2019-07-29",
}
_BODY = "nightdesk-body"  # no member of any AWS answer has a hyphen in its name


class Boto:
    """One instance's clients, each made when it is first needed. All methods block: call them in a thread."""

    def __init__(self, network: Network, *, endpoint_url: str, clock: Clock) -> None:
        self._clock = clock
        self._endpoint = endpoint_url or None
        self._verify = network.ca_file or True  # None would ask the environment
        self._config = Config(
            signature_version=botocore.UNSIGNED,  # signed by our own handler, with the context's clock
            retries={"total_max_attempts": 1},
            proxies={"http": network.proxy, "https": network.proxy} if network.proxy else {},
            connect_timeout=network.timeout,
            read_timeout=network.timeout,
            ignore_configured_endpoint_urls=True,
            user_agent_extra=f"nightdesk/{__version__}",
        )
        self._session = _session()
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        self._here = threading.local()

    def exchange(self, service: str, region: str, operation: str, parameters: dict[str, Any], keys: Keys) -> Answer:
        """One request, signed with these keys, and its answer. Raises what FAILURES lists."""
        client = self._client(service, region)
        self._here.keys = keys
        try:
            document = getattr(client, botocore.xform_name(operation))(**parameters)
        finally:
            del self._here.keys
        about = document.pop("ResponseMetadata", {})
        return Answer(document, document.pop(_BODY, b""), about.get("HTTPHeaders", {}))

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, service: str, region: str) -> Any:
        with self._lock:
            found = self._clients.get((service, region))
            if found is None:
                found = self._session.client(
                    service,
                    region_name=region,
                    api_version=_VERSIONS[service],
                    endpoint_url=self._endpoint,
                    verify=self._verify,
                    config=self._config,
                )
                home, events = urlsplit(found.meta.endpoint_url).netloc, found.meta.events
                name = found.meta.service_model.signing_name

                def sign(request: Any, **_: Any) -> None:
                    keys: Keys = self._here.keys
                    credentials = Credentials(keys.access_key_id, keys.secret, keys.token or None)
                    _Signer(credentials, name, region, self._clock).add_auth(request)

                def stay(request: Any, **_: Any) -> None:
                    host = urlsplit(request.url).netloc
                    if host != home:
                        raise StrayRequestError(f"a request to {host} was refused; only {home} is asked")

                events.register_last("request-created", sign)
                events.register_first("before-send", stay)
                events.register("before-parse", _keep)
                self._clients[service, region] = found
            return found


class _Signer(SigV4Auth):  # type: ignore[misc]  # botocore has no type information
    """Signature version 4 at the context's time instead of the machine's."""

    def __init__(self, credentials: Any, service: str, region: str, clock: Clock) -> None:
        super().__init__(credentials, service, region)
        self._clock = clock

    def canonical_request(self, request: Any) -> Any:
        """What is signed. Called once a signature, after the time was set and before it is used."""
        stamp = f"{self._clock().astimezone(UTC):%Y%m%dT%H%M%SZ}"
        request.context["timestamp"] = stamp
        del request.headers["X-Amz-Date"]
        request.headers["X-Amz-Date"] = stamp
        return super().canonical_request(request)


def _keep(operation_model: Any, response_dict: Any, customized_response_dict: Any, **_: Any) -> None:
    """Keeps the bytes of an answer, and refuses what botocore would take for an empty one: it reads leniently."""
    body, headers = response_dict["body"], response_dict["headers"]
    announced = str(headers.get("content-length", ""))
    if announced.isdecimal() and int(announced) != len(body):
        raise BrokenAnswerError(f"{len(body)} of {announced} bytes came", lost=True)
    if response_dict["status_code"] >= 300:
        return
    kind = headers.get("content-type", "no content type")
    if operation_model.service_model.resolved_protocol.endswith("json"):
        try:
            fine = not body or isinstance(orjson.loads(body), dict)
        except orjson.JSONDecodeError:
            fine = False
    else:
        root = rf"\s*(<\?xml[^>]*\?>\s*)?<{operation_model.name}Response[\s/>]".encode()
        fine = re.match(root, body) is not None
    if not fine:
        message = f"{len(body)} bytes of {kind} are no answer to {operation_model.name}"
        raise BrokenAnswerError(message)
    customized_response_dict[_BODY] = body


@cache
def _models() -> Any:
    """The descriptions of the services, which come with botocore: read once, they are megabytes."""
    return Loader()


def _session() -> Any:
    """A session that reads neither the environment nor the files of the account that we run under."""
    nowhere = {"config_file": os.devnull, "credentials_file": os.devnull}
    names = {
        name: (None, None, nowhere.get(name, row[2]), row[3]) for name, row in CoreSession.SESSION_VARIABLES.items()
    }
    core = CoreSession(session_vars=names)
    core.register_component("data_loader", _models())
    return BotoSession(botocore_session=core)
