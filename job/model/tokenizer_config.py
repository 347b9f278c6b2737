"""What `tokenizer_config.json` and the tokenizer's class change of `tokenizer.json`, applied once, by transformers.

Training and serving encode with the file alone. transformers does not: its fast classes put lower case, prefix spaces,
added tokens and more into the tokenizer when they load it. So they load it here, and what they made is the file that
everything after uses.
"""

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import TypedDict

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from tunewright.job.progress import say, warn

# Names of other files, which may lie anywhere, and of code; and what no token depends on.
_LEFT_OUT = frozenset("auto_map chat_template init_inputs name_or_path from_slow device_map processor_class".split())


class _AddedToken(TypedDict):
    """An entry of `tokenizer.json`, of which more is kept as it is."""

    id: int


def applied_tokenizer(folder: Path, config: dict[str, object]) -> bytes | None:
    """The `tokenizer.json` that transformers makes of the files in a folder; None where it leaves the file as it is.

    `config`: the model's, which decides the class where the tokenizer does not. The side on which texts are cut is
    written into the file too, as its truncation.
    """
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made, side = _loaded(folder, config)
    if made is None:
        return None
    for one in (plain, made):
        one.no_padding()
        one.no_truncation()
    before, after = json.loads(plain.to_str()), json.loads(made.to_str())
    after["added_tokens"] = _known(before["added_tokens"], after["added_tokens"], config.get("vocab_size"))
    if side == "left":
        after["truncation"] = {"direction": "Left", "max_length": 512, "strategy": "LongestFirst", "stride": 0}
    changed = [name for name in after if after[name] != before.get(name)]
    if not changed:
        return None
    say("model", f"the base model's tokenizer_config.json changes its tokenizer: {', '.join(changed)}")
    return json.dumps(after, ensure_ascii=False).encode()


def _loaded(folder: Path, config: dict[str, object]) -> tuple[Tokenizer | None, str]:
    """What transformers makes of the tokenizer, and the side on which it cuts texts."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as work:
        _copy_without_places(folder, Path(work))
        (Path(work) / "config.json").write_text(json.dumps(config))
        # The second class does what a class that fails, or that this transformers does not know, would do at least.
        for kind in (AutoTokenizer, PreTrainedTokenizerFast):
            try:
                made = kind.from_pretrained(work, trust_remote_code=False, local_files_only=True)
                # A class without a fast form brings no tokenizer of this kind.
                return Tokenizer.from_str(made.backend_tokenizer.to_str()), str(made.truncation_side)
            except Exception as error:  # a class raises whatever its code raises for such settings
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
                warn("model", f"transformers cannot load the base model's tokenizer with {kind.__name__}: {reason}")
    return None, "right"


def _copy_without_places(folder: Path, work: Path) -> None:
    for name in ("tokenizer.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, work / name)
    with contextlib.suppress(OSError, ValueError, RecursionError):
        stated = json.loads((folder / "tokenizer_config.json").read_bytes())
        kept = {
            key: value
            for key, value in stated.items()
            if key not in _LEFT_OUT and not key.startswith("_") and not key.endswith("_file")
        }
        (work / "tokenizer_config.json").write_text(json.dumps(kept))


def _known(before: list[_AddedToken], after: list[_AddedToken], size: object) -> list[_AddedToken]:
    """The added tokens without those that a class adds of its own and the model has no row for (T5's `extra_ids`)."""
    own = {token["id"] for token in before}
    return [token for token in after if token["id"] in own or not isinstance(size, int) or token["id"] < size]
