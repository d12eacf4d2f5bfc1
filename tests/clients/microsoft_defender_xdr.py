# requires: msgraph-sdk==1.65.0
"""Microsoft's own Graph client against the simulator: all alerts, one, its triage, a comment, an incident, a hunt.

Its sign-in libraries insist on https, so the token is had here as they have it; devices have no client of Microsoft's.
"""

import asyncio
import json
import sys
import time
import urllib.parse
import urllib.request
from typing import Any

from azure.core.credentials import AccessToken
from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.security.alert import Alert
from msgraph.generated.models.security.alert_classification import AlertClassification
from msgraph.generated.models.security.alert_comment import AlertComment
from msgraph.generated.models.security.alert_determination import AlertDetermination
from msgraph.generated.models.security.alert_status import AlertStatus
from msgraph.generated.models.security.device_evidence import DeviceEvidence
from msgraph.generated.security.microsoft_graph_security_run_hunting_query.run_hunting_query_post_request_body import (
    RunHuntingQueryPostRequestBody,
)


class Credential:
    """Client credentials at the given token endpoint."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._url = f"{given['login_url']}/{given['tenant_id']}/oauth2/v2.0/token"
        self._form = {
            "grant_type": "client_credentials",
            "client_id": given["client_id"],
            "client_secret": given["client_secret"],
        }

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """A token for these scopes."""
        body = urllib.parse.urlencode({**self._form, "scope": " ".join(scopes)}).encode()
        with urllib.request.urlopen(self._url, body) as answer:
            found = json.load(answer)
        return AccessToken(found["access_token"], int(time.time()) + found["expires_in"])


def expect(wanted: bool, what: str) -> None:
    """Stops with a message when something is off."""
    if not wanted:
        sys.exit(f"msgraph-sdk: {what}")


async def main(given: dict[str, Any]) -> None:
    """One walk through what the connector does, with Microsoft's models."""
    scopes = ["https://graph.microsoft.com/.default"]
    provider = AzureIdentityAuthenticationProvider(Credential(given), scopes=scopes, allowed_hosts=["127.0.0.1"])
    adapter = GraphRequestAdapter(provider)
    adapter.base_url = f"{given['graph_url']}/v1.0"
    security = GraphServiceClient(request_adapter=adapter).security

    listed, link = [], ""
    while True:
        builder = security.alerts_v2.with_url(link) if link else security.alerts_v2
        page = await builder.get()
        listed += page.value
        link = page.odata_next_link or ""
        if not link:
            break
    missing = set(given["alerts"]) - {alert.id for alert in listed}
    expect(not missing, f"{len(missing)} alerts are not listed")
    expect(all(alert.status is AlertStatus.New for alert in listed), "a new alert is not new")
    expect(all(alert.created_date_time for alert in listed), "an alert has no time of creation")
    evidence = [piece for alert in listed for piece in alert.evidence or () if isinstance(piece, DeviceEvidence)]
    expect({piece.mde_device_id for piece in evidence} <= set(given["devices"]), "an alert names an unknown machine")

    chosen = security.alerts_v2.by_alert_id(given["alerts"][0])
    change = Alert(
        status=AlertStatus.Resolved,
        classification=AlertClassification.FalsePositive,
        determination=AlertDetermination.NotMalicious,
    )
    expect((await chosen.patch(change)).status is AlertStatus.Resolved, "the update does not answer the new status")
    comment = AlertComment(odata_type="microsoft.graph.security.alertComment", comment="seen by msgraph-sdk")
    expect([each.comment for each in await _said(adapter, chosen, comment)] == [comment.comment], "no such comment")
    again = await chosen.get()
    expect(again.determination is AlertDetermination.NotMalicious, "the determination is not kept")
    expect(again.resolved_date_time is not None, "a resolved alert has no time of it")

    incident = await security.incidents.by_incident_id(again.incident_id).get()
    expect(incident.id == again.incident_id, "the alert's incident is another one")
    query = RunHuntingQueryPostRequestBody(query="AlertInfo | take 1")
    hunted = await security.microsoft_graph_security_run_hunting_query.post(query)
    expect(len(hunted.results) == 1, "the hunt finds nothing")
    try:
        await security.alerts_v2.by_alert_id("da0").get()
    except ODataError as error:
        expect(error.response_status_code == 404, f"an unknown alert gives {error.response_status_code}")
    else:
        expect(False, "an unknown alert is found")


async def _said(adapter: GraphRequestAdapter, chosen: Any, comment: AlertComment) -> list[AlertComment]:
    """Posts a comment as the reference page does, one object; the generated builder sends a list."""
    request = RequestInformation()
    request.http_method = Method.POST
    request.url = f"{adapter.base_url}/security/alerts_v2/{chosen.path_parameters['alert%2Did']}/comments"
    request.set_content_from_parsable(adapter, "application/json", comment)
    await adapter.send_no_response_content_async(request, {"4XX": ODataError, "5XX": ODataError})
    return (await chosen.get()).comments or []


asyncio.run(main(json.load(sys.stdin)))
