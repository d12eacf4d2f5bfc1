"""The directory source against OpenLDAP's own server: TLS, nested groups, pages, limits, names that are syntax."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.slapd import BASE, PASSWORD, READER, Directory, slapd

from nightdesk.connectors.smtp.simulated_certificate import certificate
from nightdesk.hub.enrichment.directory import make
from nightdesk.hub.enrichment.directory_settings import LDAP
from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.enrichment import IdentityFact
from nightdesk.sdk.errors import AuthError, NightdeskError, RejectedError, UnavailableError
from nightdesk.sdk.manifest import validated
from nightdesk.sdk.secrets import Secret

pytestmark = pytest.mark.slow
GROUPS = f"ou=groups,{BASE}"
PEOPLE = f"ou=people,{BASE}"
MANY = 120


def person(uid: str, *, place: str = PEOPLE, **more: str) -> str:
    lines = [f"dn: uid={uid},{place}", "objectClass: inetOrgPerson", f"uid: {uid}", f"cn: {uid}", f"sn: {uid}"]
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in more.items())]) + "\n\n"


def group(name: str, *members: str) -> str:
    told = "".join(f"member: {member}\n" for member in members)
    return f"dn: cn={name},{GROUPS}\nobjectClass: groupOfNames\ncn: {name}\n{told}\n"


def uid(name: str) -> str:
    return f"uid={name},{PEOPLE}"


def cn(name: str) -> str:
    return f"cn={name},{GROUPS}"


DIRECTORY = (
    f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n"
    + "".join(
        f"dn: ou={name},{BASE}\nobjectClass: organizationalUnit\nou: {name}\n\n"
        for name in ("people", "groups", "services")
    )
    + f"dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: nightdesk\n"
    f"userPassword: {PASSWORD}\n\n"
    + person("jdoe", mail="jdoe@example.com", departmentNumber="Sales", manager=uid("boss"), employeeType="gone")
    + person("boss")
    + person("nested")
    + person("looped")
    + person("many")
    + person("twin", mail="a@example.com")
    + person("twin", place=f"ou=services,{BASE}", mail="b@example.com")
    + person("svc_backup", place=f"ou=services,{BASE}")
    + person("printer", place=f"ou=services,{BASE}")
    + person("odd*name", mail="odd@example.com")
    + group("Staff", uid("jdoe"), uid("boss"), uid("nested"))
    + group("Helpers", uid("nested"))
    + group("Platform", cn("Helpers"))
    + group("Keyholders", cn("Platform"))
    + group("Board", uid("boss"))
    + group("Round", uid("looped"), cn("About"))
    + group("About", cn("Round"))
    + "".join(group(f"Many{number:03d}", uid("many")) for number in range(MANY))
)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key of the server, for 127.0.0.1."""
    made = certificate(tmp_path_factory.mktemp("tls"))
    return made, made.with_suffix(".key")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tls: tuple[Path, Path]) -> Iterator[Directory]:
    with slapd(tmp_path_factory.mktemp("slapd"), DIRECTORY, *tls) as made:
        yield made


class Site:
    """The directory, asked as a tenant's configuration has it."""

    def __init__(self, server: Directory, ca: Path) -> None:
        self._server = server
        self._ca = ca

    def asked(self, name: str, kind: EntityKind = EntityKind.ACCOUNT, **changes: Any) -> list[IdentityFact]:
        given = {
            "server": f"ldaps://127.0.0.1:{self._server.ldaps}",
            "bind_dn": READER,
            "password": Secret.literal(PASSWORD),
            "base": BASE,
            "ca_file": str(self._ca),
            "privileged_groups": f"cn=keyholders,{GROUPS.upper()}",
            "vip_groups": cn("Board"),
            "service_base": f"ou=services,{BASE}",
            "disabled": "employeeType=gone",
            "page_size": 20,
            **changes,
        }
        values = validated(LDAP.settings, "ldap", given, file="nightdesk.yaml", key="settings")
        made = make(Context("acme", "people", Settings(values)))
        found = asyncio.run(made.look_up(Entity(kind, name)))
        return [one for one in found if isinstance(one, IdentityFact)]


@pytest.fixture
def site(server: Directory, tls: tuple[Path, Path]) -> Site:
    return Site(server, tls[0])


def test_a_person_is_told_with_what_the_directory_says(site: Site) -> None:
    (found,) = site.asked("jdoe")
    assert (found.name, found.department, found.owner, found.enabled) == ("jdoe", "Sales", "boss", False)
    assert (found.privileged, found.vip, found.service, found.groups) == (False, False, False, ("Staff",))
    assert site.asked("jdoe@example.com") == [found]
    assert site.asked("jdoe@example.com", EntityKind.EMAIL) == [found]
    assert site.asked("EXAMPLE\\jdoe") == [found]


def test_privilege_is_found_through_groups_in_groups(site: Site) -> None:
    (found,) = site.asked("nested")
    assert found.privileged is True
    assert found.groups == ("Helpers", "Keyholders", "Platform", "Staff")
    (boss,) = site.asked("boss")
    assert (boss.privileged, boss.vip) == (False, True)


def test_groups_that_are_members_of_each_other_end(site: Site) -> None:
    (found,) = site.asked("looped")
    assert found.groups == ("About", "Round")


def test_service_accounts_are_known_by_their_place_and_name(site: Site) -> None:
    assert [one.service for one in site.asked("svc_backup")] == [True]
    assert [one.service for one in site.asked("printer")] == [True]
    assert [one.service for one in site.asked("printer", service_base="")] == [False]


def test_nobody_of_that_name_is_nothing_known(site: Site) -> None:
    assert site.asked("nobody") == []


def test_two_of_one_name_are_both_told(site: Site) -> None:
    assert len(site.asked("twin")) == 2


@pytest.mark.parametrize("name", ["*", "jd*", "x)(uid=*", "*)(objectClass=*", "jdoe)(|(uid=*", "\\2a", "j\x00doe"])
def test_a_name_that_is_syntax_is_a_name(site: Site, name: str) -> None:
    assert site.asked(name) == []


def test_a_name_with_a_star_is_found_as_it_is_written(site: Site) -> None:
    assert [one.name for one in site.asked("odd*name")] == ["odd*name"]


def test_more_groups_than_a_page_and_a_search_may_hold_are_all_read(site: Site) -> None:
    """The server gives 50 entries a search at most, and unlimited in pages of 20."""
    (found,) = site.asked("many")
    assert len(found.groups) == MANY


def test_more_groups_than_are_followed_are_an_error_and_not_half_an_answer(site: Site) -> None:
    with pytest.raises(RejectedError, match="more than 100"):
        site.asked("many", max_groups=100)


def test_a_connection_that_starts_tls_is_as_good(site: Site, server: Directory) -> None:
    assert [one.name for one in site.asked("jdoe", server=f"ldap://127.0.0.1:{server.ldap}")] == ["jdoe"]


def test_a_certificate_that_nobody_vouches_for_ends_it_before_the_password(site: Site, server: Directory) -> None:
    for address in (f"ldaps://127.0.0.1:{server.ldaps}", f"ldap://127.0.0.1:{server.ldap}"):
        with pytest.raises(UnavailableError):
            site.asked("jdoe", server=address, ca_file="")


def test_a_certificate_of_another_host_is_refused(site: Site, server: Directory) -> None:
    with pytest.raises(UnavailableError):
        site.asked("jdoe", server=f"ldaps://[::ffff:127.0.0.1]:{server.ldaps}")


def test_a_wrong_password_and_a_wrong_base_are_told_apart(site: Site) -> None:
    with pytest.raises(AuthError):
        site.asked("jdoe", password=Secret.literal("wrong"))
    with pytest.raises(NightdeskError) as told:
        site.asked("jdoe", base="dc=elsewhere,dc=com")
    assert not isinstance(told.value, AuthError)
    assert PASSWORD not in str(told.value)


def test_a_server_that_is_not_there_is_unavailable(site: Site) -> None:
    with pytest.raises(UnavailableError):
        site.asked("jdoe", server="ldaps://127.0.0.1:9", timeout=2)
