"""The policy of then: found by the hash that a record names, and looked at again before anything is made from it.

It is read to make old decisions again, and for nothing else: what decides today comes from the configuration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from nightdesk.autonomy.policy import Policy, canonical_bytes
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.signing import Signature, SignedPolicy, examine, sidecar, sidecar_of
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.store import artefacts, rollouts
from nightdesk.sdk.case import Decision
from nightdesk.sdk.errors import ConfigError, PolicyError, Problem

__all__ = ["PoliciesThen", "PolicyThen"]


@dataclass(frozen=True, slots=True)
class PolicyThen:
    """A policy as it decided then. ``remarks`` say what is otherwise today, such as a signer who is no longer one."""

    policy: SignedPolicy | Policy
    remarks: tuple[str, ...] = ()


class PoliciesThen:
    """A tenant's policies of every time. ``files`` are from before they were kept, with their signatures beside."""

    def __init__(self, tenant: TenantSettings, files: Sequence[Path] = ()) -> None:
        self._tenant = tenant
        self._given = dict(map(_given, files))
        self._known: dict[tuple[str, tuple[str, ...]], PolicyThen | PolicyError] = {}

    def of(self, conn: Connection, told: Decision) -> PolicyThen:
        """The policy of that decision. Raises PolicyError when it was changed, or is nowhere."""
        key = (told.policy_sha256, tuple(told.inputs["signers"]))
        if key not in self._known:
            try:
                self._known[key] = self._find(conn, told, *key)
            except PolicyError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, PolicyError):
            raise found
        return found

    def _find(self, conn: Connection, told: Decision, digest: str, signers: tuple[str, ...]) -> PolicyThen:
        unsigned = Policy.unsigned()
        if digest == unsigned.sha256 and not signers:
            return PolicyThen(unsigned)
        kept = artefacts.kept_policy(conn, self._tenant.scope.slug, digest)
        if kept is not None:
            if not kept.intact:
                raise PolicyError(f"{_named(told)}: its text in the store was changed; restore it from the backup")
            return self._kept(conn, told, kept.body, signers)
        standing = self._tenant.policy
        if isinstance(standing, SignedPolicy) and (standing.policy.sha256, standing.signers) == (digest, signers):
            return PolicyThen(standing)
        found = self._given.get(digest) or rollouts.text(conn, digest)
        if found is None:
            raise PolicyError(f"{_named(told)} is not kept: it decided before texts were; give its file with --policy")
        return self._checked(told, canonical_bytes(found.policy), found.sidecar, signers)

    def _kept(self, conn: Connection, told: Decision, text: bytes, signers: tuple[str, ...]) -> PolicyThen:
        changed: list[str] = []
        fitting: list[PolicyThen] = []
        refused: list[PolicyError] = []
        for one in artefacts.kept_signatures(conn, self._tenant.scope.slug, told.policy_sha256):
            if not one.intact:
                changed.append(one.sha256[:12])
                continue
            try:
                fitting.append(self._checked(told, text, one.body, signers))
            except PolicyError as error:
                refused.append(error)
        if fitting:
            # Signed twice by the same people (a renewed key): the set that still says everything is enough.
            return min(fitting, key=lambda one: len(one.remarks))
        if changed:
            raise PolicyError(f"{_named(told)}: its signatures {', '.join(changed)} in the store were changed")
        raise refused[0] if refused else PolicyError(f"{_named(told)}: its signatures are not in the store")

    def _checked(self, told: Decision, text: bytes, beside: bytes, signers: tuple[str, ...]) -> PolicyThen:
        try:
            policy = parse_policy(text, file=told.policy_id)
            words = examine(text, beside, self._tenant.signers, file=told.policy_id)
        except ConfigError as error:
            raise PolicyError(f"{_named(told)} cannot be read by this nightdesk: {error}") from error
        if policy.sha256 != told.policy_sha256:
            raise PolicyError(f"{_named(told)}: the text found for it is {policy.sha256[:12]}")
        bad = [word.fault for word in words if word.known and word.fault]
        if bad:
            raise PolicyError(f"{_named(told)}: {bad[0]}")
        made = SignedPolicy(policy, tuple(word.signature for word in words), text)
        if made.signers != signers:
            raise PolicyError(
                f"{_named(told)} was signed by {', '.join(signers) or 'nobody'} then, "
                f"what is there is signed by {', '.join(made.signers) or 'nobody'}"
            )
        return PolicyThen(made, tuple(_remark(word.signature, word.signature.signer in self._tenant.signers)
                                      for word in words if not word.known))  # fmt: skip


def _remark(signature: Signature, listed: bool) -> str:
    if listed:
        return f"{signature.signer} signed with key {signature.key_id} then, which is not the one trusted today"
    return f"{signature.signer} ({signature.key_id}) signed then and is no configured signer today: cannot be checked"


def _named(told: Decision) -> str:
    return f"policy {told.policy_id} {told.policy_version} ({told.policy_sha256[:12]})"


def _given(file: Path) -> tuple[str, rollouts.Text]:
    try:
        text = file.read_bytes()
        beside = sidecar_of(file)
        found = rollouts.Text(text, beside.read_bytes() if beside.exists() else sidecar(()))
    except OSError as error:
        raise ConfigError(
            [Problem("--policy", str(file), f"cannot be read ({error.strerror}): give the policy's path")]
        ) from error
    return parse_policy(text, file=str(file)).sha256, found
