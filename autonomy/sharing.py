"""Before anything leaves the tenant: its marking against who would learn of it, and what that marking lets us do.

TLP says with whom information may be shared (FIRST, Traffic Light Protocol 2.0, section 2), PAP what may be done with
it (Permissible Actions Protocol, the taxonomy of machine tags ``PAP:…``). The stricter of two markings counts, so that
a fact which somebody writes on a target can only close the gate further.
"""

from collections.abc import Mapping

from nightdesk.autonomy.admission import Dispatching, Doubt, contains
from nightdesk.autonomy.proposals import Approval
from nightdesk.sdk.case import Check
from nightdesk.sdk.manifest import Audience
from nightdesk.sdk.verbs import Risk, verb

__all__ = ["PAP", "TLP", "marking_told", "permissible", "shareable", "strictest", "too_wide"]

TLP = ("clear", "green", "amber", "amber+strict", "red")
"""Least strict first."""
PAP = ("clear", "green", "amber", "red")
"""Least strict first. Red: nothing that can be seen from the outside, only passive work on logs. Amber: also what third
parties are asked. Green: also active measures such as blocking. Clear (once white): no restriction."""
_ALIASES = {"white": "clear", "amber-strict": "amber+strict", "amber_strict": "amber+strict"}
_RANKS: Mapping[str, int] = {"none": 0, "vendor": 1, "community": 2, "public": 3}
_WIDEST: Mapping[str, int] = {"clear": 3, "green": 2, "amber": 1, "amber+strict": 1, "red": 0}
"""Red is for its recipients alone. Amber stays with the organisation and those who need to know to protect it: a vendor
that works for it. With *strict* it stays inside, so that a vendor takes a person's word. Green is for a community,
clear for everybody."""
_GIVES = frozenset({"artifact.detonate", "indicator.publish", "file.fetch", "host.collect_evidence"})
"""Verbs whose very purpose is that data goes elsewhere."""
_PRIVATE = frozenset({"file.fetch", "host.collect_evidence"})
"""What lies on a host may be about people, whatever its marking."""
_TELLS = frozenset({"ticketing", "chat"})


def strictest(scale: tuple[str, ...], *words: str) -> str:
    """The strictest of these markings; a word that is none counts as the strictest there is."""
    return max((_word(scale, text) for text in words if text), key=scale.index, default=scale[0])


def too_wide(audience: Audience | str, tlp: str) -> bool:
    """Whether more people would learn of it than the marking allows."""
    return _RANKS[audience] > _WIDEST[tlp]


def shareable(dispatching: Dispatching) -> Check:
    """TLP: data goes to nobody whom its marking leaves out; what a block tells in passing takes a person's word."""
    action, around = dispatching.action, dispatching.around
    tlp = strictest(TLP, around.tlp, action.target.facts.get("tlp", ""))
    audience, gives = around.shared_with, action.verb in _GIVES
    told = f"{action.verb} {action.target.key}: TLP:{tlp.upper()}, learnt of by: {audience}"
    limit = "nobody whom the marking leaves out: ask its source for a wider one"
    wide = too_wide(audience, tlp)
    if gives or verb(action.verb).role in _TELLS:
        if wide:
            return Check("tlp", passed=False, value=told, limit=limit)
        held = gives and audience != "none" and (tlp == "amber+strict" or action.verb in _PRIVATE)
        return Doubt("tlp", not (held and _alone(dispatching)), told, "a person's word before it leaves")
    return Doubt("tlp", not (wide and contains(action) and _alone(dispatching)), told, limit)


def permissible(dispatching: Dispatching) -> Check:
    """PAP: what may be done with the information at all."""
    action, around = dispatching.action, dispatching.around
    pap = strictest(PAP, around.pap, action.target.facts.get("pap", ""))
    needed = _needed(dispatching)
    fine = PAP.index(pap) <= PAP.index(needed)
    told, limit = f"{action.verb} {action.target.key}: PAP:{pap.upper()}", f"PAP:{needed.upper()} or freer"
    if action.verb in _GIVES and around.shared_with != "none":
        return Check("pap", fine, told, limit)
    agreed = action.approval == Approval.HUMAN
    return Doubt("pap", fine or agreed, told, limit)


def marking_told(dispatching: Dispatching) -> Check:
    """What is published carries a marking that is no freer than its source's."""
    action, around = dispatching.action, dispatching.around
    if action.verb != "indicator.publish":
        return Check("tlp-parameter", passed=True, value=action.verb, limit="for what is published")
    source = strictest(TLP, around.tlp, action.target.facts.get("tlp", ""))
    given = str(action.parameters.get("tlp") or "")
    limit = f"tlp: {source}, or stricter"
    if not given:
        fine = source == "clear" or around.shared_with == "none" or not around.tells_tlp
        return Check("tlp-parameter", fine, f"{action.target.key}: no tlp", limit)
    known = _plain(given) in TLP
    fine = known and TLP.index(_plain(given)) >= TLP.index(source)
    return Check("tlp-parameter", fine, f"{action.target.key}: tlp {given}", limit)


def _needed(dispatching: Dispatching) -> str:
    """The strictest marking under which it may still be done."""
    action = dispatching.action
    if contains(action) and action.verb not in _GIVES:
        return "green"  # whoever is cut off or blocked can tell
    if action.verb == "artifact.detonate":
        return "green"  # what runs calls home
    wanted = verb(action.verb)
    if action.verb in _GIVES and dispatching.around.shared_with != "none":
        return "amber"
    # A scan or a fetch is seen by whoever sits on the host; reading, tickets and the way back are not held up.
    return "amber" if wanted.risk is Risk.R1 and wanted.role == "edr" else "red"


def _alone(dispatching: Dispatching) -> bool:
    return dispatching.action.approval == Approval.POLICY


def _plain(text: str) -> str:
    word = text.strip().lower().removeprefix("tlp:").removeprefix("pap:")
    return _ALIASES.get(word, word)


def _word(scale: tuple[str, ...], text: str) -> str:
    word = _plain(text)
    return word if word in scale else scale[-1]
