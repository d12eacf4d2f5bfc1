"""``adviser`` of a tenant: an OpenAI-compatible endpoint of its own choice. Without one nothing is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from nightdesk.autonomy.sharing import too_wide
from nightdesk.sdk.manifest import Audience
from nightdesk.sdk.secrets import Secret

__all__ = ["AdviserConfig", "AdviserSettings", "read_adviser"]


class AdviserConfig(BaseModel):
    """Where the adviser answers, as ``POST {url}/chat/completions``, and who learns of what it is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(min_length=1, description="base URL, such as http://127.0.0.1:11434/v1")]
    model: Annotated[str, Field(min_length=1, max_length=200)]
    key: Annotated[str | None, Field(description="reference to the bearer token (env:, file:, keyring:)")] = None
    shares: Annotated[
        Literal["none", "vendor", "community", "public"],
        Field(description="who learns of a case by it; none: it runs in the house"),
    ] = "vendor"
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 60.0
    at_once: Annotated[int, Field(ge=1, le=32, description="questions that are out at the same time")] = 2
    per_hour: Annotated[int, Field(ge=1, description="questions an hour; what is over it is not asked")] = 600


@dataclass(frozen=True, slots=True)
class AdviserSettings:
    """An adviser that may be asked."""

    url: str
    model: str
    key: Secret | None
    audience: Audience
    timeout: float
    at_once: int
    per_hour: int


def read_adviser(
    config: AdviserConfig | None,
    key: str,
    tlp: str,
    secret: Callable[[str, str], Secret | None],
    wrong: Callable[[str, str], None],
) -> AdviserSettings | None:
    """The adviser of a tenant, or None; says what is wrong with it."""
    if config is None:
        return None
    parts = urlsplit(config.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        wrong(f"{key}.url", "must be an http(s) URL with a host, and without credentials or query")
    if too_wide(config.shares, tlp):
        wrong(
            f"{key}.shares",
            f"TLP:{tlp.upper()} lets no case out to {config.shares}: run the model in the house and write none, "
            "or mark the tenant's data freer",
        )
    token = secret(f"{key}.key", config.key) if config.key else None
    if config.key and token is None:
        return None
    return AdviserSettings(
        config.url, config.model, token, config.shares, config.timeout_seconds, config.at_once, config.per_hour
    )
