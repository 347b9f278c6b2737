"""Pods of what is rendered for Kubernetes, played by podman 5 on this machine."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

from writers import chart

ROOT = Path(__file__).parents[2]


class Pods:
    """Plays overlays; the images are those of another podman."""

    def __init__(self, program, images, folder):
        """`images`: the folder of the images of another podman; `folder`: where this one keeps what it makes."""
        self._program = program
        helpers = [str(Path(program).parents[1] / "lib/podman"), str(Path(program).parent)]
        (folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\nnetns = "host"\n'
            f'[engine]\nruntime = "runc"\nhelper_binaries_dir = {json.dumps(helpers)}\n'
        )
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
            f'[storage.options]\nadditionalimagestores = ["{images}"]\n'
        )
        self._home = folder / "home"
        self._own = {
            "HOME": str(self._home),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }

    def __call__(self, *words, given=None):
        """One command of podman; its output. CalledProcessError where it fails."""
        command = [self._program, *words]
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, env=os.environ | self._own
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def believe(self, policy):
        """From here on pull what this policy lets in, by signatures that lie beside images."""
        place = self._home / ".config/containers"
        (place / "registries.d").mkdir(parents=True, exist_ok=True)
        (place / "policy.json").write_text(json.dumps(policy))
        (place / "registries.d/all.yaml").write_text("default-docker: {use-sigstore-attachments: true}\n")

    def play(self, documents):
        """Start the pod of a Job or a Deployment, with the network of this machine, where the tests' S3 server is."""
        for one in documents:
            if one["kind"] in ("Job", "Deployment"):
                one["spec"]["template"]["spec"]["hostNetwork"] = True
        self("kube", "play", "-", given=yaml.safe_dump_all(documents))

    def end(self, container, *, stop_at=None):
        """How a container ends: its exit code and what it has said. `stop_at`: words after which it is stopped."""
        while stop_at and stop_at not in self("logs", container):
            assert self("inspect", "--format", "{{.State.Running}}", container).strip() == "true"
            time.sleep(0.2)
        if stop_at:
            self("stop", container)
        return int(self("wait", container)), self.said(container)

    def said(self, container):
        """What a container has written."""
        command = [self._program, "logs", container]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | self._own)
        return done.stdout + done.stderr

    def clear(self):
        """Remove all of them, and what they believe."""
        shutil.rmtree(self._home, ignore_errors=True)
        self("pod", "rm", "--all", "--force", "--time", "0")
        for secret in self("secret", "ls", "--quiet").split():
            self("secret", "rm", secret)


def rendered(overlay, **more):
    """The objects of an overlay of k8s/overlays, with what else a kustomization says."""
    with tempfile.TemporaryDirectory() as folder:
        content = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **more}
        content["resources"] = [os.path.relpath(ROOT / "k8s/overlays" / overlay, folder)]
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(content))
        command = [chart.kubectl(), "kustomize", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [one for one in yaml.safe_load_all(done.stdout) if one]
