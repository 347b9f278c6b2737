"""What to learn from, as settings."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tunewright.job.settings.fields import Delimiter, Encoding, Fraction, LabelNames, Quote, Settings, Sources
from tunewright.serving.text.cleaning import Cleaning, clean_label

FindingKind = Literal[
    "repeats",
    "near_repeats",
    "overlap",
    "near_overlap",
    "contradictions",
    "spellings",
    "label_noise",
    "leaks",
    "personal",
    "outliers",
    "scripts",
    "cut",
    "unknown_tokens",
]
"""What the doctor looks for in rows that can be read."""
Share = Annotated[float, Field(ge=0, lt=1)]


class DataSettings(Settings):
    """What to learn from."""

    train: Sources
    """File, glob, folder or list of these, local or s3://; or hf://org/name[@revision][:config][/split]."""
    validation: Sources | None = None
    """Rows to choose the best epoch and thresholds on; split off from train when absent."""
    test: Sources | None = None
    """Rows to measure the exported model on, read once at the end; split off from train when absent."""
    unlabelled: Sources | None = None
    """Rows without labels, in the form of the training rows, for train.distill and train.pseudo_labels."""
    out_of_scope: Sources | None = None
    """Rows that have none of the labels, in the form of the training rows: the report tells how well scores tell them
    from test rows, and nothing is learned of them."""
    columns: dict[str, str | int] = Field(default={})
    """Role to column name (or 0-based position: without a header, and in conll, where -1 is the last column)."""
    header: bool = True
    """Whether CSV and TSV files start with a row of column names."""
    format: str | None = None
    """File format; told from the file's name when absent. Folders of images or recordings must be named so here."""
    comment: str | None = None
    """conll: how a line begins that is no token, for example "# id"; the empty text where every line is one."""
    sample_by: Literal["line", "paragraph", "document"] = "line"
    """text: what becomes a row."""
    delimiter: Delimiter | None = None
    """Column separator. When absent a comma for CSV and a tab for TSV, or what the first line shows where only that
    gives the columns; blanks for conll."""
    quoting: bool | None = None
    """Whether quotes enclose values; true for CSV and false for TSV when absent."""
    quote: Quote | None = None
    """The quote character of a table; a double quote, or what the first lines show, when absent."""
    encoding: Encoding = "utf-8"
    """How characters are written as bytes: utf-8, windows-1252, latin-1, utf-16-le or any other that Python knows.
    UTF-16 and UTF-32 that begin with a byte order mark are told from the mark."""
    label_separator: str = Field(default=",", min_length=1)
    """What separates several labels inside one value of the labels column."""
    label_names: LabelNames = Field(default={})
    """Label as written in the data to the name that is served, for example {"0": "negative"}."""
    skip_labels: list[Annotated[str, AfterValidator(clean_label)]] = Field(default=[])
    """Rows with one of these labels or tags, as written in the data or as served, are left out and counted; the empty
    text stands for a row without a label."""
    unknown_labels: Literal["refuse", "leave_out", "wrong"] = "refuse"
    """A label or tag that only validation or test has: refuse the data, leave its rows out and say how many, or keep
    them and count them as wrong."""
    cleaning: Cleaning = Cleaning()
    """Text cleaning, the same before training and before every answer."""
    drop_empty: bool = False
    """Leave out rows whose text is empty after cleaning, instead of refusing the data."""
    validation_fraction: Fraction | None = None
    """Share of the train rows split off for validation when no validation data is given: 0.1 when absent, 0 with
    train.few_shot. Without validation rows nothing is chosen: the last epoch is kept, thresholds stay at 0.5."""
    test_fraction: Fraction = 0.1
    """Share of the train rows split off for test when no test data is given."""
    limit: int | None = Field(default=None, ge=1)
    """Use only so many train rows, drawn with the seed."""
    max_expansion: float = Field(default=20.0, ge=1)
    """A compressed file may unpack to so many times its size (and always to 2 MiB, a Parquet or
    Arrow file to 32); a larger one is refused."""
    gate: dict[FindingKind, Share] = Field(default={})
    """Finding of `tunewright check` to the share of a side's rows that it may concern at most, for example
    {"overlap": 0, "repeats": 0.1}; more ends check and train with exit code 3, before anything is learned."""
