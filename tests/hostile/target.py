"""A real server in a process of its own, watched from outside: what it answers, holds and writes."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks without a proxy."""
PUBLISH = """
import sys
from pathlib import Path
from tunewright.registry.versions.publish import publish
from tunewright.registry.stores.store import open_store

bundle, registry = map(Path, sys.argv[1:])
files = {str(path.relative_to(bundle)): path for path in bundle.rglob("*") if path.is_file()}
publish(open_store(str(registry)), "bombed", files, run_id="one")
"""


@dataclass(frozen=True)
class Cost:
    """What one request did to the server."""

    status: int
    megabytes: float
    """Most memory while it was answered, over what the idle server held before the first request."""
    cpu_seconds: float
    answer: str


class Target:
    """A server of a bundle; `folder` takes its registry, cache and log, and `close` ends it."""

    def __init__(self, bundle: Path, folder: Path, **settings: str) -> None:
        subprocess.run([sys.executable, "-c", PUBLISH, str(bundle), str(folder / "registry")], check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        environment = os.environ | {"REGISTRY_URI": str(folder / "registry"), "REGISTRY_CACHE": str(folder / "cache")}
        environment |= {
            "SERVING_MODEL": "bombed",
            "SERVING_HOST": "127.0.0.1",
            "SERVING_PORT": str(self.port),
            **settings,
        }
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tunewright", "serve"], env=environment, stdout=self.log, stderr=self.log
        )
        self._wait()
        self._idle = self._memory("VmRSS")

    @property
    def megabytes(self) -> float:
        """Memory it holds now, over what it held when idle."""
        return (self._memory("VmRSS") - self._idle) / 1e6

    @property
    def troubles(self) -> list[str]:
        """What it wrote since it listens."""
        self.log.flush()
        return [line for line in Path(self.log.name).read_text().splitlines() if '"event": "log"' in line]

    def ask(self, files: list[bytes], *, seconds: float = 120) -> Cost:
        """What these files cost, sent in one request."""
        inputs = [base64.b64encode(file).decode() for file in files]
        before = self._cpu()
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")  # the peak is counted from here
        status, answer = self.post(json.dumps({"inputs": inputs if len(inputs) > 1 else inputs[0]}).encode(), seconds)
        return Cost(status, (self._memory("VmHWM") - self._idle) / 1e6, self._cpu() - before, answer)

    def get(self, path: str) -> str:
        """A page of it."""
        with OPENER.open(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            page: str = answer.read().decode()
        return page

    def post(self, body: bytes, seconds: float = 30) -> tuple[int, str]:
        """The status and the text of the answer to a body."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/predict", body)
        try:
            with OPENER.open(asked, timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def close(self) -> None:
        """End the server."""
        self.process.kill()
        self.process.wait()
        self.log.close()

    def _wait(self) -> None:
        for _ in range(600):
            try:
                self.get("/readyz")
                return
            except OSError:
                if self.process.poll() is not None:
                    self.log.seek(0)
                    raise RuntimeError(f"the server ended: {self.log.read()}") from None
                time.sleep(0.1)
        raise RuntimeError("the server is not ready")

    def _memory(self, name: str) -> int:
        """Bytes, from the kernel's own account of the process."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
