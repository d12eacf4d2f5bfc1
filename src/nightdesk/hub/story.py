"""The bundled story: one night in a small company, told without any vendor; deterministic for a start time."""

import hashlib
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.story import StoryProcess

__all__ = ["DOMAIN_CONTROLLER", "PATIENT_ZERO", "SCANNER", "Story", "night"]

PATIENT_ZERO = "WS-0042"
DOMAIN_CONTROLLER = "DC-01"
SCANNER = "192.0.2.17"
_SID = "S-1-5-21-1004336348-1177238915-682003330-1104"


@dataclass(frozen=True, slots=True)
class Story:
    """Who was there and what was told; ``siem`` and ``endpoint`` are who raises it."""

    devices: tuple[StoryDevice, ...]
    siem: tuple[StoryAlert, ...]
    endpoint: tuple[StoryAlert, ...]

    @property
    def alerts(self) -> tuple[StoryAlert, ...]:
        """Everything, in the order it happened."""
        return tuple(sorted((*self.siem, *self.endpoint), key=lambda alert: (alert.at, alert.uid)))


def night(start: datetime, *, alerts: int = 400, seed: int = 7) -> Story:
    """About ``alerts`` alerts over four hours from ``start``; most are noise that a signed rule may close."""
    dice = random.Random(seed)  # noqa: S311  # a story, not a secret
    workstations = tuple(
        StoryDevice(f"dev-{number:04d}", f"WS-{number:04d}", (f"10.20.4.{number}",)) for number in range(10, 90)
    )
    servers = (
        StoryDevice("dev-dc01", DOMAIN_CONTROLLER, ("10.20.1.10",), "server"),
        StoryDevice("dev-fs01", "FS-01", ("10.20.1.20",), "server"),
        StoryDevice("dev-web01", "WEB-01", ("10.20.2.80",), "server", "Linux"),
    )
    stamp = start.strftime("%Y%m%d%H%M")
    siem: list[StoryAlert] = []
    quiet = max(0, alerts - len(_attack(start, stamp, workstations, servers)))
    for number in range(quiet):
        at = start + timedelta(seconds=dice.randrange(4 * 3600))
        device = dice.choice(workstations)
        siem.append(_noise(f"{stamp}-n{number:05d}", at, device, dice))
    return Story((*workstations, *servers), tuple(siem), _attack(start, stamp, workstations, servers))


def _noise(uid: str, at: datetime, device: StoryDevice, dice: random.Random) -> StoryAlert:
    kind = dice.random()
    if kind < 0.6:
        return StoryAlert(
            uid, at, "Vulnerability scan of an internal host", "network-port-scan", "low",
            description="Many ports of one host were probed within a minute.",
            source_address=SCANNER, destination_address=device.addresses[0], source_port=40000 + dice.randrange(9999),
            destination_port=dice.choice((22, 80, 443, 445, 3389)), technique_ids=("T1046",), tactic_ids=("TA0007",),
        )  # fmt: skip
    if kind < 0.93:
        return StoryAlert(
            uid, at, "Expired password used at sign-in", "expired-password-signin", "informational",
            description="A user tried an expired password and then changed it.", device=device,
            user=_owner(device), user_domain="ACME",
        )  # fmt: skip
    return StoryAlert(
        uid, at, "Rare scheduled task created", "rare-scheduled-task", "medium",
        description="A task that is new in this company was created.", device=device, user=_owner(device),
        user_domain="ACME", technique_ids=("T1053.005",), tactic_ids=("TA0003",),
    )  # fmt: skip


def _owner(device: StoryDevice) -> str:
    """Everybody has a machine of their own; the first of the story's victim."""
    return "jdoe" if device.hostname == PATIENT_ZERO else f"user{device.hostname.removeprefix('WS-')}"


def _attack(
    start: datetime, stamp: str, workstations: tuple[StoryDevice, ...], servers: tuple[StoryDevice, ...]
) -> tuple[StoryAlert, ...]:
    victim = next(device for device in workstations if device.hostname == PATIENT_ZERO)
    controller = servers[0]
    first = start + timedelta(hours=1)
    digest = hashlib.sha256(b"upd.dll of the story").hexdigest()
    word = StoryProcess(
        "powershell.exe", "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe",
        "powershell.exe -nop -w hidden -enc SQBFAFgA", 7720, hashlib.sha256(b"powershell").hexdigest(),
        "WINWORD.EXE", '"WINWORD.EXE" /n "C:\\Users\\jdoe\\Downloads\\invoice_8841.docm"',
    )  # fmt: skip
    loader = StoryProcess(
        "rundll32.exe", "C:\\Windows\\System32\\rundll32.exe",
        "rundll32.exe C:\\Users\\jdoe\\AppData\\Local\\Temp\\upd.dll,DllRegisterServer", 7811, digest, "powershell.exe",
        "powershell.exe -nop -w hidden -enc SQBFAFgA",
    )  # fmt: skip
    return (
        StoryAlert(
            f"{stamp}-a1", first, "Office document started an encoded script", "office-spawns-script", "high",
            description="A document opened from a mail started PowerShell with an encoded command.", device=victim,
            process=word, technique_ids=("T1059.001", "T1566.001"), tactic_ids=("TA0002", "TA0001"),
            user="jdoe", user_domain="ACME", user_sid=_SID,
        ),
        StoryAlert(
            f"{stamp}-a2", first + timedelta(seconds=9), "Known malware loaded", "malware-loaded", "critical",
            description="A library with a convicted hash was loaded.", device=victim, process=loader,
            convicted_sha256=digest, technique_ids=("T1218.011",), tactic_ids=("TA0005",),
            user="jdoe", user_domain="ACME", user_sid=_SID,
        ),
        StoryAlert(
            f"{stamp}-a3", first + timedelta(seconds=41), "Files are being encrypted", "mass-encryption", "critical",
            description="Hundreds of files were rewritten within a minute.", device=victim, process=loader,
            technique_ids=("T1486",), tactic_ids=("TA0040",),
            user="jdoe", user_domain="ACME", user_sid=_SID,
        ),
        StoryAlert(
            f"{stamp}-a4", first + timedelta(minutes=3), "Credentials read from memory", "lsass-read", "critical",
            description="A process read the memory of the security authority.", device=controller,
            process=StoryProcess(
                "rundll32.exe", "C:\\Windows\\System32\\rundll32.exe", "rundll32.exe comsvcs.dll, MiniDump 644 x full",
                5120, hashlib.sha256(b"rundll32").hexdigest(), "cmd.exe", "cmd.exe",
            ),
            user="svc_backup", user_domain="ACME", technique_ids=("T1003.001",), tactic_ids=("TA0006",),
        ),
    )  # fmt: skip
