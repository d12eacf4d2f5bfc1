"""The vendor-neutral action vocabulary as typed values: verbs, targets, risk classes, inverses, OpenC2 pairs.

Source: the project's action vocabulary; OpenC2 Language Specification 1.0; D3FEND ids as listed there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.kinds import Risk, TargetKind

__all__ = ["DEPRECATED", "VERBS", "VERSION", "Risk", "TargetKind", "Verb", "verb"]

VERSION = "1.0.0"
"""The version of this registry (semantic versioning), which playbooks pin.

A new verb or parameter raises the second number. One that goes, or means something else, raises the first, and stands
in DEPRECATED for at least one release before.
"""

DEPRECATED: Mapping[str, str] = {}
"""Verbs that will go: what to use instead, and the version of the registry that goes without."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. ``family`` is shared with its inverse: one wanted state per (tenant, target, family).

    ``inverse`` is empty when there is none, and then ``no_inverse`` says why. ``reads`` marks verbs that change
    nothing.
    """

    name: str
    target: TargetKind
    risk: Risk
    openc2: tuple[str, str]
    inverse: str = ""
    no_inverse: str = ""
    parameters: tuple[str, ...] = ()
    d3fend: tuple[str, ...] = ()
    family: str = ""
    role: str = "edr"

    @property
    def reversible(self) -> bool:
        """True when an inverse verb exists."""
        return bool(self.inverse)


_H, _P, _F, _A, _D, _U = (
    TargetKind.HOST,
    TargetKind.PROCESS,
    TargetKind.FILE,
    TargetKind.ADDRESS,
    TargetKind.DOMAIN,
    TargetKind.URL,
)
_ACC = TargetKind.ACCOUNT


def _pair(first: Verb, second: Verb) -> tuple[Verb, Verb]:
    """Two verbs that undo each other, in one family named after the first."""
    return (
        replace(first, inverse=second.name, family=first.name),
        replace(second, inverse=first.name, family=first.name),
    )


def _one(lone: Verb) -> tuple[Verb]:
    return (replace(lone, family=lone.name),)


_TABLE: tuple[tuple[Verb, ...], ...] = (
    _pair(
        Verb("host.isolate", _H, Risk.R2, ("contain", "device"), parameters=("mode",), d3fend=("D3-NI",)),
        Verb("host.release", _H, Risk.R2, ("allow", "device"), d3fend=("D3-RNA",)),
    ),
    _pair(
        Verb("host.restrict_execution", _H, Risk.R2, ("set", "x-nightdesk:device"), d3fend=("D3-EAL",)),
        Verb("host.lift_restriction", _H, Risk.R2, ("set", "x-nightdesk:device")),
    ),
    _one(Verb("host.scan", _H, Risk.R1, ("scan", "device"), no_inverse="a scan ends by itself", parameters=("path",))),
    _one(
        Verb("host.collect_evidence", _H, Risk.R1, ("investigate", "device"), no_inverse="changes nothing on the host")
    ),
    _one(
        Verb(
            "process.terminate",
            _P,
            Risk.R2,
            ("stop", "process"),
            no_inverse="a killed process cannot be brought back",
            d3fend=("D3-PT",),
        )
    ),
    _pair(
        Verb("process.suspend", _P, Risk.R2, ("stop", "process"), d3fend=("D3-PS",)),
        Verb("process.resume", _P, Risk.R2, ("start", "process")),
    ),
    _pair(
        Verb("file.quarantine", _F, Risk.R2, ("contain", "file"), d3fend=("D3-CQ",)),
        Verb("file.restore", _F, Risk.R2, ("restore", "file"), d3fend=("D3-RF",)),
    ),
    _one(Verb("file.fetch", _F, Risk.R1, ("copy", "file"), no_inverse="changes nothing on the host")),
    _pair(
        Verb("hash.block", _F, Risk.R3, ("deny", "file"), parameters=("duration",), d3fend=("D3-EDL",)),
        Verb("hash.unblock", _F, Risk.R3, ("allow", "file"), d3fend=("D3-EAL",)),
    ),
    _pair(
        Verb(
            "ip.block",
            _A,
            Risk.R3,
            ("deny", "ipv4_net"),
            parameters=("direction", "scope", "duration"),
            d3fend=("D3-NTF",),
            role="firewall",
        ),
        Verb("ip.unblock", _A, Risk.R3, ("allow", "ipv4_net"), role="firewall"),
    ),
    _pair(
        Verb(
            "domain.block",
            _D,
            Risk.R3,
            ("deny", "domain_name"),
            parameters=("duration",),
            d3fend=("D3-DNSDL", "D3-FRDDL"),
            role="firewall",
        ),
        Verb("domain.unblock", _D, Risk.R3, ("allow", "domain_name"), d3fend=("D3-DNSAL",), role="firewall"),
    ),
    _pair(
        Verb("url.block", _U, Risk.R2, ("deny", "uri"), d3fend=("D3-OTF",), role="firewall"),
        Verb("url.unblock", _U, Risk.R2, ("allow", "uri"), role="firewall"),
    ),
    _pair(
        Verb(
            "account.disable", _ACC, Risk.R2, ("deny", "x-nightdesk:user_account"), d3fend=("D3-AL",), role="identity"
        ),
        Verb(
            "account.enable",
            _ACC,
            Risk.R2,
            ("allow", "x-nightdesk:user_account"),
            d3fend=("D3-RUAA", "D3-ULA"),
            role="identity",
        ),
    ),
    _one(
        Verb(
            "account.revoke_sessions",
            _ACC,
            Risk.R2,
            ("stop", "x-nightdesk:session"),
            no_inverse="heals itself: the user signs in again",
            d3fend=("D3-ST", "D3-ANCI"),
            role="identity",
        )
    ),
    _one(
        Verb(
            "account.reset_password",
            _ACC,
            Risk.R2,
            ("update", "x-nightdesk:user_account"),
            no_inverse="the old password is not kept; the helpdesk heals it",
            d3fend=("D3-PR",),
            role="identity",
        )
    ),
    _one(
        Verb(
            "account.require_reauth_factors",
            _ACC,
            Risk.R2,
            ("set", "x-nightdesk:user_account"),
            no_inverse="the user enrols again",
            d3fend=("D3-MFA", "D3-RIC"),
            role="identity",
        )
    ),
    _pair(
        Verb(
            "account.remove_from_group",
            TargetKind.MEMBERSHIP,
            Risk.R2,
            ("delete", "x-nightdesk:membership"),
            d3fend=("D3-UAP",),
            role="identity",
        ),
        Verb(
            "account.add_to_group",
            TargetKind.MEMBERSHIP,
            Risk.R2,
            ("create", "x-nightdesk:membership"),
            role="identity",
        ),
    ),
    _pair(
        Verb(
            "credential.revoke",
            TargetKind.CREDENTIAL,
            Risk.R3,
            ("deny", "x-nightdesk:credential"),
            d3fend=("D3-CR",),
            role="identity",
        ),
        Verb(
            "credential.restore",
            TargetKind.CREDENTIAL,
            Risk.R3,
            ("allow", "x-nightdesk:credential"),
            d3fend=("D3-RIC",),
            role="identity",
        ),
    ),
    _pair(
        Verb(
            "email.quarantine",
            TargetKind.EMAIL,
            Risk.R2,
            ("contain", "x-nightdesk:email"),
            d3fend=("D3-ER",),
            role="mail",
        ),
        Verb(
            "email.restore", TargetKind.EMAIL, Risk.R2, ("restore", "x-nightdesk:email"), d3fend=("D3-RE",), role="mail"
        ),
    ),
    _pair(
        Verb("sender.block", TargetKind.SENDER, Risk.R2, ("deny", "email_addr"), d3fend=("D3-EF",), role="mail"),
        Verb("sender.unblock", TargetKind.SENDER, Risk.R2, ("allow", "email_addr"), role="mail"),
    ),
    _one(
        Verb(
            "artifact.detonate",
            TargetKind.ARTIFACT,
            Risk.R1,
            ("detonate", "artifact"),
            no_inverse="changes nothing of the tenant's",
            d3fend=("D3-DA",),
            role="intel",
        )
    ),
    _pair(
        Verb(
            "indicator.publish",
            TargetKind.INDICATOR,
            Risk.R3,
            ("create", "x-nightdesk:indicator"),
            parameters=("name", "description", "valid_until", "confidence", "tlp"),
            role="intel",
        ),
        Verb("indicator.withdraw", TargetKind.INDICATOR, Risk.R3, ("delete", "x-nightdesk:indicator"), role="intel"),
    ),
    _one(
        Verb(
            "search.run",
            TargetKind.SEARCH,
            Risk.R0,
            ("query", "x-nightdesk:search"),
            no_inverse="a read",
            parameters=("limit",),
            role="siem",
        )
    ),
    _one(
        Verb(
            "alert.set_disposition",
            TargetKind.ALERT,
            Risk.R1,
            ("update", "x-nightdesk:alert"),
            inverse="alert.set_disposition",
            parameters=("status", "disposition", "comment"),
            role="source",
        )
    ),
    _one(
        Verb(
            "alert.comment",
            TargetKind.ALERT,
            Risk.R0,
            ("update", "x-nightdesk:alert"),
            no_inverse="comments are append-only at the vendors",
            parameters=("comment",),
            role="source",
        )
    ),
    _one(
        Verb(
            "case.open",
            TargetKind.CASE,
            Risk.R0,
            ("create", "x-nightdesk:case"),
            inverse="case.close",
            parameters=("title", "description", "severity", "labels"),
            role="ticketing",
        )
    ),
    _one(
        Verb(
            "case.comment",
            TargetKind.CASE,
            Risk.R0,
            ("update", "x-nightdesk:case"),
            no_inverse="comments are append-only",
            parameters=("comment",),
            role="ticketing",
        )
    ),
    _one(
        Verb(
            "case.update",
            TargetKind.CASE,
            Risk.R1,
            ("update", "x-nightdesk:case"),
            inverse="case.update",
            parameters=("title", "description", "severity"),
            role="ticketing",
        )
    ),
    _pair(
        Verb(
            "case.close",
            TargetKind.CASE,
            Risk.R1,
            ("update", "x-nightdesk:case"),
            parameters=("disposition", "comment"),
            role="ticketing",
        ),
        Verb(
            "case.reopen",
            TargetKind.CASE,
            Risk.R1,
            ("update", "x-nightdesk:case"),
            parameters=("comment",),
            role="ticketing",
        ),
    ),
    _one(
        Verb(
            "notify.send",
            TargetKind.PERSON,
            Risk.R0,
            ("create", "x-nightdesk:message"),
            no_inverse="a message is read once sent",
            parameters=("title", "text", "severity", "link"),
            role="chat",
        )
    ),
    _one(
        Verb(
            "approval.request",
            TargetKind.PERSON,
            Risk.R0,
            ("create", "x-nightdesk:message"),
            no_inverse="a message is read once sent",
            parameters=("title", "text", "options", "link", "about"),
            role="chat",
        )
    ),
    _one(
        Verb(
            "host.run_script",
            _H,
            Risk.R4,
            ("start", "x-nightdesk:script"),
            no_inverse="what a script does is not known",
            parameters=("script",),
        )
    ),
)

VERBS: Mapping[str, Verb] = MappingProxyType({entry.name: entry for row in _TABLE for entry in row})
"""Every verb by its name."""


def verb(name: str) -> Verb:
    """The verb of that name. Raises UnsupportedError that lists what there is."""
    try:
        return VERBS[name]
    except KeyError:
        raise UnsupportedError(f"no verb {name!r}; there are: {', '.join(sorted(VERBS))}") from None
