"""The end of a run: a short table, and the next command to type."""

from dataclasses import asdict

from rich.table import Table

from tunewright.job.progress.events import show_table
from tunewright.job.recipe import Outcome
from tunewright.job.steps.release import Release


def show(outcome: Outcome) -> None:
    """Show what was made; one event where there is no terminal."""
    version = outcome.version
    name = f"{version.name}:{version.number}"
    released = outcome.release
    facts = {} if released is None else _facts(released)
    table = None if released is None else _table(name, released)
    if outcome.pace:
        facts["training"] = asdict(outcome.pace)
    if outcome.pace and table:
        table.caption, table.caption_justify = f"learned from {outcome.pace.text}", "left"
    show_table(table, "done", f"{name} is registered; serve it: tunewright serve {name}", **facts)


def _facts(released: Release) -> dict[str, object]:
    baseline = {"baseline": released.baseline} if released.baseline else {}
    return baseline | {"variants": {name: one.model_dump(mode="json") for name, one in released.model.variants.items()}}


def _table(name: str, released: Release) -> Table:
    table = Table(title=name, title_justify="left")
    columns = ["variant", released.headline, "95 % interval", "no model", "MiB", "ms/text", ""]
    if not released.baseline:
        columns.remove("no model")
    for column in columns:
        table.add_column(column, justify="left" if column in ("variant", "") else "right")
    for variant, measured in released.evaluations.items():
        low, high = measured.intervals[released.headline]
        size = released.sizes[variant] / 2**20
        table.add_row(
            variant,
            f"{measured.metrics[released.headline]:.4f}",
            f"{low:.3f} to {high:.3f}",
            *([f"{released.baseline[released.headline]:.4f}"] if released.baseline else []),
            f"{size:.1f}",
            f"{measured.ms_per_text:.2f}",
            _note(variant, released),
        )
    return table


def _note(variant: str, released: Release) -> str:
    if variant in released.model.left_out:
        return "left out"
    return "served by default" if variant == released.model.default_variant else ""
