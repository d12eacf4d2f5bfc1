"""Who may roll a policy out: one person begins and one stops, two enter the next ring, and neither is a program."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from nightdesk.autonomy.rollout import Margins, Rollout, RolloutState
from nightdesk.autonomy.signing import SignedPolicy, sidecar_of, verify
from nightdesk.hub.api.view import Principal
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.policies.backtest import Backtest
from nightdesk.hub.policies.standing import plain
from nightdesk.hub.store import Store, rollouts
from nightdesk.hub.store.rollouts import Text
from nightdesk.hub.switching import MACHINES
from nightdesk.hub.two_persons import Known, allowed, confirms
from nightdesk.sdk.errors import ConfigError, PolicyError, Problem

__all__ = ["Advanced", "Prepared", "advance", "begin", "person", "prepare", "stop"]


class Advanced(NamedTuple):
    """What a person's word to go on did: the next ring is entered, or it waits for a second one."""

    rollout: Rollout
    entered: bool


class Prepared(NamedTuple):
    """A policy that every tenant of its rings can be decided by."""

    signed: SignedPolicy
    text: Text
    rings: tuple[tuple[str, ...], ...]
    before: Mapping[str, str]
    configured: Mapping[str, str]
    """Of every tenant the SHA-256 of the policy that its configuration names."""


def prepare(path: Path, rings: Sequence[Sequence[str]], tenants: Mapping[str, TenantSettings]) -> Prepared:
    """Reads and verifies it with every tenant's own signers. Raises ConfigError with what is wrong anywhere."""
    made = tuple(tuple(dict.fromkeys(ring)) for ring in rings)
    named = [slug for ring in made for slug in ring]
    problems = [
        Problem("--ring", slug, f"no such tenant; there are {', '.join(tenants)}")
        for slug in named
        if slug not in tenants
    ]
    problems += [
        Problem("--ring", slug, "stands in two rings: leave it in the first one it enters")
        for slug in sorted({slug for slug in named if named.count(slug) > 1})
    ]
    if not named or not all(made):
        problems.append(Problem("--ring", "", "name the tenants of each ring, the canaries' first: --ring acme,beta"))
    if problems:
        raise ConfigError(problems)
    text = _read(path)
    signed: SignedPolicy | None = None
    for slug in named:
        try:
            signed = verify(text.policy, text.sidecar, tenants[slug].signers, file=str(path))
        except ConfigError as error:
            problems += [replace(one, message=f"{one.message} (tenant {slug})") for one in error.problems]
    if problems or signed is None:
        raise ConfigError(problems)
    configured = {slug: plain(tenant.policy).sha256 for slug, tenant in tenants.items()}
    before = {slug: configured[slug] for slug in named}
    same = sorted(slug for slug, known in before.items() if known == signed.policy.sha256)
    if same:
        raise ConfigError(
            [Problem(str(path), "", f"decides in {', '.join(same)} already: leave them out of the rings")]
        )
    return Prepared(signed, text, made, before, configured)


def begin(  # who, what, why and how it will be judged; all but two are keywords
    store: Store,
    prepared: Prepared,
    *,
    by: Principal,
    reason: str,
    backtests: Mapping[str, Backtest],
    failing: Mapping[str, float],
    margins: Margins,
) -> Rollout:
    """The canaries' ring is entered: from the next decision on the policy decides there.

    Raises PolicyError for who may not, while another one runs, and where the backtest closed a known attack.
    """
    _entitled(by, reason)
    wrong = {slug: sum(not one.closed_before for one in found.dangers) for slug, found in backtests.items()}
    if any(wrong.values()):
        told = ", ".join(f"{count} in {slug}" for slug, count in sorted(wrong.items()) if count)
        raise PolicyError(
            f"{prepared.signed.policy.policy_id}: it would have closed what a person judged an attack ({told}); "
            "see `nightdesk policy backtest` and mend the policy"
        )
    policy = prepared.signed.policy

    def work(conn: Connection) -> Rollout:
        running = rollouts.hold(conn)
        if running is not None and running.state is RolloutState.RUNNING:
            raise PolicyError(
                f"{running.policy_id} {running.version} is being rolled out since {running.started_at:%Y-%m-%d}: "
                "finish it with `policy rollout advance`, or stop it"
            )
        if running is not None and running.on:
            left = [slug for slug in running.entered if running.decides(slug, prepared.configured.get(slug, ""))]
            if left:
                raise PolicyError(
                    f"{running.policy_id} {running.version} decides in {', '.join(left)} by its rollout alone: "
                    "name it in their configuration first, or stop it"
                )
        if running is not None and running.state is RolloutState.STOPPED and _unreviewed(running):
            raise PolicyError(
                f"what {running.policy_id} {running.version} closed is still being looked at: "
                "let a hub run until `policy rollout status` says that it is done"
            )
        now = store.clock()
        digest = sha256(f"{policy.sha256} {now.isoformat()}".encode()).hexdigest()[:12]
        made = Rollout(
            rollout_id=f"rollout-{digest}",
            policy_id=policy.policy_id,
            version=policy.version,
            sha256=policy.sha256,
            rings=prepared.rings,
            state=RolloutState.RUNNING,
            reason=reason,
            changed_by=_signed(by),
            changed_at=now,
            started_by=_signed(by),
            started_at=now,
            before=prepared.before,
            expected={slug: found.close_share for slug, found in backtests.items()},
            failing=failing,
            since=dict.fromkeys(prepared.rings[0], now),
            margins=margins,
        )
        rollouts.keep_text(conn, policy.sha256, prepared.text, now)
        rollouts.keep(conn, made, now)
        detail = {"reason": reason, "signers": list(prepared.signed.signers), "expected": dict(made.expected)}
        rollouts.note(conn, made, "rollout.started", made.entered, by=_signed(by), at=now, detail=detail)
        return made

    return store.transact(work)


def advance(store: Store, *, by: Principal, reason: str, known: Known) -> Advanced:
    """The first person's word is noted, a second one's enters the next ring; past the last ring it is finished.

    Who asked is looked up again when the second one confirms. Raises PolicyError for who may not.
    """
    _entitled(by, reason)

    def work(conn: Connection) -> Advanced:
        running = rollouts.hold(conn)
        if running is None or running.state is not RolloutState.RUNNING:
            raise PolicyError("no policy is being rolled out: begin with `policy rollout start`")
        now, what = store.clock(), f"rollout of {running.policy_id} {running.version}"
        if not confirms(what, _asker(running, known), by):
            asked = replace(running, asked_by=_signed(by))
            rollouts.keep(conn, asked, now)
            rollouts.note(conn, asked, "rollout.advance_asked", (), by=_signed(by), at=now, detail={"reason": reason})
            return Advanced(asked, entered=False)
        after = running.advanced(by=_signed(by), reason=reason, at=now)
        rollouts.keep(conn, after, now)
        fresh = [slug for slug in after.entered if slug not in running.entered]
        detail = {"reason": reason, "asked_by": running.asked_by, "state": after.state.value}
        rollouts.note(conn, after, "rollout.advanced", fresh, by=_signed(by), at=now, detail=detail)
        return Advanced(after, entered=True)

    return store.transact(work)


def stop(store: Store, *, by: str, reason: str, only: str = "") -> Rollout:
    """Back to the policies of before, in every process from the next decision on; one person, or the watch.

    ``only``: that rollout and no other. Raises PolicyError when there is none, or for no person and no reason.
    """
    if not by.strip() or not reason.strip():
        raise PolicyError("say who stops the rollout, and why; it is what the next person reads")

    def work(conn: Connection) -> Rollout:
        running = rollouts.hold(conn)
        if running is None or not running.on or only not in {"", running.rollout_id}:
            raise PolicyError("no policy is being rolled out: there is nothing to stop")
        now = store.clock()
        over = running.stopped(by=by, reason=reason, at=now)
        rollouts.keep(conn, over, now)
        rollouts.note(conn, over, "rollout.stopped", over.entered, by=by, at=now, detail={"reason": reason})
        return over

    return store.transact(work)


def person(by: str) -> str:
    """The same name. Raises PolicyError for a program's."""
    if by in MACHINES:
        raise PolicyError(f"{by} is no person; say who stops it")
    return by


def _unreviewed(rollout: Rollout) -> bool:
    return any(rollout.reviewed.get(slug, 0) >= 0 for slug in rollout.entered)


def _asker(running: Rollout, known: Known) -> Principal | None:
    tenant, _, name = running.asked_by.partition("/")
    return known(tenant, name) if name else None


def _entitled(by: Principal, reason: str) -> None:
    allowed("rolling a policy out", by)
    if not reason.strip():
        raise PolicyError("say why the policy is rolled out; it is what the next person reads")


def _signed(by: Principal) -> str:
    return f"{by.tenant}/{by.name}"


def _read(path: Path) -> Text:
    try:
        policy = path.read_bytes()
        sidecar = sidecar_of(path).read_bytes()
        return Text(policy.decode("utf-8").encode(), sidecar.decode("utf-8").encode())
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), "", "is no UTF-8: only such a policy can be rolled out")]) from error
    except FileNotFoundError as error:
        what = "is missing: only signed policies are rolled out; see `nightdesk policy sign`"
        raise ConfigError([Problem(str(error.filename), "", what)]) from error
    except OSError as error:
        raise ConfigError([Problem(str(error.filename), "", f"cannot be read ({error.strerror})")]) from error
