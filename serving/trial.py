"""Tokenizers, chat templates and graphs are programs of others: they are judged by running them, in a child process.

The child may take so much processor time, wall time and memory and no more. Whatever the program does there, such as a
panic, a recursion without end or a constant of gigabytes, comes back as one sentence. Good verdicts are kept by the
digest of what was judged, so that a second start of one version costs nothing.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from serving.errors import BundleError

_CPU_SECONDS = 10.0
_MEMORY = 1 << 30
_BYTES_PER_SECOND = 20_000_000
"""A large model takes longer to load and to replay: a second of processor time more for so many bytes of it."""
_WALL = 12
"""Wall seconds for each of processor time: other programs run, too."""
_ANSWER = 1 << 20
"""Bytes of a verdict that are read."""
_KNOWN: dict[str, dict[str, Any]] = {}
"""Good verdicts of this process, by what was judged."""


@dataclass(frozen=True)
class Bounds:
    """What a program may take."""

    cpu_seconds: float
    memory: int
    """Bytes of its data, beside what the interpreter itself takes."""

    @classmethod
    def of(cls, size: int = 0) -> "Bounds":
        """10 s and 1 GiB, and more for a program of so many bytes: reading it holds it up to three times."""
        return cls(_CPU_SECONDS + size / _BYTES_PER_SECOND, _MEMORY + 3 * size)


def try_bundle(folder: Path, variant: str, *, digest: str, cache: Path, bounds: Bounds | None = None) -> int:
    """Load one variant of a bundle, replay its golden cases and answer the task's example; the number of cases.
    BundleError where that fails.

    `digest`: that of the version. `cache`: where the verdict is kept.
    """
    size = sum(path.stat().st_size for path in (folder / "onnx" / variant).rglob("*") if path.is_file())
    key = _key("bundle", digest, variant)
    if (kept := _kept(key, cache)) is None:
        kept = _tried("bundle", [str(folder), variant], f"version {digest[:19]}", bounds or Bounds.of(size))
        _keep(key, kept, cache)
    return int(kept["cases"])


def try_tokenizer(path: Path, *, bounds: Bounds | None = None) -> tuple[int, int]:
    """Load a `tokenizer.json` and encode texts of many kinds and lengths; the largest token id and the largest type id
    it makes of them. BundleError where it gives up, or makes far more of a text than that has characters."""
    with path.open("rb") as file:
        key = _key("tokenizer", hashlib.file_digest(file, "sha256").hexdigest())
    if key not in _KNOWN:
        _KNOWN[key] = _tried("tokenizer", [str(path)], f"the tokenizer {path}", bounds or Bounds.of())
    return int(_KNOWN[key]["largest_id"]), int(_KNOWN[key]["largest_type"])


def try_template(source: str, special_tokens: Mapping[str, str], *, bounds: Bounds | None = None) -> None:
    """Render a chat template for short conversations. BundleError where it does not end, or grows without bound.

    What it refuses in its own words is no fault: it may want other roles or another order.
    """
    given = json.dumps([source, dict(special_tokens)])
    key = _key("template", hashlib.sha256(given.encode()).hexdigest())
    if key not in _KNOWN:
        _KNOWN[key] = _tried("template", [], "the chat template", bounds or Bounds.of(), given)


def _key(*parts: str) -> str:
    """What a verdict holds for: what was judged, and the programs it was judged with."""
    programs = [f"{name} {version(name)}" for name in ("onnxruntime", "tokenizers", "numpy", "jinja2")]
    return hashlib.sha256("\n".join(["1", *parts, *programs]).encode()).hexdigest()


def _kept(key: str, cache: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads((cache / "verdicts" / key).read_text())
        return found if isinstance(found, dict) and isinstance(found.get("cases"), int) else None
    return None


def _keep(key: str, verdict: Mapping[str, Any], cache: Path) -> None:
    """Whole or not at all. A cache that cannot be written costs the next start its time, and no more."""
    with suppress(OSError):
        path = cache / "verdicts" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}.new")
        new.write_text(json.dumps(verdict))
        new.replace(path)


def _tried(kind: str, arguments: Sequence[str], what: str, bounds: Bounds, given: str = "") -> dict[str, Any]:
    """The verdict of a child; BundleError for anything but a good one."""
    command = [sys.executable, "-m", "serving.trial", kind, str(bounds.cpu_seconds), str(bounds.memory), *arguments]
    # The child finds this package where this process found it, and nothing of the caller's folder.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - the command is this program's own
            command,
            input=given.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment | {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
            timeout=bounds.cpu_seconds * _WALL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(_too_long(what, bounds)) from error
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise BundleError(_too_long(what, bounds))
    verdict = _read(done.stdout)
    if verdict is None:
        raise BundleError(
            f"{what} broke off the program that tried it (exit code {done.returncode}), for example for want of memory "
            f"beyond {bounds.memory / 2**30:.1f} GiB: it cannot be used"
        )
    if "refused" in verdict:
        raise BundleError(str(verdict["refused"]))
    if "fault" in verdict:
        raise BundleError(f"{what} cannot be used: {verdict['fault']}")
    return verdict


def _read(answer: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(answer[-_ANSWER:].splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return found if isinstance(found, dict) else None


def _too_long(what: str, bounds: Bounds) -> str:
    return (
        f"{what} did not come to an end within {bounds.cpu_seconds:.0f} s of processor time: it is a program that "
        "never does, or one that is far too slow"
    )


# What runs in the child.


def _main(arguments: Sequence[str]) -> None:
    kind, cpu_seconds, memory, *rest = arguments
    answers: dict[str, Callable[..., dict[str, Any]]] = {
        "bundle": _bundle,
        "tokenizer": _tokenizer,
        "template": _template,
    }
    _bound(float(cpu_seconds), int(memory))
    try:
        verdict = answers[kind](*rest)
    except BundleError as error:
        verdict = {"refused": str(error)[:2000]}
    except MemoryError:
        verdict = {"fault": f"it wants more memory than {int(memory) / 2**30:.1f} GiB"}
    except RecursionError:
        verdict = {"fault": "it calls itself without end"}
    except BaseException as error:  # a panic of Rust is no Exception
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
        verdict = {"fault": "it wants too much memory" if "bad_alloc" in first or "allocate" in first else first}
    sys.stdout.write("\n" + json.dumps(verdict) + "\n")
    sys.stdout.flush()
    # Threads of the program may never end.
    os._exit(0)


def _bound(cpu_seconds: float, memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows knows no such limits; the wall time remains
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _bundle(folder: str, variant: str) -> dict[str, Any]:
    from serving.golden import replay
    from serving.predictor import open_predictor
    from serving.session import Capacity
    from serving.tasks import TASKS

    tokenizer = Path(folder) / "tokenizer.json"
    if tokenizer.is_file() and "fault" in (verdict := _tokenizer(str(tokenizer))):
        return verdict
    predictor = open_predictor(Path(folder), variant=variant, capacity=Capacity(threads=1))
    cases = replay(predictor)
    shapes = TASKS[predictor.model.task].shapes(predictor.model)
    inputs, _ = TASKS[predictor.model.task].read_inputs(shapes.example, predictor.model)
    predictor.predict(inputs, shapes.example_parameters)
    return {"cases": cases}


_WORDS = "the cat sat on a mat, 42 times; naïve Ünïcödé 东京都 สวัสดี नमस्ते 👩‍👩‍👧 [MASK] </s> don't a_b\tc\n"
_LENGTHS = (0, 1, 10, 1_000, 100_000)
_MOST_TOKENS_PER_CHARACTER = 8
"""A character is at most four bytes, and some tokenizers mark each byte; more is growth."""


def _tokenizer(path: str) -> dict[str, Any]:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library has no class for a file it refuses
        return {"fault": f"it is not a tokenizer this program can read: {error}"}
    tokenizer.no_truncation()
    tokenizer.no_padding()
    largest_id = largest_type = -1
    for length in _LENGTHS:
        repeated = (_WORDS * (length // len(_WORDS) + 1))[:length]
        # Words of every length, and one that never ends.
        for text in (repeated, "a" * length, "a " * (length // 2), "é" * length, "\U0001f600" * min(length, 10_000)):
            for one in (tokenizer.encode(text), tokenizer.encode(text, "b")):
                if len(one) > _MOST_TOKENS_PER_CHARACTER * (len(text) + 1) + 1_000:
                    return {"fault": f"it makes {len(one):,} tokens of {len(text):,} characters"}
                largest_id = max([largest_id, *one.ids])
                largest_type = max([largest_type, *one.type_ids])
    return {"largest_id": largest_id, "largest_type": largest_type}


_CONVERSATIONS = (
    [{"role": "user", "content": "a"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c" * 1000}],
    [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}],
)
_MOST_RENDERED = 100_000
"""Characters that a template may make of such a conversation."""


def _template() -> dict[str, Any]:
    from serving.chat_template import ChatTemplate
    from serving.errors import InputError

    source, special_tokens = json.loads(sys.stdin.read())
    template = ChatTemplate(source, special_tokens)
    for messages in _CONVERSATIONS:
        for ask in (True, False):
            with suppress(InputError):
                if (length := len(template.render(messages, ask=ask))) > _MOST_RENDERED:
                    return {"fault": f"it makes {length:,} characters of a short conversation"}
    return {"rendered": True}


if __name__ == "__main__":
    _main(sys.argv[1:])
