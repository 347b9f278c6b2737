"""The user's own kubectl and context: it signs in, and carries requests to the cluster's API as they are written here.

Requests are raw, so that nothing depends on how a release of kubectl words its answers, and nothing but the request
itself is asked of the cluster.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tunewright.job.errors import JobError, SettingsError

Document = dict[str, object]

_SECONDS = 60
"""For one request that is not a log."""
_PIECE = 1 << 16


class ClusterError(JobError):
    """The cluster does not answer, or refuses."""


class NotThere(ClusterError):
    """What was asked for is not in the cluster."""


class AlreadyThere(ClusterError):
    """Something of that name is in the cluster."""


class Forbidden(ClusterError):
    """Whoever asks may not."""


_ERRORS = {"(NotFound)": NotThere, "(AlreadyExists)": AlreadyThere, "(Forbidden)": Forbidden}


class Kubectl:
    """One context of kubectl's configuration."""

    def __init__(self, context: str | None = None) -> None:
        self._flags = [f"--context={context}"] if context else []

    def namespace(self) -> str:
        """The one that the context names; that of kubectl where it has no context, as in a pod."""
        try:
            return self._run("config", "view", "--minify", "--output=jsonpath={..namespace}").strip() or "default"
        except ClusterError as error:
            if "current-context must exist" not in str(error):
                raise
            return "default"

    def render(self, folder: Path) -> str:
        """What kustomize makes of a folder, as YAML. SettingsError."""
        try:
            return self._run("kustomize", str(folder))
        except ClusterError as error:
            raise SettingsError(f"{folder} cannot be rendered: {error}") from None

    def get(self, path: str) -> Document:
        """What the API answers. NotThere, ClusterError."""
        return _document(self._ask("get", path))

    def create(self, path: str, document: Document) -> Document:
        """The object as the API keeps it. AlreadyThere, ClusterError."""
        return _document(self._ask("create", f"{path}?fieldValidation=Strict", json.dumps(document)))

    def replace(self, path: str, document: Document) -> Document:
        """The same of an object that is there. NotThere, ClusterError."""
        # Else releases before 1.27 ask for the schema of everything first.
        return _document(self._ask("replace", path, json.dumps(document), "--validate=false"))

    def delete(self, path: str) -> None:
        """Remove an object, and in the background what belongs to it. NotThere, ClusterError."""
        self._ask("delete", f"{path}?propagationPolicy=Background")

    def log(self, path: str) -> Iterator[bytes]:
        """Pieces of a log, until it ends or the connection does."""
        command = self._command("get", f"--raw={path}")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603
            assert process.stdout is not None
            try:
                while piece := process.stdout.read1(_PIECE):  # type: ignore[attr-defined]
                    yield piece
            finally:
                process.terminate()

    def _ask(self, verb: str, path: str, body: str | None = None, *flags: str) -> str:
        given = [*flags] if body is None else [*flags, "--filename=-"]
        return self._run(verb, f"--raw={path}", f"--request-timeout={_SECONDS}s", *given, body=body)

    def _command(self, *words: str) -> list[str]:
        return ["kubectl", *self._flags, *words]

    def _run(self, *words: str, body: str | None = None) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - the user's own program
                self._command(*words), input=body, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise SettingsError(
                f"kubectl cannot be run ({error.strerror}); install it, and see that `kubectl get jobs` answers"
            ) from None
        if done.returncode:
            said = " ".join(done.stderr.split()).removeprefix("error: ") or f"kubectl ended with code {done.returncode}"
            raise next((kind for mark, kind in _ERRORS.items() if mark in said), ClusterError)(said)
        return done.stdout


def _document(text: str) -> Document:
    try:
        found = json.loads(text)
    except ValueError:
        raise ClusterError(f"the cluster answered what is no JSON: {text[:100]!r}") from None
    if not isinstance(found, dict):
        raise ClusterError(f"the cluster answered {text[:100]!r}; expected an object")
    return found
