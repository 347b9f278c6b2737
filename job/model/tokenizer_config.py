"""What `tokenizer_config.json` and the tokenizer's class change of `tokenizer.json`, applied once.

Training and serving encode with the file alone. transformers does not: the fast classes of its versions up to 4, which
these files were written for, put lower case, prefix spaces, added tokens and more into the tokenizer when they loaded
it. So that is done here, and what comes out is the file that everything after uses. Those of version 5 make many a
tokenizer anew from its vocabulary, whatever the rest of the file says; they are not asked.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, TypedDict

from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from tunewright.job.errors import first_line
from tunewright.job.progress.events import say, warn

# Names of other files, which may lie anywhere, and of code; and what no token depends on.
_LEFT_OUT = frozenset("auto_map chat_template init_inputs name_or_path from_slow device_map processor_class".split())


Content = dict[str, Any]
"""What a JSON file of a tokenizer holds."""


class _AddedToken(TypedDict):
    """An entry of `tokenizer.json`, of which more is kept as it is."""

    id: int


def applied_tokenizer(folder: Path, config: dict[str, object]) -> bytes | None:
    """The `tokenizer.json` that the other files of a folder make of it; None where they leave it as it is.

    `config`: the model's, which decides the class where the tokenizer does not. The side on which texts are cut is
    written into the file too, as its truncation.
    """
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain.no_padding()
    plain.no_truncation()
    before, settings = json.loads(plain.to_str()), _settings(folder)
    made = _loaded(folder, settings)
    if made is None:
        return None
    added = _known(before["added_tokens"], json.loads(made.backend_tokenizer.to_str())["added_tokens"], config)
    after = before | {"added_tokens": added}
    _apply(_class_of(settings, config), settings, after)
    if made.truncation_side == "left":
        after["truncation"] = {"direction": "Left", "max_length": 512, "strategy": "LongestFirst", "stride": 0}
    changed = [name for name in after if after[name] != before.get(name)]
    if not changed:
        return None
    say("model", f"the base model's tokenizer_config.json changes its tokenizer: {', '.join(changed)}")
    return json.dumps(after, ensure_ascii=False).encode()


def _loaded(folder: Path, settings: Content) -> Any:
    """The tokenizer with the added tokens that the settings name, as transformers loads it; None where it cannot."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as work:
        shutil.copyfile(folder / "tokenizer.json", Path(work) / "tokenizer.json")
        if (folder / "special_tokens_map.json").is_file():
            shutil.copyfile(folder / "special_tokens_map.json", Path(work) / "special_tokens_map.json")
        (Path(work) / "tokenizer_config.json").write_text(json.dumps(settings))
        try:
            return PreTrainedTokenizerFast.from_pretrained(work, trust_remote_code=False, local_files_only=True)
        except Exception as error:  # the class raises whatever its code raises for such settings
            why = first_line(error)
            warn("model", f"transformers cannot load the base model's tokenizer, so its file is used alone: {why}")
    return None


def _settings(folder: Path) -> Content:
    """What tokenizer_config.json says, but for code and the places of other files."""
    try:
        stated = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    left_out = {key for key in stated if key in _LEFT_OUT or key.startswith("_") or key.endswith("_file")}
    return {key: value for key, value in stated.items() if key not in left_out}


def _known(before: list[_AddedToken], after: list[_AddedToken], config: dict[str, object]) -> list[_AddedToken]:
    """The added tokens without those that the model has no row for."""
    own, size = {token["id"] for token in before}, config.get("vocab_size")
    return [token for token in after if token["id"] in own or not isinstance(size, int) or token["id"] < size]


_LOWER = """bert convbert distilbert electra funnel layoutlm lxmert mobilebert mpnet roformer splinter
squeezebert""".split()
"""Classes that lower, strip accents and split Chinese as the settings say, and by default as BERT does."""
_KEEP_CHINESE = ("mpnet", "roformer", "splinter")
_TRIM = "bart blenderbot layoutlmv3 led longformer markuplm mvp roberta".split()
"""Classes that trim the offsets of a word's space as the settings say."""
_ENDS = {
    "llama": ("<s>", "</s>", True),
    "codellama": ("<s>", "</s>", True),
    "gemma": ("<bos>", "<eos>", True),
    "gptneox": ("<|endoftext|>", "<|endoftext|>", False),
}
"""Classes that put the begin and end tokens around a text as the settings say: by default of these names, the end not
at all."""
_LANGUAGES = {"mbart": "en_XX", "mbart50": "en_XX", "nllb": "eng_Latn"}
"""Classes that put the code of a language, here their default one, beside the end token."""
_KINDS = {
    "megatronbert": "bert",
    "nomicbert": "bert",
    "nystromformer": "albert",
    "data2vectext": "roberta",
    "olmo2": "gptneox",
    "mistral": "llama",
    "mixtral": "llama",
    "phi3": "llama",
    "gemma2": "gemma",
    "gemma3": "gemma",
    "gemma3text": "gemma",
}
"""Architectures whose tokenizers have the class of another one."""


def _class_of(settings: Content, config: dict[str, object]) -> str:
    """The tokenizer's class, in lower case and without what all their names have; else that of the architecture."""
    named = str(settings.get("tokenizer_class") or config.get("tokenizer_class") or "")
    if named:
        return named.removesuffix("Fast").removesuffix("Tokenizer").lower()
    kind = str(config.get("model_type")).replace("-", "").replace("_", "")
    return _KINDS.get(kind, kind)


def _apply(kind: str, settings: Content, tokenizer: Content) -> None:
    """Change a `tokenizer.json` as a class of transformers 4 did."""
    normalizer = tokenizer.get("normalizer") or {}
    if kind in _LOWER and normalizer.get("type") == "BertNormalizer":
        tokenizer["normalizer"] = normalizer | {
            "lowercase": settings.get("do_lower_case", True),
            "strip_accents": settings.get("strip_accents"),
        }
        if kind not in _KEEP_CHINESE:
            tokenizer["normalizer"]["handle_chinese_chars"] = settings.get("tokenize_chinese_chars", True)
    space = bool(settings.get("add_prefix_space", False))
    splitter, processor = tokenizer.get("pre_tokenizer") or {}, tokenizer.get("post_processor") or {}
    if "add_prefix_space" in splitter:
        tokenizer["pre_tokenizer"] = splitter | {"add_prefix_space": space}
    if kind in _TRIM and "trim_offsets" in processor:
        trimmed = {"add_prefix_space": space, "trim_offsets": settings.get("trim_offsets", True)}
        tokenizer["post_processor"] = processor | trimmed
    if kind in _ENDS or kind in _LANGUAGES:
        _put_around(kind, settings, tokenizer)


def _put_around(kind: str, settings: Content, tokenizer: Content) -> None:
    """The tokens before and after a text, where the tokenizer has them all."""
    if kind in _LANGUAGES:
        code, end = settings.get("src_lang") or _LANGUAGES[kind], _content(settings.get("eos_token", "</s>"))
        behind = kind == "mbart" or bool(settings.get("legacy_behaviour"))
        first, last = ([], [end, code]) if behind else ([code], [end])
        pair = [*first, "$A", "$B", *last]
    else:
        begin, end, begins = _ENDS[kind]
        first = [_content(settings.get("bos_token", begin))] if settings.get("add_bos_token", begins) else []
        last = [_content(settings.get("eos_token", end))] if settings.get("add_eos_token", False) else []
        pair = [*first, "$A", *last, *(f"{one}:1" for one in first), "$B:1", *(f"{one}:1" for one in last)]
    ids = {token: Tokenizer.from_str(json.dumps(tokenizer)).token_to_id(token) for token in (*first, *last)}
    if None not in ids.values():
        made = processors.TemplateProcessing(single=[*first, "$A", *last], pair=pair, special_tokens=list(ids.items()))
        tokenizer["post_processor"] = json.loads(made.__getstate__())


def _content(token: object) -> str:
    """A token that is given by itself or with how it is found."""
    return str(token.get("content")) if isinstance(token, dict) else str(token)
