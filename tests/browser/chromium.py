"""A real browser: Chromium without a window, told what to do through the pipe of its DevTools protocol."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new --remote-debugging-pipe --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
    "--disable-extensions --disable-background-networking --disable-component-update --disable-sync --mute-audio "
    "--hide-scrollbars --force-color-profile=srgb --window-size=1280,900 about:blank"
)
SECONDS = 30


def program():
    """The first of `PROGRAMS` that is installed; None where none is."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One tab."""

    def __init__(self, program, folder):
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        # The protocol wants 3 and 4: what the program inherits is put there first.
        command = ["bash", "-c", f'exec "$0" "$@" 3<&{their_in} 4>&{their_out}', program, *FLAGS.split()]
        command += [f"--user-data-dir={folder}"]
        self._log = (folder.parent / "browser.log").open("w")
        self._process = subprocess.Popen(
            command, pass_fds=(their_in, their_out), stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL
        )
        os.close(their_in)
        os.close(their_out)
        self._rest, self._number, self._session = b"", 0, None
        self.said = []
        """What the console of the page said, and what it asked of whom."""
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.tell(f"{domain}.enable")

    def tell(self, method, **parameters):
        """One command and what came of it."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def run(self, script):
        """The value of a script, awaited."""
        done = self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, script):
        """The first value of a script that is true."""
        deadline = time.monotonic() + SECONDS
        while not (value := self.run(f"!!({script})")):
            assert time.monotonic() < deadline, f"{script} did not become true: {self.text()}"
            time.sleep(0.05)
        return value

    def open(self, url, *, width=1280, height=900, dark=False):
        """Go to a page and wait until it shows a model."""
        self.look(width=width, height=height, dark=dark)
        self.said.clear()
        self.tell("Page.navigate", url=url)
        self.until("document.title.endsWith(': Tunewright') || document.querySelector('#fault')?.hidden === false")

    def look(self, *, width=1280, height=900, dark=False, paper=False):
        """A window of this size, in the light or in the dark, or what would be printed."""
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        value = "dark" if dark else "light"
        features = [{"name": "prefers-color-scheme", "value": value}]
        self.tell("Emulation.setEmulatedMedia", media="print" if paper else "", features=features)

    def fill(self, name, text):
        """Type a text in the place of what a field holds."""
        self.run(f"document.getElementById({json.dumps(name)}).focus(); document.activeElement.select?.()")
        self.tell("Input.insertText", text=text)

    def choose_file(self, name, path):
        """Choose a file as with the dialog."""
        root = self.tell("DOM.getDocument")["root"]["nodeId"]
        node = self.tell("DOM.querySelector", nodeId=root, selector=f"#{name}")["nodeId"]
        self.tell("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def press(self, key, modifiers=0):
        """One key; modifiers: 1 Alt, 2 Control, 8 Shift."""
        codes = {"Enter": 13, "Tab": 9, "ArrowRight": 39, "ArrowLeft": 37, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(key)
        common = {"key": key, "windowsVirtualKeyCode": codes[key], "modifiers": modifiers}
        self.tell(
            "Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text and not modifiers else {})
        )
        self.tell("Input.dispatchKeyEvent", type="keyUp", **common)

    def text(self, selector="body"):
        """What a person reads there."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def send(self):
        """Ask, and wait for the answer or a fault."""
        self.run("document.getElementById('form').requestSubmit()")
        self.until("!document.getElementById('send').disabled")

    def shot(self, name):
        """A picture of the whole page, kept where TUNEWRIGHT_SCREENSHOTS names a folder."""
        if folder := os.environ.get("TUNEWRIGHT_SCREENSHOTS"):
            size = self.tell("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            data = self.tell("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(data))

    def barriers(self):
        """What axe finds on the page that keeps somebody from using it: rule, how grave, where. Nothing is looked for
        unless TUNEWRIGHT_AXE names an axe.min.js."""
        path = os.environ.get("TUNEWRIGHT_AXE")
        if not path:
            return []
        self.run(Path(path).read_text() + ";0")
        return self.run(
            "axe.run().then(found => found.violations.map(one => "
            "[one.id, one.impact, one.nodes.map(node => node.html).slice(0, 3)]))"
        )

    def close(self):
        """End the program."""
        os.close(self._out)
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        self._log.close()

    def _next(self):
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], 2 * SECONDS)[0], "the browser does not answer"
            read = os.read(self._in, 1 << 16)
            assert read, "the browser has ended"
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, message):
        method, told = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.said.append(("asked", told["request"]["url"]))
        elif method == "Log.entryAdded":
            self.said.append((told["entry"]["level"], told["entry"]["text"]))
        elif method == "Runtime.exceptionThrown":
            self.said.append(("exception", json.dumps(told["exceptionDetails"])))
