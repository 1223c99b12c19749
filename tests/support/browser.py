"""A real browser for tests: Chromium without a window, driven by its DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from websockets.sync.client import connect
from websockets.sync.connection import Connection

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
DRIVEN = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--remote-debugging-port=0",
)
WAIT = 30.0


class Tab:
    """Tab of the browser.

    Attributes:
        complaints: what its console and its log have said: errors, warnings, refusals by the CSP.
        asked: addresses that it has requested.
    """

    def __init__(self, socket: Connection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=WAIT))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message.get("method"), message.get("params", {}))

    def _note(self, method: str | None, told: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(told["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])

    def open(self, address: str) -> None:
        """Open an address and wait until it has loaded."""
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def look(self, width: int, height: int, dark: bool = False, touch: bool = False) -> None:
        """Set the size of the view, its colour scheme, and whether it is a phone's."""
        metrics = {"width": width, "height": height, "mobile": touch}
        scale = 2 if touch else 1
        self.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=scale, **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def ask(self, expression: str) -> Any:
        """Return the value of an expression in the page; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = WAIT) -> Any:
        """Wait until an expression is true in the page; return its value."""
        end = time.monotonic() + seconds
        while not (value := self.ask(expression)):
            assert time.monotonic() < end, (expression, self.complaints, self.text())
            time.sleep(0.05)
        return value

    def text(self) -> str:
        """Return the text that the page shows."""
        return str(self.ask("document.body?.innerText ?? ''"))

    def click(self, selector: str) -> None:
        """Click an element."""
        self.ask(f"document.querySelector({json.dumps(selector)}).click()")

    def slide(self, selector: str, value: int, end: bool = True) -> None:
        """Move a slider as a hand does, and let it go at the end."""
        found = f"document.querySelector({json.dumps(selector)})"
        events = ["input", "change"] if end else ["input"]
        fired = ";".join(f"x.dispatchEvent(new Event('{event}'))" for event in events)
        self.ask(f"{{ const x = {found}; x.value = {value}; {fired} }}")

    def give(self, selector: str, path: Path) -> None:
        """Choose a file in a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def press(self, key: str) -> None:
        """Press a key."""
        codes = {"Tab": 9, "Escape": 27, "ArrowRight": 39, "ArrowLeft": 37, "Enter": 13}
        pressed = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **pressed)

    def save_to(self, folder: Path) -> None:
        """Let downloads go to a folder."""
        self.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def screenshot(self, whole: bool = False) -> bytes:
        """Return a PNG of the view, or of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])


class Browser:
    """Running browser."""

    def __init__(self, port: int) -> None:
        self._port = port

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """Open a tab; it is closed at the end."""
        request = Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urlopen(request, timeout=WAIT) as answer:
            target = json.load(answer)
        address = target["webSocketDebuggerUrl"]
        with connect(address, max_size=None, ping_interval=None) as socket:
            yield Tab(socket)
        urlopen(f"http://127.0.0.1:{self._port}/json/close/{target['id']}", timeout=WAIT).close()


@contextmanager
def browser(profile: Path, camera: Path | None = None) -> Iterator[Browser]:
    """Run Chromium with a profile of its own; it is ended at the end.

    Args:
        profile: a folder.
        camera: Y4M or MJPEG file that its camera shows again and again; None: a made-up pattern.
    """
    assert CHROMIUM
    shown = [] if camera is None else [f"--use-file-for-fake-video-capture={camera}"]
    command = [CHROMIUM, *OPTIONS, *DRIVEN, *shown, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told, end = profile / "DevToolsActivePort", time.monotonic() + WAIT
        while not (told.is_file() and told.read_text().count("\n")):
            assert process.poll() is None, "Chromium does not start"
            assert time.monotonic() < end, "Chromium does not listen"
            time.sleep(0.05)
        yield Browser(int(told.read_text().split()[0]))
    finally:
        process.terminate()
        process.wait(WAIT)
