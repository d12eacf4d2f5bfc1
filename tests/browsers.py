"""A real browser for tests of the console: Chromium over its debugging pipe, and how readable it says a page is.

Needs Chromium (Debian's package ``chromium``); NIGHTDESK_CHROMIUM names another one.
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["CONTRAST", "Browser"]

_PATIENCE = 30.0


class _NavigatedError(Exception):
    """The page went away while a script ran in it."""


class Browser:
    """Chromium over its debugging pipe: one page, its errors and dialogs noted."""

    def __init__(self, folder: Path) -> None:
        program = os.environ.get("NIGHTDESK_CHROMIUM") or shutil.which("chromium")
        assert program, "no Chromium: install Debian's package chromium, or set NIGHTDESK_CHROMIUM to its path"
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        # The pipe must be the child's descriptors 3 and 4; bash can say so for any number.
        command = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        flags = [
            "--headless=new",
            "--no-sandbox",  # a container's root has no other way
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--hide-scrollbars",
            f"--user-data-dir={folder}",
            "--remote-debugging-pipe",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", program, *flags, "about:blank"],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session = ""
        self.complaints: list[str] = []
        page = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = self._send(method, parameters)
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                if "navigated" in answer.get("error", {}).get("message", ""):
                    raise _NavigatedError
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return number

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 20)
            assert part, "the browser ended"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        method, about = event.get("method", ""), event.get("params", {})
        if method == "Page.javascriptDialogOpening":
            self.complaints.append(f"dialog: {about['message']}")
            self._send("Page.handleJavaScriptDialog", {"accept": True})
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {about['exceptionDetails']['text']}")
        elif method == "Log.entryAdded" and about["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"{about['entry']['source']}: {about['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            url = about["request"]["url"]
            if not url.startswith(("http://127.0.0.1:", "about:")):
                self.complaints.append(f"request elsewhere: {url}")

    def run(self, script: str) -> Any:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
                break
            except _NavigatedError:  # the page it ran in is gone: ask the one that came
                assert time.monotonic() < deadline, f"the page never came to rest: {script}"
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """What the script gives as soon as it is something."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            found = self.run(script)
            if found:
                return found
            assert time.monotonic() < deadline, f"never true: {script}; page: {self.run('document.body.innerText')}"
            self.run("new Promise((done) => setTimeout(done, 50))")

    def go(self, url: str) -> None:
        self.run("window.left = true")
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && !window.left")

    def key(self, name: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, text="\r")

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> bytes:
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        picture = base64.b64decode(data)
        path.write_bytes(picture)
        return picture

    def close(self) -> None:
        self._session = ""
        self._send("Browser.close", {})
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)


CONTRAST = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *:not(svg *)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("[hidden], .unseen, .skip")) continue;
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${element.className || element.tagName}: ${element.textContent}`);
  }
  return poor;
})()
"""
"""Every text that stands out from its ground by less than 4.5 to 1 (WCAG 2.1 AA)."""
