"""The name of a run that was given none: a digest, so that the same command on the same data is the same run."""

from importlib import metadata
from pathlib import Path

from tunewright.job.checkpoints.digest import digest
from tunewright.job.data.sources.fetch import fetch
from tunewright.job.errors import DataError
from tunewright.job.kinds.plan import DataFacts, Prepared
from tunewright.job.model.find import is_wanted
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.job import JobSettings
from tunewright.registry.transfer.download import sha256_of

SIDES = ("train", "validation", "test", "unlabelled", "out_of_scope")
"""Settings of the data that say where it lies: what lies there is what counts."""
_NOTHING = ("output", "run_id", "alias", "keep_bundle", "wait_minutes", "track")
"""Settings that change nothing of a version."""


def run_id_of(settings: JobSettings, prepared: Prepared, base: Path | str, cache: Path) -> str:
    """Of the settings, the rows, the files of the base model and this version of the job. `base`: the folder of the
    base model, or a digest of all its files."""
    text = settings.adapt.data if settings.adapt else None
    # Without those that change nothing of a version.
    asked = settings.model_dump(
        mode="json",
        exclude=dict.fromkeys(_NOTHING, True) | {"train": {"checkpoint"}, "data": set(SIDES)},
    )
    facts = {
        "settings": asked,
        "rows": rows_of(prepared.facts),
        "labels": prepared.labels,
        "text": _files(text, cache) if text else None,
        "base": base if isinstance(base, str) else _wanted(base),
        "version": metadata.version("tunewright"),
    }
    return digest(facts)[:16]


def _wanted(base: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(base.iterdir()) if is_wanted(path.name)}


def rows_of(facts: DataFacts) -> object:
    """What tells rows from others, wherever they lie."""
    files = {side: [file["sha256"] for file in of] for side, of in facts.get("files", {}).items()}
    teacher = [facts["teacher"]["digest"]] if "teacher" in facts else []
    translators = [[one["digest"] for one in facts["translators"]]] if "translators" in facts else []
    return [files, facts["rows"], facts.get("split_digests"), *teacher, *translators]


def _files(data: DataSettings, cache: Path) -> object:
    sources = {side: getattr(data, side) for side in SIDES}
    try:
        return {side: [file.sha256 for file in fetch(source, cache)] for side, source in sources.items() if source}
    except DataError as error:
        raise DataError("\n".join(f"adapt: {sentence}" for sentence in str(error).splitlines())) from error
