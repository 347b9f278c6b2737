"""What each command of the job can be told; the settings of `train` and `check` are in `job.settings.job`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tunewright.job.errors import SettingsError
from tunewright.registry.command_line import Parser
from tunewright.registry.completion import names_a

_SUGGEST = """Measure base models on the data of a job, and recommend one.

Each candidate is measured on the same rows:
  the headline metric on validation rows of a linear head on its frozen encoder (a probe: seconds, not minutes)
  milliseconds of one answer, in ONNX int8 on this machine
  size on disk and number of weights
  tokens per word, and the share of tokens that are unknown to its tokenizer

The one with the best metric is recommended, or a faster one that is not surely worse on these rows. A candidate that
cannot be used is listed with its reason. Nothing is registered.
"""
_SUGGEST_MORE = """Any setting of `tunewright train --help` may follow as a flag.

examples:
  tunewright suggest --config job.yaml
  tunewright suggest --config job.yaml --candidates intfloat/e5-small-v2 ./my-encoder models:/reviews/7
"""


_TUNE = """Search for settings of train: many trials on the same rows, and the best one as a file that train takes.

`search` of the settings file says what may vary. A trial is what train does up to the figure of validation: nothing is
exported or registered, and the test rows are not read. A trial that is behind the others is cut short. The study
is kept beside the file: the same command goes on with it, and several processes that are given one study share its
trials.
"""
_TUNE_MORE = """Any setting of `tunewright train --help` may follow as a flag.

examples:
  tunewright tune --config job.yaml
  tunewright tune --config job.yaml --trials 50 --study s3://bucket/studies/reviews
  tunewright tune --config job.yaml --search.train.epochs '[2, 3, 4]'
"""


def parser(command: str) -> argparse.ArgumentParser:
    """The parser of a command's own words."""
    made = {"init": _init, "check": _check, "import": _import, "tune": _tune, "suggest": _suggest}
    made |= {"label": _label, "runs": _runs, "predict": _predict}
    return made[command]()


def own_flags(arguments: Sequence[str], group: str) -> tuple[list[str], dict[str, str]]:
    """The arguments without the flags `--GROUP.NAME VALUE`, and what these say by their names."""
    rest: list[str] = []
    found: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag.startswith(f"--{group}."):
            value = value if equals else next(words, "--")
            if not equals and value.startswith("--"):
                raise SettingsError(f"the flag {flag} has no value; expected {flag} VALUE, or {flag}=VALUE")
            found[flag.removeprefix(f"--{group}.")] = value
        else:
            rest.append(word)
    return rest, found


def every_word(command: str) -> argparse.ArgumentParser:
    """The parser of a command's own words and of the settings beside them, with the values that a shell completes."""
    if command in ("init", "label", "runs", "predict"):
        return parser(command)
    from tunewright.job.data.readers.formats import READERS
    from tunewright.job.settings.job import JobSettings
    from tunewright.job.settings.load import settings_parser
    from tunewright.registry.variables import words
    from tunewright.serving.tasks import TASKS

    made, _ = settings_parser(f"tunewright {command}")
    known = words(JobSettings) | {("task",): list(TASKS), ("data", "format"): list(READERS)}
    known["adapt", "data", "format"] = list(READERS)
    for action in made._actions:
        *_, last = path = tuple(action.dest.split("."))
        action.choices = known.get(path)
        if last in ("config", "train", "validation", "test"):
            names_a(action, "file")
        elif last == "output":
            names_a(action, "directory")
    own = [parser(command)] if command in ("check", "import", "tune", "suggest") else []
    return argparse.ArgumentParser(parents=[made, *own], conflict_handler="resolve")


_CHECK = """Do everything up to token ids, with no GPU and no weights, and look at the rows.

What is wrong with settings and data ends it. What is odd about rows that can be read is told, with their files and
numbers and never with what they say: repeated rows, within a side and on two; equal texts with different labels; labels
that stand in the text; personal data; outliers; what a base model cuts or does not know. With --label_noise labels that
are likely wrong are told too: the base model reads up to 10,000 training rows for it, which takes minutes. `data.gate`
sets bounds: more than that ends check, and train, with exit code 3.
"""
_CHECK_MORE = """Any setting of `tunewright train --help` may follow as a flag.

examples:
  tunewright check --config job.yaml
  tunewright check --config job.yaml --html doctor.html
  tunewright check --config job.yaml --label_noise
  tunewright check --config job.yaml --json doctor.json --data.gate.overlap 0
"""
_IMPORT = """Register a model that was taught elsewhere: exported, measured and gated as those of `train`, labels kept.

MODEL (or base_model) is a folder of transformers (config.json, model.safetensors, tokenizer.json), a hub id, s3://, or
models:/name@alias; one of texts to labels or tags may have model.onnx or onnx/model.onnx alone, without weights. It
must have a head for the task, whose labels stand in config.json (id2label); where these are called LABEL_0 and so on,
data.label_names names them. data.test is what it is measured on; with data.validation temperatures and thresholds are
set and the variants chosen on rows of their own. Nothing is taught: settings that would teach are refused. No code of
a model is run, and no pickle is read.
"""
_IMPORT_MORE = """Any other setting of `tunewright train --help` may follow as a flag.

examples:
  tunewright import ./my-model --model_name reviews --data.test test.csv
  tunewright import org/name@revision --config import.yaml
  tunewright import --config import.yaml --alias production --gate.min.accuracy 0.9
"""
_INIT = """Look at data, guess the task and which column plays which part, and write a settings file.

DATA is a file, a folder, or several of them, local or s3://. Files for validation and test are told from names such as
dev.jsonl and test.tsv, or folders of that name. What was guessed, and from what, is said and stands in the file. Where
the data can be meant in several ways nothing is written: the error names the flags that settle it.
"""
_INIT_MORE = """  --columns.ROLE NAME  the column that plays a part: text, text_pair, label, labels, score, source,
                       target, ...; a position from 0 where the file has no header

examples:
  tunewright init reviews.csv
  tunewright init s3://bucket/reviews/ --output reviews.yaml
  tunewright init pairs.tsv --task text-regression --columns.score similarity
"""


def _told(command: str, usage: str, description: str, more: str) -> Parser:
    """A parser without arguments so far, whose help is shown as it is written."""
    return Parser(
        prog=f"tunewright {command}",
        usage=usage,
        description=description,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _check() -> argparse.ArgumentParser:
    usage = "%(prog)s [--config FILE] [--label_noise] [--json FILE] [--html FILE] [--SETTING VALUE ...]"
    made = _told("check", usage, _CHECK, _CHECK_MORE)
    made.add_argument("--label_noise", action="store_true", help="look for labels that are likely wrong")
    for name, what in (("json", "JSON"), ("html", "a page that needs nothing beside it")):
        action = made.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write what was found as {what}")
        names_a(action, "file")
    return made


def _import() -> argparse.ArgumentParser:
    usage = "%(prog)s [MODEL] [--config FILE] [--SETTING VALUE ...]"
    made = _told("import", usage, _IMPORT, _IMPORT_MORE)
    names_a(
        made.add_argument("model", nargs="?", metavar="MODEL", help="the model; base_model when absent"), "directory"
    )
    return made


def _init() -> argparse.ArgumentParser:
    usage = "%(prog)s DATA [DATA ...] [--task TASK] [--columns.ROLE NAME ...] [--output FILE]"
    made = _told("init", usage, _INIT, _INIT_MORE)
    names_a(made.add_argument("data", nargs="+", metavar="DATA", help="file or folder, local or s3://"), "file")
    made.add_argument("--task", default="", help="what the model shall do, such as text-classification")
    made.add_argument("--base_model", metavar="BASE", help="the base model, in place of a small one")
    made.add_argument("--model_name", metavar="NAME", help="the name in the registry, in place of the data's")
    made.add_argument(
        "--encoding", default="", metavar="NAME", help="how the files are written, as data.encoding says it"
    )
    output = made.add_argument("--output", type=Path, default=Path("job.yaml"), metavar="FILE", help="(job.yaml)")
    names_a(output, "file")
    return made


def _tune() -> argparse.ArgumentParser:
    usage = "%(prog)s --config FILE [--trials N] [--study PLACE] [--SETTING VALUE ...]"
    made = _told("tune", usage, _TUNE, _TUNE_MORE)
    made.add_argument("--trials", type=_count, default=20, metavar="N", help="trials of the study in all (20)")
    place = "folder or s3:// of the study and of best.yaml; OUTPUT/study-MODEL_NAME when absent"
    names_a(made.add_argument("--study", default="", metavar="PLACE", help=place), "directory")
    return made


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _suggest() -> argparse.ArgumentParser:
    usage = "%(prog)s --config FILE [--candidates BASE [BASE ...]] [--rows N] [--SETTING VALUE ...]"
    made = _told("suggest", usage, _SUGGEST, _SUGGEST_MORE)
    made.add_argument(
        "--candidates",
        nargs="+",
        metavar="BASE",
        help="base models as base_model names them; when absent that of the settings, those in installed packages "
        "and the latest versions in a registry that is a folder",
    )
    made.add_argument("--rows", type=int, default=1000, metavar="N", help="rows of train and of validation (1000)")
    return made


_LABEL = """Choose which rows to label next, by what a registered version answers to them.

The rows are asked through the very file that serves the version, each text once, and written with what it predicts:
as a table (NAME.csv, NAME.jsonl), or as an import of Label Studio or Argilla. --read turns what came back from these
into rows that data.train reads.

  margin        where the two likeliest labels are nearest to each other (of tags: the mean of the tokens)
  entropy       where the answer is spread over many labels
  disagreement  where another version, named by --and, answers something else
  diversity     the row in the middle of each of as many clusters, so that all kinds of rows are there
  random        the control: what any choice has to beat
"""
_LABEL_MORE = """  --columns.ROLE NAME  the column that plays a part: text, text_pair, tokens

examples:
  tunewright label reviews@production --data rows.csv --take 100 --by margin --output to_label.csv
  tunewright label reviews@production --data rows.csv --take 100 --by entropy --to label-studio --output tasks.json
  tunewright label reviews:7 --and reviews:6 --data rows.csv --by disagreement --output to_label.jsonl
  tunewright label --read export.json --output labelled.jsonl
"""


def _label() -> argparse.ArgumentParser:
    usage = "%(prog)s MODEL --data FILE [FILE ...] --output FILE [--take N] [--by HOW] [--to TOOL], or --read FILE"
    made = _told("label", usage, _LABEL, _LABEL_MORE)
    made.add_argument("model", nargs="?", help="reference, for example reviews@production or reviews:7")
    data = made.add_argument("--data", nargs="+", metavar="FILE", help="rows without labels, local or s3://")
    names_a(data, "file")
    made.add_argument("--take", type=_count, default=100, metavar="N", help="rows to choose (100)")
    how = ("margin", "entropy", "disagreement", "diversity", "random")
    made.add_argument("--by", choices=how, default="margin", help="what they are chosen by (margin)")
    made.add_argument("--and", dest="other", metavar="MODEL", help="the version that may disagree")
    known = made.add_argument("--labelled", nargs="+", default=[], metavar="FILE", help="rows that are not asked again")
    names_a(known, "file")
    made.add_argument("--seed", type=int, default=1, help="of random and diversity (1)")
    made.add_argument("--to", choices=("label-studio", "argilla"), help="the tool that reads it; a table when absent")
    names_a(made.add_argument("--read", type=Path, metavar="FILE", help="an export of Label Studio or Argilla"), "file")
    made.add_argument(
        "--scheme", choices=("BIO", "BIOES", "plain"), default="BIO", help="of tags that --read writes (BIO)"
    )
    names_a(made.add_argument("--output", type=Path, required=True, metavar="FILE", help="where to write"), "file")
    return made


def _runs() -> argparse.ArgumentParser:
    made = Parser(
        prog="tunewright runs",
        description="Compare the last runs of an output folder or bucket, the newest first.",
    )
    place = made.add_argument("place", nargs="?", default="var/runs", help="folder, or s3://bucket/prefix (var/runs)")
    names_a(place, "directory")
    made.add_argument("--last", type=_count, default=20, metavar="N", help="runs to show (20)")
    made.add_argument("--json", action="store_true", help="records as JSON, with every figure and setting")
    return made


def _predict() -> argparse.ArgumentParser:
    made = Parser(prog="tunewright predict", description="Answer with a registered version.")
    made.add_argument("model", help="reference, for example reviews@production or reviews:7")
    made.add_argument("inputs", nargs="+", metavar="INPUT", help='a text, or JSON such as \'["text", "text_pair"]\'')
    made.add_argument("--variant", help="fp32, int8, ...; the version's default when absent")
    return made
