# requires: vt-py==0.22.0
"""VirusTotal's own library against the simulator: looks up, submits, and meets the quota of a public key."""

import json
import sys
from typing import Any

import vt  # type: ignore[import-not-found]  # its own environment has it


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"virustotal client: {message}")


def _code(client: Any, path: str) -> str:
    try:
        client.get_object(path)
    except vt.APIError as error:
        return str(error.code)
    return ""


def main() -> None:
    """Reads the settings from standard input; ends with a message when something is off."""
    given = json.load(sys.stdin)
    host = given["base_url"].removesuffix("/api/v3")
    with vt.Client("somebody-elses-key", host=host) as stranger:
        code = _code(stranger, "/ip_addresses/8.8.8.8")
        _need(code == "WrongCredentialsError", f"another key gives {code or 'an answer'}")
    with vt.Client(given["api_key"], host=host) as client:
        known = client.get_object("/ip_addresses/8.8.8.8")
        _need(known.last_analysis_stats["malicious"] == 0, f"a resolver is called {known.last_analysis_stats}")
        code = _code(client, f"/urls/{vt.url_id('https://unknown.example.com/')}")
        _need(code == "NotFoundError", f"an unknown URL gives {code or 'an answer'}")
        analysis = client.scan_url("https://unknown.example.com/")
        _need(analysis.type == "analysis", f"a submission gives {analysis.type}")
        analysis = client.get_object("/analyses/{}", analysis.id)
        _need(analysis.status == "queued", f"an analysis of this moment is {analysis.status}")
        code = _code(client, "/domains/example.com")
        _need(code == "TooManyRequestsError", f"the fifth call of a minute gives {code or 'an answer'}")
        quotas = client.get_json("/users/{}/overall_quotas", given["user"])["data"]["api_requests_daily"]["user"]
        _need(quotas == {"used": 4, "allowed": 500}, f"the quota of the day reads {quotas}")


if __name__ == "__main__":
    main()
