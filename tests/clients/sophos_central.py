# requires: sophos-central-api-connector==0.1.6
"""Sophos' own Python library against the simulator: signs in, lists, acknowledges an alert, deletes a blocked item."""

import importlib
import json
import sys
from typing import Any

_PACKAGE = "sophos_central_api_connector"
_HASH = "ab" * 32


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"sophos client: {message}")


def _tenant(auth: Any, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The tenant as the library's own sign-in finds it, which else asks at a terminal for the credential."""
    tenants = importlib.import_module(f"{_PACKAGE}.sophos_central_api_tenants")
    login, world = f"{given['login_url']}/api/v2/oauth2/token", f"{given['global_url']}/whoami/v1"
    wrong = auth.get_bearer_tok(given["client_id"], "somebody-elses-secret", login)
    _need(wrong[0] is None and "oauth" in wrong[2], f"another secret is accepted: {wrong[1]}")
    token = auth.get_bearer_tok(given["client_id"], given["client_secret"], login)
    _need(isinstance(token, str), f"no token is had: {token}")
    headers = auth.validate_id_headers(token)
    name, kind, who = auth.get_whoami_data(headers, world)
    header, region = auth.validate_whoami_type(kind, who, "", "")
    _need(region == given["base_url"], f"the data region is {region}")
    mine = tenants.gen_tenant_headers(dict(headers), name, kind, header)
    return name, tenants.type_tenant(mine, name, region, token)


def _listed(tenant: str, info: dict[str, Any], api: str, size: int) -> set[str]:
    """The ids of everything in a list, page by page."""
    made = importlib.import_module(f"{_PACKAGE}.sophos_central_api_connector_utils")
    data = importlib.import_module(f"{_PACKAGE}.sophos_central_api_get_data")
    begin, end = "2020-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"
    urls = made.generate_tenant_urls(info, size, api, begin, end)
    rows = data.get_data(urls, size, tenant, api)
    return {row["id"] for row in rows.values()}


def _items(tenant: str, info: dict[str, Any], post: Any) -> None:
    """A blocked item, made plainly and deleted by the library, which deletes settings by URL and id."""
    deleting = importlib.import_module(f"{_PACKAGE}.sophos_central_api_delete_data")
    headers = info[tenant]["headers"]
    url = f"{info[tenant]['page_url']}/endpoint/v1/settings/blocked-items"
    item = {"type": "sha256", "properties": {"sha256": _HASH}, "comment": "seen by the client"}
    made = post(url, headers=headers, json=item, timeout=10)
    _need(made.status_code == 201, f"a hash is not blocked: {made.status_code}")
    name = made.json()["id"]
    wanted = {name: {"tenantId": tenant, "intelixRisk": "", "url": ""}}
    gone = deleting.delete_local_site(wanted, {tenant: {"orig_url": url, "headers": headers}})
    _need(gone[name]["delStatus"] is True, f"the item is not deleted: {gone}")


def _main(given: dict[str, Any]) -> None:
    post = importlib.import_module("requests").post
    tenant, info = _tenant(importlib.import_module(f"{_PACKAGE}.sophos_central_api_auth"), given)
    wanted = set(given["alerts"])
    _need(_listed(tenant, info, "common", 2) == wanted, "the open alerts are not those that were raised")
    _need(_listed(tenant, info, "endpoint", 1) == set(given["devices"]), "the endpoints are not the enrolled ones")
    one = min(wanted)
    url = f"{info[tenant]['page_url']}/common/v1/alerts/{one}/actions"
    body = {"action": "acknowledge", "message": "seen by the client"}
    done = post(url, headers=info[tenant]["headers"], json=body, timeout=10)
    _need(done.status_code == 201, f"the alert is not acknowledged: {done.status_code}")
    _need(_listed(tenant, info, "common", 2) == wanted - {one}, "an acknowledged alert is still listed")
    _items(tenant, info, post)


if __name__ == "__main__":
    _main(json.load(sys.stdin))
