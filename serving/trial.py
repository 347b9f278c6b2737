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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tunewright.serving.errors import BundleError, InputError, RequestError

_CPU_SECONDS = 10.0
_MEMORY = 1 << 30
_BYTES_PER_SECOND = 20_000_000
"""A large model takes longer to load and to replay: a second of processor time more for so many bytes of it."""
_WALL = 12
"""Wall seconds for each of processor time: other programs run, too."""
_ANSWER = 1 << 20
"""Bytes of a verdict that are read."""
_KNOWN: dict[str, dict[str, int]] = {}
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


@dataclass(frozen=True)
class Made:
    """What a tokenizer makes of texts."""

    largest_id: int
    largest_type: int
    added: int
    """Special tokens that it puts around a text or a pair of texts, the larger number of the two."""


def try_bundle(folder: Path, variant: str, *, digest: str, cache: Path, bounds: Bounds | None = None) -> int:
    """Load one variant of a bundle, replay its golden cases and answer the task's example, at other lengths as well;
    the number of cases. BundleError where that fails.

    `digest`: that of the version. `cache`: where the verdict is kept.
    """
    size = sum(path.stat().st_size for path in (folder / "onnx" / variant).rglob("*") if path.is_file())
    what, bounds = f"version {digest[:19]}", bounds or Bounds.of(size)
    key = _key("bundle", digest, variant)
    return _verdict(key, cache, lambda: _tried("bundle", [str(folder), variant], what, bounds))["cases"]


def try_tokenizer(path: Path, *, cache: Path, bounds: Bounds | None = None) -> Made:
    """Load a `tokenizer.json`, encode texts of many kinds and lengths, and decode what it makes of them. BundleError
    where it holds what is not allowed, gives up, or makes far more of a text than that has characters."""
    with path.open("rb") as file:
        key = _key("tokenizer", hashlib.file_digest(file, "sha256").hexdigest())
    what, bounds = f"the tokenizer {path}", bounds or Bounds.of()
    return Made(**_verdict(key, cache, lambda: _tried("tokenizer", [str(path)], what, bounds)))


def try_template(source: str, special_tokens: Mapping[str, str], *, cache: Path, bounds: Bounds | None = None) -> None:
    """Render a chat template for short conversations. BundleError where it does not end, or grows without bound.

    What it refuses in its own words is no fault: it may want other roles or another order.
    """
    given, bounds = json.dumps([source, dict(special_tokens)]), bounds or Bounds.of()
    key = _key("template", hashlib.sha256(given.encode()).hexdigest())
    _verdict(key, cache, lambda: _tried("template", [], "the chat template", bounds, given))


_Verdict = dict[str, int]


def _key(*parts: str) -> str:
    """What a verdict holds for: what was judged, and the programs it was judged with."""
    programs = [f"{name} {version(name)}" for name in ("onnxruntime", "tokenizers", "numpy", "jinja2")]
    return hashlib.sha256("\n".join([*parts, _this_program(), *programs]).encode()).hexdigest()


@cache
def _this_program() -> str:
    """A digest of this package: images hold it as files, without a version."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _verdict(key: str, folder: Path, judge: Callable[[], _Verdict]) -> _Verdict:
    """The verdict of this process, of the cache or of a trial."""
    if key not in _KNOWN:
        _KNOWN[key] = _kept(key, folder) or _keep(key, judge(), folder)
    return _KNOWN[key]


def _kept(key: str, folder: Path) -> _Verdict | None:
    with suppress(OSError, ValueError):
        found = json.loads((folder / "verdicts" / key).read_text())
        if isinstance(found, dict) and all(type(number) is int for number in found.values()):
            return found
    return None


def _keep(key: str, verdict: _Verdict, folder: Path) -> _Verdict:
    """Whole or not at all. A cache that cannot be written costs the next start its time, and no more."""
    with suppress(OSError):
        path = folder / "verdicts" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}.new")
        new.write_text(json.dumps(verdict))
        new.replace(path)
    return verdict


def _tried(kind: str, arguments: Sequence[str], what: str, bounds: Bounds, given: str = "") -> _Verdict:
    """The verdict of a child; BundleError for anything but a good one."""
    command = [
        sys.executable,
        "-m",
        "tunewright.serving.trial",
        kind,
        str(bounds.cpu_seconds),
        str(bounds.memory),
        *arguments,
    ]
    # The child finds this package where this process found it, and nothing of the caller's folder.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - the command is this program's own
            command,
            input=given.encode(),
            capture_output=True,
            env=environment | {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
            timeout=bounds.cpu_seconds * _WALL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(_too_long(what, bounds)) from error
    if done.returncode == -signal.SIGXCPU:
        raise BundleError(_too_long(what, bounds))
    verdict = _read(done.stdout)
    if verdict is None:
        raise BundleError(f"{what} cannot be used: {_end(done.returncode, done.stderr, bounds)}")
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


def _end(code: int, said: bytes, bounds: Bounds) -> str:
    """Why a child ended without a word: what the runtimes of Rust and C++ write where an allocation fails."""
    if any(words in said for words in (b"memory allocation of", b"bad_alloc", b"cannot allocate memory")):
        return _too_large(bounds.memory)
    if code == -signal.SIGKILL:
        return "the program that tried it was killed, as the system does where the machine's memory runs out"
    return f"it broke off the program that tried it (exit code {code})"


def _too_large(memory: int) -> str:
    return f"it wants more memory than {memory / 2**30:.1f} GiB"


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
        verdict = {"fault": _too_large(int(memory))}
    except RecursionError:
        verdict = {"fault": "it calls itself without end"}
    except BaseException as error:  # a panic of Rust is no Exception
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
        verdict = {"fault": _too_large(int(memory)) if "bad_alloc" in first or "allocate" in first else first}
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
    from tunewright.serving.generation.chat_template import FILE, ChatTemplate
    from tunewright.serving.golden import replay
    from tunewright.serving.predictor import open_predictor
    from tunewright.serving.runtime.capacity import Capacity

    tokenizer, template = Path(folder) / "tokenizer.json", Path(folder) / FILE
    with _about("its tokenizer.json"):
        made = _tokenizer(str(tokenizer)) if tokenizer.is_file() else {"added": 0}
    predictor = open_predictor(Path(folder), variant=variant, capacity=Capacity(threads=1))
    if template.is_file():
        _render(ChatTemplate(template.read_text(encoding="utf-8"), predictor.model.options.get("special_tokens", {})))
    most = predictor.model.max_length
    if predictor.model.pair and most is not None and made["added"] >= most:
        raise BundleError(f"{tokenizer} puts {made['added']} special tokens around two texts, and a row has {most}")
    cases = replay(predictor)
    _answer_example(predictor)
    return {"cases": cases}


@contextmanager
def _about(what: str) -> Iterator[None]:
    """Say of which part a fault is that names none."""
    try:
        yield
    except (BundleError, RequestError, MemoryError, RecursionError):
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        raise ValueError(f"{what}: {error}") from error


_WORDS_OF_LONG = (512, 128, 32, 8, 2)
"""Words of a long input; a model that goes on with its input has no room for as many."""


def _answer_example(predictor: Any) -> None:
    """Answer the task's example twice at once, and a longer one: a graph may fit the lengths of its own cases only."""
    task, model = predictor.task, predictor.model
    shapes = task.shapes(model)
    example, _ = task.read_inputs(shapes.example, model)
    predictor.predict(example, shapes.example_parameters)
    probes = [[shapes.example, shapes.example]]
    probes += (
        [[_long(shapes.example, words)] for words in _WORDS_OF_LONG]
        if model.max_length is not None or predictor.writes
        else []
    )
    for number, probe in enumerate(probes):
        what = "one of another length" if number else "two at once"
        with suppress(InputError), _about(f"it answers its example, but not {what}"):
            predictor.predict(task.read_inputs(probe, model)[0], shapes.example_parameters)
            if number:
                return


def _long(value: Any, words: int) -> Any:
    """An input whose texts have so many words."""
    if isinstance(value, str):
        return " ".join((value.split() * words)[:words])
    if isinstance(value, list):
        return [_long(one, words) for one in value]
    return {name: one if name in ("role", "image") else _long(one, words) for name, one in value.items()}


_WORDS = "the cat sat on a mat, 42 times; naïve Ünïcödé 东京都 สวัสดี नमस्ते 👩‍👩‍👧 [MASK] </s> don't a_b\tc\n"
_LENGTHS = (0, 1, 10, 1_000, 100_000)
_MOST_TOKENS_PER_CHARACTER = 8
"""A character is at most four bytes, and some tokenizers mark each byte; more is growth."""
_MOST_DECODED = 16
"""Characters of a decoded text for each of its tokens' own: what rules may make of them."""


def _tokenizer(path: str) -> dict[str, Any]:
    from tunewright.serving.text.encoding import load_tokenizer
    from tunewright.serving.text.tokenizer_file import check_tokenizer_file

    check_tokenizer_file(Path(path))
    tokenizer = load_tokenizer(Path(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    made = [_encode(tokenizer, text) for length in _LENGTHS for text in _texts(length)]
    # A model may write what no text is encoded to.
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    _decode(tokenizer, sorted(vocabulary.values()), sum(map(len, vocabulary)))
    largest_id, largest_type = (max(numbers) for numbers in zip(*made, strict=True))
    added = max(tokenizer.num_special_tokens_to_add(pair) for pair in (False, True))
    return {"largest_id": largest_id, "largest_type": largest_type, "added": added}


def _texts(length: int) -> Sequence[str]:
    repeated = (_WORDS * (length // len(_WORDS) + 1))[:length]
    # Words of every length, and one that never ends.
    return repeated, "a" * length, "a " * (length // 2), "é" * length, "\U0001f600" * min(length, 10_000)


def _encode(tokenizer: Any, text: str) -> tuple[int, int]:
    """The largest id and the largest type in what is made of a text, alone and before another one."""
    largest = (-1, -1)
    for one in (tokenizer.encode(text), tokenizer.encode(text, "b")):
        if len(one) > _MOST_TOKENS_PER_CHARACTER * (len(text) + 1) + 1_000:
            raise ValueError(f"it makes {len(one):,} tokens of {len(text):,} characters")
        _decode(tokenizer, one.ids, sum(map(len, one.tokens)))
        largest = max([largest[0], *one.ids]), max([largest[1], *one.type_ids])
    return largest


def _decode(tokenizer: Any, ids: Sequence[int], characters: int) -> None:
    written = len(tokenizer.decode(ids, skip_special_tokens=False))
    if written > _MOST_DECODED * (characters + len(ids) + 1_000):
        raise ValueError(f"it makes {written:,} characters of {len(ids):,} tokens when it decodes them")


_CONVERSATIONS = (
    [{"role": "user", "content": "a"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c" * 1000}],
    [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}],
)
_MOST_RENDERED = 100_000
"""Characters that a template may make of such a conversation."""


def _template() -> dict[str, Any]:
    from tunewright.serving.generation.chat_template import ChatTemplate

    source, special_tokens = json.loads(sys.stdin.read())
    _render(ChatTemplate(source, special_tokens))
    return {"rendered": 1}


def _render(template: Any) -> None:
    for messages in _CONVERSATIONS:
        for ask in (True, False):
            with suppress(InputError):
                if (length := len(template.render(messages, ask=ask))) > _MOST_RENDERED:
                    raise ValueError(f"the chat template makes {length:,} characters of a short conversation")


if __name__ == "__main__":
    _main(sys.argv[1:])
