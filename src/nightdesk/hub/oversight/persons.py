"""Who may judge, raise and withdraw: persons with a role for it. A program's credential is nobody."""

from collections.abc import Collection

from nightdesk.autonomy.oversight.labels import is_machine
from nightdesk.hub.api.view import Principal, Role
from nightdesk.sdk.errors import PolicyError

__all__ = ["JUDGES", "PLANTS", "RAISES", "WITHDRAWS", "admitted"]

JUDGES = frozenset({Role.ANALYST, Role.APPROVER, Role.ADMIN})
RAISES = frozenset({Role.APPROVER, Role.ADMIN})
WITHDRAWS = frozenset({Role.ANALYST, Role.APPROVER, Role.ADMIN})
PLANTS = frozenset({Role.APPROVER, Role.ADMIN})


def admitted(by: Principal, tenant: str, roles: Collection[Role], what: str) -> Principal:
    """The same person. Raises PolicyError for a program, another tenant's, or one without the role."""
    if by.role is Role.SERVICE or is_machine(by.name):
        raise PolicyError(f"{by.name} is a program's credential: {what} takes a person")
    if by.tenant != tenant:
        raise PolicyError(f"{by.name} belongs to {by.tenant} and decides nothing at {tenant}")
    if by.role not in roles:
        raise PolicyError(f"{by.name} has the role {by.role}; {what} takes {' or '.join(sorted(roles))}")
    return by
