# requires: azure-mgmt-securityinsight==1.0.0
"""Uses Microsoft's own library on a served workspace: list, read, close and comment, publish and withdraw."""

import json
import sys
import time
import urllib.parse
import urllib.request
import uuid
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import ResourceExistsError
from azure.mgmt.securityinsight import SecurityInsights
from azure.mgmt.securityinsight.models import (
    IncidentComment,
    ThreatIntelligenceFilteringCriteria,
    ThreatIntelligenceIndicatorModel,
)

PLAIN: dict[str, Any] = {"enforce_https": False}  # the workspace is served on loopback
PATTERN = "[domain-name:value = 'client.example.com']"


class ClientSecret:
    """The credential; azure-identity accepts no token endpoint but an https one."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """A token for the scopes."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.given["client_id"],
            "client_secret": self.given["client_secret"],
            "scope": " ".join(scopes),
        }
        url = f"{self.given['login_url']}/{self.given['tenant_id']}/oauth2/v2.0/token"
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as response:
            answer = json.load(response)
        return AccessToken(answer["access_token"], int(time.time()) + answer["expires_in"])


def check(so: bool, message: str) -> None:
    """Ends the script with the message when it is not so."""
    if not so:
        sys.exit(message)


def triage(client: SecurityInsights, place: tuple[str, str], name: str) -> None:
    """Closes an incident with a comment, and finds that a stale version is refused."""
    incident = client.incidents.get(*place, name, **PLAIN)
    stale = client.incidents.get(*place, name, **PLAIN)
    incident.status, incident.classification = "Closed", "FalsePositive"
    incident.classification_reason = "InaccurateData"
    saved = client.incidents.create_or_update(*place, name, incident, **PLAIN)
    check(saved.etag != stale.etag, "the update did not move the etag")
    stale.severity = "Low"
    try:
        client.incidents.create_or_update(*place, name, stale, **PLAIN)
    except ResourceExistsError as error:  # how azure-core calls a 409
        check(error.status_code == 409, f"a stale etag gives {error.status_code}")
    else:
        sys.exit("a stale etag was accepted")
    comment = IncidentComment(message="by the vendor's own library")
    client.incident_comments.create_or_update(*place, name, str(uuid.uuid4()), comment, **PLAIN)
    messages = [found.message for found in client.incident_comments.list(*place, name, **PLAIN)]
    check(messages == ["by the vendor's own library"], f"the incident's comments are {messages}")
    now = client.incidents.get(*place, name, **PLAIN)
    check((now.status, now.classification) == ("Closed", "FalsePositive"), f"it is {now.status} {now.classification}")


def intelligence(client: SecurityInsights, place: tuple[str, str]) -> None:
    """Publishes an indicator, finds it by a word, withdraws it."""
    api = client.threat_intelligence_indicator
    wanted = ThreatIntelligenceIndicatorModel(
        display_name="client",
        pattern=PATTERN,
        pattern_type="domain-name",
        source="client",
        valid_from="2026-11-01T00:00:00Z",
    )
    made = api.create_indicator(*place, wanted, **PLAIN)
    criteria = ThreatIntelligenceFilteringCriteria(keywords=["client.example.com"])
    found = [row.name for row in api.query_indicators(*place, criteria, **PLAIN)]
    check(found == [made.name], f"the query finds {found}, not {made.name}")
    api.delete(*place, made.name, **PLAIN)
    check(not list(api.query_indicators(*place, criteria, **PLAIN)), "a deleted indicator is still found")


def main() -> None:
    """Reads the settings and what is there from stdin; exits non-zero when something is off."""
    given = json.load(sys.stdin)
    client = SecurityInsights(
        ClientSecret(given), given["subscription_id"], base_url=given["base_url"], api_version="2024-03-01"
    )
    place = (given["resource_group"], given["workspace"])
    order = "properties/createdTimeUtc asc"
    names = [row.name for row in client.incidents.list(*place, orderby=order, top=1, **PLAIN)]
    check(sorted(names) == sorted(given["alerts"]), f"the list holds {names}, the story {given['alerts']}")
    name = given["alerts"][0]
    alerts = client.incidents.list_alerts(*place, name, **PLAIN).value
    check([alert.kind for alert in alerts] == ["SecurityAlert"], "the incident has no alert")
    entities = client.incidents.list_entities(*place, name, **PLAIN)
    check({row.entity_kind for row in entities.meta_data} == {row.kind for row in entities.entities}, "counts differ")
    check(any(row.kind == "Host" for row in entities.entities), "the incident has no host")
    triage(client, place, name)
    intelligence(client, place)
    client.close()


if __name__ == "__main__":
    main()
