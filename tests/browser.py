"""A headless Chromium and a page in it, driven over the DevTools protocol by a pipe: no package and no port needed."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE_SECONDS = 180


class Tab:
    """One page: `trouble` collects console errors, exceptions, and requests for anything but the page itself."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands, self._events = commands, events
        self._unread = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self._seen: set[str] = set()
        self.trouble: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def open(self, page: Path, width: int, *, dark: bool) -> None:
        """Show a file at this width, light or dark, and wait until its figures are drawn."""
        self.trouble.clear()
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=page.as_uri())
        ready = "document.readyState === 'complete' && [...document.querySelectorAll('.chart:not([hidden])')]"
        self.until(f"{ready}.every((chart) => chart.querySelector('.main-svg'))")
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked of the figures is painted."""
        self.value("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 150)))")

    def until(self, condition: str) -> None:
        """Wait for a JavaScript condition."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.value(condition):
            assert time.monotonic() < deadline, f"{condition} never came; {self.trouble}"
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screenshot(self, path: Path, top: int = 0, height: int | None = None) -> None:
        """Write a picture of the whole page, or of `height` pixels of it from `top`."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": size["width"], "height": height or size["height"], "scale": 1}
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            event = self._next()
            if event.get("id") == number:
                assert "error" not in event, event
                return event["result"]
            self._note(event)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            received = os.read(self._events, 1 << 20)
            assert received, "chromium ended"
            self._unread += received
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.trouble.append(f"exception: {parameters['exceptionDetails']}")
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.trouble.append(f"console: {parameters['args']}")
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.trouble.append(f"log: {parameters['entry']['text']}")
        elif method == "Network.requestWillBeSent" and parameters.get("type") != "Document":
            url = parameters["request"]["url"]
            if not url.startswith(("data:", "blob:")):
                self.trouble.append(f"request: {url}")


@contextmanager
def new_tab(profile: Path) -> Iterator[Tab]:
    """Start Chromium with its profile in this folder; it reads commands from descriptor 3 and answers on 4."""
    assert CHROMIUM is not None
    command_read, command_write = os.pipe()
    event_read, event_write = os.pipe()
    flags = "--headless --remote-debugging-pipe --no-sandbox --disable-gpu --hide-scrollbars --disable-dev-shm-usage"
    flags += " --no-first-run --disable-background-networking --disable-component-update"
    started = f'exec "$0" {flags} --user-data-dir="$1" 3<&{command_read} 4>&{event_write}'
    browser = subprocess.Popen(
        ["bash", "-c", started, CHROMIUM, str(profile)],
        pass_fds=(command_read, event_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(command_read)
    os.close(event_write)
    try:
        yield Tab(command_write, event_read)
    finally:
        os.close(command_write)  # which ends the browser
        try:
            browser.wait(10)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()
        os.close(event_read)
