"""A server that follows an alias between two versions of one model, for measurements."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ports import free_port
from registered import pulled

from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.publish import publish


def published_twice(reference: str, root: Path, **second: object) -> Store:
    """A registry below `root` with a registered version as reviews:1, which is `production`, and as reviews:2 the same
    with other fields of its model.json."""
    version = pulled(reference)
    files = {layer.path: version.folder / layer.path for layer in version.manifest.layers}
    store = open_store(str(root / "registry"))
    publish(store, "reviews", files, run_id="run-1")
    model = json.loads(files["model.json"].read_text())
    (root / "model.json").write_text(json.dumps(model | second))
    publish(store, "reviews", files | {"model.json": root / "model.json"}, run_id="run-2")
    move(store, "reviews", "production", 1)
    return store


class Following:
    """`tunewright serve reviews@production` out of the registry below `root`, in a process of its own."""

    def __init__(self, root: Path, variant: str, poll_seconds: float) -> None:
        self.port = free_port()
        settings = {
            "REGISTRY_URI": str(root / "registry"),
            "REGISTRY_CACHE": str(root / "cache"),
            "SERVING_VARIANT": variant,
            "SERVING_HOST": "127.0.0.1",
            "SERVING_PORT": str(self.port),
            "SERVING_POLL_SECONDS": str(poll_seconds),
        }
        command = [sys.executable, "-m", "tunewright", "serve", "reviews@production"]
        # A file and no pipe, which would be full one day and stop the server.
        self._log = (root / "server.log").open("w")
        self._process = subprocess.Popen(command, env={**os.environ, **settings}, stderr=self._log)
        self._lines = (root / "server.log").open()

    def event(self, name: str) -> dict[str, object]:
        """The next event of that name; RuntimeError where the server ends without it."""
        while True:
            line = self._lines.readline()
            if line.endswith("\n"):
                if (content := json.loads(line))["event"] == name:
                    return dict(content)
            elif self._process.poll() is not None:
                raise RuntimeError(f"the server ended without {name}")
            else:
                time.sleep(0.001)

    def memory_mb(self) -> float:
        """What is resident of it."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._lines.close()
