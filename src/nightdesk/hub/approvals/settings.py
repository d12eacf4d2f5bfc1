"""What a configuration says about approvals: how many, who, for how long, and whom to ask where."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import combinations
from types import MappingProxyType
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from nightdesk.autonomy.approvals import NEEDED, Person, Rules, same_person
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Risk, TargetKind

__all__ = ["ApprovalSettings", "ApprovalsConfig", "Ask", "AskConfig", "read_approvals", "rules_of"]

_ROLES = ("viewer", "analyst", "approver", "admin")
_CHAT = "chat"
_URL = re.compile(r"https?://[^\s/?#]+[^\s?#]*")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AskConfig(_Strict):
    """Who is asked: ``to`` is a channel, a name or an address, as the connector takes it."""

    to: Annotated[str, Field(min_length=1)]
    connector: Annotated[str, Field(description="a connector of the tenant; empty: the one with the role chat")] = ""


class ApprovalsConfig(_Strict):
    """Who lets an action go that needs persons, and how they are asked."""

    needed: Annotated[
        dict[Literal["R0", "R1", "R2", "R3", "R4"], Annotated[int, Field(ge=1, le=10)]],
        Field(description="how many persons by risk; unless given one, two from R3 up"),
    ] = {}
    expire_minutes: Annotated[float, Field(gt=0, le=43200)] = 60.0
    people: Annotated[
        dict[str, dict[str, str]],
        Field(description="by name: role (unless a token of that name has one), and an account for each connector"),
    ] = {}
    ask: list[AskConfig] = []
    url: Annotated[str, Field(description="where people reach this hub: links in messages begin with it")] = ""
    links: Annotated[
        Literal["answer", "sign-in"],
        Field(description="what a link in a mail is good for: the answer of whoever has it, or a way to the console"),
    ] = "answer"


@dataclass(frozen=True, slots=True)
class Ask:
    """One place where people are asked."""

    connector: str
    to: str


class Holder(Protocol):
    """A credential's role."""

    @property
    def role(self) -> str:
        """One of the hub's roles."""
        ...


class Tenant(Protocol):
    """What of a tenant's configuration approvals depend on."""

    @property
    def approvals(self) -> ApprovalsConfig:
        """The section of that name."""
        ...

    @property
    def tokens(self) -> Mapping[str, Holder]:
        """Credentials by name."""
        ...

    @property
    def connectors(self) -> Mapping[str, object]:
        """Connectors by name."""
        ...

    @property
    def roles(self) -> Mapping[str, str]:
        """The connector of each role."""
        ...


def _nobody() -> Rules:
    return Rules(people=MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ApprovalSettings:
    """One tenant's approvals, ready to run; without people nobody may approve."""

    rules: Rules = field(default_factory=_nobody)
    asks: tuple[Ask, ...] = ()
    url: str = ""
    by_link: bool = True
    """A link answers for the person whose it is, without a sign-in; it can be passed on."""


def read_approvals(tenant: Tenant, key: str, wrong: Callable[[str, str], None]) -> ApprovalSettings:
    """The settings; ``wrong`` is told every problem with its key."""
    config = tenant.approvals

    def tell(where: str, message: str) -> None:
        wrong(f"{key}.{where}", message)

    people = _people(tenant, tell)
    rules = Rules(
        {**NEEDED, **{Risk[name]: count for name, count in config.needed.items()}},
        timedelta(minutes=config.expire_minutes),
        MappingProxyType(people),
    )
    able = sum(rules.entitled(name) for name in people)
    for name, count in config.needed.items():
        if count > able:
            tell(f"needed.{name}", f"{count} persons are needed, and {able} may approve: nothing could ever be let go")
    asks = [Ask(ask.connector or tenant.roles.get(_CHAT, ""), ask.to) for ask in config.ask]
    for number, found in enumerate(asks):
        if not found.connector:
            tell(f"ask.{number}.connector", f"the role {_CHAT} is not bound: name a connector")
        elif found.connector not in tenant.connectors:
            tell(f"ask.{number}.connector", _none_such(tenant))
        try:
            Target(TargetKind.PERSON, found.to)
        except RejectedError as error:
            tell(f"ask.{number}.to", str(error))
    if config.url and not _URL.fullmatch(config.url):
        tell("url", "write the http or https address of this hub, without a query")
    return ApprovalSettings(rules, tuple(asks), config.url.rstrip("/"), config.links == "answer")


class Ready(Protocol):
    """A tenant that is ready to run."""

    @property
    def approvals(self) -> ApprovalSettings:
        """Its approvals."""
        ...


def rules_of(tenants: Mapping[str, Ready], slug: str) -> Rules:
    """A tenant's rules; of one that is no longer configured nobody may approve what it left behind."""
    found = tenants.get(slug)
    return found.approvals.rules if found is not None else _nobody()


def _people(tenant: Tenant, tell: Callable[[str, str], None]) -> dict[str, Person]:
    people = {name: Person(name, token.role) for name, token in tenant.tokens.items() if token.role in _ROLES}
    for name, given in tenant.approvals.people.items():
        role, known = given.get("role", ""), tenant.tokens[name].role if name in tenant.tokens else ""
        if (role or known) not in _ROLES:
            tell(f"people.{name}", f"give a role ({', '.join(_ROLES)}), or a token of that name; a service is nobody")
        if role and known and role != known:
            tell(f"people.{name}.role", f"the token {name} has the role {known}: say it once")
        accounts = {connector: account for connector, account in given.items() if connector != "role"}
        for connector in sorted(set(accounts) - set(tenant.connectors)):
            tell(f"people.{name}.{connector}", _none_such(tenant))
        people[name] = Person(name, role or known, accounts)
    for one, other in combinations(people.values(), 2):
        if same_person(one.name, other.name):
            tell(f"people.{other.name}", f"is {one.name} written otherwise: one person has one name")
        for connector in one.accounts.keys() & other.accounts.keys():
            if same_person(one.accounts[connector], other.accounts[connector]):
                tell(f"people.{other.name}.{connector}", f"is the account of {one.name} too")
    return people


def _none_such(tenant: Tenant) -> str:
    return f"no such connector; there are {', '.join(tenant.connectors) or 'none'}"
