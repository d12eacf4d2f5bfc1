"""What takes two persons: the first one's word is noted, a second one's lets it happen, and neither is a program."""

from collections.abc import Callable

from nightdesk.autonomy.approvals import same_person
from nightdesk.hub.api.view import Principal, Role
from nightdesk.sdk.errors import PolicyError

__all__ = ["MAY", "Known", "allowed", "confirms"]

MAY = frozenset({Role.APPROVER, Role.ADMIN})
"""Whose word counts among the two; one of them has to be an admin."""

Known = Callable[[str, str], Principal | None]
"""The principal of that tenant and name as configured now."""


def allowed(subject: str, by: Principal) -> None:
    """Raises PolicyError for who may not be one of the two."""
    if by.role not in MAY:
        raise PolicyError(f"{subject}: {by.name} has the role {by.role}; it takes two of {' or '.join(sorted(MAY))}")


def _same_name(one: str, other: str) -> bool:
    """One person may have a credential at several tenants: the name is who it is."""
    return same_person(one, other)


def confirms(
    subject: str, first: Principal | None, by: Principal, *, is_same: Callable[[str, str], bool] = _same_name
) -> bool:
    """Whether ``by`` is the second of two; False when nobody's word counts before. Raises PolicyError for the same one.

    ``first`` is who asked, looked up now: a revoked credential's word no longer counts. ``is_same`` tells whether two
    names are one person's.
    """
    if first is None or first.role not in MAY:
        return False
    if is_same(first.name, by.name):
        raise PolicyError(f"{subject}: {by.name} asked for it already; another person has to confirm")
    if Role.ADMIN not in {first.role, by.role}:
        raise PolicyError(f"{subject}: one of the two has to be an admin; {first.name} and {by.name} are approvers")
    return True
