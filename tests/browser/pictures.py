"""`make pictures`: the pictures of README and docs, of the run that `make train` has registered, in a real browser.

Written to docs/pictures/. Nothing in a picture is made up: the report is that of the version, the doctor has read the
example's data, and the page has been asked.
"""

import io
import os
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from pathlib import Path

from chromium import PROGRAMS, Browser, program
from PIL import Image

from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import REPORT

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
MODEL = "reviews@production"
TEXT = "The camera is great, but the battery died after two days and nobody answered my letters."
WIDTH, HEIGHT, SCALE = 1000, 860, 0.8
COLOURS = 64


def main() -> None:
    """Write all of them."""
    found = program()
    if found is None:
        sys.exit(f"make pictures needs a browser: none of {', '.join(PROGRAMS)} is installed")
    registry = RegistrySettings()
    version = pull(open_store(registry.uri), MODEL, cache=registry.cache, only=lambda path: path == REPORT)
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        browser = Browser(found, work / "profile")
        try:
            _show(browser, (version.folder / REPORT).as_uri(), "report", "section[id$=labels]")
            config = ROOT / "job/examples/reviews/job.yaml"
            _tunewright("check", "--config", str(config), "--html", str(work / "doctor.html"))
            _show(browser, (work / "doctor.html").as_uri(), "doctor")
            _page(browser, work)
        finally:
            browser.close()


def _page(browser: Browser, work: Path) -> None:
    """The page of the server, with an answer and its explanation."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"SERVING_HOST": "127.0.0.1", "SERVING_PORT": str(port)}
    log = (work / "serve.log").open("w+")
    server = subprocess.Popen(
        [sys.executable, "-m", "tunewright", "serve", MODEL], env=os.environ | settings, stderr=log
    )
    try:
        while '"ready"' not in (work / "serve.log").read_text():
            if server.poll() is not None:
                sys.exit((work / "serve.log").read_text())
            time.sleep(0.1)
        browser.open(f"http://127.0.0.1:{port}/", width=WIDTH, height=HEIGHT)
        browser.fill("in-text", TEXT)
        browser.send()
        browser.run("document.querySelector('.why button').click()")
        browser.until("document.querySelector('.why') && !document.querySelector('.why > button')")
        _keep(browser, "page")
    finally:
        server.terminate()
        server.wait()
        log.close()


def _show(browser: Browser, address: str, name: str, first: str = "body") -> None:
    browser.open(address, width=WIDTH, height=HEIGHT)
    _keep(browser, name, first)


def _keep(browser: Browser, name: str, first: str = "body") -> None:
    """What a window shows from this element on, in few colours."""
    browser.run("scrollTo(0, 0)")
    top = browser.run(f"document.querySelector({first!r}).getBoundingClientRect().top")
    clip = {"x": 0, "y": max(0, top - 12), "width": WIDTH, "height": HEIGHT, "scale": SCALE}
    data = b64decode(browser.tell("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"])
    path = FOLDER / f"{name}.png"
    Image.open(io.BytesIO(data)).convert("RGB").quantize(COLOURS).save(path, optimize=True)
    sys.stdout.write(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB\n")


def _tunewright(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "tunewright", *words], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
