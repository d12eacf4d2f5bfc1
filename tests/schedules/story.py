"""A schedule as plain data, made from one seed: who is bound, what people want, what goes wrong, when it is killed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.schedules.vendors import FAMILIES, VENDORS, things

_BESIDE = (((), (1,), (1, 2)), (6, 3, 1))
"""Times that a second process begins to work beside the first one, and how often that is so."""

__all__ = ["Step", "Story", "TenantPlan", "make"]

_PEOPLE = ("ann", "bob", "carol")
_HTTP = ("rate_limited", "server_error", "lost_reply", "truncated_body", "not_json", "redirect", "expired_token",
         "missing_scope", "slow", "partial_answer", "drifted_field")  # fmt: skip
_MEANING = ("offline_host", "accepted_then_failed", "late_effect", "out_of_order")


@dataclass(frozen=True, slots=True)
class TenantPlan:
    """One tenant: its instances by role, the first bound at the beginning, and which families are wanted of it."""

    slug: str
    vendors: dict[str, tuple[str, ...]]
    targets: tuple[tuple[str, int], ...]
    """Family and number of the thing."""

    def instances(self) -> dict[str, tuple[str, str]]:
        """Role and vendor by instance."""
        return {
            f"{role}{number}": (role, vendor)
            for role, vendors in self.vendors.items()
            for number, vendor in enumerate(vendors, 1)
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens. ``number`` names a wish, so that a story can lose steps and still be told."""

    kind: str
    tenant: str = ""
    number: int = 0
    data: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        about = " ".join(f"{name}={value}" for name, value in self.data.items())
        return f"{self.kind:<9} {self.tenant}{f' #{self.number}' if self.number else ''} {about}".rstrip()


@dataclass(frozen=True, slots=True)
class Story:
    """One schedule."""

    seed: int
    number: int
    tenants: tuple[TenantPlan, ...]
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """What its dice are thrown with."""
        return f"schedule/{self.seed}/{self.number}"


def make(seed: int, number: int, *, kills: bool = True) -> Story:
    """The story of that number; without ``kills`` the same one in which nobody dies."""
    dice = random.Random(f"story/{seed}/{number}")
    count = dice.choices((1, 2, 3), (7, 2, 1))[0]
    tenants = tuple(_tenant(dice, f"t{index}") for index in range(1, count + 1))
    told = _Told(dice, tenants)
    told.tell(dice.randint(5, 14))
    steps = [step for step in told.steps if kills or step.kind != "kill"]
    beside = random.Random(f"beside/{seed}/{number}")  # dice of its own: the stories without it stay as they were
    for _ in beside.choices(*_BESIDE)[0]:
        steps.insert(beside.randint(1, len(steps)), Step("beside"))
    return Story(seed, number, tenants, tuple(steps))


def _tenant(dice: random.Random, slug: str) -> TenantPlan:
    roles = dice.choice((("edr",), ("edr",), ("edr",), ("edr", "identity"), ("identity",), ("firewall",), ("edr",)))
    vendors: dict[str, tuple[str, ...]] = {}
    for role in roles:
        there = sorted(VENDORS[role])
        vendors[role] = tuple(dice.sample(there, 2 if role == "edr" and dice.random() < 0.25 else 1))
    families = sorted({name for role, bound in vendors.items() for vendor in bound for name in VENDORS[role][vendor]})
    # What two vendors share is what a swap is about; isolation is what most is wanted.
    weights = [4 if name in {"host.isolate", "account.disable", "ip.block"} else 1 for name in families]
    wanted = []
    for family in dice.choices(families, weights, k=dice.choice((1, 1, 1, 2, 3))):
        known = list(enumerate(things([family], ("0", "1"))))
        risky = [index for index, thing in known if thing.protected]
        plain = [index for index, thing in known if not thing.protected]
        index = dice.choice(risky) if risky and dice.random() < 0.08 else dice.choice(plain)
        wanted.append((family, index))
    return TenantPlan(slug, vendors, tuple(dict.fromkeys(wanted)))


class _Told:
    """A story while it is being made up."""

    def __init__(self, dice: random.Random, tenants: Sequence[TenantPlan]) -> None:
        self._dice = dice
        self._tenants = tenants
        self.steps: list[Step] = []
        self._wishes: list[Step] = []
        self._most = dice.choice((1, 2, 2, 3, 3, 4, 5, 6))

    def tell(self, length: int) -> None:
        for tenant in self._tenants:
            if self._dice.random() < 0.1:  # a clock that is wrong is so from the beginning, and stays so
                instance, skew = self._dice.choice(sorted(tenant.instances())), self._dice.choice((-90, -5, 5, 90, 900))
                self._add("fault", tenant.slug, instance=instance, what="clock_skew", options={"seconds": skew})
        self._wish()
        tellers = (
            (self._wish, 5), (self._undo, 5), (self._undo_case, 1), (self._answer, 4), (self._cancel, 1),
            (self._renew, 1), (self._foreign, 3), (self._fault, 6), (self._heal, 2), (self._pass, 6),
            (self._down, 1), (self._kill, 7), (self._swap, 1),
        )  # fmt: skip
        for _ in range(length):
            self._dice.choices([teller for teller, _ in tellers], [weight for _, weight in tellers])[0]()

    def _add(self, kind: str, tenant: str = "", number: int = 0, **data: Any) -> Step:
        step = Step(kind, tenant, number, data)
        self.steps.append(step)
        return step

    def _wish(self) -> None:
        if len(self._wishes) >= self._most:
            return
        dice = self._dice
        if self._wishes and dice.random() < 0.7:  # mostly about what something is wanted of already
            last = dice.choice(self._wishes)
            tenant = next(one for one in self._tenants if one.slug == last.tenant)
            family, index = last.data["family"], last.data["thing"]
        else:
            tenant = dice.choice(self._tenants)
            family, index = dice.choice(tenant.targets)
        about = FAMILIES[family]
        on = not about.inverse or dice.random() < 0.75
        lease = dice.choice((600, 1800, 7200)) if about.inverse and dice.random() < 0.35 else None
        approval = dice.choices(("direct", "human", "policy"), (6, 2, 2))[0]
        if about.role == "source" and approval == "policy":
            approval = "direct"
        number = len(self._wishes) + 1
        self._wishes.append(
            self._add(
                "wish", tenant.slug, number, family=family, thing=index, on=on, lease=lease, approval=approval,
                case=f"case-{dice.choice((1, 1, 2, 3))}", by=dice.choice(_PEOPLE),
                instance=dice.choice(sorted(name for name in tenant.instances() if name.startswith("edr")) or [""]),
            )
        )  # fmt: skip
        self._maybe_pass()

    def _of_wish(self, kind: str, **data: Any) -> None:
        wish = self._dice.choice(self._wishes)
        self._add(kind, wish.tenant, wish.number, by=self._dice.choice(_PEOPLE), **data)
        self._maybe_pass()

    def _undo(self) -> None:
        self._of_wish("undo")

    def _undo_case(self) -> None:
        wish = self._dice.choice(self._wishes)
        self._add("undo-case", wish.tenant, case=wish.data["case"], by=self._dice.choice(_PEOPLE))
        self._maybe_pass()

    def _answer(self) -> None:
        asked = [wish for wish in self._wishes if wish.data["approval"] != "direct"]
        if not asked:
            return
        wish = self._dice.choice(asked)
        by = self._dice.choice([name for name in _PEOPLE if name != wish.data["by"]])
        self._add(self._dice.choice(("approve", "approve", "approve", "reject")), wish.tenant, wish.number, by=by)
        self._maybe_pass()

    def _cancel(self) -> None:
        self._of_wish("cancel")

    def _renew(self) -> None:
        self._of_wish("renew", seconds=self._dice.choice((900, 3600, 10000)))

    def _foreign(self) -> None:
        tenant = self._dice.choice(self._tenants)
        family, index = self._dice.choice(tenant.targets)
        if self._wishes and self._dice.random() < 0.6:
            wish = self._dice.choice(self._wishes)
            tenant = next(one for one in self._tenants if one.slug == wish.tenant)
            family, index = wish.data["family"], wish.data["thing"]
        role = FAMILIES[family].role
        names = [name for name, (bound, _) in tenant.instances().items() if bound == role]
        if names:
            on = self._dice.random() < 0.5
            self._add("foreign", tenant.slug, instance=self._dice.choice(names), family=family, thing=index, on=on)
            self._maybe_pass()

    def _fault(self) -> None:
        dice = self._dice
        tenant = dice.choice(self._tenants)
        instance = dice.choice(sorted(tenant.instances()))
        kind = dice.choice((*_HTTP, *_MEANING, "lost_reply", "late_effect", "offline_host", "server_error"))
        data: dict[str, Any] = {"what": kind}
        if kind in _HTTP and kind != "drifted_field":
            lasting = kind in {"server_error", "rate_limited", "truncated_body"} and dice.random() < 0.15
            data["times"] = 0 if lasting else dice.choice((1, 1, 2, 3, 6))
            data["after"] = dice.choice((0, 0, 0, 1, 2, 4))
            if dice.random() < 0.5:
                data["method"] = dice.choice(("GET", "POST", "POST", "PATCH", "DELETE"))
        options = {
            "rate_limited": {"retry_after": dice.choice((1, 5, 30, 90))},
            "server_error": {"status": dice.choice((500, 502, 503))},
            "slow": {"seconds": dice.choice((0.5, 10, 45, 200))},
            # Only agents are out of reach for long; a directory or list lags by minutes.
            "late_effect": {"seconds": dice.choice((3, 40, 400, 2500 if instance.startswith("edr") else 200))},
            "drifted_field": {"field": dice.choice(("status", "id", "severity")), "to": "moved"},
        }
        if kind in options:
            data["options"] = options[kind]
        self._add("fault", tenant.slug, instance=instance, **data)

    def _heal(self) -> None:
        tenant = self._dice.choice(self._tenants)
        self._add("heal", tenant.slug, instance=self._dice.choice(sorted(tenant.instances())))

    def _pass(self) -> None:
        self._add("pass", seconds=self._dice.choice((0, 1, 5, 20, 60, 400, 1500)))

    def _maybe_pass(self) -> None:
        if self._dice.random() < 0.55:
            self._pass()

    def _down(self) -> None:
        self._add("down", seconds=self._dice.choice((10, 100, 1000, 8000)))

    def _kill(self) -> None:
        self._add("kill", after=self._dice.choice((1, 1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 30)))
        self._maybe_pass()

    def _swap(self) -> None:
        able = [tenant for tenant in self._tenants if len(tenant.vendors.get("edr", ())) > 1]
        if able:
            tenant = self._dice.choice(able)
            self._add("swap", tenant.slug, role="edr", to=self._dice.choice(("edr1", "edr2")))
            self._maybe_pass()
