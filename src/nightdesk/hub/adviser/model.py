"""One question to an OpenAI-compatible endpoint, and the text that comes back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nightdesk.autonomy.adviser.advice import ANSWER_LIMIT
from nightdesk.hub.adviser.settings import AdviserSettings
from nightdesk.sdk.context import Clock, Context, Network, Settings, Sleep
from nightdesk.sdk.errors import ResponseError
from nightdesk.sdk.http import HeaderAuth, HttpClient

__all__ = ["put_question"]


async def put_question(
    tenant: str, adviser: AdviserSettings, body: Mapping[str, Any], *, network: Network, clock: Clock, sleep: Sleep
) -> bytes:
    """The content of the first choice. Raises VendorError; the answer's form is for ``read_answer`` to judge.

    Source: the chat completions of the OpenAI API, which most servers of models speak.
    """
    context = Context(
        tenant, "adviser", Settings({}), replace(network, timeout=adviser.timeout), clock=clock, sleep=sleep
    )
    auth = HeaderAuth("Authorization", adviser.key, prefix="Bearer ") if adviser.key is not None else None
    async with HttpClient(context, vendor="adviser", base_url=adviser.url, auth=auth) as client:
        answer = await client.request(
            "POST", "chat/completions", operation="ask the adviser", json=dict(body), repeatable=True
        )
        try:
            content = answer.json()["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError) as error:
            raise ResponseError("the adviser's reply has no choices[0].message.content", vendor="adviser") from error
    if not isinstance(content, str):
        raise ResponseError("the adviser's reply has no text", vendor="adviser")
    return content[: ANSWER_LIMIT + 1].encode("utf-8", "replace")
