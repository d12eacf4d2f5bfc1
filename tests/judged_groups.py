"""A small fleet of judged groups, made up and seeded: noise of every day, and an attack or two at each tenant."""

import random

from nightdesk.autonomy.learning.groups import Group, Judged

START = 1_790_000_000.0
NOISE = {"login": 40.0, "update": 20.0, "ids-event": 60.0, "tls-odd": 25.0, "new-event": 6.0}
STEPS = {
    "scan": ("nmap", "tls-odd", "new-event"),
    "break-in": ("web-attack", "brute", "new-event", "ids-event"),
    "spread": ("privilege", "login", "new-event"),
}


def a_group(
    tenant: str = "acme",
    entity: str = "ws-1",
    rule: str = "login",
    at: float = 0.0,
    alerts: int = 1,
    lasts: float = 0.0,
    source: str = "edr",
    tactics: tuple[str, ...] = (),
) -> Group:
    return Group(tenant, entity, rule, START + at, START + at + lasts, alerts, source, rule.title(), tactics=tactics)


def a_tenant(name: str, rng: random.Random, *, days: float = 2.0, hosts: int = 6, attacks: int = 2) -> list[Judged]:
    judged = []
    for rule, daily in NOISE.items():
        for _ in range(int(daily * days * rng.uniform(0.7, 1.3))):
            at = rng.uniform(0, days * 86400)
            alerts = 1 + int(rng.expovariate(0.5))
            group = a_group(name, f"host-{rng.randrange(hosts)}", rule, at, alerts, rng.uniform(0, 300), "siem")
            judged.append(Judged(group, attack=False))
    for number in range(attacks):
        at, host = rng.uniform(0.5, 0.95) * days * 86400, f"host-{rng.randrange(hosts)}"
        for step, rules in STEPS.items():
            for rule in rules:
                at += rng.uniform(5, 60)
                group = a_group(name, host, rule, at, 3 + int(rng.expovariate(0.1)), rng.uniform(0, 300), "siem")
                judged.append(Judged(group, attack=True, incident=f"{step}-{number}"))
            at += rng.uniform(600, 3000)
    return judged


def a_fleet(tenants: int = 4, seed: int = 0, *, days: float = 2.0, attacks: int = 2) -> list[Judged]:
    rng = random.Random(seed)
    fleet = [one for number in range(tenants) for one in a_tenant(f"t{number}", rng, days=days, attacks=attacks)]
    return sorted(fleet, key=lambda one: (one.group.opened, one.group.tenant, one.group.entity, one.group.rule))
