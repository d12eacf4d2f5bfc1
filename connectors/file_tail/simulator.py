"""A sensor that writes a log: lines in pieces if wanted, rotated by rename, by copy and cut, and packed."""

import gzip
import json
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from nightdesk.connectors.file_tail.payloads import alert_id, an_alert, some_traffic
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.testing import Simulator as _Simulator
from nightdesk.sdk.testing import StoryAlert

__all__ = ["Simulator"]


class Simulator(_Simulator):
    """One Suricata with its ``eve.json`` in a folder that goes with it."""

    vendor: ClassVar[str] = "file_tail"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        folder = tempfile.mkdtemp(prefix="nightdesk-eve-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = Path(folder) / "eve.json"
        self.path.touch()

    def routes(self) -> list[BaseRoute]:
        """None: a file is all there is."""
        return []

    def settings(self, base_url: str) -> dict[str, Any]:
        """The file; nobody is called, so the address says nothing."""
        _ = base_url
        return {"path": str(self.path)}

    def add(self, alert: StoryAlert) -> str:
        """Writes the alert, and the connection that it was seen in."""
        record = an_alert(alert)
        self.write(json.dumps(some_traffic(alert)) + "\n" + json.dumps(self.drift(record)) + "\n")
        return alert_id(record)

    def native_id_of(self, record: RawRecord) -> str:
        """An EVE record has no id of its own."""
        return alert_id(json.loads(record.payload))

    def write(self, text: str) -> None:
        """Appends text as it is, which may be half a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)

    def rotate(self, *, copy: bool = False, pack: bool = False) -> Path:
        """What logrotate does; returns the newest rotated file."""
        rotated = sorted(self.path.parent.glob("eve.json.*"), key=lambda path: int(path.name.split(".")[2]))
        for path in reversed(rotated):
            _, _, number, *rest = path.name.split(".")
            path.rename(path.with_name(".".join(["eve.json", str(int(number) + 1), *rest])))
        target = self.path.with_name("eve.json.1")
        if copy:
            shutil.copyfile(self.path, target)
            os.truncate(self.path, 0)
        else:
            self.path.rename(target)
            self.path.touch()
        return self.pack(target) if pack else target

    @staticmethod
    def pack(path: Path) -> Path:
        """gzip, which keeps the time of the last write."""
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        facts = path.stat()
        os.utime(packed, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        path.unlink()
        return packed
