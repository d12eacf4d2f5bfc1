# requires: msgraph-sdk==1.65.0
"""Microsoft's own Graph client against the simulator: lists and reads detections, dismisses one, disables an account.

Reads on stdin what ``Simulator.settings`` gives, secrets revealed, with ``alerts`` (native ids); ends with 1 and a
message when something is off. The library refuses tokens over plain http from its identity package, so the token is
asked for here, as that package would.
"""

import asyncio
import json
import sys
from typing import Any

import httpx
from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.audit_logs.sign_ins.dismiss.dismiss_post_request_body import DismissPostRequestBody
from msgraph.generated.identity_protection.risk_detections.risk_detections_request_builder import (
    RiskDetectionsRequestBuilder,
)
from msgraph.generated.models.risk_state import RiskState
from msgraph.generated.models.user import User
from msgraph.generated.users.item.user_item_request_builder import UserItemRequestBuilder

_GAP = 1.2  # seconds: Identity Protection takes one request a second


class _Token(AccessTokenProvider):
    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given

    async def get_authorization_token(self, uri: str, additional_authentication_context: Any = None) -> str:
        given = self._given
        form = {
            "grant_type": "client_credentials",
            "client_id": given["client_id"],
            "client_secret": given["client_secret"],
            "scope": f"{given['base_url']}/.default",
        }
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{given['login_url']}/{given['tenant_id']}/oauth2/v2.0/token", data=form)
        return str(answer.raise_for_status().json()["access_token"])

    def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
        return AllowedHostsValidator([httpx.URL(self._given["base_url"]).host])


def _check(right: bool, message: str) -> None:
    if not right:
        sys.exit(message)


async def _main(given: dict[str, Any]) -> None:
    adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(_Token(given)))
    adapter.base_url = f"{given['base_url']}/v1.0"
    graph = GraphServiceClient(request_adapter=adapter)
    detections = graph.identity_protection.risk_detections
    query = RiskDetectionsRequestBuilder.RiskDetectionsRequestBuilderGetQueryParameters(
        top=2, orderby=["detectedDateTime"], filter="detectedDateTime ge 2020-01-01T00:00:00Z"
    )
    page = await detections.get(RequestConfiguration(query_parameters=query))
    found = {}
    while page is not None:
        found.update({detection.id: detection for detection in page.value or ()})
        link = page.odata_next_link
        await asyncio.sleep(_GAP)
        page = await detections.with_url(link).get() if link else None
    _check(set(found) == set(given["alerts"]), f"listed {len(found)} of {len(given['alerts'])} detections")

    native_id = given["alerts"][0]
    one = await detections.by_risk_detection_id(native_id).get()
    _check(one is not None and one.id == native_id, f"read another detection than {native_id}")
    _check(one.risk_state == RiskState.AtRisk, f"{native_id} is {one.risk_state} before anything was done")
    await graph.audit_logs.sign_ins.dismiss.post(DismissPostRequestBody(request_ids=[one.request_id]))
    await asyncio.sleep(_GAP)
    dismissed = await detections.by_risk_detection_id(native_id).get()
    _check(dismissed.risk_state == RiskState.Dismissed, f"{native_id} is {dismissed.risk_state}, not dismissed")

    people = await graph.users.get()
    for person in people.value[:1]:
        user = graph.users.by_user_id(person.id)
        await user.patch(User(account_enabled=False))
        await user.revoke_sign_in_sessions.post()
        select = UserItemRequestBuilder.UserItemRequestBuilderGetQueryParameters(select=["id", "accountEnabled"])
        after = await user.get(RequestConfiguration(query_parameters=select))
        _check(after.account_enabled is False, f"{person.id} is still enabled")


if __name__ == "__main__":
    asyncio.run(_main(json.load(sys.stdin)))
