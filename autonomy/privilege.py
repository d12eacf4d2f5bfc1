"""What gives a protected thing away when nobody tagged it: the groups an account is in, the ports a host listens on.

Groups are compared by name and by the well-known ends of their security identifiers (MS-DTYP 2.4.2.4); ports by their
registration at IANA, and only those on which no workstation listens.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from nightdesk.autonomy.spelling import plain

__all__ = ["mighty_group", "serving_port"]

_GROUPS = (
    "administrators",
    "*domain admins",
    "*enterprise admins",
    "*schema admins",
    "*key admins",
    "*domain controllers",
    "account operators",
    "backup operators",
    "server operators",
    "print operators",
    "cert publishers",
    "dnsadmins",
    "dhcp administrators",
    "hyper-v administrators",
    "group policy creator owners",
    "protected users",
    "*global administrator*",
    "*company administrator*",
    "privileged *administrator*",
    "*security administrator*",
    "*identity administrator*",
    "*conditional access administrator*",
    "*application administrator*",
    "*user administrator*",
    "*helpdesk administrator*",
    "*intune administrator*",
    "*super admin*",
    "*org* admin*",
    "*organization administrator*",
    "administratoraccess",
    "*break*glass*",
    "*emergency*access*",
    "*service*account*",
    "*tier*0*",
    "root",
    "wheel",
    "sudo",
    "admin",
    "admins",
    "domain-admins",
    "mssp*",
)
"""Globs over the names as directories ship them, and as organisations write the same thing."""
_NAMES = re.compile("|".join(map(fnmatch.translate, _GROUPS)))
_SIDS = re.compile(r"^s-1-5-(?:32-(?:544|548|549|550|551|578)|21-[\d-]+-(?:498|512|516|518|519|520|521|525|526|527))$")
_PORTS: Mapping[int, str] = {
    53: "name service",
    67: "address assignment",
    88: "directory (Kerberos)",
    102: "industrial control (ISO-TSAP)",
    104: "medical imaging (DICOM)",
    179: "routing (BGP)",
    389: "directory (LDAP)",
    464: "directory (password change)",
    502: "industrial control (Modbus)",
    514: "log collection",
    636: "directory (LDAP)",
    902: "virtualisation host",
    2404: "industrial control (IEC 60870-5-104)",
    2575: "medical records (HL7)",
    3268: "directory (global catalogue)",
    3269: "directory (global catalogue)",
    4840: "industrial control (OPC UA)",
    6514: "log collection",
    10000: "backup (NDMP)",
    11112: "medical imaging (DICOM)",
    20000: "industrial control (DNP3)",
    34962: "industrial control (PROFINET)",
    44818: "industrial control (EtherNet/IP)",
    47808: "building control (BACnet)",
}


_RDN = re.compile(r"^\s*cn\s*=\s*((?:[^,\\]|\\.)*)", re.IGNORECASE)
"""The name in a distinguished name, as a directory lists memberships (RFC 4514)."""


@lru_cache(maxsize=4096)
def mighty_group(groups: tuple[str, ...]) -> str:
    """The first group that makes its members protected, or nothing."""
    for group in groups:
        distinguished = _RDN.match(group)
        name = distinguished[1] if distinguished else re.split(r"[\\/]", group)[-1]
        name = plain(name.strip())
        if _SIDS.match(name) or _NAMES.match(name):
            return group
    return ""


def serving_port(ports: Iterable[int]) -> str:
    """What the first telling port says of its host, or nothing."""
    return next((f"port {port}: {_PORTS[port]}" for port in ports if port in _PORTS), "")
