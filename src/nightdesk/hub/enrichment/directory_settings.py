"""What a directory source is configured with, readable without the client library."""

from nightdesk.sdk.enrichment import EnricherSpec
from nightdesk.sdk.manifest import Setting

__all__ = ["LDAP"]

LDAP = EnricherSpec(
    "ldap",
    "nightdesk.hub.enrichment.directory:make",
    {
        "server": Setting(type="text", required=True, help="ldaps://HOST[:PORT], or ldap://HOST with StartTLS",
                          example="ldaps://dc.example.com"),
        "bind_dn": Setting(type="text", required=True, help="account that may read; give it no more",
                           example="cn=nightdesk,ou=services,dc=example,dc=com"),
        "password": Setting(type="secret", required=True, help="that account's password", example="env:LDAP_PASSWORD"),
        "base": Setting(type="text", required=True, help="where users are", example="dc=example,dc=com"),
        "group_base": Setting(type="text", help="where groups are; none: as users"),
        "ca_file": Setting(type="text", help="private CA of the server's certificate; none: the system's"),
        "user_class": Setting(type="text", default="person", help="objectClass of users"),
        "names": Setting(type="text", default="uid,cn,sAMAccountName,userPrincipalName",
                         help="attributes that an account's name may stand in"),
        "mail": Setting(type="text", default="mail", help="attribute of the mail address"),
        "department": Setting(type="text", default="departmentNumber", help="attribute of the department"),
        "owner": Setting(type="text", default="manager", help="attribute that says who answers for the account"),
        "disabled": Setting(type="text", default="userAccountControl:2",
                            help="ATTRIBUTE:BIT, or ATTRIBUTE=VALUE, of an account that is disabled",
                            example="pwdAccountLockedTime=000001010000Z"),
        "service_classes": Setting(type="text", default="msDS-GroupManagedServiceAccount,applicationProcess,account",
                                   help="objectClasses of what is no person"),
        "service_base": Setting(type="text", help="subtree of service accounts"),
        "group_member": Setting(type="text", default="member", help="attribute of a group that names its members"),
        "privileged_groups": Setting(type="text", default="",
                                     help="DNs of mighty groups, separated by semicolons; nested members count"),
        "vip_groups": Setting(type="text", default="", help="DNs of groups whose cases a person always sees"),
        "timeout": Setting(type="integer", default=10, help="seconds to connect, and to wait for an answer"),
        "page_size": Setting(type="integer", default=200, help="entries a page"),
        "max_groups": Setting(type="integer", default=500, help="groups that one account's membership is followed to"),
    },
    "users of an LDAP directory: privilege by nested groups, disabled, service accounts",
)  # fmt: skip
